"""Pieces of a window: cut, put in another order, stretched, thinned out, turned round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.keys import bits, uniform
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.augment.warp import CROPPED, TimeTransform
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError


@dataclass(frozen=True)
class Permutation(TimeTransform):
    """Cut the window into `segments` pieces and put them together in a random order (Um et al., ICMI 2017).

    `cuts`: at equal distances, or at random: uniform, but no piece is shorter than `shortest`, a share of the window, which in
    Um's code is 10 of 3600 samples. `random_number` draws the number of pieces from 1 to `segments` for each window, as in the
    code of Iwana and Uchida. Assumes the invariance `order`.
    """

    segments: int = 4
    cuts: Literal["equal", "random"] = "equal"
    shortest: float = 0.0
    random_number: bool = False
    STRENGTH: ClassVar = Strength("segments", 6, identity=1, least=1, whole=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.shortest * self.segments <= 1:
            raise UsageError(
                f"Permutation: shortest is a share of the window that {self.segments} segments have room for, from 0 to "
                f"{1 / self.segments:g}; got {self.shortest}"
            )
        if self.shortest and self.cuts == "equal":
            raise UsageError(f"Permutation: shortest is for cuts=random; equal segments are 1/{self.segments} of the window long")

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"order"})

    def slots(self, spec: Spec) -> int:
        return self.random_number + self.segments + (self.segments - 1 if self.cuts == "random" else 0)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        most, level = self.segments, draws.level(self)
        number = (draws.uniform(1) * level).floor() + 1 if self.random_number else level
        # The order and the cuts take turns, so that a window with fewer segments draws the same words for them.
        u = draws.uniform(self.slots(spec) - self.random_number)
        turns = u[:, ::2] if self.cuts == "random" else u
        each = torch.arange(most, device=u.device)
        order = torch.where(each < number, turns, 2.0).argsort(stable=True, dim=1)
        if self.cuts == "equal":
            starts = each / number
        else:
            inner = torch.where(each[1:] < number, u[:, 1::2], 2.0).sort(1).values
            inner = inner * (1 - self.shortest * number) + self.shortest * each[1:]
            starts = pad(inner, (1, 0))
        # Beyond the last one there are segments of no length.
        return {"order": order, "starts": torch.where(each < number, starts, 1.0)}

    def positions(self, params: Params, time: int) -> Tensor:
        starts = samples(params["starts"], time)
        lengths = pad(starts[:, 1:], (0, 1), value=time) - starts
        order = params["order"]
        lengths = lengths.gather(1, order)
        ends = lengths.cumsum(1)
        jumps = (starts.gather(1, order) - ends + lengths).diff(dim=1)
        # In float32, which is several times as fast and exact here: from the end of a segment on, all is moved by its jump.
        each = torch.arange(time, dtype=torch.float32, device=order.device)
        at = each.expand(len(order), -1).clone()
        for end, jump in zip(ends[:, :-1].float().unbind(1), jumps.float().unbind(1), strict=True):
            at.addcmul_((each - (end[:, None] - 1)).clamp_(0, 1), jump[:, None])
        return at.add_(starts.gather(1, order[:, :1])).long()


@dataclass(frozen=True)
class WindowSlice(TimeTransform):
    """Cut out a slice of `ratio` of the window at a uniform place, and stretch it to the old length.

    After Le Guennec et al., AALTD 2016, with the default of Iwana and Uchida (PLoS ONE 16(7), 2021), whose code reads one step
    beyond the slice; here the new window ends exactly where the slice does. `cropping` draws how much is cut. Where less than
    four fifths remain it assumes the invariance `pace`.
    """

    ratio: float = 0.9
    STRENGTH: ClassVar = Strength("ratio", 0.7, identity=1.0, most=1.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"}) if self.ratio < 1 - CROPPED else frozenset()

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"ratio": draws.level(self), "place": draws.uniform(1)}

    def positions(self, params: Params, time: int) -> Tensor:
        ratio = params["ratio"]
        return ratio * torch.arange(time, device=ratio.device) + (1 - ratio) * params["place"] * (time - 1)


STRETCHED = 2.0
"""Up to this factor a tenth of the window that is played faster or slower does not change the pace that a class is known by."""


@dataclass(frozen=True)
class WindowWarp(TimeTransform):
    """Play one stretch of the window, `ratio` of it, `factor` times slower or faster, and fit the whole into the old length.

    After Le Guennec et al., AALTD 2016, with the defaults of Iwana and Uchida (PLoS ONE 16(7), 2021). Slower and faster have the
    same chance. Beyond a factor of 2 it assumes the invariance `pace`.
    """

    factor: float = 2.0
    ratio: float = 0.1
    STRENGTH: ClassVar = Strength("factor", 2.0, identity=1.0, least=1.0, geometric=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ratio <= 1:
            raise UsageError(f"WindowWarp: ratio is a share of the window, more than 0 and at most 1; got {self.ratio}")

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"}) if self.factor > STRETCHED else frozenset()

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u, factor = draws.uniform(2), draws.level(self)
        return {"place": u[:, :1], "factor": torch.where(u[:, 1:] < 0.5, factor, 1 / factor)}

    def positions(self, params: Params, time: int) -> Tensor:
        factor, end = params["factor"], time - 1
        start = params["place"] * ((1 - self.ratio) * end)
        played = torch.arange(time, device=factor.device) * (1 + self.ratio * (factor - 1))
        # What is played of the stretch takes `factor` times as long as it is.
        inside = (played - start).clamp_min(0).minimum(factor * (self.ratio * end))
        return played - inside * (1 - 1 / factor)


@dataclass(frozen=True)
class RandomSampling(Transform):
    """Keep each sample with probability `share`, and draw straight lines between those that are left: irregular sampling.

    After the notebook of Um et al. (ICMI 2017), where 1000 of 3600 samples are drawn with replacement and every axis for itself;
    here all sensors of one length keep the same ones. The first and the last sample stay.
    """

    share: float = 0.28
    STRENGTH: ClassVar = Strength("share", 0.28, identity=1.0, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"word": draws.words(1)[:, 0], "share": draws.level(self)}

    def neighbours(self, params: Params, time: int) -> tuple[Tensor, Tensor]:
        """For each of `time` samples the last one kept up to it, and the first one kept from it on: (batch, time) int64."""
        kept = uniform(bits(params["word"], time)) < params["share"]
        kept[:, 0] = kept[:, -1] = True
        each = torch.arange(time, device=kept.device)
        before = (each * kept).cummax(1).values
        return before, (time - 1) - (each * kept.flip(1)).cummax(1).values.flip(1)

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        places = {}
        for time in {signal.shape[-1] for signal in x.values()}:
            before, after = self.neighbours(params, time)
            way = torch.arange(time, dtype=torch.float32, device=before.device) - before
            places[time] = (before[:, None], after[:, None], (way / (after - before).clamp_min(1))[:, None])
        moved = {}
        for name, signal in x.items():
            before, after, way = places[signal.shape[-1]]
            left, right = signal.gather(2, before.expand_as(signal)), signal.gather(2, after.expand_as(signal))
            moved[name] = torch.lerp(left, right, way.to(signal.dtype))
        return moved


@dataclass(frozen=True)
class Reverse(Transform):
    """Play the window backward, as `Reverse` of tsaug and `TimeReverse` of braindecode. Assumes the invariance `reversal`."""

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"reversal"})

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: signal.flip(2) for name, signal in x.items()}

    def apply_dense(self, labels: Tensor, params: Params) -> Tensor:
        return labels.flip(1)
