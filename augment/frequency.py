"""What is done to single frequencies: their phases, their magnitudes, and where they stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.spectrum import add_scaled, add_turned, hilbert, inner_bins
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError


@dataclass(frozen=True)
class FTSurrogate(Transform):
    """Add to the phase of every frequency a random angle from U(0, 2 pi `phase`); what happens when is lost, the spectrum stays.

    As in braindecode (`FTSurrogate`). The offset and the Nyquist frequency stay as they are. Bin k stands for k cycles in the
    window, whatever the rate of a sensor. `share`: `all` gives a frequency the same angle in all channels of all sensors,
    which keeps their cross-spectra; `channel` gives every channel its own. Assumes the invariance `order`.
    """

    phase: float = 1.0
    share: Literal["all", "channel"] = "all"
    STRENGTH: ClassVar = Strength("phase", 1.0, most=1.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"order"})

    def _drawn(self, spec: Spec) -> list[int]:
        """How many angles each sensor has to itself."""
        return [len(sensor.channels) * inner_bins(spec.lengths[name]) for name, sensor in spec.sensors.items()]

    def slots(self, spec: Spec) -> int:
        return sum(self._drawn(spec)) if self.share == "channel" else max(map(inner_bins, spec.lengths.values()))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        angles = 2 * math.pi * draws.level(self) * draws.uniform(self.slots(spec))
        if self.share == "all":
            return {name: angles[:, None, : inner_bins(time)] for name, time in spec.lengths.items()}
        parts = angles.split(self._drawn(spec), 1)
        return {
            name: part.unflatten(1, (len(sensor.channels), inner_bins(spec.lengths[name])))
            for (name, sensor), part in zip(spec.sensors.items(), parts, strict=True)
        }

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: _turn(signal, params[name].to(signal.dtype)) for name, signal in x.items()}


def _turn(signal: Tensor, angle: Tensor) -> Tensor:
    return add_turned(signal, angle.cos().sub_(1), angle.sin())


SHIFTED = 1.0
"""Up to this shift (Hz) a rhythm still belongs to its band."""


@dataclass(frozen=True)
class FrequencyShift(Transform):
    """Shift the whole spectrum by U(-`max_shift`, `max_shift`) Hz, the same for all sensors.

    As in braindecode (`FrequencyShift`): the real part of the analytic signal times exp(2 pi i shift t). Each channel's mean
    over the window is left out of it: in an accelerometer it is gravity, which must not start to swing. Beyond 1 Hz it
    assumes the invariance `frequency`.
    """

    max_shift: float = 2.0
    STRENGTH: ClassVar = Strength("max_shift", 2.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"frequency"}) if self.max_shift > SHIFTED else frozenset()

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"shift": draws.level(self) * (2 * draws.uniform(1) - 1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            # In double precision, and without the whole turns: a long window has many of them.
            seconds = torch.arange(signal.shape[-1], dtype=torch.float64, device=signal.device) / spec.sensors[name].rate
            turns = params["shift"].double() * seconds
            angle = (2 * math.pi * (turns - turns.round())).to(signal.dtype)[:, None]
            swing = signal - signal.mean(-1, keepdim=True)
            # Product by product: kernels that multiply and add at once round differently at the end of an array.
            moved[name] = swing.mul(angle.cos().sub_(1)).sub_(hilbert(swing).mul(angle.sin())).add_(signal)
        return moved


@dataclass(frozen=True)
class FreqMask(Transform):
    """Blank random frequencies in all channels of all sensors, a share of them from U(`share` / 5, `share`).

    Bin k stands for k cycles in the window, whatever the rate of a sensor. The offset stays: it is gravity. The default,
    10 to 50 % of the bins, is recalled, not verified.
    """

    share: float = 0.5
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 1 + max(spec.lengths.values()) // 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        share = draws.level(self) * (0.2 + 0.8 * draws.uniform(1))
        return {"gone": draws.uniform(self.slots(spec) - 1) < share}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            gone = params["gone"][:, None, : signal.shape[-1] // 2].to(signal.dtype)
            moved[name] = add_scaled(signal, pad(-gone, (1, 0)))
        return moved


@dataclass(frozen=True)
class AmpPhase(Transform):
    """Multiply random frequencies by N(1, `sigma`^2) and turn their phases by N(0, `sigma`^2) radians, in each channel anew.

    `share`: how many of the frequencies; the same ones in all sensors. The offset and the Nyquist frequency stay as they
    are. The default `sigma` is recalled, not verified.
    """

    sigma: float = 0.1
    share: float = 0.5
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UsageError(f"AmpPhase: share is a part of the frequencies, above 0 and up to 1; got {self.share}")

    def slots(self, spec: Spec) -> int:
        return len(spec.sensors) + max(map(inner_bins, spec.lengths.values()))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        words = draws.words(len(spec.sensors))
        picked = draws.uniform(self.slots(spec) - len(spec.sensors)) < self.share
        return {"words": words, "sigma": draws.level(self) * picked}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        words = dict(zip(spec.sensors, params["words"].unbind(1), strict=True))
        moved = {}
        for name, signal in x.items():
            channels, bins = signal.shape[1], inner_bins(signal.shape[-1])
            sigma = params["sigma"][:, None, :bins].to(signal.dtype)
            rows = white_noise(words[name], 2 * channels * bins).to(signal.dtype).unflatten(1, (2, channels, bins))
            gain, angle = 1 + sigma * rows[:, 0], sigma * rows[:, 1]
            moved[name] = add_turned(signal, angle.cos().mul_(gain).sub_(1), angle.sin().mul_(gain))
        return moved
