"""Noise and gain: jitter, noise injection, scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import exact_noise, white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.datasets.card import Invariance


def _add_noise(x: Signals, params: Params, spec: Spec, exact: bool) -> Signals:
    noise = exact_noise if exact else white_noise
    words = dict(zip(spec.sensors, params["words"].unbind(1), strict=True))
    moved = {}
    for name, signal in x.items():
        rows = noise(words[name], signal.shape[1] * signal.shape[2]).view_as(signal)
        moved[name] = torch.addcmul(signal, params["sigma"][:, :, None] * spec.std(name, signal), rows.to(signal.dtype))
    return moved


@dataclass(frozen=True)
class Jitter(Transform):
    """Add white Gaussian noise of standard deviation `sigma`, on standardised signals (Um et al., ICMI 2017).

    `exact` draws every sample from its own counter instead of the noise bank.
    """

    sigma: float = 0.05
    exact: bool = False
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    def slots(self, spec: Spec) -> int:
        return len(spec.sensors)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(len(spec.sensors)), "sigma": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return _add_noise(x, params, spec, self.exact)


@dataclass(frozen=True)
class NoiseInjection(Transform):
    """Add white Gaussian noise whose standard deviation is drawn from U(0, `sigma_max`) per window.

    Meant on standardised signals. After Jeon et al., IEEE IoT Journal 9(14), 2022; the default level is recalled, not
    verified. `exact` draws every sample from its own counter instead of the noise bank.
    """

    sigma_max: float = 0.2
    exact: bool = False
    STRENGTH: ClassVar = Strength("sigma_max", 0.2)

    def slots(self, spec: Spec) -> int:
        return 1 + len(spec.sensors)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"sigma": draws.uniform(1) * draws.level(self), "words": draws.words(len(spec.sensors))}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return _add_noise(x, params, spec, self.exact)


MILD = 0.1
"""Up to this sigma fewer than one gain in twenty leaves 0.8 to 1.2, and no class is defined by less."""


@dataclass(frozen=True)
class Scaling(Transform):
    """Multiply by a gain from N(1, `sigma`^2) (Um et al., ICMI 2017).

    `share`: one gain per channel, or per sensor, which keeps the direction of a vector. Gravity is scaled with the rest: beyond
    a sigma of 0.1 it assumes the invariance `amplitude`.
    """

    sigma: float = 0.1
    share: Literal["channel", "sensor"] = "channel"
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"amplitude"}) if self.sigma > MILD else frozenset()

    def slots(self, spec: Spec) -> int:
        return sum(len(sensor.channels) if self.share == "channel" else 1 for sensor in spec.sensors.values())

    def sample(self, draws: Draws, spec: Spec) -> Params:
        widths = [len(sensor.channels) if self.share == "channel" else 1 for sensor in spec.sensors.values()]
        gains = (1 + draws.level(self) * draws.normal(sum(widths))).split(widths, 1)
        return dict(zip(spec.sensors, gains, strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: signal * params[name].to(signal.dtype)[:, :, None] for name, signal in x.items()}
