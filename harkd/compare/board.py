"""How a study is going, for a person: progress, time left, and the ranking so far with its uncertainty."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from statistics import fmean

from rich.table import Table
from rich.text import Text

from harkd.compare.contrast import Contrast, contrasts
from harkd.compare.executors import Executor
from harkd.compare.jobs import Ended, Job
from harkd.compare.plan import Plan
from harkd.compare.results import Results
from harkd.compare.store import Store
from harkd.progress import Display
from harkd.report.record import Trained
from harkd.report.words import duration

SO_FAR = "so far (not a result: do not stop by it)"
BETWEEN = 5.0
"""Seconds between two rankings: each costs a moment of a processor that could train."""
SAMPLES = 1000
"""Of their bootstrap."""
LINES = 12
"""Lines about progress where nobody sees a live table."""


class Board:
    """Follows a study on a display: a live table on a terminal, plain lines anywhere else.

    Args:
        executor: tells how many jobs run at a time, for the time that is left.
        then: called with every job that was finished.
    """

    def __init__(
        self, display: Display, store: Store, metric: str, executor: Executor, then: Callable[[Job], None] = lambda job: None
    ) -> None:
        self.display, self.store, self.metric, self.executor, self.then = display, store, metric, executor, then
        self._known: dict[str, Trained] = {}
        self._began: dict[str, float] = {}
        self._shown = -math.inf
        self._took: defaultdict[str, list[float]] = defaultdict(list)

    def planned(self, plan: Plan, finished: Collection[str]) -> None:
        self.plan, self._left = plan, {job.name: job for job in plan.jobs if job.name not in finished}
        self._total, self._failed = len(plan.jobs), 0
        self._begun = len(plan.jobs) - len(self._left)
        if self._begun and self._left:
            self.display.say(f"{self._begun} of {self._total} runs are there already")
        self._show()

    def began(self, job: Job) -> None:
        self._began[job.name] = time.monotonic()

    def ended(self, job: Job, end: Ended) -> None:
        self._left.pop(job.name, None)
        if end.error:
            self._failed += 1
            self.display.say(f"failed: {job.name} ({', '.join(self.plan.levels_of(job.name))}): {end.error}")
        else:
            self._took[_kind(job)].append(time.monotonic() - self._began[job.name])
            self.then(job)
        self._show()
        done = self._total - len(self._left)
        step = max(1, (self._total - self._begun) // LINES)
        if not self.display.live and ((done - self._begun) % step == 0 or not self._left):
            self.display.say(self._line(done))

    def tick(self) -> None:
        self._bar()

    def seconds_left(self) -> float | None:
        """About how long the rest takes, by what runs have taken so far."""
        known = [seconds for times in self._took.values() for seconds in times]
        if not known:
            return None
        usual = fmean(known)
        now = time.monotonic()
        left = 0.0
        for job in self._left.values():
            needs = fmean(self._took[_kind(job)]) if self._took[_kind(job)] else usual
            left += max(0.0, needs - (now - self._began[job.name])) if job.name in self._began else needs
        return left / max(1, min(self.executor.room, len(self._left)))

    def _line(self, done: int) -> str:
        left = self.seconds_left()
        time_left = "" if left is None or not self._left else f", about {duration(left)} left"
        found = ranking(self.store.results(self.plan.design, self._known), self.metric)
        best = f"; best so far: {_told(found[0])}" if found else ""
        return f"{done} of {self._total} runs{time_left}{best}"

    def _bar(self) -> None:
        left = self.seconds_left()
        state = "done" if not self._left else "" if left is None else f"about {duration(left)} left"
        running = len(self._began.keys() & self._left.keys())
        failed = f", {self._failed} failed" if self._failed else ""
        self.display.bar("runs", self._total - len(self._left), self._total, f"{running} at work{failed}  {state}")

    def _show(self) -> None:
        self._bar()
        if self.display.live and (not self._left or time.monotonic() - self._shown > BETWEEN):
            self._shown = time.monotonic()
            results = self.store.results(self.plan.design, self._known)
            self.display.below = _table(results, ranking(results, self.metric), self.metric)


def ranking(results: Results, metric: str) -> list[Contrast]:
    """The levels against the control by what is there so far, the best first; nothing before the control has a run."""
    control = results.design.control
    if control not in results.levels or len(results.levels) < 2:
        return []
    found = contrasts(results.scores(metric), samples=SAMPLES)
    return sorted((c for c in found if c.subjects), key=lambda contrast: -contrast.difference)


def _table(results: Results, found: list[Contrast], metric: str) -> Table:
    runs = {level: len(results.of(level)) for level in results.levels}
    each = len(results.design.folds) * len(results.design.seeds)
    table = Table(title=SO_FAR, title_justify="left", title_style="dim", box=None, pad_edge=False)
    table.add_column("level", overflow="ellipsis", no_wrap=True)
    for head in ("runs", "subjects", f"{metric} - control", "95 %"):
        table.add_column(head, justify="right", no_wrap=True)
    if results.design.control in runs:
        table.add_row(Text(f"{results.design.control} (control)"), f"{runs[results.design.control]}/{each}", "", "", "")
    for c in found:
        between = "" if c.low is None or c.high is None else f"{100 * c.low:+.1f} to {100 * c.high:+.1f}"
        table.add_row(Text(c.level), f"{runs[c.level]}/{each}", str(c.subjects), f"{100 * c.difference:+.1f}", between)
    return table


def _told(c: Contrast) -> str:
    between = "" if c.low is None or c.high is None else f" (95 %: {100 * c.low:+.1f} to {100 * c.high:+.1f})"
    return f"{c.level} {100 * c.difference:+.1f} points{between} against {c.control}, {c.subjects} subjects"


def _kind(job: Job) -> str:
    """Jobs that take about the same time."""
    options = job.options
    return f"{type(options).__name__} {getattr(options, 'student', '')} {getattr(options, 'method', '')} {options.augment}"
