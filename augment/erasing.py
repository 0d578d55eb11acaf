"""Erasing: blocks of channels and time, at random or where a teacher looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.keys import white_noise
from harkd.augment.mask import blank, drawn_block, inside, lengths
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError


@dataclass(frozen=True)
class Erasing(Transform):
    """Replace a block by noise: U{0..floor(share * T)} samples of a run of U{1..channels} neighbouring channels, anywhere.

    Random erasing (Zhong et al., AAAI 2020) carried over to time series, where a picture's height becomes the channels of all
    sensors in their order; the largest share of 0.4 is recalled, not verified. `fill`: `noise` has mean and standard deviation
    of the training windows, `mean` is their mean.
    """

    share: float = 0.4
    fill: Literal["noise", "mean"] = "noise"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 4 + (len(spec.sensors) if self.fill == "noise" else 0)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        channels = sum(len(sensor.channels) for sensor in spec.sensors.values())
        length, place = draws.uniform(2).split(1, 1)
        wide = 1 + draws.below(channels)
        first = (draws.uniform(1)[:, 0] * (channels - wide + 1)).long()
        drawn = {"share": draws.level(self), "length": length, "place": place, "first": first, "wide": wide}
        return drawn | {"words": draws.words(len(spec.sensors))} if self.fill == "noise" else drawn

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        gone = {time: inside(*drawn_block(params, time), time) for time in lengths(x)}
        words = params["words"].unbind(1) if self.fill == "noise" else [None] * len(spec.sensors)
        moved, before = dict(x), 0
        for number, (name, sensor) in enumerate(spec.sensors.items()):
            channels = len(sensor.channels)
            if name in x:
                struck = inside(params["first"][:, None] - before, params["wide"][:, None], channels)
                block = (struck[:, :, None] * gone[x[name].shape[-1]][:, None]).to(x[name].dtype)
                filling = self._filling(x[name], name, words[number], spec)
                moved[name] = torch.lerp(x[name], filling, block)
            before += channels
        return moved

    def _filling(self, signal: Tensor, name: str, words: Tensor | None, spec: Spec) -> Tensor:
        mean = spec.mean(name, signal)
        if words is None:
            return mean
        noise = white_noise(words, signal.shape[1] * signal.shape[2]).view_as(signal).to(signal.dtype)
        return torch.addcmul(mean, spec.std(name, signal), noise)


@dataclass(frozen=True)
class AttentionErasing(Transform):
    """Blank the stretch of `share` of the window, in all channels, that a trained net attends to most.

    The net has to find something else to go by; the stretch is the same at every visit, so that `p` is 0.5 by default. Our design
    after attention-guided erasing. `fill`: the training mean, or 0 in physical units.
    """

    share: float = 0.2
    fill: Literal["mean", "zero"] = "mean"
    p: float = field(default=0.5, kw_only=True)
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if spec.judge is None:
            raise UsageError(
                "AttentionErasing asks a trained net where it looks, and there is none here; use it where there is a teacher, "
                "or take erasing, which needs none"
            )

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"share": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        assert spec.judge is not None
        share = params["share"]
        centre = greatest(spec.judge.attention(x).detach().float(), share)
        gone = {}
        for time in lengths(x):
            length = samples(share, time)
            start = (centre * time - length * 0.5).round().long().clamp_min(0)
            gone[time] = inside(start.minimum(time - length), length, time)
        return blank(x, gone, spec, self.fill)


def greatest(attention: Tensor, share: Tensor) -> Tensor:
    """(batch, 1) the middle, in [0, 1], of the stretch of `share` (batch, 1) with most attention (batch, moment); the first."""
    moments = attention.shape[1]
    width = (share * moments).round().long().clamp(1, moments)
    reached = pad(attention.cumsum(1), (1, 0))
    first = torch.arange(moments, device=attention.device)
    last = first + width
    total = reached.gather(1, last.clamp_max(moments)) - reached[:, :-1]
    start = torch.where(last <= moments, total, -1.0).argmax(1, keepdim=True)
    return (start + width * 0.5) / moments
