"""Windows before and after a strategy: what a gallery shows, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import periodogram
from torch import Tensor

from harkd.augment import Augmenter, Pool, Spec, Transform, parse
from harkd.augment.pool import Partner
from harkd.datasets import Signals, Windows
from harkd.errors import UsageError
from harkd.report.recordings import Signal


@dataclass(frozen=True)
class State:
    """A window as it is at some point.

    Attributes:
        title: "recorded", or which draw.
        x: per sensor that the window has, (channel, time) in its units.
        shares: of the classes in its label, the larger first; empty for windows without a class.
        dense: labels of samples, (time,) by target.
        partners: the classes of the windows that were mixed in.
    """

    title: str
    x: Mapping[str, Signal]
    shares: Mapping[str, float]
    dense: Mapping[str, NDArray[np.int64]]
    partners: tuple[str, ...] = ()

    def alike(self, other: State) -> bool:
        """Whether nothing differs, neither signals nor labels."""
        return (
            self.shares == other.shares
            and all(np.array_equal(self.x[name], other.x[name]) for name in self.x)
            and all(np.array_equal(self.dense[name], other.dense[name]) for name in self.dense)
        )


@dataclass(frozen=True)
class Case:
    """One window: as it was recorded, and as each draw makes it."""

    at: int
    subject: str
    states: tuple[State, ...]

    @property
    def recorded(self) -> State:
        return self.states[0]

    @property
    def drawn(self) -> tuple[State, ...]:
        return self.states[1:]

    @property
    def label(self) -> str:
        """The class of the window as recorded; empty without one."""
        return next(iter(self.recorded.shares), "")


class Witness(Pool):
    """A pool that remembers who was drawn for whom."""

    def __init__(self, windows: Windows) -> None:
        super().__init__(windows)
        self.drawn: list[tuple[Tensor, Tensor]] = []

    def partners(self, words: Tensor, index: Tensor, who: Sequence[Partner]) -> Tensor:
        found = super().partners(words, index, who)
        self.drawn.append((index, found))
        return found


def choose(windows: Windows, number: int, seed: int) -> list[int]:
    """Positions of some windows, of as many classes as can be, drawn by `seed`, those that lack the fewest sensors first.

    Raises:
        UsageError: there are not so many.
    """
    if number > len(windows):
        raise UsageError(f"{number} windows are asked for, but the training part of {windows.card.name} has only {len(windows)}")
    rng = np.random.default_rng([seed, len(windows)])
    order = rng.permutation(len(windows))
    lacking = np.zeros(len(windows), np.int64)
    for there in windows.present.values():
        lacking += ~there.numpy()
    order = order[np.argsort(lacking[order], kind="stable")]
    labels = _classes(windows)
    codes = np.zeros(len(windows), np.int64) if labels is None else labels.numpy()
    turns: dict[int, int] = {}
    ranked = []
    for place, at in enumerate(order.tolist()):
        turn = turns.setdefault(int(codes[at]), 0)  # the first window of every class comes before the second of any
        turns[int(codes[at])] += 1
        ranked.append((turn, place, at))
    return sorted((at for _, _, at in sorted(ranked)[:number]), key=lambda at: (int(codes[at]), at))


def cases(
    strategy: Transform,
    windows: Windows,
    at: Sequence[int],
    draws: Sequence[int],
    seed: int = 0,
    *,
    stop: int | None = None,
    codes: Mapping[str, str] | None = None,
    spec: Spec | None = None,
    teach: Callable[[Augmenter], None] | None = None,
) -> list[Case]:
    """The windows at some positions, as recorded and in some draws.

    Args:
        stop: after so many ops; by default all of them.
        codes: what stands for each subject.
        spec: by default that of the windows, in a training of as many visits as there are draws.
        teach: tells a strategy that learns what came before; by default it knows nothing yet.

    Raises:
        UsageError: the strategy can do nothing with these windows.
    """
    spec = spec or Spec.of(windows)
    pool = Witness(windows)
    augmenter = Augmenter(strategy, windows, replace(spec, pool=pool, visits=spec.visits or max(draws) + 1), seed)
    if teach:
        teach(augmenter)
    stop = len(augmenter.strategy.ops) if stop is None else stop
    index = torch.tensor([place for place in at for _ in draws])
    draw = torch.tensor([number for _ in at for number in draws])
    recorded = augmenter.clean(torch.tensor(at), torch.zeros(len(at), dtype=torch.int64))
    clean = _states(windows, recorded.x, recorded.targets, at)
    batch = augmenter.after(stop, index, draw)
    moved = _states(windows, batch.x, batch.targets, index.tolist())
    names = _partners(windows, pool, index)
    found = []
    for number, place in enumerate(at):
        mine = range(number * len(draws), (number + 1) * len(draws))
        drawn = [replace(moved[n], title=f"draw {draws[n - mine.start] + 1}", partners=names[n]) for n in mine]
        subject = str(windows.subjects[place])
        found.append(Case(place, (codes or {}).get(subject, subject), (clean[number], *drawn)))
    return found


def possible(text: str, windows: Windows, spec: Spec | None = None) -> UsageError | None:
    """Why a strategy can do nothing with these windows; None if it can."""
    try:
        Augmenter(parse(text), windows, replace(spec or Spec.of(windows), visits=1))
    except UsageError as problem:
        return problem
    return None


def spectrum(x: Signal, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz, and the amplitude at each: the root mean square over the channels (channel, time), without their means.

    Through a Hann window, so that a sine between two frequencies spreads little. A sine of amplitude a in every channel gives a.
    """
    if x.shape[1] < 3:
        return np.zeros(0), np.zeros(0)
    hertz, power = periodogram(np.nan_to_num(x.astype(np.float64)), rate, "hann", detrend="constant", scaling="spectrum")
    return hertz[1:], np.sqrt(2 * power.mean(0))[1:]


