"""Virtual inertial sensors: what an accelerometer and a gyroscope at some place of a moving body measure.

The axes of a sensor are those of its body segment (x to the right, y towards the head, z to the back when the person stands
with hanging arms), turned by its mounting. At rest the accelerometer shows +1 g along the axis that points up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from harkd.datasets.synthetic.jet import Array
from harkd.datasets.synthetic.skeleton import GRAVITY, Body, Frame, Motion, Vector


@dataclass(frozen=True)
class Place:
    """A place on the body: the share `along` of the way to a joint of the segment, plus an offset in metres."""

    segment: str
    joint: str
    along: float
    offset: Vector = (0.0, 0.0, 0.0)

    def on(self, motion: Motion) -> Frame:
        """How the place moves; axes are the segment's."""
        return motion.segments[self.segment].at(self.within(motion.body))

    def within(self, body: Body) -> Vector:
        """Its position in the segment's axes, in metres."""
        segment, end = body.points()[self.joint]
        if segment != self.segment:
            raise ValueError(f"{self.joint} lies on the segment {segment}, not on {self.segment}")
        x, y, z = (self.along * part + more for part, more in zip(end, self.offset, strict=True))
        return x, y, z


PLACES: dict[str, Place] = {
    "right_wrist": Place("right_forearm", "right_wrist", 0.93, (0.03, 0.0, 0.0)),
    "left_wrist": Place("left_forearm", "left_wrist", 0.93, (-0.03, 0.0, 0.0)),
    "right_upper_arm": Place("right_upper_arm", "right_elbow", 0.5, (0.05, 0.0, 0.0)),
    "left_upper_arm": Place("left_upper_arm", "left_elbow", 0.5, (-0.05, 0.0, 0.0)),
    "hip": Place("pelvis", "right_hip", 0.0, (0.16, 0.03, 0.0)),
    "waist": Place("pelvis", "spine", 0.5, (0.0, 0.0, 0.11)),
    "chest": Place("chest", "shoulder_center", 0.6, (0.0, 0.0, -0.11)),
    "head": Place("head", "head", 1.0, (0.08, 0.0, 0.0)),
    "right_thigh": Place("right_thigh", "right_knee", 0.5, (0.0, 0.0, -0.08)),
    "left_thigh": Place("left_thigh", "left_knee", 0.5, (0.0, 0.0, -0.08)),
    "right_ankle": Place("right_shank", "right_ankle", 0.9, (0.04, 0.0, 0.0)),
    "left_ankle": Place("left_shank", "left_ankle", 0.9, (-0.04, 0.0, 0.0)),
}
"""Where devices are worn."""


def ideal(frame: Frame, mounting: Array | None = None) -> tuple[Array, Array]:
    """What a perfect sensor measures: specific force R^T (a - g) and angular velocity R^T w.

    Args:
        mounting: (3, 3) columns are the sensor's axes in the segment's; by default they are the same.

    Returns:
        (3, ...) in g and (3, ...) in rad/s.
    """
    up = np.array([0.0, GRAVITY, 0.0]).reshape(3, *[1] * (frame.acceleration.ndim - 1))
    force, spin = frame.acceleration + up, frame.spin
    acc = np.einsum("ij...,i...->j...", frame.rotation, force) / GRAVITY
    gyro = np.einsum("ij...,i...->j...", frame.rotation, spin)
    if mounting is None:
        return acc, gyro
    return np.einsum("ij,i...->j...", mounting, acc), np.einsum("ij,i...->j...", mounting, gyro)


def digitise(signal: Array, limit: float, bits: int) -> Array:
    """Clip to the range -limit..limit and round to the steps of a converter: 2 limit / 2^bits, in two's complement.

    The largest code is one step short of `limit`. With 0 bits the signal is clipped to the full range and not rounded.

    >>> digitise(np.array([-9.0, 0.3, 0.8, 9.0]), limit=2.0, bits=3).tolist()
    [-2.0, 0.5, 1.0, 1.5]
    """
    if bits == 0:
        return np.clip(signal, -limit, limit)
    step, half = 2.0 * limit / 2**bits, 2 ** (bits - 1)
    return np.clip(np.rint(signal / step), -half, half - 1) * step


@dataclass(frozen=True)
class Unit:
    """One device: its mounting and its fixed errors.

    Attributes:
        mounting: (3, 3), see `ideal`.
        acc_bias, gyro_bias: (3,) in g and rad/s.
        acc_gain, gyro_gain: (3,) factors near 1.
    """

    mounting: Array
    acc_bias: Array
    gyro_bias: Array
    acc_gain: Array
    gyro_gain: Array


@dataclass(frozen=True)
class Imu:
    """A kind of device. Errors are standard deviations over devices; noise is per sample and axis.

    The defaults are those of a consumer device with the ranges of UTD-MHAD's sensor (8 g, 1000 degrees/s, 16 bits).

    Attributes:
        mounting: standard deviation of the tilt about each axis, in degrees.
        acc_range, gyro_range: in g and rad/s.
    """

    mounting: float = 8.0
    acc_bias: float = 0.02
    gyro_bias: float = 0.01
    gain_error: float = 0.005
    acc_noise: float = 0.005
    gyro_noise: float = 0.005
    acc_range: float = 8.0
    gyro_range: float = 1000.0 * np.pi / 180.0
    bits: int = 16

    def unit(self, rng: np.random.Generator) -> Unit:
        """One device of this kind, put on by somebody."""
        z = rng.standard_normal((5, 3))
        return Unit(
            mounting=Rotation.from_rotvec(z[0] * np.deg2rad(self.mounting)).as_matrix(),
            acc_bias=z[1] * self.acc_bias,
            gyro_bias=z[2] * self.gyro_bias,
            acc_gain=1.0 + z[3] * self.gain_error,
            gyro_gain=1.0 + z[4] * self.gain_error,
        )

    def measure(self, frame: Frame, unit: Unit, acc_noise: Array, gyro_noise: Array) -> tuple[Array, Array]:
        """What the device writes down: gain, bias, noise, then saturation and rounding.

        Args:
            acc_noise, gyro_noise: standard normal numbers of the signals' shape (3, ...).
        """
        acc, gyro = ideal(frame, unit.mounting)
        column = (3, *[1] * (acc.ndim - 1))
        acc = acc * unit.acc_gain.reshape(column) + unit.acc_bias.reshape(column) + self.acc_noise * acc_noise
        gyro = gyro * unit.gyro_gain.reshape(column) + unit.gyro_bias.reshape(column) + self.gyro_noise * gyro_noise
        return digitise(acc, self.acc_range, self.bits), digitise(gyro, self.gyro_range, self.bits)


PERFECT = Imu(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, np.inf, 0)
"""A device without errors and without limits."""
