"""A study from its options to its results: what the command `compare` does, without its printing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

from harkd.bank import DrawBank
from harkd.cast import helpers
from harkd.compare.coordinate import POLL, Follower, coordinate
from harkd.compare.design import Design, Level, factors_of, folds_of, level_options
from harkd.compare.executors import Executor, Work
from harkd.compare.halving import drop, rungs
from harkd.compare.jobs import Ended, Job
from harkd.compare.options import Study
from harkd.compare.plan import Plan
from harkd.compare.results import Results
from harkd.compare.search import Dimension, Sampler, search
from harkd.compare.store import Failure, Store
from harkd.datasets import Windows, cache
from harkd.datasets.loading import folder_of
from harkd.errors import HarkdError, UsageError
from harkd.evaluation import pseudonyms
from harkd.options import Data, Distill, Machine, Pair, Train, identity
from harkd.parts import cut_of, windows_of
from harkd.progress import Quiet
from harkd.training import Session, distill, student_of, train


def design_of(pair: Pair, study: Study, session: Session) -> Design:
    """The design that options ask for, of the data as they are here."""
    return Design.of(pair, study, folds_of_data(pair, study, session))


def folds_of_data(pair: Pair, study: Study, session: Session) -> tuple[str, ...]:
    """The splits that options ask for."""
    windows = session.windows(pair)
    return folds_of(pair, study, windows, pseudonyms(windows))


def share_data(data: Data, session: Session) -> None:
    """Prepare the data once for all workers, who then open the copy and read no files. Without room for it each reads them."""
    windows = session.windows(data)
    key = cache.key(windows.card, folder_of(windows.card, data.data_folder or None), cut_of(data), data.prepare)
    if cache.place(windows.card, key).is_dir():
        return
    try:
        session.display.say(
            f"{windows.card.name} is prepared for all workers: {cache.write(windows, key, lambda: time.sleep(POLL))}"
        )
    except HarkdError as problem:
        session.display.say(f"every worker will read the files of {windows.card.name} itself: {problem}")


def plan(design: Design, session: Session) -> Plan:
    """What has to be trained: every teacher once, then the students.

    Raises:
        UsageError: a level cannot be trained on this data: there is no such net, the card denies what its strategy assumes, or
            its method lacks validation subjects.
    """
    for level in design.levels:
        try:
            student_of(replace(level.options, split=design.folds[0]), session)
        except HarkdError as problem:
            raise UsageError(f"{level.name}: {problem}") from None
    jobs: dict[str, Job] = {}
    students: dict[str, Job] = {}
    for cell in design.cells:
        students[cell.name] = _add(jobs, cell.name, cell.options, session)
    return Plan(design, tuple(jobs.values()), students)


def _add(jobs: dict[str, Job], name: str, options: Train | Distill, session: Session, role: str = "") -> Job:
    """Put a job after those of its teachers and assistants, unless it is there already."""
    if name not in jobs:
        asked = helpers(options, len(session.parts(options).val) > 0) if isinstance(options, Distill) else ()
        needs = [_add(jobs, each.folder, each.training, session, "teacher").name for each in asked if each.training is not None]
        group = _group(options) if isinstance(options, Distill) and asked else ""
        jobs[name] = Job(name, options, tuple(needs), group, role)
    return jobs[name]


def _group(options: Distill) -> str:
    """What two runs have to share to ask their teacher about the same windows."""
    shared = replace(
        options,
        seed=0,
        method="kd",
        method_options=Distill().method_options,
        student="",
        student_sees="all",
        epochs=1,
        rate=1.0,
        curriculum="shuffle",
        peers=0,
        peer="",
        peer_sees="",
        domains="",
    )
    return identity(shared)


def begin(
    machine: Machine,
    runs: Path,
    bank: Path,
    wants_to_stop: Callable[[], bool],
    load: Callable[[Data], Windows] = windows_of,
) -> Work:
    """Make this process a worker: an executor's `Begin`, once it has the first arguments.

    Args:
        runs: takes the runs; a student finds its teacher there.
        bank: takes what teachers answered.
    """
    if machine.threads:
        torch.set_num_threads(machine.threads)
    session = Session(machine, Quiet(), wants_to_stop, load)

    def work(job: Job) -> None:
        session.bank = DrawBank(bank / job.group) if job.group else DrawBank()
        if isinstance(job.options, Train):
            train(job.options, session, runs / job.name, role="teacher")
        else:
            distill(job.options, session, runs / job.name, job.role)

    return work


@dataclass
class Studying:
    """A study at work.

    Attributes:
        retry: try runs again that failed before; else they stay failed.
    """

    pair: Pair
    study: Study
    store: Store
    session: Session
    executor: Executor
    follower: Follower
    retry: bool = False

    def check(self) -> None:
        """Refuse what cannot be done, before anything is written.

        Raises:
            UsageError: see `plan`; or there is nothing to compare.
        """
        if self.study.trials:
            self._base()
        else:
            plan(design_of(self.pair, self.study, self.session), self.session)

    def results(self) -> Results:
        """Do everything that is not done yet.

        Raises:
            Interrupted: the same command goes on.
            HarkdError: the disk is full.
        """
        if self.study.trials:
            design = self._searched()
        else:
            design = design_of(self.pair, self.study, self.session)
        dropped: dict[str, str] = {}
        if self.study.halving:
            for seeds in rungs(self.study.seeds)[:-1]:
                part = design.only([name for name in design.names if name not in dropped], design.seeds[:seeds])
                dropped |= drop(self._done(part), self.study.score, self.study.halving)
        self._done(design.only([name for name in design.names if name not in dropped]))
        self.store.write_design(design, dropped)
        return self.store.results(design, dropped=dropped)

    def _done(self, design: Design) -> Results:
        """Train what a design lacks."""
        planned = plan(design, self.session)
        finished = {job.name for job in planned.jobs if self.store.run(job.name).finished}
        failed = {} if self.retry else {name: failure.reason for name, failure in self.store.failures().items()}
        self.follower.planned(planned, finished)
        keeping = _Keeping(self.store, planned, finished, self.follower)
        interrupted = self.session.interrupted
        coordinate(planned.jobs, self.executor, keeping, finished=finished, failed=failed, interrupted=interrupted)
        return self.store.results(design)

    def _base(self) -> tuple[dict[str, str], list[Dimension]]:
        """What a search begins from, as text by option, and its space."""
        factors = factors_of(self.pair, self.study)
        if several := [factor.option for factor in factors if len(factor.levels) > 1]:
            raise UsageError(f"--trials compares the best one it finds with what you give: give one {several[0]}, not several")
        base = {factor.option: next(iter(factor.values.values())) for factor in factors}
        level_options(self.pair, base)
        return base, [Dimension.parse(text) for text in self.study.search]

    def _searched(self) -> Design:
        """The design of a search: the configuration that was given, and the best one that was found on validation subjects."""
        base, space = self._base()
        folds = folds_of_data(self.pair, self.study, self.session)
        control = Level(self.study.control or "as given", level_options(self.pair, base))

        def score(asked: Sequence[tuple[int, Mapping[str, str]]]) -> list[float | None]:
            levels = [Level(f"trial {number + 1}", level_options(self.pair, {**base, **chosen})) for number, chosen in asked]
            found = self._done(Design(tuple(levels), levels[0].name, folds, (self.pair.seed,)))
            return [_validation(found, level.name, self.study.score) for level in levels]

        told = search(Sampler(space, self.pair.seed), self.study.trials, score)
        self.store.write_trials(told)
        good = [(value, chosen) for chosen, value in told if value is not None]
        if not good:
            raise HarkdError(f"none of {len(told)} trials could be trained: see the reasons in {self.store.folder / 'failed'}")
        value, chosen = max(good, key=lambda each: each[0])
        best = Level(f"best of {len(told)} trials", level_options(self.pair, {**base, **chosen}))
        words = ", ".join(f"{option} {text}" for option, text in chosen.items())
        note = f"{best.name}: {words}; {100 * value:.1f} % on validation subjects, on which it was chosen with one seed"
        seeds = tuple(range(self.pair.seed, self.pair.seed + self.study.seeds))
        return Design((control, best), control.name, folds, seeds, (note,))


def _validation(results: Results, level: str, metric: str) -> float | None:
    """Mean score of a level on validation subjects; None if a run of it failed."""
    if len(results.of(level)) < len(results.design.folds):
        return None
    found = results.by_subject(level, metric, "validation")
    if not found:
        raise UsageError("a search is judged on validation subjects, and these folds have none: choose other --folds")
    return fmean(found.values())


class _Keeping:
    """Keeps the store up to date while jobs end, and passes everything on."""

    def __init__(self, store: Store, planned: Plan, finished: Collection[str], follower: Follower) -> None:
        self.store, self.plan, self.other = store, planned, follower
        self._left = Counter(job.group for job in planned.jobs if job.name not in finished)

    def planned(self, plan: Plan, finished: Collection[str]) -> None:
        self.other.planned(plan, finished)

    def began(self, job: Job) -> None:
        self.other.began(job)

    def ended(self, job: Job, end: Ended) -> None:
        if end.error:
            self.store.fail(Failure(job.name, end.error, end.detail))
        else:
            self.store.forget_failure(job.name)
        self._left[job.group] -= 1
        if job.group and not self._left[job.group]:
            self.store.drop_bank(job.group)
        self.other.ended(job, end)

    def tick(self) -> None:
        self.other.tick()
