"""Smooth changes of magnitude and of time, and shifts: everything that is a curve over the window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor
from torch.nn.functional import grid_sample

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError


@lru_cache(maxsize=64)
def spline_basis(knots: int, time: int, device: torch.device) -> Tensor:
    """(knots, time): a not-a-knot cubic spline is linear in its knot values, so a curve is a weighted sum of these."""
    places = np.linspace(0, max(time - 1, 1), knots)
    curves = CubicSpline(places, np.eye(knots), bc_type="not-a-knot")(np.arange(time))
    return torch.from_numpy(np.ascontiguousarray(curves.T, dtype=np.float32)).to(device)


def spline(knots: Tensor, time: int) -> Tensor:
    """(..., curve, time) not-a-knot cubic splines through (..., curve, knots) values at even distances over a window."""
    return weighted_sum(knots, spline_basis(knots.shape[-1], time, knots.device).to(knots.dtype))


def warp_gather(x: Tensor, positions: Tensor) -> Tensor:
    """Read x (batch, channel, time) at fractional samples (batch, time'), by linear interpolation; ends are held."""
    time = x.shape[-1]
    if time == 1:
        return x.expand(-1, -1, positions.shape[1]).clone()
    # Where to look across and down, which is 0, in two planes: as pairs they take as long to write as the samples to read.
    grid = x.new_zeros(2, len(positions), 1, positions.shape[1])
    grid[0, :, 0] = positions.to(x.dtype) * (2 / (time - 1)) - 1
    grid = grid.permute(1, 2, 3, 0)
    return grid_sample(x[:, :, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[:, :, 0]


def taken(x: Tensor, at: Tensor) -> Tensor:
    """Read x (batch, channel, time) at whole samples (batch, time')."""
    return x.gather(2, at[:, None].expand(-1, x.shape[1], -1))


def _read(x: Tensor, positions: Tensor) -> Tensor:
    return warp_gather(x, positions) if positions.is_floating_point() else taken(x, positions)


def _check_knots(knots: int) -> None:
    if knots < 0:
        raise UsageError(f"knots counts the values between the two ends, so it is at least 0; got {knots}")


@dataclass(frozen=True)
class TimeTransform(Transform):
    """Base of ops that move time: one map on [0, 1] per window, for every sensor at its own rate and for dense labels."""

    def positions(self, params: Params, time: int) -> Tensor:
        """(batch, time) where each new sample comes from, in samples; whole numbers (int64) or fractions (float32)."""
        raise NotImplementedError

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        # Sensors with as many samples share their positions.
        at = {time: self.positions(params, time) for time in {signal.shape[-1] for signal in x.values()}}
        return {name: _read(signal, at[signal.shape[-1]]) for name, signal in x.items()}

    def apply_dense(self, labels: Tensor, params: Params) -> Tensor:
        at = self.positions(params, labels.shape[-1])
        return labels.gather(1, at.round().long())


@dataclass(frozen=True)
class Shifting(TimeTransform):
    """Roll the window round by U{0..floor(share * T)} samples, forward or backward.

    After Jeon et al., IEEE IoT Journal 9(14), 2022; the default share is recalled, not verified.
    """

    share: float = 0.5
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(2)
        return {"step": u[:, :1], "backward": u[:, 1:] < 0.5, "share": draws.level(self)}

    def positions(self, params: Params, time: int) -> Tensor:
        step = (params["step"] * (samples(params["share"], time) + 1)).long()
        step = torch.where(params["backward"], -step, step)
        at = torch.arange(time, dtype=torch.float32, device=step.device) - step
        # In float32, where a remainder is several times as fast, and exact for whole numbers.
        return at.sub_((at / time).floor_().mul_(time)).long()


CROPPED = 0.2
"""Up to this share a cropped window plays at most a quarter slower, which no class is defined by."""


@dataclass(frozen=True)
class Cropping(TimeTransform):
    """Cut off a share U(0, `share`) of the window, a random part of it at either end, and stretch the rest to the old length.

    The two ends of the new window are exactly those of the crop. Where it cuts more than a fifth it assumes the invariance
    `pace`.
    """

    share: float = 0.2
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"}) if self.share > CROPPED else frozenset()

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(2)
        return {"cut": draws.level(self) * u[:, :1], "place": u[:, 1:]}

    def positions(self, params: Params, time: int) -> Tensor:
        each = torch.arange(time, device=params["cut"].device)
        return (1 - params["cut"]) * each + params["cut"] * params["place"] * (time - 1)


@dataclass(frozen=True)
class TimeWarp(TimeTransform):
    """Play the window at a speed that follows a cubic spline through `knots` + 2 values of N(1, `sigma`^2).

    Um et al., ICMI 2017, warp every axis on its own, which tears the axes of a sensor apart, and put samples where they are read
    from here: the inverse map. Here all channels share one map. Speeds are held at 0.1 at least, so that time never runs
    backward. Assumes the invariance `pace`.
    """

    sigma: float = 0.2
    knots: int = 4
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_knots(self.knots)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"})

    def slots(self, spec: Spec) -> int:
        return self.knots + 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"speed": draws.level(self) * draws.normal(self.knots + 2)}

    def positions(self, params: Params, time: int) -> Tensor:
        knots = params["speed"]
        if time == 1:
            return torch.arange(time, device=knots.device).expand(len(knots), -1)
        speed = (1 + spline(knots[:, None], time)[:, 0]).clamp_min(0.1)
        travelled = (speed[:, 1:] + speed[:, :-1]).cumsum(1)
        travelled = torch.nn.functional.pad(travelled, (1, 0))
        return travelled * ((time - 1) / travelled[:, -1:])


@dataclass(frozen=True)
class MagnitudeWarp(Transform):
    """Multiply every channel by its own cubic spline through `knots` + 2 values of N(1, `sigma`^2) (Um et al., ICMI 2017).

    The first and the last value stand at the ends of the window, the others at even distances between them.
    """

    sigma: float = 0.2
    knots: int = 4
    STRENGTH: ClassVar = Strength("sigma", 0.4)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_knots(self.knots)

    def slots(self, spec: Spec) -> int:
        return (self.knots + 2) * sum(len(sensor.channels) for sensor in spec.sensors.values())

    def sample(self, draws: Draws, spec: Spec) -> Params:
        widths = [len(sensor.channels) for sensor in spec.sensors.values()]
        curves = draws.normal((self.knots + 2) * sum(widths)).unflatten(1, (-1, self.knots + 2)) * draws.level(self)[:, :, None]
        return dict(zip(spec.sensors, curves.split(widths, 1), strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            # Deviations from 1 go through the spline: at sigma 0 the factor is then exactly 1.
            deviation = spline(params[name].to(signal.dtype), signal.shape[-1])
            moved[name] = torch.addcmul(signal, signal, deviation)
        return moved
