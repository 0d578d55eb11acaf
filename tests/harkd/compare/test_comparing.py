"""A study from options to results, with real runs of made-up people."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harkd.compare.design import Design
from harkd.compare.executors import Work
from harkd.compare.jobs import Job
from harkd.compare.options import Study
from harkd.compare.plan import Plan
from harkd.compare.results import Results, table
from harkd.comparing import Studying, design_of, plan, share_data
from harkd.datasets import cache
from harkd.errors import HarkdError, UsageError
from harkd.options import Distill, Machine, Pair, Train
from harkd.progress import Quiet
from harkd.training import Session, distill

MACHINE = Machine(device="cpu")


# Plans


def planned(pair: Pair, session: Session, **asked: Any) -> Plan:
    return plan(design_of(pair, Study(**{"folds": "2", "seeds": 2} | asked), session), session)


def test_a_teacher_is_trained_once_for_all_levels_and_seeds_of_a_fold(pair: Pair, session: Session) -> None:
    found = planned(replace(pair, method="kd,ce"), session)
    assert len(found.design.cells) == 2 * 2 * 2 * 2
    assert [job.options.split for job in found.helpers] == ["kfold:2/0", "kfold:2/1"]
    assert len(found.jobs) == 2 + 16
    done: set[str] = set()
    for job in found.jobs:
        assert done.issuperset(job.needs)
        done.add(job.name)
    for cell in found.design.cells:
        student = found.students[cell.name]
        assert (student.name, student.options) == (cell.name, cell.options)
        teachers = [job.name for job in found.helpers if job.options.split == cell.fold]
        assert list(student.needs) == (teachers if cell.options.method == "kd" else [])
    assert found.levels_of(found.helpers[0].name) == ("none/kd", "rotate(20)/kd")
    assert found.levels_of(found.design.cells[0].name) == ("none/kd",)


def test_groups_are_of_those_who_ask_their_teacher_the_same(pair: Pair, session: Session) -> None:
    found = planned(replace(pair, method="kd,ce,eskd", student="dscnn-xs,dscnn-s"), session, vary=("kd.weight=0.5,0.9",))
    groups: dict[tuple[str, ...], set[str]] = {}
    for cell in found.design.cells:
        taught = "labels" if cell.options.method == "ce" else "teacher"
        groups.setdefault((taught, cell.options.augment, cell.fold), set()).add(found.students[cell.name].group)
    for (taught, *_), names in groups.items():
        assert names == {""} if taught == "labels" else len(names) == 1
    asked = [next(iter(names)) for (taught, *_), names in groups.items() if taught == "teacher"]
    assert len(set(asked)) == len(asked) == 2 * 2
    assert "" not in asked
    assert all(job.group == "" for job in found.helpers)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"student": "dscnn-xs,dscnnn-s"}, "unknown net 'dscnnn-s': did you mean 'dscnn-s'?"),
        ({"teacher": "dscnn-s,dscnnn-m"}, "unknown net 'dscnnn-m': did you mean "),
        ({"augment": "none,permutation(4)"}, "permutation"),
        ({"student_sees": "ankle"}, "ankle"),
        ({"method": "kd,eskd", "split": "blind"}, "method 'eskd' stops its teacher on validation subjects, and split 'blind'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(
    world: Any, tmp_path: Path, pair: Pair, session: Session, changed: dict[str, str], message: str
) -> None:
    denied = world.other_card(tmp_path, ("rotation = true", "rotation = true\norder = false\nreversal = false"))
    if "augment" in changed:
        pair = replace(pair, data=str(denied))
    with pytest.raises(HarkdError) as caught:
        planned(replace(pair, **changed), session, folds="split" if "split" in changed else "2")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Data


def test_the_data_are_prepared_once(pair: Pair, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    share_data(pair, session)
    (copy,) = (tmp_path / "cache" / "prepared").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write", lambda *more: pytest.fail("it is there already"))
        share_data(pair, Session(MACHINE, Quiet()))
    opened = Session(MACHINE, Quiet()).windows(pair)
    assert opened.ids.tolist() == session.windows(pair).ids.tolist()
    assert copy.is_dir()


def test_without_room_for_a_copy_workers_read_the_files(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    session = Session(MACHINE, Quiet())
    monkeypatch.setattr(session.display, "say", said.append)
    share_data(pair, session)
    assert len(said) == 1
    assert said[0].startswith("every worker will read the files of swings itself: cannot ")


# Results


def test_a_study_trains_what_distill_would(studying: Any, session: Session, tmp_path: Path) -> None:
    """To the last bit of every score, though its students share a session, a teacher and a bank."""
    study, executor = studying(seeds=2)
    found = study.results()
    assert (found.complete, found.failed, len(found.finished)) == (True, (), 8)
    assert len(executor.begun) == 8 + 2
    for cell in (found.design.cells[0], found.design.cells[-1]):
        alone = distill(cell.options, Session(MACHINE, Quiet()), tmp_path / "alone" / cell.name)
        told, mine = (run.read_json("result.json") for run in (alone, study.store.run(cell.name)))
        assert {**told, "seconds": 0} == {**mine, "seconds": 0}
    assert sorted({score.subject for run in found.finished for score in run.trained.test.subjects}) == [
        f"person-{n}" for n in range(1, 6)
    ]
    assert len({run.trained.test.nll for run in found.finished}) == 8


def test_what_is_finished_is_not_trained_again(studying: Any) -> None:
    first, executor = studying()
    before = first.results()
    assert len(executor.begun) == 4 + 2
    again, executor = studying()
    assert table(again.results()) == table(before)
    assert (executor.begun, again.follower.finished) == ([], {*before_names(before), *teachers(before, first)})


def before_names(results: Results) -> set[str]:
    return {cell.name for cell in results.design.cells}


def teachers(results: Results, study: Studying) -> set[str]:
    return {job.name for job in plan(results.design, study.session).helpers}


def test_a_new_level_and_a_new_seed_train_only_what_is_new(studying: Any) -> None:
    first, _ = studying()
    before = first.results()
    wider, executor = studying(augment="none,rotate(20),jitter(0.1)", seeds=2)
    after = wider.results()
    new = [cell for cell in after.design.cells if cell.seed == 1 or cell.level == "jitter(0.1)"]
    assert sorted(executor.names) == sorted(cell.name for cell in new)
    assert set(table(before).splitlines()) < set(table(after).splitlines())


def broken(work: Work, job: Job) -> None:
    """Rotated windows break the run."""
    if isinstance(job.options, Distill) and job.options.augment != "none":
        raise HarkdError("its loss is not finite")
    work(job)


def test_a_run_that_failed_is_not_tried_again_unless_asked_to(studying: Any) -> None:
    first, _ = studying(work=broken)
    found = first.results()
    assert [(each.levels, each.reason) for each in found.failed] == [(("rotate(20)",), "its loss is not finite")] * 2
    assert (found.levels, found.complete) == (("none",), False)
    second, executor = studying()
    assert (second.results().failed, executor.begun) == (found.failed, [])
    third, executor = studying(retry=True)
    after = third.results()
    assert sorted(executor.names) == sorted(each.name for each in found.failed)
    assert (after.failed, after.complete) == ((), True)
    assert list((third.store.folder / "failed").iterdir()) == []


def test_a_teacher_that_fails_costs_its_students_and_nobody_else(studying: Any) -> None:
    def work(do: Work, job: Job) -> None:
        if isinstance(job.options, Train) and job.options.split == "kfold:2/0":
            raise ValueError("a mistake")
        do(job)

    study, _ = studying(work=work)
    found = study.results()
    (teacher,) = [name for name in study.follower.failed if name.startswith("teacher-")]
    assert [each.reason for each in found.failed] == [f"its teacher {teacher} failed: ValueError: a mistake"] * 2
    assert {run.cell.fold for run in found.finished} == {"kfold:2/1"}
    told = json.loads((study.store.folder / "failed" / f"{teacher}.json").read_text())
    assert "Traceback" in told["detail"]


@pytest.mark.parametrize("fails", [False, True])
def test_answers_of_teachers_go_when_nobody_asks_for_them_any_more(studying: Any, fails: bool) -> None:
    """Whether the last who could ask was finished or failed."""
    seen: list[int] = []

    def look(job: Job) -> None:
        seen.append(len(list((study.store.bank).glob("*"))))

    def work(do: Work, job: Job) -> None:
        do(job)
        if fails and job.options.seed == 1:
            raise HarkdError("broken")

    study, _ = studying(seeds=2, look=look, work=work)
    study.results()
    assert max(seen) > 0
    assert list(study.store.bank.glob("*")) == []


# Halving and search


def test_what_halving_leaves_out_is_not_trained_with_all_seeds(studying: Any) -> None:
    study, executor = studying(augment="none,rotate(20),jitter(0.1),jitter(3.0)", seeds=2, halving=4)
    found = study.results()
    (kept,) = set(found.design.names) - set(found.dropped) - {"none"}
    assert len(found.dropped) == 2
    first, second = (
        {cell.level for cell in found.design.cells if cell.seed == seed and cell.name in executor.names} for seed in (0, 1)
    )
    assert (first, second) == (set(found.design.names), {"none", kept})
    gains = {level: mean_gain(found, level) for level in found.design.names if level != "none"}
    assert gains[kept] == max(gains.values())
    assert (found.levels, found.complete) == (tuple(name for name in found.design.names if name in ("none", kept)), True)
    again, executor = studying(augment="none,rotate(20),jitter(0.1),jitter(3.0)", seeds=2, halving=4)
    assert (again.results().dropped, executor.begun) == (found.dropped, [])


def mean_gain(results: Results, level: str) -> float:
    """Against the control on validation subjects, with the first seed."""
    first = Results(results.design, tuple(run for run in results.finished if run.cell.seed == 0))
    mine, other = (first.by_subject(name, "accuracy", "validation") for name in (level, "none"))
    return sum(mine[name] - other[name] for name in mine) / len(mine)


def test_a_search_compares_the_best_trial_with_what_was_given(studying: Any) -> None:
    pytest.importorskip("optuna")
    asked = {"augment": "none", "trials": 3, "search": ("rate=1e-5..0.1:log", "augment=none,jitter(0.1)"), "method": "ce"}
    study, executor = studying(**asked)
    found = study.results()
    assert (found.design.names, found.design.control) == (("as given", "best of 3 trials"), "as given")
    rows = list(csv.DictReader((study.store.folder / "trials.csv").read_text().splitlines()))
    best = max(rows, key=lambda row: float(row["validation"]))
    options = found.design.levels[1].options
    assert (options.rate, options.augment) == (float(best["rate"]), best["augment"])
    assert found.design.notes == (
        f"best of 3 trials: rate {best['rate']}, augment {best['augment']}; {100 * float(best['validation']):.1f} % on "
        "validation subjects, on which it was chosen with one seed",
    )
    assert len(executor.begun) == 3 * 2 + 2
    again, executor = studying(**asked)
    assert (table(again.results()), executor.begun) == (table(found), [])


def test_a_search_in_which_everything_fails_says_where_the_reasons_are(studying: Any) -> None:
    pytest.importorskip("optuna")

    def work(do: Work, job: Job) -> None:
        raise HarkdError("its loss is not finite")

    study, _ = studying(work=work, augment="none", trials=2, search=("rate=1..2",), method="ce")
    with pytest.raises(HarkdError, match=r"^none of 2 trials could be trained: see the reasons in .*failed$"):
        study.results()


def test_a_search_from_several_levels_is_refused(studying: Any) -> None:
    study, executor = studying(trials=2, search=("rate=1..2",))
    with pytest.raises(
        UsageError, match=r"^--trials compares the best one it finds with what you give: give one augment, not several$"
    ):
        study.check()
    assert executor.begun == []


def test_a_search_needs_validation_subjects(studying: Any) -> None:
    pytest.importorskip("optuna")
    study, _ = studying(augment="none", trials=1, search=("rate=0.01..0.1",), method="ce", split="blind", folds="split")
    with pytest.raises(
        UsageError, match=r"^a search is judged on validation subjects, and these folds have none: choose other --folds$"
    ):
        study.results()


def test_the_design_that_was_asked_for_is_kept(studying: Any) -> None:
    study, _ = studying()
    found = study.results()
    kept: tuple[Design, dict[str, str]] = study.store.design()
    assert kept == (found.design, {})
