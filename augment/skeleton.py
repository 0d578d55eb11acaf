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

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.rotate import rotation_matrix
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.errors import UsageError

BODY = "skeleton"
SIGMA = "standard deviation"
"""Of the noise, among the parameters that have the names of sensors."""


def bodies(spec: Spec) -> list[str]:
    """Names of the skeletons."""
    return [name for name, sensor in spec.sensors.items() if sensor.kind == BODY]


def places(x: Signals, spec: Spec) -> Iterator[tuple[str, Tensor, Tensor]]:
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
    STRENGTH: ClassVar = Strength("max_angle", 180.0, most=180.0)
    KINDS: ClassVar = frozenset({BODY})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tilt <= 180:
            raise UsageError(f"RotateVertical: tilt is an angle from 0 to 180; got {self.tilt}")

    def slots(self, spec: Spec) -> int:
        return 3

    def sample(self, draws: Draws, spec: Spec) -> Params:
        angles = 2 * draws.uniform(3) - 1
        up, most = "xyz".index(self.up), draws.level(self)[:, 0].deg2rad()
        tilt = most.clamp_max(math.radians(self.tilt))
        turn = self._about(up, angles[:, 0] * most)
        for number, level in enumerate((axis for axis in range(3) if axis != up), 1):
            turn = weighted_sum(self._about(level, angles[:, number] * tilt), turn)
        return {"turn": turn}

    @staticmethod
    def _about(axis: int, angle: Tensor) -> Tensor:
        unit = torch.eye(3, device=angle.device)[axis].expand(len(angle), 3)
        return rotation_matrix(unit, angle)

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in places(x, spec):
            turn = params["turn"][:, None].to(place.dtype)
            moved[name] = (centre + weighted_sum(turn, place - centre)).flatten(1, 2)
        return moved


@dataclass(frozen=True)
class Stretch(Transform):
    """Make bodies larger or smaller by a factor U(1 - `share`, 1 + `share`) along each axis.

    About their centre in the first frame; all bodies of a window have the same factors.
    """

    share: float = 0.1
    STRENGTH: ClassVar = Strength("share", 0.3, most=1.0)
    KINDS: ClassVar = frozenset({BODY})

    def slots(self, spec: Spec) -> int:
        return 3

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"more": draws.level(self) * (2 * draws.uniform(3) - 1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in places(x, spec):
            more = params["more"][:, None, :, None].to(place.dtype)
            moved[name] = torch.addcmul(place, place - centre, more).flatten(1, 2)
        return moved


@dataclass(frozen=True)
class Shear(Transform):
    """Slant bodies: each coordinate gains the two others, each times its own U(-`amount`, `amount`).

    About the centre in the first frame, and all bodies of a window alike. After Rao et al. (Information Sciences 569, 2021), who
    slant about the origin; the amount of 0.5 is recalled, not verified.
    """

    amount: float = 0.5
    STRENGTH: ClassVar = Strength("amount", 0.5)
    KINDS: ClassVar = frozenset({BODY})

    def slots(self, spec: Spec) -> int:
        return 6

    def sample(self, draws: Draws, spec: Spec) -> Params:
        more = draws.level(self) * (2 * draws.uniform(6) - 1)
        rows = more.new_zeros(len(more), 9)
        rows[:, [1, 2, 3, 5, 6, 7]] = more
        return {"more": rows.unflatten(1, (3, 3))}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in places(x, spec):
            more = params["more"][:, None].to(place.dtype)
            moved[name] = weighted_sum(more, place - centre).add_(place).flatten(1, 2)
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
    STRENGTH: ClassVar = Strength("sigma", 0.03)
    KINDS: ClassVar = frozenset({BODY})

    def slots(self, spec: Spec) -> int:
        return len(bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        words = draws.words(self.slots(spec)).unbind(1)
        return {**dict(zip(bodies(spec), words, strict=True)), SIGMA: draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, _ in places(x, spec):
            noise = white_noise(params[name], place[0].numel()).view_as(place).to(place.dtype)
            moved[name] = _displaced(place, noise, params[SIGMA], self.relative)
        return moved


@dataclass(frozen=True)
class JointOffset(Transform):
    """Move every joint by its own N(0, `sigma`^2) metres along each axis, the same in all frames of a window.

    What another body, or a tracker that takes the elbow a little higher, does. `relative` as in `JointJitter`.
    """

    sigma: float = 0.02
    relative: bool = False
    STRENGTH: ClassVar = Strength("sigma", 0.06)
    KINDS: ClassVar = frozenset({BODY})

    def slots(self, spec: Spec) -> int:
        return sum(len(spec.sensors[name].channels) for name in bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {**{name: draws.normal(len(spec.sensors[name].channels)) for name in bodies(spec)}, SIGMA: draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, _ in places(x, spec):
            offset = params[name].unflatten(1, (-1, 3))[..., None].to(place.dtype)
            moved[name] = _displaced(place, offset, params[SIGMA], self.relative)
        return moved


def _displaced(place: Tensor, by: Tensor, level: Tensor, relative: bool) -> Tensor:
    """(batch, channel, time): places moved by standard normals."""
    sigma = level[:, :, None, None].to(place.dtype)
    return (place + by * (sigma * _heights(place) if relative else sigma)).flatten(1, 2)
