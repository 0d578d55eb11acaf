"""Studies of made-up runs with known scores: what a run directory of each would hold, without the training; and real ones, of
made-up people, by an executor in this process that does one job at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harkd.compare.design import Cell, Design, Level
from harkd.compare.executors import Work, attempt
from harkd.compare.jobs import Ended, Job
from harkd.compare.options import Study
from harkd.compare.plan import Plan
from harkd.compare.results import Failed, Finished, Results
from harkd.compare.store import Store
from harkd.comparing import Studying, begin
from harkd.evaluation import Evaluation, evaluate_probabilities
from harkd.options import CE, Distill, Machine, Pair
from harkd.progress import Quiet
from harkd.report.compared import Compared, Deployed
from harkd.report.record import Trained
from harkd.runs import Run
from harkd.training import Session

CLASSES = ("rest", "walk", "run")
WINDOWS = 20
"""Of each subject: accuracies are twentieths."""
FOLDS = 2
SIZES = {"dscnn-s": Deployed(20000, True), "dscnn-m": Deployed(40000, True)}
"""By net."""
Table = Mapping[str, Sequence[int]]
"""By level: the right answers of each subject, out of `WINDOWS`."""


def evaluation(right: Mapping[str, int]) -> Evaluation:
    """An evaluation in which each subject has so many right answers; a wrong one is the next class, all are 0.7 sure."""
    return _evaluation(tuple(right.items()))


@cache
def _evaluation(pairs: tuple[tuple[str, int], ...]) -> Evaluation:
    right = dict(pairs)
    labels = np.tile(np.arange(WINDOWS) % len(CLASSES), len(right))
    hit = np.concatenate([np.arange(WINDOWS) < number for number in right.values()])
    answers = np.where(hit, labels, (labels + 1) % len(CLASSES))
    probabilities = np.full((len(labels), len(CLASSES)), 0.15)
    probabilities[np.arange(len(labels)), answers] = 0.7
    subjects = np.repeat(list(right), WINDOWS)
    return evaluate_probabilities(probabilities, labels, subjects, CLASSES, {name: name for name in right})


def trained(folder: Path, cell: Cell, test: Mapping[str, int], validation: Mapping[str, int], /, **more: Any) -> Trained:
    """A run directory as training leaves it, read back."""
    options, run = cell.options, Run(folder / "runs" / cell.name)
    distilled = options.method != "ce"
    part = {"windows": WINDOWS * len(test), "subjects": len(test)}
    plain = {
        "role": "distilled" if distilled else "alone",
        "label": f"{options.student} {'distilled' if distilled else 'alone'}",
        "net": options.student,
        "method": options.method,
        "teacher": "wrn1d-16-1 (teacher)" if distilled else "",
        "seed": options.seed,
        "parameters": 4911 if options.student == "dscnn-s" else 12000,
        "weights_bytes": 22000,
        "updates": 300,
        "epochs": 60,
        "selected": "last",
        "augment": options.augment,
        "sees": options.student_sees,
        "split": {"name": options.split, "train": part, "val": part, "test": part},
        "seconds": 41.0,
        "fingerprint": options.split,
        "validation": evaluation(validation).to_dict() if validation else None,
        "test": evaluation(test).to_dict(),
        "options": asdict(options),
        "command": "harkd distill",
        "environment": {"python": "3.11.7"},
        "terms": {
            "data": "made_up",
            "citation": "A. Nobody (2020)",
            "name": "CC-BY-NC-4.0",
            "commercial": False,
            "redistribute": True,
        },
    }
    sensor = {"name": "acc", "kind": "acc", "units": "g", "rate": 50.0, "placement": "wrist"}
    sidecar = {"target": "movement", "rate": 20.0, "length": 64, "channels": 3, "sensors": [sensor]}
    run.folder.mkdir(parents=True)
    for name, content in (("result.json", plain | more), ("last.json", sidecar), ("history.jsonl", {"terms": {"ce": 1.0}})):
        (run.folder / name).write_text(json.dumps(content))
    return Trained.read(run)


def made_up(
    folder: Path,
    table: Table,
    *,
    seeds: int = 2,
    validation: Table | None = None,
    students: Mapping[str, str] | None = None,
    asked: Study | None = None,
    subjects: Sequence[str] | None = None,
    skip: Callable[[Cell], bool] = lambda cell: False,
    more: Callable[[Cell], Mapping[str, Any]] = lambda cell: {},
    failed: Sequence[Failed] = (),
    dropped: Mapping[str, str] | None = None,
    teachers: Sequence[Trained] = (),
) -> Compared:
    """A study of two folds, odd and even subjects, whose scores are the twentieths of `table`, the same for each seed.

    Args:
        table: the first level is the control. A level is AUGMENT or AUGMENT/METHOD.
        validation: right answers on the validation subject, the first of the other fold; `table` by default.
        students: nets by level, dscnn-s by default.
        skip: cells that have no finished run.
        more: what else a run's result says.
    """
    number = len(next(iter(table.values())))
    names = [str(at + 1) for at in range(number)] if subjects is None else list(subjects)
    levels = []
    for name in table:
        augment, _, method = name.partition("/")
        options = (
            Distill(data="made_up", augment=augment, student=(students or {}).get(name, "dscnn-s"), method=method or "kd")
            if method != "ce"
            else Distill(data="made_up", augment=augment, method="ce", method_options=CE(), teacher="wrn1d-16-1")
        )
        levels.append(Level(name, options))
    design = Design(tuple(levels), levels[0].name, tuple(f"kfold:{FOLDS}/{fold}" for fold in range(FOLDS)), tuple(range(seeds)))
    finished = []
    for cell in design.cells:
        if skip(cell):
            continue
        fold = int(cell.fold[-1])
        right = dict(zip(names, table[cell.level], strict=True))
        test = {name: right[name] for at, name in enumerate(names) if at % FOLDS == fold}
        other = next(name for at, name in enumerate(names) if at % FOLDS != fold)
        val = dict(zip(names, (validation or table)[cell.level], strict=True))[other]
        finished.append(Finished(cell, trained(folder, cell, test, {other: val}, **more(cell))))
    results = Results(design, tuple(finished), tuple(failed), dict(dropped or {}))
    asked = replace(asked or Study(), seeds=seeds)
    sizes = {level.name: SIZES[level.options.student] for level in levels}
    return Compared.of(results, asked, sizes, "harkd compare --data made_up", teachers)


@pytest.fixture(scope="session")
def run_directory() -> Callable[..., Trained]:
    """`trained`."""
    return trained


@pytest.fixture(scope="session")
def study() -> Callable[..., Compared]:
    """`made_up`."""
    return made_up


TEN: Table = {
    "none": (10, 11, 12, 13, 14, 10, 11, 12, 13, 14),
    "jeon_mix1": (12, 13, 14, 15, 16, 12, 13, 14, 15, 17),  # 2 of 20 more for each but the last, which has 3: +10.5 points
    "jitter": (9, 12, 12, 13, 13, 10, 12, 11, 13, 14),  # two up, three down: -0.5 points
}


@pytest.fixture(scope="session")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Ten subjects, three levels of one net, two seeds."""
    return made_up(tmp_path_factory.mktemp("ten"), TEN)


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Four subjects: too few for a test."""
    return made_up(tmp_path_factory.mktemp("four"), {level: right[:4] for level, right in TEN.items()})


# Studies that are trained


MACHINE = Machine(device="cpu")


@dataclass
class Here:
    """An executor without processes: `work` is called when somebody asks what has ended."""

    work: Work
    waiting: list[Job] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)

    def submit(self, job: Job) -> bool:
        if self.waiting:
            return False
        self.waiting.append(job)
        self.begun.append(job)
        return True

    def poll(self, seconds: float) -> list[Ended]:
        return [attempt(self.work, self.waiting.pop())] if self.waiting else []

    def cancel(self) -> None:
        self.waiting.clear()

    @property
    def names(self) -> list[str]:
        return [job.name for job in self.begun]


class Notes:
    """A follower who remembers what failed, and whose `look` is called whenever a job has ended."""

    def __init__(self, look: Callable[[Job], None] = lambda job: None) -> None:
        self.look, self.failed = look, dict[str, str]()

    def planned(self, plan: Plan, finished: Collection[str]) -> None:
        self.finished = set(finished)

    def began(self, job: Job) -> None: ...

    def ended(self, job: Job, end: Ended) -> None:
        if end.error:
            self.failed[job.name] = end.error
        self.look(job)

    def tick(self) -> None: ...


@pytest.fixture
def pair(world: Any) -> Pair:
    """The shortest sensible runs: a tenth of a second each."""
    plain = {"student": "dscnn-xs", "teacher": "dscnn-s", "teacher_epochs": 2, "epochs": 6, "batch": 12, "rate": 0.03}
    return Pair(data=str(world.card), data_folder=str(world.folder), augment="none,rotate(20)", **plain)


@pytest.fixture
def session() -> Session:
    return Session(MACHINE, Quiet())


@pytest.fixture
def studying(tmp_path: Path, pair: Pair, session: Session) -> Callable[..., tuple[Studying, Here]]:
    """A study in the folder `study`, and its executor."""

    def build(
        work: Callable[[Work, Job], None] = lambda work, job: work(job),
        look: Callable[[Job], None] = lambda job: None,
        retry: bool = False,
        folder: str = "study",
        **asked: Any,
    ) -> tuple[Studying, Here]:
        store = Store(tmp_path / folder)
        mine = {name: asked.pop(name) for name in list(asked) if name not in {f.name for f in fields(Study)}}
        trained = begin(MACHINE, store.runs, store.bank, lambda: False)
        executor = Here(partial(work, trained))
        study = Study(**{"folds": "2", "seeds": 1} | asked)
        return Studying(replace(pair, **mine), study, store, session, executor, Notes(look), retry), executor

    return build
