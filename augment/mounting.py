"""How devices sit: each sensor a little askew in its case, or a device strapped on any way round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.rotate import MISALIGNMENT, accelerometers, capped_angle, rotation_matrix, turned
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Sensor, Signals
from harkd.datasets.card import Invariance
from harkd.datasets.recording import INERTIAL_KINDS
from harkd.errors import UsageError


def _turning(spec: Spec) -> list[Sensor]:
    return [sensor for sensor in spec.sensors.values() if sensor.turns]


def _unit(v: Tensor) -> Tensor:
    """Vectors (..., 3) of length 1; zero stays zero."""
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-12)


@dataclass(frozen=True)
class Misalignment(Transform):
    """Turn each sensor by its own small rotation, uniform over those by at most `max_angle` degrees.

    A sensor that sits askew on its board: unlike in `Rotate`, acc and gyro of one device turn apart. Our design.
    """

    max_angle: float = 5.0
    STRENGTH: ClassVar = Strength("max_angle", MISALIGNMENT, most=MISALIGNMENT)
    KINDS: ClassVar = INERTIAL_KINDS

    def slots(self, spec: Spec) -> int:
        return 4 * len(_turning(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        sensors = _turning(spec)
        axis = _unit(draws.normal(3 * len(sensors)).unflatten(1, (-1, 3)))
        angle = capped_angle(draws.uniform(len(sensors)), draws.level(self).double().deg2rad())
        return {s.name: turn for s, turn in zip(sensors, rotation_matrix(axis, angle).unbind(1), strict=True)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, turn in params.items():
            moved |= turned({name: x[name]}, {spec.segment(name): turn}, spec)
        return moved


@dataclass(frozen=True)
class GravityReorient(Transform):
    """Turn each body segment so that gravity comes from elsewhere: uniform over directions at most `max_angle` degrees away.

    Gravity is the mean of the segment's acc over the window, and the turn is the smallest that takes it there, the same for acc,
    gyro and mag. A segment without acc stays as it is. Beyond 15 degrees it assumes the invariance `rotation`. Our design.
    """

    max_angle: float = 180.0
    STRENGTH: ClassVar = Strength("max_angle", 180.0, most=180.0)
    KINDS: ClassVar = INERTIAL_KINDS

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"rotation"}) if self.max_angle > MISALIGNMENT else frozenset()

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if not accelerometers(spec):
            raise UsageError(f"GravityReorient finds gravity by an accelerometer; these windows have {', '.join(spec.sensors)}")

    def slots(self, spec: Spec) -> int:
        return 4 * len(accelerometers(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        guides = sorted(accelerometers(spec))
        side = draws.normal(3 * len(guides)).unflatten(1, (-1, 3)).unbind(1)
        # Equal areas of a sphere are equal heights, which are squared sines of half the angle from the pole.
        highest = (draws.level(self).double().deg2rad() / 2).sin()
        angle = 2 * (draws.uniform(len(guides)).double().sqrt() * highest).asin()
        return {str(segment): (side[i], angle[:, i]) for i, segment in enumerate(guides)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        turns = {}
        for segment, name in accelerometers(spec).items():
            side, angle = (each.to(x[name].dtype) for each in params[str(segment)])
            down = x[name][:, :3].contiguous().mean(2)
            length = down.norm(dim=1, keepdim=True)
            down = down / length.clamp_min(1e-6)
            # A random direction without what it has of gravity's: every way to fall is as likely.
            axis = _unit(side - (side * down).sum(1, keepdim=True) * down)
            # Where nothing points down, nothing is known, and the segment is left alone.
            turns[segment] = rotation_matrix(axis, angle * (length[:, 0] > 1e-6))
        return turned(x, turns, spec)
