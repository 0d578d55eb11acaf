"""The cast of a run: who is trained before the student, as which runs, who shares them, and which casts are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harkd import training
from harkd.cast import FIRST_GENERATION, Helper, helpers
from harkd.errors import UsageError
from harkd.methods import METHODS
from harkd.options import METHOD_OPTIONS, PKT, Distill, Machine, Train
from harkd.progress import Quiet
from harkd.training import Session, distill

WITH_ASSISTANTS = [key for key, entry in METHODS.items() if entry.assistants[1] != 0 and not entry.own_teacher]


def asked(method: str = "kd", own: dict[str, Any] | None = None, **more: Any) -> Distill:
    return Distill(method=method, method_options=METHOD_OPTIONS[method](**(own or {})), **more)


def cast_of(options: Distill) -> tuple[Helper, ...]:
    return helpers(options, validates=True)


def folders(options: Distill) -> list[str]:
    return [helper.folder for helper in cast_of(options)]


# Which runs there are


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another seed": {"seed": 3, "augment_seed": 4},
    "a strategy": {"augment": "jitter(0.1)", "draws": 4, "teacher_augment": "clean"},
    "consistency": {"augment": "jitter(0.1)", "consistency": 12.0},
    "a curriculum": {"curriculum": "iskd"},
    "what is kept": {"keep_epochs": (1, 2), "patience": 3, "select": "best"},
    "other sensors": {"student_sees": "acc", "teacher_sees": "acc,gyro"},
}
BEFORE = {
    **{
        key: {"assistants": "wrn1d-16-2,wrn1d-16-1" if METHODS[key].assistants[1] is None else "wrn1d-16-2"}
        for key in WITH_ASSISTANTS
    },
    "selfkd": {"own": {"generations": 4}},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", BEFORE)
def test_whoever_teaches_an_assistant_is_in_the_students_cast_too(method: str, change: str) -> None:
    """The cast of assistant or generation n is the student's up to n: no link of a chain is trained twice, in two ways."""
    found = cast_of(asked(method, **BEFORE[method], **CHANGES[change]))
    assert len(found) >= 2
    for place, helper in enumerate(found):
        assert helper.name == ("teacher" if not place else f"assistant-{place}")
        if isinstance(helper.training, Distill):
            assert folders(helper.training) == [each.folder for each in found[:place]]
        else:
            assert place == 0


@pytest.mark.parametrize("method", [*BEFORE, "kd", "camkd"])
def test_students_that_differ_in_their_own_training_share_their_cast(method: str) -> None:
    more = BEFORE.get(method, {"teacher": "wrn1d-16-1 & wrn1d-16-2"} if method == "camkd" else {})
    first = asked(method, **more)
    shared = {
        "seed": 7,
        "augment_seed": 2,
        "augment": "rotate(20)",
        "consistency": 1.0,
        "draws": 3,
        "epochs": 9,
        "patience": 4,
        "select": "best",
        "keep_epochs": (2,),
        "curriculum": "self-paced",
    }
    for name, value in shared.items():
        assert folders(replace(first, **{name: value})) == folders(first), name
    apart = {
        "teacher_seed": 1,
        "teacher_epochs": 9,
        "teacher_patience": 3,
        "teacher_strategy": "rotate(20)",
        "batch": 32,
        "rate": 0.01,
        "split": "kfold:3/1",
        "window": 32,
        "precision": "bfloat16",
    }
    for name, value in apart.items():
        assert not set(folders(replace(first, **{name: value}))) & set(folders(first)), name


def test_methods_share_their_teachers_and_first_assistants() -> None:
    """The first assistant has the teacher alone, whom dgkd and ceskd could only ask as takd does."""
    chain = {key: folders(asked(key, **BEFORE[key])) for key in ("takd", "dgkd", "ceskd")}
    assert chain["takd"] == chain["ceskd"]
    assert chain["dgkd"][:2] == chain["takd"][:2]
    assert chain["dgkd"][2] != chain["takd"][2]
    two = {key: folders(asked(key, teacher="wrn1d-16-1 & wrn1d-16-2")) for key in ("camkd", "amtml", "average")}
    assert len({tuple(each) for each in two.values()}) == 1
    for place, net in enumerate(("wrn1d-16-1", "wrn1d-16-2")):
        for key in ("kd", "fitnet", "takd"):
            assert folders(asked(key, teacher=net)) == [two["camkd"][place]]
    softer = folders(asked("dgkd", {"temperature": 8.0}, **BEFORE["dgkd"]))
    assert softer[0] == chain["dgkd"][0]
    assert not set(softer[1:]) & set(chain["dgkd"][1:]), "assistants learn with the student's temperature"


