"""Wavelets: noise on the details of a signal, octave by octave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError

Wavelet = Literal["haar", "db2"]

_R2, _R3 = math.sqrt(2), math.sqrt(3)
SCALING: dict[Wavelet, tuple[float, ...]] = {
    "haar": (1 / _R2, 1 / _R2),
    "db2": tuple(tap / (4 * _R2) for tap in (1 + _R3, 3 + _R3, 3 - _R3, 1 - _R3)),
}
"""Taps of the scaling filters (Daubechies, 1988). Those of the wavelet are the same, backward and with alternating signs."""


def _filters(wavelet: Wavelet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low = SCALING[wavelet]
    return low, tuple((-1) ** k * tap for k, tap in enumerate(reversed(low)))


def dwt(x: Tensor, wavelet: Wavelet, levels: int) -> tuple[Tensor, list[Tensor]]:
    """The periodic wavelet transform of x (..., time), whose time is a multiple of 2**levels; it is orthonormal.

    Returns:
        approximation (..., time / 2**levels), and details (..., time / 2**level), the finest first.
    """
    low, high = _filters(wavelet)
    details = []
    for _ in range(levels):
        phases = [phase.contiguous() for phase in x.unflatten(-1, (-1, 2)).unbind(-1)]
        rows = [_rolled(phase, -k) for k in range(len(low) // 2) for phase in phases]
        details.append(_weighted(high, rows))
        x = _weighted(low, rows)
    return x, details


def idwt(approximation: Tensor, details: Sequence[Tensor], wavelet: Wavelet) -> Tensor:
    """The inverse of `dwt`."""
    low, high = _filters(wavelet)
    x = approximation
    for detail in reversed(details):
        rows = [_rolled(part, k) for part in (x, detail) for k in range(len(low) // 2)]
        even, odd = (_weighted(low[phase::2] + high[phase::2], rows) for phase in (0, 1))
        # The two parts of a complex number lie side by side: much faster than to stack them.
        x = torch.view_as_real(torch.complex(even, odd)).flatten(-2)
    return x


def _rolled(row: Tensor, steps: int) -> Tensor:
    return row.roll(steps, -1) if steps else row


def _weighted(taps: Sequence[float], rows: Sequence[Tensor]) -> Tensor:
    total = rows[0] * taps[0]
    for tap, row in zip(taps[1:], rows[1:], strict=True):
        total.add_(row, alpha=tap)
    return total


@dataclass(frozen=True)
class WaveletNoise(Transform):
    """Multiply every detail coefficient of the finest `levels` octaves by N(1, `sigma`^2).

    Our design. What is quiet stays quiet, and the coarse course of the signal, gravity with it, is kept. `levels` counts from
    the fastest sensor's Nyquist frequency: a sensor at half its rate has one level less, so that the octaves are the same for
    all. A window is continued at its end by its last sample, up to a multiple of 2**levels, and then by its beginning.
    """

    sigma: float = 0.2
    levels: int = 3
    wavelet: Wavelet = "haar"
    STRENGTH: ClassVar = Strength("sigma", 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels < 1:
            raise UsageError(f"WaveletNoise: levels is a number of octaves, at least 1; got {self.levels}")

    def slots(self, spec: Spec) -> int:
        return len(spec.sensors)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(len(spec.sensors)), "sigma": draws.level(self)}

    def depth(self, spec: Spec, sensor: str, time: int) -> int:
        """How many levels a sensor has: no more than its window has octaves."""
        fastest = max(other.rate for other in spec.sensors.values())
        missed = round(math.log2(fastest / spec.sensors[sensor].rate))
        return min(max(self.levels - missed, 0), time.bit_length() - 1)

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        words = dict(zip(spec.sensors, params["words"].unbind(1), strict=True))
        sigma = params["sigma"][:, :, None]
        moved = {}
        for name, signal in x.items():
            channels, time = signal.shape[1:]
            depth = self.depth(spec, name, time)
            if not depth:
                moved[name] = signal
                continue
            padded = pad(signal, (0, -time % 2**depth), mode="replicate")
            coarse, details = dwt(padded, self.wavelet, depth)
            sizes = [detail.shape[-1] for detail in details]
            rows = white_noise(words[name], channels * sum(sizes)).to(signal.dtype).unflatten(1, (channels, -1))
            noise = rows.mul_(sigma.to(signal.dtype)).split(sizes, -1)
            changes = [detail.mul_(own) for detail, own in zip(details, noise, strict=True)]
            moved[name] = idwt(torch.zeros_like(coarse), changes, self.wavelet)[..., :time] + signal
        return moved
