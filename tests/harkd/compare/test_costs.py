"""What a study would cost, against what it did."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harkd.compare.options import Study
from harkd.compare.store import Store
from harkd.comparing import design_of, plan
from harkd.costs import costs
from harkd.options import Machine, Pair, Train
from harkd.progress import Quiet
from harkd.training import Session, distill, train


@pytest.fixture
def pair(world: Any) -> Pair:
    plain = {"student": "dscnn-xs", "teacher": "dscnn-s", "teacher_epochs": 2, "teacher_patience": 0, "epochs": 3, "rate": 0.03}
    return Pair(data=str(world.card), data_folder=str(world.folder), method="ce,kd,fitnet", batch=10, **plain)


def test_updates_are_those_that_runs_make(pair: Pair, tmp_path: Path) -> None:
    """24 training windows in batches of 10: three updates an epoch."""
    session, store = Session(Machine(device="cpu"), Quiet()), Store(tmp_path / "study")
    planned = plan(design_of(pair, Study(folds="2", seeds=2), session), session)
    found = {cost.what: cost for cost in costs(planned, store, session)}
    assert {name: (cost.runs, cost.there) for name, cost in found.items()} == {
        "teacher dscnn-s": (2, 0),
        "ce": (4, 0),
        "kd": (4, 0),
        "fitnet": (4, 0),
    }
    assert not store.folder.exists()  # measuring leaves nothing behind
    for job in planned.jobs[: planned.jobs.index(planned.students[planned.design.cells[2].name]) + 1]:
        run = (train if isinstance(job.options, Train) else distill)(job.options, session, store.runs / job.name)  # type: ignore[operator]
        what = "teacher dscnn-s" if isinstance(job.options, Train) else job.options.method
        assert found[what].updates == run.result()["updates"]
        assert 0 < found[what].seconds < 60
    after = {cost.what: (cost.runs, cost.there) for cost in costs(planned, store, session)}
    assert after == {"teacher dscnn-s": (2, 1), "ce": (4, 1), "kd": (4, 1), "fitnet": (4, 1)}


def test_a_few_windows_are_enough_to_measure(pair: Pair, tmp_path: Path) -> None:
    """A batch larger than all windows: one update an epoch."""
    session = Session(Machine(device="cpu"), Quiet())
    planned = plan(design_of(replace(pair, batch=512, method="ce,kd"), Study(folds="2", seeds=1), session), session)
    found = costs(planned, Store(tmp_path), session)
    assert [(cost.updates, cost.seconds > 0) for cost in found] == [(2, True), (3, True), (3, True)]