def test_assistants_of_indistill_learn_by_pkt() -> None:
    options = asked(
        "indistill", {"temperature": 3.0, "pkt_weight": 7.0, "turns": (1, 2)}, assistants="dscnn-m", curriculum="iskd"
    )
    _, helper = cast_of(options)
    made = helper.training
    assert isinstance(made, Distill)
    assert (made.method, made.method_options) == ("pkt", PKT(temperature=3.0, pkt_weight=7.0))
    assert (made.assistants, made.curriculum, made.student) == ("", "shuffle", "dscnn-m")


def test_generations_begin_with_weights_of_their_own() -> None:
    found = cast_of(asked("selfkd", {"generations": 3}, seed=5, teacher_seed=2))
    assert [helper.training.seed for helper in found if helper.training] == [FIRST_GENERATION + 2 + n for n in range(3)]
    assert len({helper.folder for helper in found}) == 3
    longer = cast_of(asked("selfkd", {"generations": 4}, seed=6, teacher_seed=2))
    assert longer[:3] == found, "and one more generation is one more run"
    assert cast_of(asked("selfkd", {"generations": 0})) == cast_of(asked("ce")) == ()


def test_teachers_by_folder_and_by_net_in_their_order(tmp_path: Path) -> None:
    found = cast_of(asked("camkd", teacher=f"{tmp_path} & wrn1d-16-1 & wrn1d-16-2", teacher_sees="all & acc & gyro"))
    assert [(each.name, each.source, each.sees) for each in found] == [
        ("teacher-1", str(tmp_path), "all"),
        ("teacher-2", "wrn1d-16-1", "acc"),
        ("teacher-3", "wrn1d-16-2", "gyro"),
    ]
    assert found[0].training is None
    assert [each.training.sees for each in found[1:] if isinstance(each.training, Train)] == ["acc", "gyro"]


def test_teachers_who_begin_with_the_student_are_not_trained_before() -> None:
    for key, entry in METHODS.items():
        if entry.teachers[1] == 1 and not entry.own_teacher:
            (teacher,) = cast_of(asked(key))
            assert (teacher.training is None) == (entry.role == "online"), key


# Real runs


@pytest.fixture
def session() -> Session:
    return Session(Machine(device="cpu"), Quiet())


@pytest.fixture
def short(world: Any) -> Callable[..., Distill]:
    """Runs of an epoch, which is three steps."""

    def make(method: str, own: dict[str, Any] | None = None, **more: Any) -> Distill:
        same = {"data": str(world.card), "data_folder": str(world.folder), "student": "dscnn-xs", "teacher": "wrn1d-10-1"}
        return asked(method, own, **same | {"epochs": 1, "teacher_epochs": 1, "batch": 12} | more)

    return make


