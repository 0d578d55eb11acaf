"""Schedules: from progress to a number. Loss weights, temperatures, learning rates and mask ratios all use them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Progress:
    """Where a phase stands: epoch of epochs, and step of steps over the whole phase, counted from 0."""

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def done(self) -> float:
        """Share of the steps behind, from 0 to (steps - 1) / steps."""
        return self.step / self.steps


Schedule = float | Callable[[Progress], float]


def value(schedule: Schedule, progress: Progress) -> float:
    """What a schedule says at some progress; a plain number says itself."""
    return schedule(progress) if callable(schedule) else schedule


@dataclass(frozen=True)
class Until:
    """`level` until the share `stop` of the epochs is done, zero after; with `decay`, falling linearly to zero over the last part
    of that stretch (`decay` is the share of all epochs that the fall takes)."""

    level: float
    stop: float = 1.0
    decay: float = 0.0

    def __call__(self, progress: Progress) -> float:
        done = progress.epoch / progress.epochs
        if done >= self.stop:
            return 0.0
        if self.decay and done > self.stop - self.decay:
            return self.level * (self.stop - done) / self.decay
        return self.level


@dataclass(frozen=True)
class Turns:
    """Whose turn it is, counted from 0, where each has so many epochs, one after the other; when all have had theirs, how many
    they are. Who has no epochs has no turn.

    >>> [int(Turns((3, 4, 5))(Progress(epoch, 60, 0, 1))) for epoch in (0, 2, 3, 6, 7, 11, 12)]
    [0, 0, 1, 1, 2, 2, 3]
    """

    lengths: tuple[int, ...]

    def __call__(self, progress: Progress) -> float:
        return sum(progress.epoch >= end for end in accumulate(self.lengths))

    def within(self, epochs: int) -> Turns:
        """The same, shorter in proportion where all together would take more than so many epochs.

        >>> Turns((3, 4, 5)).within(6)
        Turns(lengths=(2, 2, 2))
        """
        total = sum(self.lengths)
        if total <= epochs:
            return self
        ends = [math.floor(end * epochs / total + 0.5) for end in accumulate(self.lengths, initial=0)]
        return Turns(tuple(stop - start for start, stop in pairwise(ends)))


@dataclass(frozen=True)
class OneCycle:
    """Cosine rise from peak / 25 over the share `warmup` of the steps, then cosine fall to peak / 10,000 (Smith, Topin, 2018)."""

    peak: float
    warmup: float = 0.15

    def __call__(self, progress: Progress) -> float:
        at = progress.done
        if at < self.warmup:
            return _cosine(self.peak / 25, self.peak, at / self.warmup)
        return _cosine(self.peak, self.peak / 1e4, (at - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True)
class Cosine:
    """Cosine fall from `peak` to zero."""

    peak: float

    def __call__(self, progress: Progress) -> float:
        return _cosine(self.peak, 0.0, progress.done)


@dataclass(frozen=True)
class Stairs:
    """The steps of Jeon et al.: peak for 1/18 of the epochs, peak / 5 until a third, peak / 50 until two thirds, peak / 500."""

    peak: float

    def __call__(self, progress: Progress) -> float:
        epoch, epochs = progress.epoch, progress.epochs
        if epoch < epochs // 18:
            return self.peak
        return self.peak / (5 if epoch < epochs // 3 else 50 if epoch < 2 * epochs // 3 else 500)


def _cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2
