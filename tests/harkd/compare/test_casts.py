"""Studies of methods that need different casts: labels alone, a chain of assistants, peers, and two teachers, in one design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pytest

from harkd.cast import helpers, net_of
from harkd.compare.design import Design, level_options
from harkd.compare.executors import GIB, Local
from harkd.compare.options import Study
from harkd.compare.plan import Plan
from harkd.compare.results import table
from harkd.compare.store import Store
from harkd.comparing import begin, design_of, plan
from harkd.concluding import read_study
from harkd.errors import Interrupted, UsageError
from harkd.methods import METHODS
from harkd.options import Distill, Machine, Pair, SelfKD, Train, identity
from harkd.training import Session

METHOD = "ce,takd,dml,camkd"
FOUR = {"method": METHOD, "augment": "none", "teacher": "dscnn-s & wrn1d-10-1", "assistants": "dscnn-m", "folds": "2", "seeds": 1}
SHORT = {"epochs": 2, "teacher_epochs": 1}


# Levels


def chosen(method: str, **more: Any) -> Distill:
    given = {"augment": "none", "student": "dscnn-xs", "teacher": "a & b & c", "method": method}
    return level_options(Pair(teacher_sees="acc & gyro & all", assistants="dscnn-m", **more), given)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_takes_as_many_of_the_teachers_as_it_can(method: str) -> None:
    """The first ones; and nobody whom it has no use for."""
    entry, found = METHODS[method], chosen(method, peers=2, peer="dscnn-s", domains="gyro")
    if entry.own_teacher or entry.teachers[1] == 0:
        assert (found.teacher, found.teacher_sees) == (Distill().teacher, Distill().teacher_sees)
    elif entry.teachers[1] is None:
        assert found.teachers == (("a", "acc"), ("b", "gyro"), ("c", "all"))
    else:
        assert entry.teachers[1] == 1
        assert found.teachers == (("a", "acc"),)
    assert found.assistants == ("dscnn-m" if entry.assistants[1] != 0 and not entry.own_teacher else "")
    assert (found.peers, found.peer) == ((2, "dscnn-s") if entry.peers[1] != 0 else (0, ""))
    assert found.domains == ("gyro" if entry.domains[1] != 0 else "")


def test_the_paths_over_three_assistants_are_eight() -> None:
    """Any of them or none, in their order; paths that begin alike share their beginning, so 1 + 7 nets teach."""
    nets = "dscnn-xl,dscnn-l,dscnn-m"
    study = Study(vary=(f"assistants=paths({nets})",), seeds=1)
    found = Design.of(Pair(method="takd", augment="none", student="dscnn-xs"), study, ("official",))
    assert found.names == ("direct", *nets.split(","), "dscnn-xl,dscnn-l", "dscnn-xl,dscnn-m", "dscnn-l,dscnn-m", nets)
    assert [level.options.assistants for level in found.levels] == ["", *found.names[1:]]
    assert found.control == "direct"
    teachers = {helper.folder for level in found.levels for helper in helpers(level.options, validates=True)}
    assert len(teachers) == 1 + 7


def test_the_first_of_several_teachers_alone_makes_the_same_run() -> None:
    given = {"augment": "none", "student": "dscnn-xs", "method": "kd"}
    alone = level_options(Pair(), given | {"teacher": "dscnn-m"})
    assert identity(level_options(Pair(), given | {"teacher": "dscnn-m & dscnn-l"})) == identity(alone)
    assert identity(level_options(Pair(), given | {"teacher": "dscnn-l & dscnn-m"})) != identity(alone)


def names(pair: Pair, *vary: str) -> tuple[str, ...]:
    return Design.of(pair, Study(vary=vary, seeds=1), ("official",)).names


def test_names_have_a_dash_for_players_that_a_method_lacks() -> None:
    pair = Pair(method="ce,kd,takd,selfkd,dml,camkd", teacher="dscnn-s & dscnn-m,dscnn-m & dscnn-s")
    two = "dscnn-s & dscnn-m", "dscnn-m & dscnn-s"
    taught = [f"{key}/{teacher}" for key in ("kd", "takd", "camkd") for teacher in two]
    assert set(names(pair)) == {"ce/-", "selfkd/-", "dml/-", *taught}
    pair = replace(pair, teacher="dscnn-s & dscnn-m")
    chains = "assistants=dscnn-m; dscnn-m,dscnn-s"
    assert names(pair, chains) == ("ce/-", "kd/-", "takd/dscnn-m", "takd/dscnn-m,dscnn-s", "selfkd/-", "dml/-", "camkd/-")
    assert names(pair, "peers=1,2") == ("ce/-", "kd/-", "takd/-", "selfkd/-", "dml/1", "dml/2", "camkd/-")
    assert names(replace(pair, method="ce,ummkd"), "domains=acc,gyro") == ("ce/-", "ummkd/acc", "ummkd/gyro")
    pair = replace(pair, method="kd,selfkd")
    assert names(pair, "selfkd.generations=1,2") == ("kd/-", "selfkd/1", "selfkd/2")


# Plans


def planned(pair: Pair, session: Session, **asked: Any) -> Plan:
    mine = {name: value for name, value in (FOUR | SHORT | asked).items() if name not in ("folds", "seeds")}
    both = {name: value for name, value in (FOUR | asked).items() if name in ("folds", "seeds")}
    return plan(design_of(replace(pair, **mine), Study(**both), session), session)


def test_teachers_and_assistants_are_jobs_of_their_own(pair: Pair, session: Session) -> None:
    """In both folds two teachers and an assistant, whatever the number of seeds and of methods that ask them."""
    found = planned(pair, session, seeds=2, method=f"{METHOD},kd,dgkd,average")
    assert len(found.jobs) == 2 * 3 + 7 * 2 * 2
    kinds = [job.name.rpartition("-")[0] for job in found.helpers]
    assert sorted(kinds) == sorted(2 * ["teacher-dscnn-s", "teacher-wrn1d-10-1", "assistant-dscnn-m"])
    assert {job.role for job in found.helpers} == {"teacher"}
    done: set[str] = set()
    for job in found.jobs:
        assert done.issuperset(job.needs), "nobody comes before those who teach him"
        done.add(job.name)
    for cell in found.design.cells:
        here = {job.name.rpartition("-")[0]: job.name for job in found.helpers if job.options.split == cell.fold}
        first, second, assistant = (here[f"{name}"] for name in ("teacher-dscnn-s", "teacher-wrn1d-10-1", "assistant-dscnn-m"))
        wanted = {"ce": (), "dml": (), "kd": (first,), "camkd": (first, second), "average": (first, second)}
        assert found.students[cell.name].needs == wanted.get(cell.options.method, (first, assistant))
        assert next(job for job in found.jobs if job.name == assistant).needs == (first,)
    assistant = next(job.name for job in found.helpers if isinstance(job.options, Distill))
    assert found.levels_of(assistant) == ("takd", "dgkd")
    second = next(job.name for job in found.helpers if "wrn1d" in job.name)
    assert found.levels_of(second) == ("camkd", "average")


def test_generations_are_jobs_too(pair: Pair, session: Session) -> None:
    found = planned(pair, session, method="ce,selfkd", folds="split")
    first, *later = found.helpers
    assert len(later) == SelfKD().generations - 1 > 0
    assert [type(job.options) for job in found.helpers] == [Train, *(Distill for _ in later)]
    assert {net_of(job.options) for job in found.helpers} == {"dscnn-xs"}
    for place, job in enumerate([first, *later, found.students[found.design.cells[1].name]]):
        assert job.needs == tuple(each.name for each in found.helpers[:place])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"teacher": "dscnn-s"}, "camkd: camkd needs at least two teachers, got one"),
        ({"assistants": "dscnnn-m"}, "takd: unknown net 'dscnnn-m': did you mean 'dscnn-m'?"),
        ({"assistants_see": "gyr"}, "takd: unknown sensor 'gyr': did you mean 'gyro'?"),
        ({"teacher": "dscnn-s & dscnnn-m"}, "camkd: unknown net 'dscnnn-m': did you mean 'dscnn-m'?"),
        ({"peer": "dscnnn-s"}, "dml: unknown net 'dscnnn-s': did you mean 'dscnn-s'?"),
        (
            {"method": "ce,indistill", "assistants": "dscnn-m,dscnn-s"},
            "indistill: indistill needs at most one assistant, got two",
        ),
        ({"method": "ce,ummkd"}, "ummkd: ummkd needs at least one domain, got none"),
    ],
)
def test_a_cast_that_does_not_fit_is_refused_before_anything_is_trained(
    pair: Pair, session: Session, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(pair, session, **asked)
    assert str(caught.value).partition(" (choose from ")[0] == message


# A real study


def helpers_of(store: Store) -> dict[str, bytes]:
    """What the folders of teachers and assistants hold, and when it was written."""
    paths = [path for kind in ("teacher", "assistant") for path in store.runs.glob(f"{kind}-*/*")]
    return {f"{path.parent.name}/{path.name}": f"{path.stat().st_mtime_ns} ".encode() + path.read_bytes() for path in paths}


def test_a_study_of_four_casts(studying: Callable[..., Any], session: Session) -> None:
    """Each helper is trained once, before those whom it teaches. One stop later two workers go on: they leave finished helpers
    alone and find what one worker found without a stop."""
    asked = FOUR | SHORT | {"folds": "split"}
    study, executor = studying(folder="whole", **asked)
    found = study.results()
    jobs = {job.name: job for job in plan(found.design, session).jobs}
    assert len(executor.names) == len(set(executor.names)) == len(jobs) == 3 + 4
    for place, name in enumerate(executor.names):
        assert set(jobs[name].needs) <= set(executor.names[:place])
    assert (found.complete, found.failed, found.levels) == (True, (), ("ce", "takd", "dml", "camkd"))
    assert {run.cell.level: run.trained.result.label for run in found.finished} == {
        "ce": "dscnn-xs alone",
        "takd": "dscnn-xs distilled (takd) from dscnn-s",
        "dml": "dscnn-xs distilled (dml)",
        "camkd": "dscnn-xs distilled (camkd) from dscnn-s, wrn1d-10-1",
    }
    study.store.write_options(asdict(study.pair) | asdict(study.study))
    assert sorted(each.result.net for each in read_study(study.store.folder).teachers) == ["dscnn-m", "dscnn-s", "wrn1d-10-1"]

    done: list[str] = []
    stopped, _ = studying(folder="stopped", look=lambda job: done.append(job.name), **asked)
    stopped.session = replace(session, interrupted=lambda: len(done) == 4)
    with pytest.raises(Interrupted):
        stopped.results()
    store = stopped.store
    kept, rest = helpers_of(store), [name for name in executor.names if name not in done]
    assert {name.partition("/")[0] for name in kept} == {job.name for job in jobs.values() if job.name in done and job.role}
    assert [bool(jobs[name].role) for name in done].count(True) == 2
    local = Local(partial(begin, Machine(device="cpu"), store.runs, store.bank), 2, 16 * GIB)
    again, _ = studying(folder="stopped", look=lambda job: rest.remove(job.name), **asked)
    try:
        assert table(replace(again, executor=local).results()) == table(found)
    finally:
        local.cancel()
    assert rest == []
    assert kept.items() <= helpers_of(store).items(), "what was finished is as it was, to the time of day"
    assert sorted(path.name for path in store.runs.iterdir()) == sorted(jobs)
    for path in study.store.runs.glob("*/*.safetensors"):
        assert path.read_bytes() == (store.runs / path.parent.name / path.name).read_bytes(), path.parent.name