def told(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def test_a_chain_of_assistants_is_a_row_of_runs(short: Any, session: Session, tmp_path: Path) -> None:
    options = short("takd", assistants="dscnn-m,dscnn-s", epochs=2)
    run = distill(options, session, tmp_path / "student")
    found = cast_of(options)
    assert {path.name for path in tmp_path.iterdir()} == {"student", *(helper.folder for helper in found)}
    results = [told(tmp_path / helper.folder) for helper in found]
    assert [(each["role"], each["method"], each["net"]) for each in results] == [
        ("teacher", "ce", "wrn1d-10-1"),
        ("teacher", "takd", "dscnn-m"),
        ("teacher", "takd", "dscnn-s"),
    ]
    ids = [each["identity"] for each in results]
    assert [each.get("teacher_identity", "") for each in results] == ["", ids[0], f"{ids[0]} {ids[1]}"]
    assert told(run.folder)["teacher_identity"] == " ".join(ids)
    assert told(run.folder)["label"] == "dscnn-xs distilled (takd) from wrn1d-10-1"
    plain = replace(short("kd", epochs=2), teacher=str(tmp_path / found[-1].folder))
    alone = distill(plain, session, tmp_path / "plain")
    assert (run.folder / "last.safetensors").read_bytes() == (alone.folder / "last.safetensors").read_bytes()


def test_what_was_trained_once_serves_all(short: Any, session: Session, tmp_path: Path) -> None:
    """Another seed, another method and one more generation train only what there is not."""

    def new(options: Distill) -> list[str]:
        before = {path.name for path in tmp_path.iterdir()}
        student = distill(options, session, tmp_path / f"student-{len(before)}")
        made = [path for path in tmp_path.iterdir() if path.name not in before and path != student.folder]
        assert student.finished
        return sorted(path.name.rpartition("-")[0] for path in made)

    chain = {"assistants": "dscnn-m,dscnn-s"}
    assert new(short("takd", **chain)) == ["assistant-dscnn-m", "assistant-dscnn-s", "teacher-wrn1d-10-1"]
    assert new(short("takd", seed=1, augment="jitter(0.1)", consistency=1.0, **chain)) == []
    assert new(short("dgkd", **chain)) == ["assistant-dscnn-s"]
    assert new(short("ceskd", **chain)) == []
    assert new(short("indistill", assistants="dscnn-m")) == ["assistant-dscnn-m"]
    assert new(short("average", teacher="dscnn-s & wrn1d-10-1")) == ["teacher-dscnn-s"]
    assert new(short("kd", teacher="dscnn-s")) == []
    assert new(short("selfkd", {"generations": 2})) == ["assistant-dscnn-xs", "teacher-dscnn-xs"]
    assert new(short("selfkd", {"generations": 3}, seed=1)) == ["assistant-dscnn-xs"]


# Casts that are refused


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("amtml", {}, "amtml needs at least two teachers, got one"),
        ("amtml", {"teacher": ""}, "amtml needs at least two teachers, got none"),
        ("kd", {"teacher": "dscnn-s & dscnn-m"}, "kd needs one teacher, got two"),
        ("kd", {"teacher": ""}, "kd needs one teacher, got none"),
        ("kd", {"assistants": "dscnn-m"}, "kd needs no assistants, got one"),
        ("ce", {"assistants": "dscnn-m,dscnn-s"}, "ce needs no assistants, got two"),
        ("indistill", {"assistants": "dscnn-m,dscnn-s"}, "indistill needs at most one assistant, got two"),
        (
            "selfkd",
            {"assistants": "dscnn-m"},
            "selfkd takes the student's own net for assistants: leave --assistants dscnn-m out",
        ),
        ("kd", {"peers": 3}, "kd needs no peers, got three"),
        ("ce", {"peers": 1}, "ce needs no peers, got one"),
        ("camkd", {"teacher": "dscnn-s & dscnn-m", "domains": "gyro"}, "camkd needs no domains, got one"),
        ("ummkd", {}, "ummkd needs at least one domain, got none"),
        (
            "camkd",
            {"teacher": "dscnn-s & dscnn-m", "teacher_sees": "all & acc & gyro"},
            "2 teachers, and 3 texts of what they see: give one for all, or one for each",
        ),
        (
            "takd",
            {"assistants": "dscnn-m,dscnn-s,dscnn-xs", "assistants_see": "all & acc"},
            "3 assistants, and 2 texts of what they see: give one for all, or one for each",
        ),
        ("takd", {"assistants": "dscnn-m,dscnnn-s"}, "unknown net 'dscnnn-s': did you mean 'dscnn-s'?"),
        ("dml", {"peer": "dscnnn-s"}, "unknown net 'dscnnn-s': did you mean 'dscnn-s'?"),
    ],
)
def test_a_cast_that_does_not_fit_is_refused_before_any_data_is_read(
    short: Any, tmp_path: Path, method: str, more: dict[str, Any], message: str
) -> None:
    session = Session(Machine(device="cpu"), Quiet(), load=lambda data: pytest.fail("data were read"))
    with pytest.raises(UsageError) as caught:
        distill(short(method, **more), session, tmp_path / "student")
    assert str(caught.value).partition(" (choose from ")[0] == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("kd", {"teacher": "dscnnn-m"}, "unknown net 'dscnnn-m': did you mean 'dscnn-m'?"),
        ("camkd", {"teacher": "dscnn-s & dscnnn-m"}, "unknown net 'dscnnn-m': did you mean 'dscnn-m'?"),
        ("camkd", {"teacher": "dscnn-s & dscnn-m", "teacher_sees": "all & ac"}, "unknown sensor 'ac': did you mean 'acc'?"),
        ("takd", {"assistants": "dscnn-m", "assistants_see": "gyr"}, "unknown sensor 'gyr': did you mean 'gyro'?"),
        ("takd", {"assistants": "wrn1d-11-1"}, "wrn1d-11-1: the depth is 6 n + 4"),
        ("bdkd", {"teacher": "wrn1d-11-1"}, "wrn1d-11-1: the depth is 6 n + 4"),
    ],
)
def test_a_mistake_in_anybody_is_told_before_somebody_is_trained(
    short: Any, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, more: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(training, "fit", lambda *args, **more: pytest.fail("somebody was trained"))
    with pytest.raises(UsageError) as caught:
        distill(short(method, **more), session, tmp_path / "student")
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
