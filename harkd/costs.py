"""What a study would cost, measured on a few batches before anything is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch

from harkd.cast import net_of
from harkd.compare.jobs import Job
from harkd.compare.plan import Plan
from harkd.compare.store import Store
from harkd.options import Distill, Train
from harkd.progress import Quiet
from harkd.training import Session, distill, train

_TIMED = 8
"""Batches of training windows on which the cost of an update is measured."""


@dataclass(frozen=True)
class Cost:
    """What some jobs of one kind cost.

    Attributes:
        runs, there: how many there are, and how many of them are finished already.
        updates: of the student (or teacher) in each run.
        seconds: of each run, measured on a few batches on this machine; teachers whose answers are shared make it less.
    """

    what: str
    runs: int
    there: int
    updates: int
    seconds: float


def costs(planned: Plan, store: Store, session: Session) -> list[Cost]:
    """The cost of a plan, by teacher and level."""
    groups: dict[str, list[Job]] = {}
    for job in planned.helpers:
        groups.setdefault(f"{job.name.partition('-')[0]} {net_of(job.options)}", []).append(job)
    for cell in planned.design.cells:
        groups.setdefault(cell.level, []).append(planned.students[cell.name])
    found = []
    for what, jobs in groups.items():
        options = jobs[0].options
        sees = options.sees if isinstance(options, Train) else options.student_sees
        updates = options.epochs * -(-len(session.parts(options).seen_by(sees).train) // options.batch)
        there = sum(store.run(job.name).finished for job in jobs)
        found.append(Cost(what, len(jobs), there, updates, updates * seconds_per_update(options, session)))
    return found


class _Stopwatch(Quiet):
    """Notes phase and time of every step of the last task."""

    def task(self, name: str) -> None:
        self.times: list[tuple[object, float]] = []

    def step(self, phase: object, progress: object) -> None:
        self.times.append((phase, time.monotonic()))

    @property
    def mean(self) -> float:
        """Seconds from a step to the next one of the same phase; what comes between phases comes once, however long they are."""
        pairs = pairwise(self.times)
        return fmean(after - before for (phase, before), (other, after) in pairs if phase is other)


def seconds_per_update(options: Train | Distill, session: Session) -> float:
    """Measured on the first few batches of the training windows, with a teacher of as little training."""
    watch, parts = _Stopwatch(), session.parts(options)
    few = [torch.arange(min(len(windows), options.batch * _TIMED)) for windows in (parts.train, parts.val, parts.test)]
    small = Session(session.machine, watch, session.interrupted)
    pieces = [windows.subset(index) for windows, index in zip((parts.train, parts.val, parts.test), few, strict=True)]
    small.take_parts(options, replace(parts, train=pieces[0], val=pieces[1], test=pieces[2]))
    with TemporaryDirectory() as folder:
        if isinstance(options, Train):
            train(replace(options, epochs=2, keep_epochs=()), small, Path(folder) / "run")
        else:
            epochs = max(2, len(options.teachers))  # a method may have a phase for each teacher
            distill(replace(options, epochs=epochs, teacher_epochs=1, keep_epochs=()), small, Path(folder) / "run")
    return watch.mean
