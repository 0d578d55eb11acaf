"""Noise and drift measured against the range of a window, as tsaug has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.errors import UsageError

Kind = Literal["additive", "multiplicative"]


def _disturb(signal: Tensor, curve: Tensor, factor: Tensor, kind: Kind, unit: Tensor) -> Tensor:
    """The signal and `factor` (batch, 1 or channel, 1) times a curve, in `unit`s (additive) or in shares of the signal."""
    if kind == "multiplicative":
        return torch.addcmul(signal, signal, curve * factor)
    return torch.addcmul(signal, curve, factor * unit)


def _unit(name: str, signal: Tensor, spec: Spec, normalize: bool) -> Tensor:
    """What a strength of 1 stands for: (batch, channel, 1) the range of the window, or (channel, 1) the training spread."""
    if not normalize:
        return spec.std(name, signal)
    return signal.amax(2, keepdim=True) - signal.amin(2, keepdim=True)


@dataclass(frozen=True)
class AddNoise(Transform):
    """Add noise that is independent from sample to sample, of standard deviation `scale` (as in tsaug's AddNoise).

    Args:
        scale: as a share of each channel's range in the window, or with `normalize=false` of its training spread; of the
            sample itself where the noise is multiplicative.
        distr: of the noise, always of variance 1: tsaug's Laplace noise is sqrt(2) times as large as its `scale` says.
        loc: mean of the noise as a multiple of `scale`, so that a weaker op has a smaller mean too (tsaug's `loc` stands alone).
        per_channel: else all channels of a sensor get the same noise.
    """

    scale: float = 0.1
    distr: Literal["gaussian", "laplace", "uniform"] = "gaussian"
    kind: Kind = "additive"
    loc: float = 0.0
    per_channel: bool = True
    normalize: bool = True
    STRENGTH: ClassVar = Strength("scale", 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.loc):
            raise UsageError(f"AddNoise: loc is a finite number, the mean of the noise in multiples of scale; got {self.loc}")

    def slots(self, spec: Spec) -> int:
        return len(spec.sensors)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(len(spec.sensors)), "scale": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        words = dict(zip(spec.sensors, params["words"].unbind(1), strict=True))
        moved = {}
        for name, signal in x.items():
            rows, time = signal.shape[1] if self.per_channel else 1, signal.shape[2]
            noise = self._shaped(white_noise(words[name], rows * time)).view(-1, rows, time).to(signal.dtype)
            scale = params["scale"].to(signal.dtype)[:, :, None]
            moved[name] = _disturb(signal, noise, scale, self.kind, _unit(name, signal, spec, self.normalize))
        return moved

    def _shaped(self, z: Tensor) -> Tensor:
        """Standard normals to noise of variance 1 with the distribution asked for: equal quantiles."""
        if self.distr == "uniform":
            z = z.mul_(0.5**0.5).erf_().mul_(3**0.5)
        elif self.distr == "laplace":
            tail = torch.special.erfc(z.abs().mul_(0.5**0.5)).log_()  # of twice the probability beyond |z|
            z = z.sign_().mul_(tail).mul_(-(0.5**0.5))
        return z.add_(self.loc) if self.loc else z


@lru_cache(maxsize=64)
def drift_basis(points: int, time: int, device: torch.device) -> Tensor:
    """(points + 1, time): the drift is linear in the steps between its points, so it is a weighted sum of these.

    tsaug draws points + 2 anchors of a random walk, from the first sample to one past the last, and runs a cubic spline
    through them; the value at the first sample is taken off, so the first step is of no effect and is left out.
    """
    anchors = np.tri(points + 2)[:, 1:]
    curves = CubicSpline(np.linspace(0, time, points + 2), anchors)(np.arange(time))
    return torch.from_numpy(np.ascontiguousarray((curves - curves[:1]).T, dtype=np.float32)).to(device)


@dataclass(frozen=True)
class Drift(Transform):
    """Let the signal drift along a smooth random walk that is at most `max_drift` away from it (as in tsaug's Drift).

    The drift starts at 0 and reaches its maximum within the window exactly. A curve that is 0 everywhere, as in a window
    of one sample, stays 0: tsaug divides by it.

    Args:
        max_drift: as a share of each channel's range in the window, or with `normalize=false` of its training spread; of the
            signal itself where the drift is multiplicative.
        points: how many points between the ends the curve goes through (n_drift_points).
        per_channel: else all channels of all sensors drift along one curve.
    """

    max_drift: float = 0.5
    points: int = 3
    kind: Kind = "additive"
    per_channel: bool = True
    normalize: bool = True
    STRENGTH: ClassVar = Strength("max_drift", 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 1:
            raise UsageError(f"Drift: points counts the points between the two ends, so it is at least 1; got {self.points}")

    def _curves(self, spec: Spec) -> list[int]:
        return [len(sensor.channels) for sensor in spec.sensors.values()] if self.per_channel else [1]

    def slots(self, spec: Spec) -> int:
        return (self.points + 1) * sum(self._curves(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        curves = self._curves(spec)
        steps = draws.normal((self.points + 1) * sum(curves)).unflatten(1, (-1, self.points + 1)).split(curves, 1)
        shared = steps if self.per_channel else steps * len(spec.sensors)
        return {"max_drift": draws.level(self), **dict(zip(spec.sensors, shared, strict=True))}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            basis = drift_basis(self.points, signal.shape[2], signal.device).to(signal.dtype)
            curve = weighted_sum(params[name].to(signal.dtype), basis)
            peak = torch.maximum(curve.amax(2, keepdim=True), -curve.amin(2, keepdim=True))
            # Where the curve is 0 it stays 0, whatever it is divided by.
            factor = params["max_drift"].to(signal.dtype)[:, :, None] / peak.clamp_min(1e-12)
            moved[name] = _disturb(signal, curve, factor, self.kind, _unit(name, signal, spec, self.normalize))
        return moved
