"""Rotation in space: what a strap does that sits a little differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.datasets.recording import INERTIAL_KINDS
from harkd.errors import UsageError

MISALIGNMENT = 15.0
"""Up to this angle (degrees) a rotation is taken for a shifted strap, which no class is defined by."""
AXIAL_KINDS = frozenset({"gyro"})
"""Axial vectors: a mirror turns round what it leaves of other vectors. A mirrored mag is taken for one that faces another way."""


def turned(x: Signals, turns: Mapping[int, Tensor], spec: Spec) -> Signals:
    """Every x, y, z triple of the sensors on a segment multiplied by the matrix (batch, 3, 3) of that segment, if it has one."""
    moved = dict(x)
    for name, signal in x.items():
        turn = turns.get(spec.segment(name))
        if turn is not None and spec.sensors[name].turns:
            triples = signal.unflatten(1, (-1, 3))
            moved[name] = weighted_sum(turn[:, None].to(signal.dtype), triples).flatten(1, 2)
    return moved


@dataclass(frozen=True)
class Rotate(Transform):
    """Turn every x, y, z triple by one random rotation per body segment: acc and gyro of one device turn together.

    Uniform over all rotations by at most `max_angle` degrees (at 180: over SO(3)). Um et al. (ICMI 2017) draw the axis
    from a cube, which is not uniform. Beyond 15 degrees it assumes the invariance `rotation`. With `about=gravity` it turns by
    U(-`max_angle`, `max_angle`) about the mean direction of the segment's acc in the window: that direction, and with it every
    posture, stays what it is, so nothing is assumed; segments without acc are left alone (our design).
    """

    max_angle: float = 15.0
    about: Literal["any", "gravity"] = "any"
    STRENGTH: ClassVar = Strength("max_angle", 180.0, most=180.0)
    KINDS: ClassVar = INERTIAL_KINDS

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"rotation"}) if self.about == "any" and self.max_angle > MISALIGNMENT else frozenset()

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if self.about == "gravity" and not accelerometers(spec):
            found = ", ".join(f"{sensor.name} ({sensor.kind})" for sensor in spec.sensors.values())
            raise UsageError(
                f"Rotate: about=gravity finds the vertical from sensors of kind acc; these windows have {found}; use about=any"
            )

    def slots(self, spec: Spec) -> int:
        return len(spec.segments) * (1 if self.about == "gravity" else 4)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        segments = len(spec.segments)
        if self.about == "gravity":
            return {"angle": (2 * draws.uniform(segments) - 1) * draws.level(self).deg2rad()}
        axis = draws.normal(3 * segments).unflatten(1, (segments, 3))
        axis = axis / axis.norm(dim=2, keepdim=True).clamp_min(1e-12)
        angle = capped_angle(draws.uniform(segments), draws.level(self).double().deg2rad())
        return {"turn": rotation_matrix(axis, angle)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        if self.about == "any":
            return turned(x, dict(enumerate(params["turn"].unbind(1))), spec)
        turns = {}
        for segment, name in accelerometers(spec).items():
            down = x[name][:, :3].contiguous().mean(2)
            length = down.norm(dim=1, keepdim=True)
            # Where nothing points down, nothing is known, and the segment is left alone.
            angle = params["angle"][:, segment].to(down.dtype) * (length[:, 0] > 1e-6)
            turns[segment] = rotation_matrix(down / length.clamp_min(1e-6), angle)
        return turned(x, turns, spec)


@dataclass(frozen=True)
class RotationFlip(Transform):
    """Permute x, y, z and flip their signs: one of the 48 signed permutations per body segment and window.

    After `rotation` of Iwana and Uchida (PLoS ONE 16(7), 2021), whose code draws one permutation of all channels for a whole
    batch. Half of the 48 are mirrors, in which gyro turns as an axial vector does. Assumes `rotation` and `mirror`.
    """

    KINDS: ClassVar = INERTIAL_KINDS

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"rotation", "mirror"})

    def slots(self, spec: Spec) -> int:
        return len(spec.segments)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"turn": torch.stack([draws.below(48) for _ in spec.segments], 1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for axial in (False, True):
            part = {name: s for name, s in x.items() if (spec.sensors[name].kind in AXIAL_KINDS) == axial}
            turns = signed_permutations(axial, params["turn"].device)[params["turn"]]
            moved |= turned(part, dict(enumerate(turns.unbind(1))), spec)
        return moved


@lru_cache
def signed_permutations(axial: bool, device: torch.device) -> Tensor:
    """(48, 3, 3) the symmetries of a cube, for axial vectors times their determinant."""
    signs = product((1.0, -1.0), repeat=3)
    turns = torch.stack([torch.tensor(s).diag()[torch.tensor(order)] for s, order in product(signs, permutations(range(3)))])
    return (turns * torch.linalg.det(turns).round()[:, None, None] if axial else turns).to(device)


def accelerometers(spec: Spec) -> dict[int, str]:
    """For each body segment with acc, the first such sensor."""
    found: dict[int, str] = {}
    for name, sensor in spec.sensors.items():
        if sensor.kind == "acc":
            found.setdefault(spec.segment(name), name)
    return found


def capped_angle(u: Tensor, cap: Tensor) -> Tensor:
    """Angles in [0, cap] (radians) of rotations uniform on SO(3) but for the cap: their density goes as 1 - cos(angle).

    Solves angle - sin(angle) = u (cap - sin(cap)) by Newton's method; the cube root is exact for small angles.
    """
    cap = cap.double()
    goal = u.double() * (cap - cap.sin())
    angle = cap * u.double().pow(1 / 3)
    for _ in range(6):
        slope = (1 - angle.cos()).clamp_min(1e-12)
        angle = torch.minimum((angle - (angle - angle.sin() - goal) / slope).clamp_min(0), cap)
    return angle.to(u.dtype)


def rotation_matrix(axis: Tensor, angle: Tensor) -> Tensor:
    """(..., 3, 3) rotations about unit axes (..., 3) by angles (...) in radians, by Rodrigues' formula."""
    sin, cos = angle.sin()[..., None, None], angle.cos()[..., None, None]
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    outer = axis[..., :, None] * axis[..., None, :]
    return cos * torch.eye(3, device=axis.device, dtype=axis.dtype) + sin * cross + (1 - cos) * outer
