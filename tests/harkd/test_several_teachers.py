"""Several teachers on the command line: a flag for each, and for what each of them sees, or all of them in one text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from harkd.commands.cli import parse_run
from harkd.commands.compare import parse_study
from harkd.options import Distill, Pair


def distill(*words: str) -> Distill:
    return parse_run(Distill, "harkd distill", ["--method", "camkd", *words])[0]


def compare(*words: str) -> Pair:
    return parse_study(["--method", "camkd", *words]).run


ONE = "dscnn-m"
TWO = "dscnn-m & dscnn-l"
SPELLINGS: dict[str, tuple[str, list[str]]] = {
    "one": (ONE, ["--teacher", "dscnn-m"]),
    "one, with =": (ONE, ["--teacher=dscnn-m"]),
    "two": (TWO, ["--teacher", "dscnn-m", "--teacher", "dscnn-l"]),
    "two, with =": (TWO, ["--teacher=dscnn-m", "--teacher=dscnn-l"]),
    "one of each": (TWO, ["--teacher=dscnn-m", "--teacher", "dscnn-l"]),
    "the other of each": (TWO, ["--teacher", "dscnn-m", "--teacher=dscnn-l"]),
    "in one text": (TWO, ["--teacher", "dscnn-m & dscnn-l"]),
    "far apart": (TWO, ["--teacher", "dscnn-m", "--epochs", "3", "--teacher-epochs", "4", "--teacher", "dscnn-l", "--seed", "2"]),
    "a text and one more": ("a/b & c & d", ["--teacher", "a/b & c", "--teacher", "d"]),
    "a path with =": ("runs/x=1 & y=2", ["--teacher", "runs/x=1", "--teacher=y=2"]),
    "one twice": ("dscnn-m & dscnn-m", ["--teacher", "dscnn-m", "--teacher", "dscnn-m"]),
    "none": ("", ["--teacher="]),
}


@pytest.mark.parametrize("parse", [distill, compare])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(parse: Callable[..., Pair], spelling: str) -> None:
    wanted, words = SPELLINGS[spelling]
    found = parse(*words)
    assert found.teacher == wanted
    apart = spelling == "far apart"
    assert (found.epochs, found.teacher_epochs, found.seed) == ((3, 4, 2) if apart else (60, 60, 0))


@pytest.mark.parametrize("parse", [distill, compare])
@pytest.mark.parametrize("flag", ["--teacher-sees", "--teacher_sees"])
@pytest.mark.parametrize("equals", [False, True])
def test_what_each_teacher_sees(parse: Callable[..., Pair], flag: str, equals: bool) -> None:
    def given(value: str) -> list[str]:
        return [f"{flag}={value}"] if equals else [flag, value]

    both = parse("--teacher", "a", *given("acc,gyro@20Hz"), "--teacher", "b", *given("gyro[x]"))
    assert both.teachers == (("a", "acc,gyro@20Hz"), ("b", "gyro[x]"))
    assert parse(*given("acc"), *given("gyro"), "--teacher", "a & b").teachers == (("a", "acc"), ("b", "gyro"))
    assert parse("--teacher", "a", "--teacher", "b", *given("acc")).teachers == (("a", "acc"), ("b", "acc"))
    assert parse("--teacher", "a", "--teacher", "b").teachers == (("a", "all"), ("b", "all"))


@pytest.mark.parametrize("parse", [distill, compare])
def test_flags_override_a_recipe(parse: Callable[..., Pair], tmp_path: Path) -> None:
    recipe = tmp_path / "two.toml"
    recipe.write_text(tomli_w.dumps({"method": "camkd", "teacher": "a & b & c", "teacher_sees": "acc & gyro & all"}))
    assert parse("--recipe", str(recipe)).teachers == (("a", "acc"), ("b", "gyro"), ("c", "all"))
    more = parse("--recipe", str(recipe), "--teacher", "d", "--teacher", "e", "--teacher", "f")
    assert more.teachers == (("d", "acc"), ("e", "gyro"), ("f", "all"))
    all_of_it = parse("--teacher", "d", "--recipe", str(recipe), "--teacher=e", "--teacher-sees", "all", "--teacher-sees=acc")
    assert all_of_it.teachers == (("d", "all"), ("e", "acc"))
    assert parse("--recipe", str(recipe), "--teacher", "d", "--teacher-sees", "gyro").teachers == (("d", "gyro"),)


def test_other_flags_still_count_once() -> None:
    """Of a flag that is not of teachers the last one holds, as everywhere."""
    found = distill(
        "--student", "dscnn-s", "--teacher", "a", "--student", "dscnn-xs", "--teacher", "b", "--keep-epochs", "1", "2"
    )
    assert (found.student, found.teacher, found.keep_epochs) == ("dscnn-xs", "a & b", (1, 2))


@pytest.mark.parametrize("command", ["distill", "compare"])
@pytest.mark.parametrize("flag", ["--teacher", "--teacher-sees", "--teacher_sees"])
def test_a_flag_without_its_value_is_refused_like_any_other(harkd: Any, command: str, flag: str) -> None:
    for words in ([flag, "a", flag], [flag, "a", flag, "--epochs", "3"], [f"{flag}=a", flag]):
        told = harkd(command, *words)
        assert (told.code, told.out) == (2, "")
        assert told.err == f"harkd: {flag} needs a value; see harkd {command} --help\n"
    assert harkd(command, flag, "a", flag, "b", "--help").code == 0


def test_levels_of_a_study_are_between_commas_and_teachers_of_one_level_joined() -> None:
    assert compare("--teacher", "a,b").teacher == "a,b"
    assert compare("--teacher", "a & b,a").teacher == "a & b,a"


def test_a_run_and_its_own_recipe(harkd: Any, world: Any) -> None:
    """Two teachers from the command line; the command that the result tells and the kept configuration ask for the same run."""
    words = [*("distill", *world.data, "--method", "average", "--student", "dscnn-xs", "--epochs", "1", "--teacher-epochs", "1")]
    words += ["--teacher", "dscnn-s", "--teacher=wrn1d-10-1", "--teacher-sees", "acc", "--teacher-sees", "all"]
    assert harkd(*words, "--out", "here/student").code == 0
    told = json.loads(Path("here/student/result.json").read_text())
    assert told["label"] == "dscnn-xs distilled (average) from dscnn-s, wrn1d-10-1"
    assert {path.name.rpartition("-")[0] for path in Path("here").glob("teacher-*")} == {"teacher-dscnn-s", "teacher-wrn1d-10-1"}
    for again in (["distill", "--recipe", "here/student/config.toml"], shlex.split(told["command"])[1:]):
        said = harkd(*again, "--out", "here/student")
        assert said.code == 0
        assert "here/student is finished already" in said.err
