"""Missing data: parts of a window that are blanked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError


def drawn_block(params: Params, time: int) -> tuple[Tensor, Tensor]:
    """First sample and length (batch, 1) of a block: U{0..floor(share * T)} samples at a uniform place, of `time` samples."""
    length = (params["length"] * (samples(params["share"], time) + 1)).long()
    return (params["place"] * (time - length + 1)).long(), length


def inside(start: Tensor, length: Tensor, time: int) -> Tensor:
    """(..., time) float32: 1 in the block of `length` (..., 1) samples from `start` (..., 1) on, 0 before and after it."""
    half = (length - 1) * 0.5
    # From the middle of a block to a sample it is a whole number of samples more than half: there is nothing between 0 and 1.
    return (half + 1).sub((torch.arange(time, device=start.device) - (start + half)).abs_()).clamp_(0, 1)


def blank(x: Signals, gone: Mapping[int, Tensor], spec: Spec, fill: Literal["mean", "zero"]) -> Signals:
    """Signals drawn towards the training mean, or 0, by the shares `gone` (batch, time) for each number of samples."""
    moved = {}
    for name, signal in x.items():
        filling = spec.mean(name, signal) if fill == "mean" else signal.new_zeros(())
        moved[name] = torch.lerp(signal, filling, gone[signal.shape[-1]][:, None].to(signal.dtype))
    return moved


def lengths(x: Signals) -> set[int]:
    """How many samples the sensors have: what is drawn for a window is the same for those that agree."""
    return {signal.shape[-1] for signal in x.values()}


@dataclass(frozen=True)
class Removal(Transform):
    """Blank one contiguous block of time in all channels, of length U{0..floor(share * T)} at a uniform place.

    After Jeon et al., IEEE IoT Journal 9(14), 2022; the default share is recalled, not verified. `fill`: `mean` puts the
    training mean, which is zero after standardisation; `zero` puts 0 in physical units; `hold` repeats the last sample
    before the block (a block at the start of the window holds its first sample).
    """

    share: float = 0.5
    fill: Literal["mean", "zero", "hold"] = "mean"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(2)
        return {"length": u[:, :1], "place": u[:, 1:], "share": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        blocks = {time: drawn_block(params, time) for time in lengths(x)}
        gone = {time: inside(start, length, time) for time, (start, length) in blocks.items()}
        if self.fill != "hold":
            return blank(x, gone, spec, self.fill)
        moved = {}
        for name, signal in x.items():
            time = signal.shape[-1]
            before = (blocks[time][0] - 1).clamp_min(0)[:, None].expand(-1, signal.shape[1], 1)
            moved[name] = torch.lerp(signal, signal.gather(2, before), gone[time][:, None].to(signal.dtype))
        return moved


@dataclass(frozen=True)
class Cutout(Transform):
    """Blank one block of `ratio` of the window in all channels, at a uniform place.

    DeVries and Taylor (arXiv 1708.04552, 2017) on images; the ratio as in the code of Mix Augmentation for Physiological Time
    Series (arXiv 2309.09970). `removal` draws how long the block is. `fill`: the training mean, or 0 in physical units.
    """

    ratio: float = 0.1
    fill: Literal["mean", "zero"] = "mean"
    STRENGTH: ClassVar = Strength("ratio", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"ratio": draws.level(self), "place": draws.uniform(1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        gone = {}
        for time in lengths(x):
            length = samples(params["ratio"], time)
            gone[time] = inside((params["place"] * (time - length + 1)).long(), length, time)
        return blank(x, gone, spec, self.fill)


@dataclass(frozen=True)
class MaskEncoding(Transform):
    """Blank `segments` blocks of floor(`ratio` * T / `segments`) samples in all channels, each at a uniform place.

    As `MaskEncoding` of braindecode: the blocks may overlap, so that less than `ratio` is blanked. `fill`: the training mean,
    or 0 in physical units.
    """

    ratio: float = 0.1
    segments: int = 1
    fill: Literal["mean", "zero"] = "mean"
    STRENGTH: ClassVar = Strength("ratio", 0.5, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segments < 1:
            raise UsageError(f"MaskEncoding: segments counts the blocks, so it is at least 1; got {self.segments}")

    def slots(self, spec: Spec) -> int:
        return self.segments

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"ratio": draws.level(self), "places": draws.uniform(self.segments)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        gone = {}
        for time in lengths(x):
            length = samples(params["ratio"] / self.segments, time)
            starts = (params["places"] * (time - length + 1)).long()
            gone[time] = inside(starts[:, :, None], length[:, :, None], time).amax(1)
        return blank(x, gone, spec, self.fill)


@dataclass(frozen=True)
class SmoothTimeMask(Transform):
    """Fade a stretch of `share` of the window out and in again, in all channels, at a uniform place.

    As `SmoothTimeMask` of braindecode, whose edges are sigmoids of slope 1000 / T per sample, and whose 100 samples are a tenth
    of 1000. `fill`: towards the training mean, or towards 0 in physical units.
    """

    share: float = 0.1
    fill: Literal["mean", "zero"] = "mean"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)
    SLOPE: ClassVar[float] = 1000.0
    """Of the edges, per window length."""

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        share = draws.level(self)
        return {"share": share, "start": draws.uniform(1) * (1 - share)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        gone = {}
        for time in lengths(x):
            since = torch.arange(time, device=params["start"].device) / time - params["start"]
            # A sigmoid is half of tanh, which rounds alike at every place of a tensor; torch.sigmoid on the CPU does not.
            faded, back = (self.SLOPE / 2 * since).tanh_(), (self.SLOPE / 2 * (since - params["share"])).tanh_()
            gone[time] = (faded - back) / 2
        return blank(x, gone, spec, self.fill)
