"""Numbers that carry their first and second time derivative, so that accelerations are exact and never differenced.

A `Jet` is a function of time on a grid of instants together with its rate and its curvature: Taylor arithmetic of
order two (A. Griewank, A. Walther: Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 13).

>>> import numpy as np
>>> t = time(np.array([0.0, 1.0]))
>>> jet = 3.0 * t * t + 1.0
>>> jet.value.tolist(), jet.rate.tolist(), jet.curve.tolist()
([1.0, 4.0], [0.0, 6.0], [6.0, 6.0])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Jet:
    """Value, first and second time derivative; the three have one shape."""

    value: Array
    rate: Array
    curve: Array

    # An array on the left of a Jet hands the operation over instead of making an object array.
    __array_ufunc__ = None

    def __add__(self, other: Jet | Array | float) -> Jet:
        if isinstance(other, Jet):
            return Jet(self.value + other.value, self.rate + other.rate, self.curve + other.curve)
        return Jet(self.value + other, self.rate, self.curve)

    def __mul__(self, other: Jet | Array | float) -> Jet:
        if isinstance(other, Jet):
            return Jet(
                self.value * other.value,
                self.rate * other.value + self.value * other.rate,
                self.curve * other.value + 2.0 * self.rate * other.rate + self.value * other.curve,
            )
        return Jet(self.value * other, self.rate * other, self.curve * other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Jet:
        return self * -1.0

    def __sub__(self, other: Jet | Array | float) -> Jet:
        return self + -other

    def __rsub__(self, other: Array | float) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet | Array | float) -> Jet:
        return self * (other**-1 if isinstance(other, Jet) else 1.0 / other)

    def __rtruediv__(self, other: Array | float) -> Jet:
        return self**-1 * other

    def __pow__(self, n: int) -> Jet:
        x = self.value
        return self.through(x**n, n * x ** (n - 1), n * (n - 1) * x ** (n - 2))

    def through(self, value: Array, slope: Array, bend: Array) -> Jet:
        """The chain rule: a function of this jet, given its value, first and second derivative there."""
        return Jet(value, slope * self.rate, bend * self.rate**2 + slope * self.curve)


def time(t: Array) -> Jet:
    """Time itself, in seconds."""
    return Jet(t, np.ones_like(t), np.zeros_like(t))


def sin(x: Jet) -> Jet:
    s = np.sin(x.value)
    return x.through(s, np.cos(x.value), -s)


def cos(x: Jet) -> Jet:
    c = np.cos(x.value)
    return x.through(c, -np.sin(x.value), -c)


def sqrt(x: Jet) -> Jet:
    root = np.sqrt(x.value)
    return x.through(root, 0.5 / root, -0.25 / root**3)


def acos(x: Jet) -> Jet:
    inside = 1.0 - x.value**2
    slope = -1.0 / np.sqrt(inside)
    return x.through(np.arccos(x.value), slope, slope * x.value / inside)


def atan2(y: Jet, x: Jet) -> Jet:
    square = x.value**2 + y.value**2
    turn = x.value * y.rate - y.value * x.rate
    rate = turn / square
    curve = (x.value * y.curve - y.value * x.curve - 2.0 * rate * (x.value * x.rate + y.value * y.rate)) / square
    return Jet(np.arctan2(y.value, x.value), rate, curve)


def softplus(x: Jet, width: float) -> Jet:
    """The positive part of x, rounded over about `width`. softplus(x) - softplus(-x) = x holds exactly."""
    logistic = 0.5 * (1.0 + np.tanh(0.5 * x.value / width))
    return x.through(width * np.logaddexp(0.0, x.value / width), logistic, logistic * (1.0 - logistic) / width)


def minimum_jerk(x: Jet) -> Jet:
    """From 0 at x <= 0 to 1 at x >= 1, as a hand moves between two points: 10 x^3 - 15 x^4 + 6 x^5.

    T. Flash, N. Hogan: The coordination of arm movements. Journal of Neuroscience 5 (1985) 1688-1703.
    Velocity and acceleration are zero at both ends.
    """
    q = np.clip(x.value, 0.0, 1.0)
    return x.through(q**3 * (10.0 + q * (6.0 * q - 15.0)), 30.0 * q**2 * (1.0 - q) ** 2, 60.0 * q * (1.0 - q) * (1.0 - 2.0 * q))


def bounce(cycles: Jet, period: Array | float, duty: float, gravity: float) -> Jet:
    """Height (m) of a body that hops with free fall in between: below 0 in contact, above 0 in flight.

    The ground's push in contact is a half sine, as in R. McN. Alexander, Journal of Zoology 192 (1980) 97-117; contact
    fills the first part `duty` of every cycle and acceleration is continuous.

    Args:
        cycles: time in cycles; touch-down at whole numbers.
        period: seconds of one cycle.
    """
    contact = duty * period
    u = (cycles.value - np.floor(cycles.value)) * period
    push = np.pi * gravity / (2.0 * duty)
    landing = -0.5 * gravity * (period - contact)
    w = np.pi / contact
    s = u - contact
    touching = s < 0.0
    value = np.where(
        touching, landing * u - 0.5 * gravity * u**2 + push / w * (u - np.sin(w * u) / w), -landing * s - 0.5 * gravity * s**2
    )
    slope = np.where(touching, landing - gravity * u + push / w * (1.0 - np.cos(w * u)), -landing - gravity * s)
    bend = np.where(touching, push * np.sin(w * u) - gravity, -gravity)
    return cycles.through(value, slope * period, bend * np.square(period))
