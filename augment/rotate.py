"""Rotation in space: what a strap does that sits a little differently."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harkd.augment.transform import Draws, Params, Spec, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.datasets.card import Invariance

MISALIGNMENT = 15.0
"""Up to this angle (degrees) a rotation is taken for a shifted strap, which no class is defined by."""


@dataclass(frozen=True)
class Rotate(Transform):
    """Turn every x, y, z triple by one random rotation per body segment: acc and gyro of one device turn together.

    Uniform over all rotations by at most `max_angle` degrees (at 180: over SO(3)). Um et al. (ICMI 2017) draw the axis
    from a cube, which is not uniform. Beyond 15 degrees it assumes the invariance `rotation`.
    """

    max_angle: float = 15.0
    STRENGTH: ClassVar = ("max_angle", 180.0)
    MOST: ClassVar = 180.0

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"rotation"}) if self.max_angle > MISALIGNMENT else frozenset()

    def slots(self, spec: Spec) -> int:
        return 4 * len(spec.segments)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        segments = len(spec.segments)
        axis = draws.normal(3 * segments).unflatten(1, (segments, 3))
        axis = axis / axis.norm(dim=2, keepdim=True).clamp_min(1e-12)
        angle = capped_angle(draws.uniform(segments), math.radians(self.max_angle))
        return {"turn": rotation_matrix(axis, angle)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            if not spec.sensors[name].turns:
                moved[name] = signal
                continue
            turn = params["turn"][:, spec.segment(name), None].to(signal.dtype)
            triples = signal.unflatten(1, (-1, 3))
            moved[name] = weighted_sum(turn, triples).flatten(1, 2)
        return moved


def capped_angle(u: Tensor, cap: float) -> Tensor:
    """Angles in [0, cap] (radians) of rotations uniform on SO(3) but for the cap: their density goes as 1 - cos(angle).

    Solves angle - sin(angle) = u (cap - sin(cap)) by Newton's method; the cube root is exact for small angles.
    """
    if cap == 0:
        return torch.zeros_like(u)
    goal = u.double() * (cap - math.sin(cap))
    angle = cap * u.double().pow(1 / 3)
    for _ in range(6):
        slope = (1 - angle.cos()).clamp_min(1e-12)
        angle = (angle - (angle - angle.sin() - goal) / slope).clamp(0, cap)
    return angle.to(u.dtype)


def rotation_matrix(axis: Tensor, angle: Tensor) -> Tensor:
    """(..., 3, 3) rotations about unit axes (..., 3) by angles (...) in radians, by Rodrigues' formula."""
    sin, cos = angle.sin()[..., None, None], angle.cos()[..., None, None]
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    outer = axis[..., :, None] * axis[..., None, :]
    return cos * torch.eye(3, device=axis.device, dtype=axis.dtype) + sin * cross + (1 - cos) * outer
