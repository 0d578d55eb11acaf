"""Masks on the spectrogram, after SpecAugment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.fft import rfft, rfftfreq
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength
from harkd.augment.spec import Spec
from harkd.augment.spectrum import inverse, nyquist
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError


@lru_cache(maxsize=64)
def _windows(n_fft: int, hop: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """(n_fft,) Hann window, and the one to multiply frames by that are then added up: the least-squares inverse."""
    window = torch.hann_window(n_fft, dtype=torch.float64)
    norm = window.square().unflatten(0, (-1, hop)).sum(0)
    return window.to(device, dtype), (window.unflatten(0, (-1, hop)) / norm).flatten().to(device, dtype)


def stft(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """(batch, channel, frame, bin) spectra of Hann windows that start every `hop` samples of x (batch, channel, time).

    Zeros stand before and after x, so that every sample lies in n_fft / hop frames, and x may be shorter than a frame.
    Frame f starts at sample (f + 1) hop - n_fft.
    """
    window, _ = _windows(n_fft, hop, x.dtype, x.device)
    edge = n_fft - hop
    return rfft(pad(x, (edge, edge + -x.shape[-1] % hop)).unfold(-1, n_fft, hop) * window)


def istft(spectra: Tensor, n_fft: int, hop: int, time: int) -> Tensor:
    """(batch, channel, time) the signal whose `stft` comes nearest to `spectra` (Griffin and Lim, 1984)."""
    _, window = _windows(n_fft, hop, spectra.real.dtype, spectra.device)
    overlap, blocks = n_fft // hop, -(-time // hop)
    # Frames are added up part by part, in a fixed order.
    parts = inverse(spectra, n_fft).mul_(window).unflatten(-1, (overlap, hop))
    total = parts[:, :, :blocks, overlap - 1].clone()
    for part in range(1, overlap):
        total.add_(parts[:, :, part : part + blocks, overlap - 1 - part])
    return total.flatten(-2)[..., :time]


LIFT = 10.0
"""A faint cell is raised towards the mean by this factor at most: below it there is rounding noise."""


@dataclass(frozen=True)
class SpecAugment(Transform):
    """Blank 1 to `stripes` stripes of time and of frequency in the spectrogram, each up to `share` of its axis.

    Our design, after the idea of Park et al. (SpecAugment, Interspeech 2019). Stripes are the same in all channels and stand
    at the same moments and frequencies (shares of the fastest sensor's Nyquist frequency) in all sensors. Each channel's mean
    over the window is left out of it: it is gravity. `fill`: `zero`; `mean` gives the cells of a stripe their frequency's
    mean magnitude over the window (at most ten times their own) and keeps their phases. `n_fft`, `hop`: samples of a frame,
    and from one to the next.
    """

    share: float = 0.15
    stripes: int = 2
    fill: Literal["zero", "mean"] = "zero"
    n_fft: int = 64
    hop: int = 16
    STRENGTH: ClassVar = Strength("share", 0.3, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stripes < 1:
            raise UsageError(f"SpecAugment: stripes is the largest number of stripes on an axis, at least 1; got {self.stripes}")
        if self.hop < 1 or self.n_fft < 2 * self.hop or self.n_fft % self.hop:
            raise UsageError(
                f"SpecAugment: n_fft is a multiple of hop, at least twice as large; got n_fft={self.n_fft}, hop={self.hop}"
            )

    def slots(self, spec: Spec) -> int:
        return 4 * self.stripes + 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        width, place = draws.uniform(4 * self.stripes).unflatten(1, (2, 2, self.stripes)).unbind(1)
        last = torch.stack([draws.below(self.stripes), draws.below(self.stripes)], 1)[..., None]
        width = draws.level(self)[:, None] * width * (torch.arange(self.stripes, device=last.device) <= last)
        start = place * (1 - width)
        return {"start": start, "stop": start + width}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            rate, time = spec.sensors[name].rate, signal.shape[-1]
            spectra = stft(signal - signal.mean(-1, keepdim=True), self.n_fft, self.hop)
            middles = (torch.arange(1, spectra.shape[2] + 1, device=signal.device) * self.hop - self.n_fft / 2) / time
            heights = rfftfreq(self.n_fft, nyquist(spec) / rate, device=signal.device)
            masked = self._striped(params, 0, middles)[:, :, None] | self._striped(params, 1, heights)[:, None]
            gain = self._gain(spectra) * masked[:, None].to(signal.dtype)
            moved[name] = istft(spectra * gain, self.n_fft, self.hop, time) + signal
        return moved

    def _striped(self, params: Params, axis: int, places: Tensor) -> Tensor:
        """(batch, place) whether shares (place,) of an axis (0: time, 1: frequency) lie in a stripe."""
        start, stop = params["start"][:, axis, :, None], params["stop"][:, axis, :, None]
        return ((places >= start) & (places < stop)).any(1)

    def _gain(self, spectra: Tensor) -> Tensor | float:
        """What is to be added to a masked cell, as a multiple of it."""
        if self.fill == "zero":
            return -1.0
        # The mean runs over the last dimension of an array in order, and so is the same in any batch.
        magnitude = (spectra.real.square() + spectra.imag.square()).sqrt()
        mean = magnitude.transpose(2, 3).contiguous().mean(3)[:, :, None]
        floor = torch.finfo(magnitude.dtype).tiny
        return mean / torch.maximum(magnitude, mean / LIFT).clamp_min(floor) - 1
