"""Mixing of what colours a window: its spectrum, its mean and its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.fft import rfft

from harkd.augment.draws import Draws, Strength
from harkd.augment.mixing import Pair, beta, check_alpha
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.augment.spectrum import inverse
from harkd.augment.transform import Params
from harkd.datasets import Signals
from harkd.datasets.card import Invariance

FLOOR = 1e-3
"""What is below this share of a channel's usual size is rounding: it has no phase and no spread that could be scaled up."""


@lru_cache(maxsize=64)
def _power_weights(time: int, device: torch.device) -> Tensor:
    """(bins,) what a squared magnitude adds to the mean square of a signal: most bins stand for two frequencies, +f and -f."""
    weights = torch.full((time // 2 + 1,), 2.0)
    weights[0] = 1.0
    if time % 2 == 0:
        weights[-1] = 1.0
    return (weights / time**2).to(device)


def _squared(spectrum: Tensor) -> Tensor:
    """Squared magnitudes; `abs` of complex numbers is several times slower."""
    parts = torch.view_as_real(spectrum).square()
    return parts[..., 0] + parts[..., 1]


@dataclass(frozen=True)
class FreqMix(Pair):
    """Take frequencies from a partner, each with the probability `share`, in all channels and sensors alike.

    A frequency is a bin of the Fourier transform over the window, the mean is the first of them. The label is mixed by
    power: the part of the new window's power, on standardised signals, that is its own. With partner=same_class it is kept.
    The idea and the range of the share are recalled, not verified.
    """

    share: float = 0.2
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return max(spec.lengths.values()) // 2 + 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"taken": draws.uniform(self.slots(spec)) < draws.level(self)}

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        # Windows of no power at all keep their label.
        floor = FLOOR**2 * sum(signal.shape[1] for signal in x.values())
        total = kept = torch.full_like(params["taken"][:, 0], floor, dtype=torch.float32)
        moved = {}
        for name, signal in x.items():
            time = signal.shape[-1]
            # Sensors of one window last equally long, so that bin k is the same frequency for all of them.
            taken = params["taken"][:, None, : time // 2 + 1].to(signal.dtype)
            change = rfft(others[0][name] - signal) * taken
            mixed = rfft(signal - spec.mean(name, signal)) + change
            power = _squared(mixed.detach()) * (_power_weights(time, signal.device) / spec.std(name, signal).square())
            total = total + power.flatten(1).sum(1)
            kept = kept + (power * (1 - taken)).flatten(1).sum(1)
            moved[name] = signal + inverse(change, time)
        return moved, (kept / total).float()


@dataclass(frozen=True)
class AmplitudeMix(Pair):
    """Mix the magnitudes of the Fourier transform with a partner's, whose part is U(0, `share`), and keep phases and mean.

    After FACT (Xu et al., CVPR 2021), recalled, not verified: what is seen is in the phases, so the label is kept. That
    assumes the invariances `amplitude` and `frequency`, unless the partner is of the same class. `labels=mixed` mixes the labels
    with the same share instead. The mean is left out: of an accelerometer it is gravity.
    """

    share: float = 0.5
    labels: Literal["kept", "mixed"] = "kept"
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 1.0, most=1.0)

    @property
    def softens(self) -> bool:
        return self.labels == "mixed"

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset() if self.softens or self.partner == "same_class" else frozenset({"amplitude", "frequency"})

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"lent": (draws.level(self) * draws.uniform(1))[:, 0]}

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        moved = {}
        for name, signal in x.items():
            time = signal.shape[-1]
            lent = params["lent"].to(signal.dtype)[:, None, None]
            own, theirs = rfft(signal), rfft(others[0][name])
            # The phase of a bin without a signal is rounding, and differs from device to device.
            floor = (FLOOR * spec.std(name, signal)).square() * time
            gain = lent * (((_squared(theirs) + floor) / (_squared(own) + floor)).sqrt() - 1)
            gain[..., 0] = 0
            moved[name] = signal + inverse(own * gain, time)
        return moved, 1 - params["lent"] if self.softens else torch.ones_like(params["lent"])


@dataclass(frozen=True)
class SubjectMix(Pair):
    """Give every channel a mean and a spread between its own and another person's, with a share from Beta(`alpha`, `alpha`).

    MixStyle (Zhou et al., ICLR 2021) on the input, its defaults recalled, not verified: with small alphas the window has
    either its own style or the partner's. The label is kept. That assumes the invariances `amplitude` and `rotation`, as the mean
    of an accelerometer is the direction of gravity, unless the partner is of the same class.
    """

    alpha: float = 0.1
    partner: Partner = "other_subject"
    p: float = field(default=0.5, kw_only=True)
    SOFTENS: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self, self.alpha)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset() if self.partner == "same_class" else frozenset({"amplitude", "rotation"})

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"lent": 1 - beta(draws.words(1)[:, 0], self.alpha)}

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        moved = {}
        for name, signal in x.items():
            lent = params["lent"].to(signal.dtype)[:, None, None]
            floor = (FLOOR * spec.std(name, signal)).square()
            mean, variance = _moments(signal)
            mean_theirs, variance_theirs = _moments(others[0][name])
            gain = lent * (((variance_theirs + floor) / (variance + floor)).sqrt() - 1)
            # As what is added to the window, so that a partner of the same style changes nothing.
            step = lent * (mean_theirs - mean) - gain * mean
            moved[name] = torch.addcmul(signal + step, signal, gain)
        return moved, torch.ones_like(params["lent"])


def _moments(signal: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, channel, 1) mean and variance over time."""
    mean = signal.mean(2, keepdim=True)
    return mean, (signal - mean).square_().mean(2, keepdim=True)
