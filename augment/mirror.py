"""Left and right: mirrored people, and devices on the wrong side. Mirrored skeletons are in `joints`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws
from harkd.augment.rotate import AXIAL_KINDS
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.datasets.recording import INERTIAL_KINDS
from harkd.errors import UsageError

_SIDE = re.compile(r"(?<![^\W_])(left|right)(?![^\W_])")
_OTHER = {"left": "right", "right": "left"}


def other_side(name: str) -> str:
    """A name with the words left and right exchanged.

    >>> other_side("left_wrist"), other_side("hip right"), other_side("bright_spot")
    ('right_wrist', 'hip left', 'bright_spot')
    """
    return _SIDE.sub(lambda word: _OTHER[word[0]], name)


def counterparts(spec: Spec) -> dict[str, str]:
    """The like on the other side of the body, for each sensor that has one.

    Placement and segment (the name, where a card gives neither) differ in left and right only; kind, units, rate and channels
    are equal. Of several on one side, the second is the like of the second.
    """
    alike: dict[tuple[str, str, object], list[str]] = {}
    for name, s in spec.sensors.items():
        place = s.placement or ("" if s.segment else name)
        alike.setdefault((place, s.segment, (s.kind, s.units, s.rate, s.channels)), []).append(name)
    pairs: dict[str, str] = {}
    for (place, segment, make), names in alike.items():
        there = other_side(place), other_side(segment)
        if there != (place, segment):
            pairs |= zip(names, alike.get((*there, make), []), strict=False)
    return pairs


@lru_cache(maxsize=64)
def _signs(axial: bool, axis: str, channels: int, device: torch.device) -> Tensor:
    """(channel, 1) what a mirror does to the components of a vector: an axial one keeps the one along its axis."""
    signs = torch.tensor([-1.0 if (each == axis) != axial else 1.0 for each in "xyz"], device=device)
    return signs.repeat(channels // 3)[:, None]


@dataclass(frozen=True)
class AxisMirror(Transform):
    """The same movement by a mirrored person: left and right exchanged, and every device's axis `axis` turned round.

    `axis` is the one that points sideways when the person stands; for a watch, the one along the forearm. Acc is a polar
    vector: its component along the axis changes sign. Gyro is an axial one: the other two do. Mag goes with acc: a mirrored
    person moves in the same earth field, facing another way. A sensor without a like on the other side is mirrored where it
    is, as if the mirrored person wore it there; skeletons are left to `MirrorBody`. Assumes the invariance `mirror`. Our design.
    """

    axis: Literal["x", "y", "z"] = "x"
    KINDS: ClassVar = INERTIAL_KINDS

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"mirror"})

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        pairs, moved = counterparts(spec), dict(x)
        for name, sensor in spec.sensors.items():
            if sensor.kind in INERTIAL_KINDS:
                source = x[pairs.get(name, name)]
                signs = _signs(sensor.kind in AXIAL_KINDS, self.axis, source.shape[1], source.device)
                moved[name] = source * signs.to(source.dtype)
        return moved


@dataclass(frozen=True)
class PositionSwap(Transform):
    """Left and right devices put on the wrong side: the sensors of each pair exchange their signals, as they are.

    The devices are mistaken for each other, the person moves as before; in `AxisMirror` the person is mirrored, and signs
    change. Assumes the invariance `mirror`. Our design.
    """

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"mirror"})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if not counterparts(spec):
            places = ", ".join(f"{s.name} ({s.placement or s.segment or 'no placement'})" for s in spec.sensors.values())
            raise UsageError(
                f"PositionSwap exchanges sensors whose placements differ in left and right only; none of these do: {places}"
            )

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        pairs = counterparts(spec)
        return {name: x[pairs.get(name, name)] for name in x}
