"""How a run is going, for a person: a live display on a terminal, plain lines anywhere else. Always on standard error."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from harkd.engine import Phase
from harkd.schedule import Progress as At


class Display:
    """Watches runs (the engine's `Watcher`). Use as a context; `task` names what comes next."""

    LINES = 5
    """Plain lines per run."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        # Where a terminal is narrow, the text gives way first.
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2)),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=3)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5)),
            console=self.console,
            expand=True,
        )
        self.below: RenderableType = ""  # what stands under the bars
        self._live = Live(
            console=self.console, refresh_per_second=4, get_renderable=lambda: Group(self._bars.get_renderable(), self.below)
        )
        self._name, self._began = "", 0.0
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        if self.live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self._live.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        if self.live:
            self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif sys.stderr is not None:  # print(file=None) would write to standard output
            with suppress(OSError):  # nobody reads along any more; that is no reason to stop a run
                print(text, file=sys.stderr, flush=True)

    def bar(self, name: str, done: int, total: int, state: str) -> None:
        """A bar that the caller moves; it is drawn on terminals only."""
        if self.live:
            task = next((task.id for task in self._bars.tasks if task.description == name), None)
            if task is None:
                task = self._bars.add_task(name, state="")
            self._bars.update(task, completed=done, total=total, state=state)

    def task(self, name: str) -> None:
        """What the next phase is called."""
        self._name, self._bar, self._began = name, None, time.monotonic()

    def step(self, phase: Phase, progress: At) -> None:
        if self.live:
            if self._bar is None:
                self._bar = self._bars.add_task(self._name or phase.name, total=progress.steps, state="")
            self._bars.update(self._bar, completed=progress.step)

    def epoch(self, phase: Phase, record: dict[str, Any]) -> None:
        number = record["epoch"] + 1
        state = "  ".join([f"epoch {number}/{phase.epochs}", *_shown(record)])
        if self.live and self._bar is not None:
            self._bars.update(self._bar, state=state)
        elif not self.live and (number * self.LINES // phase.epochs > (number - 1) * self.LINES // phase.epochs):
            self.say(f"{self._name or phase.name}: {state}  ({time.monotonic() - self._began:.0f} s)")

    def done(self) -> None:
        """The current task is over, perhaps before its last epoch."""
        if self.live and self._bar is not None:
            total = self._bars.tasks[self._bar].completed
            self._bars.update(self._bar, total=total, completed=total)


def _shown(record: dict[str, Any]) -> list[str]:
    losses = [f"{name} {value:.3f}" for name, value in record["terms"].items() if name != "gradient norm"]
    scores = [f"validation {score['accuracy']:.1%}" for score in record["scores"].values()]
    return losses + scores


class Quiet(Display):
    """Shows nothing: for worker processes, whose results somebody else tells."""

    def __init__(self) -> None:
        super().__init__()
        self.live = False

    def say(self, text: str) -> None:
        pass
