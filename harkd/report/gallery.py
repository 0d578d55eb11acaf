"""The gallery of augmentations: windows before and after a strategy, or every op on one window, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harkd.augment import Compose, Spec, check_invariances, leaves, parse, to_text
from harkd.datasets import Windows
from harkd.errors import UsageError
from harkd.report import columns
from harkd.report.before_after import Case, cases, choose, deviations, difference, peak, possible
from harkd.report.catalogue import Entry, catalogue, spaced, worded
from harkd.report.columns import Piece, spoken
from harkd.report.tree import Figure, Panel, Table
from harkd.report.words import listed, many, subject

_WIDE = 480
"""Pixels from which on a drawing takes the width of the page."""


@dataclass(frozen=True)
class Item:
    """Some drawings under one heading.

    Attributes:
        numbers: the same as a table.
    """

    title: str
    caption: str
    pieces: tuple[Piece, ...]
    numbers: tuple[Table, ...] = ()

    def figure(self) -> Figure:
        panels = tuple(_panel(piece) for piece in self.pieces)
        return Figure(self.title, self.caption, (), panels, self.numbers)


@dataclass(frozen=True)
class Gallery:
    """What is shown.

    Attributes:
        windows: the training windows.
        codes: what stands for each subject.
        strategy: its text; empty for every op by itself.
        split: which split the training windows are of.
        number: of windows; 0: four of a strategy, one of each op.
        steps: also what each op of the strategy adds.
    """

    windows: Windows
    codes: Mapping[str, str]
    strategy: str = ""
    split: str = ""
    number: int = 0
    draws: int = 3
    seed: int = 0
    steps: bool = False
    spec: Spec = field(init=False)
    at: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", Spec.of(self.windows))
        number = self.number or (min(4, len(self.windows)) if self.strategy else 1)
        object.__setattr__(self, "at", choose(self.windows, number, self.seed))

    def sections(self) -> list[tuple[str, list[Item]]]:
        """The drawings, by heading.

        Raises:
            UsageError: the strategy is not understood, or can do nothing with these windows.
        """
        if not self.strategy:
            families: dict[str, list[Item]] = {}
            for entry in self.entries:
                if not self.why_not(entry):
                    families.setdefault(entry.family, []).extend(self._op(entry))
            return list(families.items())
        strategy = parse(self.strategy)
        found = []
        if self.steps:
            for stop in range(1, len(strategy.ops)):
                title = f"After {many(stop, 'op')}: {spaced(to_text(Compose(strategy.ops[:stop])))}"
                found.append((title, self._windows(strategy, f"step{stop}", stop)))
        return [*found, (f"Before and after {spaced(to_text(strategy))}", self._windows(strategy, "window", len(strategy.ops)))]

    @property
    def entries(self) -> list[Entry]:
        """Everything but named strategies, which consist of it."""
        return [entry for entry in catalogue() if entry.kind != "strategy"]

    def why_not(self, entry: Entry) -> UsageError | None:
        """Why an op can do nothing with these windows."""
        return possible(entry.strategy, self.windows, self.spec)

    def refusal(self) -> str:
        """What training says to the strategy, where the card denies what it assumes; empty if it takes it."""
        try:
            check_invariances(parse(self.strategy), self.windows.card)
        except UsageError as problem:
            return str(problem)
        return ""

    def _windows(self, strategy: Compose, key: str, stop: int) -> list[Item]:
        found = cases(strategy, self.windows, self.at, range(self.draws), self.seed, stop=stop, codes=self.codes, spec=self.spec)
        items = []
        for number, case in enumerate(found, 1):
            name = f"{key}-{number}"
            pieces = [*self._labels(name, case)]
            pieces += [columns.signals(name, case, self.windows.sensors[sensor]) for sensor in case.recorded.x]
            title = f"{number}. {case.label or 'not labelled'}"
            items.append(Item(title, self._caption(case, Compose(strategy.ops[:stop])), tuple(pieces), (self._numbers(case),)))
        return items

    def _op(self, entry: Entry) -> list[Item]:
        """An op by itself, on each window: the sensor that it changes most."""
        strategy = parse(entry.strategy)
        items = []
        for number, case in enumerate(cases(strategy, self.windows, self.at, range(self.draws), self.seed, spec=self.spec), 1):
            name = f"{entry.name}-{number}"
            changed = {sensor: max(self._change(case, sensor)) for sensor in case.recorded.x}
            most = max(changed, key=lambda sensor: changed[sensor])
            pieces = (*self._labels(name, case), columns.signals(name, case, self.windows.sensors[most]))
            about = f"{worded(entry.about)} Label: {entry.effect}."
            title = entry.text if len(self.at) == 1 else f"{entry.text}, window {number}: {case.label}"
            items.append(Item(title, " ".join(filter(None, [about, _still(case), self._denied(strategy, case)])), pieces))
        return items

    def _labels(self, name: str, case: Case) -> list[Piece]:
        """Drawings of the labels, where something becomes of them."""
        pieces = []
        if any(state.shares != case.recorded.shares for state in case.drawn):
            pieces.append(columns.labels(name, case))
        first = next(iter(self.windows.sensors.values()))
        seconds = self.windows.lengths[first.name] / first.rate
        for target in case.recorded.dense:
            pieces.append(columns.dense(name, case, target, self.windows.targets[target], seconds))
        return pieces

    def _change(self, case: Case, sensor: str) -> list[float]:
        std = deviations(self.windows, self.spec)[sensor]
        return [difference(case.recorded.x[sensor], state.x[sensor], std) for state in case.drawn]

    def _caption(self, case: Case, strategy: Compose) -> str:
        """Who it is, what becomes of the label, and which draws change nothing."""
        said = [f"{subject(case.subject).capitalize()}."]
        if case.label and all(state.shares == case.recorded.shares for state in case.drawn):
            said.append(f"The label stays {case.label}.")
        return " ".join(filter(None, [*said, _still(case), self._denied(strategy, case)]))

    def _denied(self, strategy: Compose, case: Case) -> str:
        card = self.windows.card
        assumed = sorted({each for op in leaves(strategy) for each in op.assumes})
        denied = [each for each in assumed if case.label in card.breaks(each)]
        return f"The card denies {listed(denied)} for {case.label}: what comes out may be of another class." if denied else ""

    def _numbers(self, case: Case) -> Table:
        names = list(case.recorded.x)
        head = ["state", "label", *(["mixed with"] if any(state.partners for state in case.drawn) else [])]
        rows = []
        for state in case.states:
            row = [state.title, spoken(state.shares)]
            if "mixed with" in head:
                row.append(", ".join(state.partners) if state is not case.recorded else "")
            for name in names:
                changed = difference(case.recorded.x[name], state.x[name], deviations(self.windows, self.spec)[name])
                row += [f"{changed:.2f}", f"{peak(state.x[name], self.windows.sensors[name].rate):.2f}"]
            rows.append(tuple(row))
        texts = len(head)
        head += [text for name in names for text in (f"{name} changed by, sd", f"{name} strongest at, Hz")]
        caption = "Root mean square of the change, in standard deviations of the training windows"
        return Table(caption, tuple(head), tuple(rows), texts)


def _still(case: Case) -> str:
    still = [state.title for state in case.drawn if state.alike(case.recorded)]
    return f"Nothing changes in {listed(still)}." if still else ""


def _panel(piece: Piece) -> Panel:
    return Panel(piece.title, columns.svg(piece), piece.name, wide=piece.size[0] > _WIDE)