def peak(x: Signal, rate: float) -> float:
    """The frequency in Hz at which a signal (channel, time) is strongest; nan for one that has no spectrum."""
    hertz, amplitude = spectrum(x, rate)
    return float(hertz[amplitude.argmax()]) if len(hertz) and amplitude.max() > 0 else float("nan")


def difference(before: Signal, after: Signal, std: float) -> float:
    """How much a signal was changed: the root mean square of the difference, in standard deviations of the training windows."""
    return float(np.sqrt(np.mean((after.astype(np.float64) - before) ** 2))) / (std or 1.0)


def deviations(windows: Windows, spec: Spec) -> dict[str, float]:
    """The standard deviation of each sensor in the training windows, the root mean square over its channels."""
    return {name: float(spec.statistics.std[name].double().square().mean().sqrt()) for name in windows.sensors}


def _classes(windows: Windows) -> Tensor | None:
    target = windows.targets.get(windows.card.target.name)
    return target.values if target is not None and target.kind == "class" else None


def _states(windows: Windows, x: Signals, targets: Mapping[str, Tensor], at: Sequence[int]) -> list[State]:
    name = windows.card.target.name
    labels = targets[name] if _classes(windows) is not None else None
    dense = {key: targets[key].numpy() for key, target in windows.targets.items() if target.kind == "dense"}
    found = []
    for row, place in enumerate(at):
        has = [sensor for sensor in x if sensor not in windows.present or bool(windows.present[sensor][place])]
        found.append(
            State(
                "recorded",
                {sensor: x[sensor][row].numpy() for sensor in has},
                {} if labels is None else _shares(labels[row], windows.classes),
                {key: values[row] for key, values in dense.items()},
            )
        )
    return found


def _shares(label: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """A class number, or shares (class,), as the shares of those classes that have one."""
    if not label.is_floating_point():
        return {classes[int(label)]: 1.0}
    shares = {name: float(share) for name, share in zip(classes, label, strict=True) if share > 0}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _partners(windows: Windows, pool: Witness, index: Tensor) -> list[tuple[str, ...]]:
    """The classes of the partners of every window, those of all mixing ops one after the other."""
    labels = _classes(windows)
    own = [found for asked, found in pool.drawn if torch.equal(asked, index)]
    if labels is None or not own:
        return [()] * len(index)
    return [tuple(windows.classes[int(number)] for number in row) for row in labels[torch.cat(own, 1)]]
