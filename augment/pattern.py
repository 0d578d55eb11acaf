"""Windows that follow the timing of others of their class: SPAWNER, weighted DBA, guided warping.

After the code of Iwana and Uchida (uchidalab/time_series_augmentation; PLoS ONE 16(7), 2021). Two windows are compared in all
channels of all sensors together, standardised, so that there is one path and units do not matter; it serves every sensor at its
own rate. Partners come from the training pool: true other windows of the class, or the window itself where the class has no
other, and then it stays as it is. (In the authors' code partners are places in a list without the window, used as places in the
list with it: they may be of another class.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from harkd.augment.draws import Draws, Strength
from harkd.augment.dtw import Paths, align, band, distances
from harkd.augment.jitter import Jitter
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.augment.transform import Mixing, Params
from harkd.datasets import Signals
from harkd.errors import UsageError

_OTHER_HALF = 1e30
"""So far apart that no path joins them: the square is beyond float32."""


def read(x: Tensor, at: Tensor) -> Tensor:
    """x (batch, channel, time) at fractional samples (1 or batch, time'), by linear interpolation; exact at whole samples."""
    low = at.long()[:, None]
    high = (low + 1).clamp_max(x.shape[2] - 1)
    return torch.lerp(x.take_along_dim(low, 2), x.take_along_dim(high, 2), (at[:, None] - low).to(x.dtype))


def carried(x: Tensor, time: int) -> Tensor:
    """x (batch, channel, time') at another rate: its first and last samples stay where they are."""
    if x.shape[2] == time:
        return x
    ticks = torch.arange(time, device=x.device) * (x.shape[2] - 1) / max(time - 1, 1)
    return read(x, ticks[None])


def together(x: Signals, spec: Spec) -> Tensor:
    """(batch, channel, time) all sensors, standardised, on the clock of the one that has most samples."""
    time = max(signal.shape[2] for signal in x.values())
    # The mean is left in: it is the same in both windows of a pair.
    return torch.cat([carried(signal / spec.std(name, signal), time) for name, signal in x.items()], 1)


def differ(a: Tensor, b: Tensor) -> Tensor:
    """(batch, 1) whether windows (batch, channel, time) differ. Where a class has one window only, it has met itself."""
    return (a != b).flatten(1).any(1, keepdim=True)


def of_each(stacked: Tensor, number: Tensor) -> Tensor:
    """(batch, channel, time) of each window's own choice (batch,) from (batch, n, channel, time)."""
    return stacked.take_along_dim(number[:, None, None, None], 1)[:, 0]


class _Pattern(Mixing):
    """Base: the label is kept."""

    SOFTENS = False

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        first = next(iter(x.values()))
        return self.pattern(x, others, params, spec), torch.ones(len(first), device=first.device)

    def pattern(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> Signals:
        """New signals."""
        raise NotImplementedError


@dataclass(frozen=True)
class Spawner(_Pattern):
    """Average the window with one of its class along a warping path, and add noise of `sigma`.

    After SPAWNER (Kamycki, Kapuscinski, Oszust, Sensors 20(1), 2020), as in Iwana and Uchida's code: the path is made to pass
    through a random moment that both windows share, so that the same two windows give many averages. The noise is meant on
    standardised signals.
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sigma < float("inf"):
            raise UsageError(f"Spawner: sigma is a standard deviation, from 0 up; got {self.sigma}")

    @property
    def partners(self) -> tuple[Partner, ...]:
        return ("same_class",)

    def slots(self, spec: Spec) -> int:
        return 1 + Jitter(self.sigma).slots(spec)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"split": draws.uniform(1), "words": draws.words(Jitter(self.sigma).slots(spec))}

    def pattern(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> Signals:
        own, theirs = together(x, spec), together(others[0], spec)
        each = torch.arange(own.shape[2], device=own.device)
        late = each > (params["split"] * (own.shape[2] - 1)).long()
        half = (late * _OTHER_HALF)[:, None].to(own)
        paths = align(torch.cat([own, half], 1), torch.cat([theirs, half], 1))
        met = differ(own, theirs)[:, :, None]
        moved = {}
        for name, signal in x.items():
            each = torch.arange(signal.shape[2], device=signal.device)[None]
            here, there = paths.at(each, signal.shape[2])
            moved[name] = read(signal, here).add_(read(others[0][name], there)).mul_(0.5)
        sigma = torch.full_like(params["split"], self.sigma)
        noisy = Jitter(self.sigma).apply(moved, {"words": params["words"], "sigma": sigma}, spec)
        return {name: torch.where(met, noisy[name], signal) for name, signal in x.items()}


@dataclass(frozen=True)
class WeightedDBA(_Pattern):
    """Replace the window by an average of itself and `others` of its class (weighted DTW barycentre, one iteration).

    After Forestier et al., ICDM 2017, with the weights "average selected with distance" as in Iwana and Uchida's code. The
    average is taken about the medoid, the one with the least sum of distances, in its timing; a window at distance d counts
    1/2 ** (d / nearest), where nearest is the medoid's nearest neighbour. Every sample joined to one of the medoid's counts;
    in the authors' code only the last does, as NumPy's += on repeated places keeps one. Where the class has fewer windows, each
    counts once.
    """

    others: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.others < 1:
            raise UsageError(f"WeightedDBA: others counts the partners, at least 1; got {self.others}")

    @property
    def partners(self) -> tuple[Partner, ...]:
        other: Partner = "same_class"
        return (other,) * self.others

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def pattern(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> Signals:
        samples = [together(signals, spec) for signals in (x, *others)]
        medoid, weights = _medoid(distances(samples, list(combinations(range(len(samples)), 2))))
        stacked = torch.stack(samples, 1)
        added = _added(of_each(stacked, medoid), stacked, weights)
        moved = {}
        for (name, signal), part in zip(x.items(), added.split([signal.shape[1] for signal in x.values()], 1), strict=True):
            own = of_each(torch.stack([signal, *(other[name] for other in others)], 1), medoid)
            # The medoid is taken at its own rate; only what the average adds to it comes from the common clock.
            moved[name] = own.addcmul(carried(part, signal.shape[2]), spec.std(name, signal))
        return moved


def _medoid(apart: Tensor) -> tuple[Tensor, Tensor]:
    """The sample nearest to all (batch,) and what each counts in an average about it (batch, n), by distances (batch, n, n)."""
    # Where a class has too few windows, some are drawn twice.
    repeated = ((apart == 0) & torch.ones_like(apart[0], dtype=torch.bool).tril(-1)).any(2)
    sums = apart.masked_fill(repeated[:, None], 0).sum(2)
    medoid = sums.masked_fill(repeated, torch.inf).argmin(1)
    far = apart.take_along_dim(medoid[:, None, None], 1)[:, 0]
    nearest = far.masked_fill(far == 0, torch.inf).amin(1, keepdim=True)
    return medoid, torch.exp2(-far / nearest).masked_fill(repeated, 0)


def _added(centre: Tensor, stacked: Tensor, weights: Tensor) -> Tensor:
    """(batch, channel, time) what the average of samples (batch, n, channel, time) about a centre adds to it."""
    n = stacked.shape[1]
    paths = align(centre.repeat_interleave(n, 0), stacked.flatten(0, 1))
    lowest, highest = (side.unflatten(0, (-1, n)) for side in paths.joined())
    added, total = torch.zeros_like(centre), torch.zeros_like(centre[:, :1])
    for number in range(n):
        low, high = lowest[:, number, None], highest[:, number, None]
        # In float64 a difference of such sums is the sum of the samples between, as float32 rounds it.
        sums = pad(stacked[:, number].double().cumsum(2), (1, 0))
        joined = (sums.take_along_dim(high + 1, 2) - sums.take_along_dim(low, 2)).to(centre)
        count, weight = high - low + 1, weights[:, number, None, None].to(centre)
        added += weight * (joined - count * centre)
        total += weight * count
    return added / total


@dataclass(frozen=True)
class RGW(_Pattern):
    """Random guided warping: the window takes on the timing of a random other of its class; its values stay its own.

    After Iwana and Uchida, ICPR 2020, as in their code: the warping path is walked at an even speed, which takes the window about
    half way to the other's timing. `share`: of the way from the window as it is; 1 is their form. `shape`: the path is that of
    shapeDTW, which looks at the neighbourhoods of samples (RGW-s).
    """

    share: float = 1.0
    shape: bool = False
    STRENGTH: ClassVar = Strength("share", 1.0, most=1.0)

    @property
    def partners(self) -> tuple[Partner, ...]:
        return ("same_class",)

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"share": draws.level(self)}

    def pattern(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> Signals:
        teacher, pupil = together(others[0], spec), together(x, spec)
        return _warped(x, align(teacher, pupil, self.shape), params["share"] * differ(teacher, pupil))


@dataclass(frozen=True)
class DGW(_Pattern):
    """Discriminative guided warping: the window takes on the timing of the most telling of `prototypes` of its class.

    After Iwana and Uchida, ICPR 2020, as in their code. The teacher is the prototype that is furthest from as many windows of
    other classes, against its distance from the other prototypes, both in the mean. The result is sliced, the more the less it
    was warped: 0.9 of it remains, or up to all where its samples moved by a whole band in the mean. (The authors measure by the
    largest warp of the whole data set: a window would then depend on all others.) `share` and `shape` are those of `rgw`.
    """

    share: float = 1.0
    prototypes: int = 3
    shape: bool = False
    STRENGTH: ClassVar = Strength("share", 1.0, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prototypes < 1:
            raise UsageError(f"DGW: prototypes counts those of the own class, and of others, at least 1; got {self.prototypes}")

    @property
    def partners(self) -> tuple[Partner, ...]:
        own: Partner = "same_class"
        other: Partner = "other_class"
        return (own,) * self.prototypes + (other,) * self.prototypes

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"share": draws.level(self), "place": draws.uniform(1)}

    def pattern(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> Signals:
        n = self.prototypes
        samples = [together(signals, spec) for signals in others]
        pairs = [*combinations(range(n), 2), *product(range(n), range(n, 2 * n))]
        chosen = _most_telling(distances(samples, pairs, self.shape), n)
        teacher, pupil = of_each(torch.stack(samples[:n], 1), chosen), together(x, spec)
        paths = align(teacher, pupil, self.shape)
        each = torch.arange(paths.time, device=chosen.device)[None]
        warp = (paths.at(each, paths.time)[1] - each).abs().mean(1, keepdim=True) / band(paths.time)
        kept = 0.9 + 0.1 * warp.clamp_max(1)
        return _warped(x, paths, params["share"] * differ(teacher, pupil), kept, params["place"])


def _most_telling(apart: Tensor, n: int) -> Tensor:
    """(batch,) which of the first n samples is furthest from the others in the mean, against its distance from the first ones."""
    from_others, from_own = apart[:, :n, n:].contiguous().mean(2), apart[:, :n, :n].contiguous().sum(2) / max(n - 1, 1)
    return (from_others - from_own).argmax(1)


def _warped(x: Signals, paths: Paths, share: Tensor, kept: Tensor | float = 1.0, place: Tensor | float = 0.0) -> Signals:
    """Windows in the timing of paths that they are the second of, or of a slice that keeps some of it, as far as `share` says."""
    moved: Signals = {}
    known: dict[int, Tensor] = {}
    for name, signal in x.items():
        time = signal.shape[2]
        if time not in known:
            each = torch.arange(time, device=share.device)[None]
            where = kept * each + (1 - kept) * place * (time - 1)
            known[time] = each + share * (paths.at(where, time)[1] - each)
        moved[name] = read(signal, known[time])
    return moved
