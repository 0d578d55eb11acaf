"""What coarser sensors lose in time and in value: pooling, smoothing, a lower rate, fewer levels; as tsaug has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.signal import get_window
from torch import Tensor

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.augment.warp import warp_gather
from harkd.datasets import Signals
from harkd.errors import UsageError


@dataclass(frozen=True)
class Pooling(Transform):
    """Put the average, the largest or the smallest value of every `size` samples in the place of each (tsaug's Pool).

    The length is kept; what is left at the end is a smaller block. Draws nothing: a size that is drawn per window is what
    a policy makes of it.

    Args:
        size: of a block, in samples of each sensor.
    """

    size: int = 2
    kind: Literal["ave", "max", "min"] = "ave"
    STRENGTH: ClassVar = Strength("size", 8, identity=1, least=1, whole=True)

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"size": draws.level(self).long()}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        size = params["size"][:, :, None]
        starts = {time: torch.arange(time, device=size.device) // size * size for time in {s.shape[2] for s in x.values()}}
        return {name: self._pooled(signal, size, starts[signal.shape[2]]) for name, signal in x.items()}

    def _pooled(self, signal: Tensor, size: Tensor, start: Tensor) -> Tensor:
        time = signal.shape[2]
        most = min(self.size, time)
        empty = {"ave": 0.0, "max": -torch.inf, "min": torch.inf}[self.kind]
        padded = torch.nn.functional.pad(signal, (0, most - 1), value=empty)
        inside = size > torch.arange(most, device=signal.device)
        share = inside.to(signal.dtype) if self.kind == "ave" else torch.where(inside, 0.0, empty).to(signal.dtype)
        # The block that starts at every sample; only those at multiples of the size are read.
        block = signal.clone()
        for k in range(1, most):
            later, part = padded[..., k : k + time], share[..., k : k + 1]
            if self.kind == "ave":
                block.addcmul_(later, part)
            else:
                block = torch.maximum(block, later + part) if self.kind == "max" else torch.minimum(block, later + part)
        pooled = block.gather(2, start.expand_as(signal))
        return pooled.div_(torch.minimum(size, time - start)) if self.kind == "ave" else pooled


@lru_cache(maxsize=64)
def kernels(window: str, most: int) -> Tensor:
    """(most + 1, 2 * (most // 2) + 1) for every size the weights of the samples from most // 2 before to as many after.

    They sum to 1. Even sizes reach one sample further ahead than back, as SciPy's convolve1d has it.
    """
    half = most // 2
    table = np.zeros((most + 1, 2 * half + 1), dtype=np.float32)
    for size in range(1, most + 1):
        weights = get_window(window, size, fftbins=False)
        # A Hann window of two samples is 0 at both: its limit is the plain average.
        weights = weights / weights.sum() if weights.sum() > 1e-6 else np.full(size, 1 / size)
        first = half - (size - 1) // 2
        table[size, first : first + size] = weights
    table[0, half] = 1
    return torch.from_numpy(table)


def mirrored(x: Tensor, reach: int) -> Tensor:
    """(..., reach + time + reach): x with `reach` samples more at both ends, mirrored there as often as it takes."""
    while reach:
        step = min(reach, x.shape[-1])
        x = torch.cat([x[..., :step].flip(-1), x, x[..., -step:].flip(-1)], -1)
        reach -= step
    return x


@dataclass(frozen=True)
class Convolve(Transform):
    """Smooth by a window of `size` samples that sums to 1, the ends of the signal being mirrored (as in tsaug's Convolve).

    Draws nothing: a size that is drawn per window is what a policy makes of it. A Hann window of two samples, which tsaug
    divides by 0, is a plain average.

    Args:
        size: of the window, in samples of each sensor.
        window: one that scipy.signal.get_window knows by name.
    """

    size: int = 7
    window: Literal["hann", "hamming", "blackman", "bartlett", "boxcar", "triang", "cosine"] = "hann"
    STRENGTH: ClassVar = Strength("size", 15, identity=1, least=1, whole=True)

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"size": draws.level(self)[:, 0].long()}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        half = self.size // 2
        moved = {}
        for name, signal in x.items():
            weights = kernels(self.window, self.size).to(signal)[params["size"]]
            time, padded = signal.shape[2], mirrored(signal, half)
            # Summed tap by tap: the kernels of conv1d round differently for another batch size.
            smooth = padded[..., :time] * weights[:, None, :1]
            for k in range(1, 2 * half + 1):
                smooth.addcmul_(padded[..., k : k + time], weights[:, None, k : k + 1])
            moved[name] = smooth
        return moved


@dataclass(frozen=True)
class Resize(Transform):
    """Resample to a `share` of the samples and back, linearly: what a lower rate loses is lost (after tsaug's Resize).

    tsaug leaves the signal at its new length; here windows keep theirs, which sensors of several rates and nets of fixed
    input need (`resample_linear` changes the length). Draws nothing. At magnitude 1 a quarter of the samples is left, so 50 Hz
    become 12.5 Hz: our design.
    """

    share: float = 0.5
    STRENGTH: ClassVar = Strength("share", 0.25, identity=1.0, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"share": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        maps = {time: self._map(params["share"], time) for time in {signal.shape[2] for signal in x.values()}}
        moved = {}
        for name, signal in x.items():
            time = signal.shape[2]
            at, part = maps[time]
            before, after = warp_gather(signal, at).split(time, 2)
            moved[name] = torch.lerp(before, after, part.to(signal.dtype))
        return moved

    def _map(self, share: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Where what is left before and after each sample comes from (batch, 2 time); the latter's weight (batch, 1, time)."""
        left = samples(share, time).clamp_min(1)
        single = left == 1
        steps = torch.where(single, 1, left - 1)
        # Each sample lies between two of those that are left; a single one that is left is the mean of both ends.
        place = torch.arange(time, device=share.device) * steps
        whole = (place // max(time - 1, 1)).clamp_max(steps - 1)
        part = torch.where(single, 0.5, place / max(time - 1, 1) - whole)[:, None]
        step = (time - 1) / steps
        return torch.cat([whole * step, (whole + 1) * step], 1), part


def resample_linear(x: Tensor, size: int) -> Tensor:
    """(batch, channel, size): x (batch, channel, time) at another rate, linearly between its ends, as tsaug's Resize has it.

    A single sample is the mean of both ends.
    """
    if size < 1:
        raise UsageError(f"resample_linear: a signal has at least 1 sample; got a size of {size}")
    if size == 1:
        return (x[..., :1] + x[..., -1:]) / 2
    at = torch.arange(size, device=x.device, dtype=torch.float64) * ((x.shape[-1] - 1) / (size - 1))
    low = at.long().clamp_max(max(x.shape[-1] - 2, 0))
    high = (low + 1).clamp_max(x.shape[-1] - 1)
    return torch.lerp(x[..., low], x[..., high], (at - low).to(x.dtype))
