"""What the electronics of a device do to a signal: range, converter, bias, gain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Sensor, Signals
from harkd.datasets.card import Invariance
from harkd.datasets.recording import INERTIAL_KINDS
from harkd.errors import UsageError

FULL_RANGE = {
    ("acc", "g"): 16.0,
    ("acc", "mg"): 16_000.0,
    ("acc", "m/s^2"): 16.0 * 9.80665,
    ("gyro", "deg/s"): 2000.0,
    ("gyro", "rad/s"): math.radians(2000.0),
}
"""The widest range of common inertial sensors, by kind and units. They can be set to a half, a quarter and an eighth of it."""
GAIN = 0.2
"""Up to this share a gain may be wrong without a change of intensity that a class could be defined by."""


@dataclass(frozen=True)
class Saturation(Transform):
    """Clip acc at 8, 4 or 2 g and gyro at 1000, 500 or 250 degrees/s, or leave them: U{0..`halvings`} halvings of 16 g and 2000.

    What a device does that is set to a narrower range. One draw per sensor; 0 halvings leave it as it is. Our design.
    """

    halvings: int = 3
    STRENGTH: ClassVar = Strength("halvings", 3.0, most=3.0, whole=True)
    KINDS: ClassVar = frozenset({"acc", "gyro"})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        for sensor in _of_kinds(spec, self.KINDS):
            if (sensor.kind, sensor.units) not in FULL_RANGE:
                known = " or ".join(units for kind, units in FULL_RANGE if kind == sensor.kind)
                raise UsageError(f"Saturation needs physical units: {sensor.name} is in {sensor.units!r}, expected {known}")

    def slots(self, spec: Spec) -> int:
        return len(_of_kinds(spec, self.KINDS))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        halvings = (draws.uniform(self.slots(spec)) * (draws.level(self) + 1)).long()
        return {s.name: n for s, n in zip(_of_kinds(spec, self.KINDS), halvings.split(1, 1), strict=True)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, halvings in params.items():
            full = FULL_RANGE[spec.sensors[name].kind, spec.sensors[name].units]
            limit = (full / 2**halvings).to(x[name].dtype).masked_fill(halvings == 0, math.inf)[:, :, None]
            moved[name] = torch.maximum(x[name], -limit).clamp_(max=limit)
        return moved


@dataclass(frozen=True)
class AdcQuantize(Transform):
    """Round to the steps of a converter that spans the sensor's range with U{`bits`..16} bits.

    Where the card gives no range, it is the smallest power of two that holds |mean| + 4 standard deviations of every channel in
    training. One draw per sensor; skeletons have no converter. 24 bits are what float32 holds. Our design.
    """

    bits: int = 8
    STRENGTH: ClassVar = Strength("bits", 8.0, identity=24.0, least=1.0, most=24.0, whole=True)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if not self.slots(spec):
            raise UsageError(f"AdcQuantize changes what a converter has read; these windows have only {', '.join(spec.sensors)}")

    def slots(self, spec: Spec) -> int:
        return len(_converted(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        least = draws.level(self)
        bits = least + (draws.uniform(self.slots(spec)) * (17 - least).clamp_min(1)).floor()
        return {s.name: n for s, n in zip(_converted(spec), bits.long().split(1, 1), strict=True)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, bits in params.items():
            signal = x[name]
            step = (2 * _range(spec, name) / 2 ** bits.double()).to(signal.dtype)[:, :, None]
            moved[name] = (signal / step).round_().mul_(step)
        return moved


def _of_kinds(spec: Spec, kinds: frozenset[str]) -> list[Sensor]:
    return [sensor for sensor in spec.sensors.values() if sensor.kind in kinds]


def _converted(spec: Spec) -> list[Sensor]:
    return [sensor for sensor in spec.sensors.values() if sensor.kind != "skeleton"]


def _range(spec: Spec, name: str) -> float:
    given = spec.sensors[name].range
    if given is not None:
        return given
    reach = spec.statistics.mean[name].abs() + 4 * spec.statistics.std[name]
    return 2.0 ** math.ceil(math.log2(float(reach.max())))


@dataclass(frozen=True)
class BiasDrift(Transform):
    """Add a bias that walks at random: after t seconds its standard deviation is `sigma` * sqrt(1 + t), on standardised signals.

    As if the device had been calibrated one second before the window. By default gyro only, whose bias moves most; `sensors=all`
    takes every sensor. Each channel walks on its own. Our design.
    """

    sigma: float = 0.05
    sensors: Literal["gyro", "all"] = "gyro"
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    def _names(self, spec: Spec) -> list[str]:
        return [s.name for s in spec.sensors.values() if self.sensors in ("all", s.kind)]

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if not self._names(spec):
            raise UsageError(
                f"BiasDrift moves the bias of gyros; these windows have {', '.join(spec.sensors)}; or say sensors=all"
            )

    def slots(self, spec: Spec) -> int:
        return len(self._names(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(self.slots(spec)), "sigma": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, words in zip(self._names(spec), params["words"].unbind(1), strict=True):
            signal, second = x[name], math.sqrt(spec.sensors[name].rate)
            steps = white_noise(words, signal.shape[1] * signal.shape[2]).view_as(signal).to(signal.dtype)
            steps[..., 0] *= second
            level = params["sigma"][:, :, None] * (spec.std(name, signal) / second)
            moved[name] = torch.addcmul(signal, level, steps.cumsum(2))
        return moved


@dataclass(frozen=True)
class GainError(Transform):
    """Multiply each axis by its own U(1 - `share`, 1 + `share`): acc, gyro and mag whose gains are not quite what they should be.

    Beyond a fifth it assumes the invariance `amplitude`. Our design.
    """

    share: float = 0.05
    STRENGTH: ClassVar = Strength("share", 0.2, most=1.0)
    KINDS: ClassVar = INERTIAL_KINDS

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"amplitude"}) if self.share > GAIN else frozenset()

    def slots(self, spec: Spec) -> int:
        return sum(len(sensor.channels) for sensor in _of_kinds(spec, self.KINDS))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        sensors = _of_kinds(spec, self.KINDS)
        more = draws.level(self) * (2 * draws.uniform(self.slots(spec)) - 1)
        return {s.name: m for s, m in zip(sensors, more.split([len(s.channels) for s in sensors], 1), strict=True)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, more in params.items():
            moved[name] = x[name] * (1 + more.to(x[name].dtype)[:, :, None])
        return moved
