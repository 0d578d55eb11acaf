"""What EEG and EMG recordings differ in from day to day: gain, reference, a wristband's place; and trials made of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.cap import CAP
from harkd.augment.channel import ChannelGain
from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import below
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.augment.transform import Mixing, Params, Transform
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError

WRISTBAND = "emg"


@dataclass(frozen=True)
class AmplitudeScale(ChannelGain):
    """Multiply a window by a gain that is log-uniform between 1 / `factor` and `factor`, one per sensor unless `share=channel`.

    It is `ChannelGain` with the range of Mohsenvand et al., "Contrastive representation learning for electroencephalogram
    classification" (ML4H 2020), 0.5 to 2. braindecode (class AmplitudeScale) draws uniformly, so that it makes larger twice as
    often as smaller, and one gain per channel; one per sensor keeps the pattern over the scalp.
    """

    factor: float = 2.0
    share: Literal["channel", "sensor"] = "sensor"


@dataclass(frozen=True)
class SignFlip(Transform):
    """Multiply all signals by -1, as in braindecode after Rommel et al., J. Neural Eng. 19(6), 2022. Assumes the invariance
    `polarity`.
    """

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"polarity"})

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: -signal for name, signal in x.items()}


@dataclass(frozen=True)
class ChannelsReref(Transform):
    """Refer all channels to a random one of them: its signal is subtracted from the others, and its own changes sign.

    What is left in its place is the old reference measured against it, so nothing is lost. After Mohsenvand et al. (ML4H 2020)
    and braindecode (class ChannelsReref); the channel's own new signal is our design. Sensors of kind eeg, each with a reference
    of its own; one with a single channel stays as it is.
    """

    KINDS: ClassVar = frozenset({CAP})

    def slots(self, spec: Spec) -> int:
        return sum(sensor.kind == CAP for sensor in spec.sensors.values())

    def sample(self, draws: Draws, spec: Spec) -> Params:
        caps = [sensor for sensor in spec.sensors.values() if sensor.kind == CAP]
        return {sensor.name: draws.below(len(sensor.channels)) for sensor in caps}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, chosen in params.items():
            signal, window = x[name], torch.arange(len(chosen), device=chosen.device)
            if signal.shape[1] > 1:
                reference = signal[window, chosen]
                moved[name] = signal - reference[:, None]
                moved[name][window, chosen] = -reference
        return moved


@dataclass(frozen=True)
class BandRotation(Transform):
    """Turn wristbands of electrodes by up to `steps` electrodes either way, each of `bands` bands by its own whole number.

    After Sivakumar et al., "emg2qwerty" (NeurIPS Datasets and Benchmarks 2024), as in braindecode: two bands of 16, one step.
    A sensor of kind emg holds the bands one after the other, each with `electrodes` channels in their order round the arm.
    `jitter`: all bands but the first are also rolled in time by up to so many seconds (0.06 there). Beyond one step it assumes
    the invariance `layout`.
    """

    steps: int = 1
    bands: int = 2
    electrodes: int = 16
    jitter: float = 0.0
    STRENGTH: ClassVar = Strength("steps", 2.0, whole=True)
    KINDS: ClassVar = frozenset({WRISTBAND})

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, least in (("bands", 1), ("electrodes", 2), ("jitter", 0)):
            value = getattr(self, field)
            if not least <= value < math.inf:
                raise UsageError(f"BandRotation: {field} is at least {least}; got {value}")

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"layout"}) if self.steps > 1 else frozenset()

    def check(self, spec: Spec) -> None:
        super().check(spec)
        for sensor in spec.sensors.values():
            if sensor.kind == WRISTBAND and len(sensor.channels) != self.bands * self.electrodes:
                raise UsageError(
                    f"BandRotation turns {self.bands} bands of {self.electrodes} electrodes, but sensor {sensor.name!r} has "
                    f"{len(sensor.channels)} channels; set bands and electrodes"
                )

    def slots(self, spec: Spec) -> int:
        return 2 * self.bands - 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        steps = draws.level(self).long()
        roll = below(draws.words(self.bands), 2 * steps + 1) - steps
        # Where no band turns none is shifted either: steps = 0 leaves the window as it is.
        shift = (2 * draws.uniform(self.bands - 1) - 1) * self.jitter * (steps > 0)
        return {"roll": roll, "shift": torch.nn.functional.pad(shift, (1, 0))}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, signal in x.items():
            sensor = spec.sensors[name]
            if sensor.kind == WRISTBAND:
                moved[name] = self._turned(signal, params["roll"])
                if self.jitter:
                    shift = (params["shift"] * sensor.rate).round().long()
                    at = (torch.arange(signal.shape[2], device=signal.device) - shift[:, :, None]) % signal.shape[2]
                    rolled = torch.take_along_dim(moved[name].unflatten(1, (self.bands, -1)), at[:, :, None], 3)
                    moved[name] = rolled.flatten(1, 2)
        return moved

    def _turned(self, signal: Tensor, roll: Tensor) -> Tensor:
        device = signal.device
        place = (torch.arange(self.electrodes, device=device) - roll[:, :, None]) % self.electrodes
        channel = (place + torch.arange(self.bands, device=device)[:, None] * self.electrodes).flatten(1)
        # Whole rows of the flattened batch are copied, which is faster than a gather of single samples.
        row = channel + torch.arange(len(signal), device=device)[:, None] * signal.shape[1]
        return signal.flatten(0, 1).index_select(0, row.flatten()).view(signal.shape)


@dataclass(frozen=True)
class SegmentationReconstruction(Mixing):
    """Put a trial together from pieces of itself and of `donors` others of its class, each piece from a random one of them.

    After Lotte, Proc. IEEE 103(6), 2015, as in braindecode, but the donors come from the training pool by the window's own key,
    never from the batch; each costs a gather of windows. Pieces keep their places in time. `segments`: how many; 0 takes the
    largest divisor of the window's length that is not above its square root (of a prime length 1: whole windows are exchanged).
    Windows need labels; where a class has one window only, it stays as it is.
    """

    donors: int = 4
    segments: int = 0
    SOFTENS: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.donors < 1 or self.segments < 0:
            raise UsageError(
                f"SegmentationReconstruction: donors is at least 1 and segments at least 0; got {self.donors} and {self.segments}"
            )

    @property
    def partners(self) -> tuple[Partner, ...]:
        donor: Partner = "same_class"
        return (donor,) * self.donors

    def slots(self, spec: Spec) -> int:
        return self.segments or divisor(next(iter(spec.lengths.values())))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"source": below(draws.words(self.slots(spec)), self.donors + 1)}

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        source, moved = params["source"], {}
        for name, signal in x.items():
            time = signal.shape[2]
            piece = torch.arange(time, device=source.device) * source.shape[1] // time
            of = source[:, piece][:, None]
            for number, other in enumerate(others, 1):
                signal = torch.where(of == number, other[name], signal)
            moved[name] = signal
        return moved, torch.ones(len(source), device=source.device)


def divisor(time: int) -> int:
    """The largest divisor of a number that is not above its square root."""
    return max(n for n in range(1, math.isqrt(time) + 1) if time % n == 0)
