"""Bodies in motion: turned, stretched, and with joints that are not quite where the camera put them.

Sensors of kind skeleton only, whose channels are x, y, z of one joint after the other, in metres; other sensors pass untouched.
Time operations that move all sensors alike are in `warp`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.keys import white_noise
from harkd.augment.rotate import rotation_matrix
from harkd.augment.transform import Draws, Params, Spec, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.errors import UsageError

BODY = "skeleton"


def _bodies(spec: Spec) -> list[str]:
    return [name for name, sensor in spec.sensors.items() if sensor.kind == BODY]


def _places(x: Signals, spec: Spec) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, places (batch, joint, 3, time), and the centre (batch, 1, 3, 1) in the first frame, of each body."""
    for name in x:
        if spec.sensors[name].kind == BODY:
            place = x[name].unflatten(1, (-1, 3))
            first = place[:, :, :, :1]
            # One joint after the other: a sum over a dimension may round differently for another batch size.
            centre = first[:, :1].clone()
            for joint in range(1, first.shape[1]):
                centre += first[:, joint : joint + 1]
            yield name, place, centre / first.shape[1]


@dataclass(frozen=True)
class RotateVertical(Transform):
    """Turn bodies by U(-`max_angle`, `max_angle`) degrees about the vertical, then by U(-`tilt`, `tilt`) about both level axes.

    As if the camera stood elsewhere: all bodies of a window turn alike, each about its centre in the first frame. A tilt is never
    larger than `max_angle`. `up` is the vertical axis: y for a camera, z in most laboratories.
    """

    max_angle: float = 20.0
    tilt: float = 6.0
    up: Literal["x", "y", "z"] = "y"
    STRENGTH: ClassVar = ("max_angle", 180.0)
    MOST: ClassVar = 180.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tilt <= self.MOST:
            raise UsageError(f"RotateVertical: tilt is an angle from 0 to {self.MOST:g}; got {self.tilt}")

    def slots(self, spec: Spec) -> int:
        return 3

    def sample(self, draws: Draws, spec: Spec) -> Params:
        angles = 2 * draws.uniform(3) - 1
        up = "xyz".index(self.up)
        turn = self._about(up, angles[:, 0], self.max_angle)
        for number, level in enumerate((axis for axis in range(3) if axis != up), 1):
            turn = weighted_sum(self._about(level, angles[:, number], min(self.tilt, self.max_angle)), turn)
        return {"turn": turn}

    @staticmethod
    def _about(axis: int, share: Tensor, most: float) -> Tensor:
        unit = torch.eye(3, device=share.device)[axis].expand(len(share), 3)
        return rotation_matrix(unit, share * math.radians(most))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in _places(x, spec) if self.max_angle else ():
            turn = params["turn"][:, None].to(place.dtype)
            moved[name] = (centre + weighted_sum(turn, place - centre)).flatten(1, 2)
        return moved


@dataclass(frozen=True)
class Stretch(Transform):
    """Make bodies larger or smaller by a factor U(1 - `share`, 1 + `share`) along each axis, about their centre in the first
    frame.

    All bodies of a window have the same factors.
    """

    share: float = 0.1
    STRENGTH: ClassVar = ("share", 0.3)
    MOST: ClassVar = 1.0

    def slots(self, spec: Spec) -> int:
        return 3

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"more": self.share * (2 * draws.uniform(3) - 1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in _places(x, spec) if self.share else ():
            more = params["more"][:, None, :, None].to(place.dtype)
            moved[name] = torch.addcmul(place, place - centre, more).flatten(1, 2)
        return moved


def _heights(place: Tensor) -> Tensor:
    """(batch, 1, 1, 1): the largest extent of a body along an axis, in the first frame."""
    first = place[..., 0]
    return (first.amax(1) - first.amin(1)).amax(1)[:, None, None, None]


@dataclass(frozen=True)
class JointJitter(Transform):
    """Add white Gaussian noise of standard deviation `sigma` metres to every joint in every frame.

    `relative` takes sigma as a share of the body's height (its largest extent in the first frame; 0.01 to 0.02 is usual).
    """

    sigma: float = 0.008
    relative: bool = False
    STRENGTH: ClassVar = ("sigma", 0.03)

    def slots(self, spec: Spec) -> int:
        return len(_bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        bodies = _bodies(spec)
        return dict(zip(bodies, draws.words(len(bodies)).unbind(1), strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, _ in _places(x, spec) if self.sigma else ():
            noise = white_noise(params[name], place[0].numel()).view_as(place).to(place.dtype)
            moved[name] = _displaced(place, noise, self.sigma, self.relative)
        return moved


@dataclass(frozen=True)
class JointOffset(Transform):
    """Move every joint by its own N(0, `sigma`^2) metres along each axis, the same in all frames of a window.

    What another body, or a tracker that takes the elbow a little higher, does. `relative` as in `JointJitter`.
    """

    sigma: float = 0.02
    relative: bool = False
    STRENGTH: ClassVar = ("sigma", 0.06)

    def slots(self, spec: Spec) -> int:
        return sum(len(spec.sensors[name].channels) for name in _bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {name: draws.normal(len(spec.sensors[name].channels)) for name in _bodies(spec)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, _ in _places(x, spec) if self.sigma else ():
            offset = params[name].unflatten(1, (-1, 3))[..., None].to(place.dtype)
            moved[name] = _displaced(place, offset, self.sigma, self.relative)
        return moved


def _displaced(place: Tensor, by: Tensor, sigma: float, relative: bool) -> Tensor:
    """(batch, channel, time): places moved by standard normals."""
    return (place + by * (sigma * _heights(place) if relative else sigma)).flatten(1, 2)
