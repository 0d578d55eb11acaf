"""What each method costs: how often other nets than the student are asked, and how long a step takes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from harkd import engine, stage, training
from harkd.compare.design import Design
from harkd.costs import seconds_per_update
from harkd.files import write_atomically
from harkd.methods import METHODS
from harkd.options import METHOD_OPTIONS, Distill, Machine
from harkd.phase import Phase
from harkd.progress import Display

EPOCHS, TURNS = 24, 3
TEACHERS = ("resnet1d-s", "wrn1d-10-1")


class Counter:
    """Counts forward passes of everybody but the student, while it is not paused."""

    def __init__(self) -> None:
        self.calls, self.paused = 0, False

    def __call__(self, *_: object) -> None:
        self.calls += not self.paused

    @contextmanager
    def watching(self, phases: Sequence[Phase]) -> Iterator[None]:
        """Count the players of these phases, each net once."""
        nets = {id(p.net): p.net for phase in phases for name, p in phase.players.items() if name != "student"}
        with ExitStack() as stack:
            for net in nets.values():
                stack.callback(net.register_forward_hook(self).remove)
            yield

    def around_fit(self, fit: Callable[..., Any]) -> Callable[..., Any]:
        """`fit`, counting; of several runs only the last one counts."""

        def counted(phases: Sequence[Phase], *args: Any, **more: Any) -> Any:
            self.calls = 0
            with self.watching(phases):
                return fit(phases, *args, **more)

        return counted

    def around_score(self, score: Callable[..., Any]) -> Callable[..., Any]:
        """`score` on validation windows, which is no part of a method."""

        def uncounted(*args: Any, **more: Any) -> Any:
            self.paused = True
            try:
                return score(*args, **more)
            finally:
                self.paused = False

        return uncounted


def forwards(path: Path, recordings: Path) -> dict[str, float]:
    """Forward passes of nets other than the student for each of its updates, by method; kept in a file.

    Counted over a whole schedule on UTD-MHAD, with a strategy whose draws do not come back, so that no answers are kept. The dry
    run at the start of a phase counts, and adds less than a hundredth.
    """
    if path.is_file():
        kept: dict[str, float] = json.loads(path.read_bytes())
        return kept
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Display() as display:
        session = training.Session(Machine(), display)
        found = {name: _counted(name, recordings, session, Path(folder)) for name in METHODS}
    write_atomically(path, json.dumps(found, indent=1).encode())
    return found


def step_seconds(path: Path, design: Design) -> dict[str, float]:
    """Seconds for each update of the student, by method, the shortest of some turns; kept in a file.

    Measured with what teachers answer kept as in a study, on the first batches of the first fold, all methods in turns. The
    machine should have nothing else to do.
    """
    if path.is_file():
        kept: dict[str, float] = json.loads(path.read_bytes())
        return kept
    torch.set_num_threads(1)
    with Display() as display:
        session = training.Session(Machine(), display)
        asked = {cell.level: cell.options for cell in reversed(design.cells)}
        turns = [{level: seconds_per_update(asked[level], session) for level in design.names} for _ in range(TURNS)]
    found = {level: min(turn[level] for turn in turns) for level in design.names}
    write_atomically(path, json.dumps(found, indent=1).encode())
    return found


def _counted(name: str, recordings: Path, session: training.Session, folder: Path) -> float:
    method, counter = METHODS[name], Counter()
    most = method.teachers[1]
    options = Distill(
        data="utd_mhad",
        data_folder=str(recordings),
        epochs=EPOCHS,
        augment="jitter(0.01)",
        student="dscnn-xs",
        student_sees="inertial",
        teacher=" & ".join(TEACHERS[: 2 if most is None else 1]),
        teacher_sees="inertial",
        teacher_epochs=1,
        teacher_patience=0,
        assistants="" if method.assistants[1] == 0 or method.own_teacher else "dscnn-s",
        domains="skeleton" if method.domains[0] else "",
        method=name,
        method_options=METHOD_OPTIONS[name](),
    )
    fit, score = counter.around_fit(engine.fit), counter.around_score(stage.score)
    with mock.patch.object(training, "fit", fit), mock.patch.object(stage, "score", score):
        run = training.distill(options, session, folder / name)
    updates: int = run.result()["updates"]
    return counter.calls / updates
