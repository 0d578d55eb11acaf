"""The command `harkd compare`: what it understands, refuses, plans and prints."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from harkd.commands.compare import Compare, parse_study, processors
from harkd.compare.executors import Local
from harkd.compare.options import Running, Study
from harkd.errors import UsageError
from harkd.options import Machine, Pair


@pytest.fixture
def asked(world: Any) -> list[str]:
    """Two levels in three folds, of the shortest sensible runs."""
    return [
        *("compare", *world.data, "--student", "dscnn-xs", "--teacher", "dscnn-s", "--method", "ce"),
        *("--augment", "none,rotate(20)", "--folds", "3", "--seeds", "1", "--epochs", "4", "--batch", "12", "--rate", "0.03"),
        *("--device", "cpu", "--no-export", "--workers", "1"),
    ]


# Understanding


def test_flags_become_options() -> None:
    words = [
        *("--data", "uci_hapt", "--student", "dscnn-s", "--augment", 'none,jeon_mix1,um2017,trivial(har_safe, "x,y")'),
        *("--method", "kd,ce", "--control", "none/ce", "--folds", "3", "--seeds", "4", "--vary", "rate=0.1,0.2", "kd.weight=0.5"),
        *(
            "--score",
            "macro_f1",
            "--alpha",
            "0.01",
            "--workers",
            "3",
            "--memory",
            "1.5",
            "--retry",
            "--dry-run",
            "--threads",
            "2",
        ),
    ]
    assert parse_study(words) == Compare(
        Pair(data="uci_hapt", augment='none,jeon_mix1,um2017,trivial(har_safe, "x,y")', method="kd,ce"),
        Study(
            control="none/ce",
            vary=("rate=0.1,0.2", "kd.weight=0.5"),
            folds="3",
            seeds=4,
            score="macro_f1",
            alpha=0.01,
        ),
        Running(workers=3, memory=1.5, retry=True, dry_run=True),
        Machine(threads=2),
    )


def test_a_design_is_a_file_and_flags_override_it(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('data = "uci_hapt"\nmethod = "kd,ce"\nvary = ["rate=0.1,0.2"]\nseeds = 3\nfolds = "loso"\n')
    found = parse_study(["--recipe", str(path), "--seeds", "5", "--epochs", "7"])
    assert (found.run, found.study) == (
        Pair(data="uci_hapt", method="kd,ce", epochs=7),
        Study(vary=("rate=0.1,0.2",), seeds=5, folds="loso"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('aument = "none"\n', "study.toml:1: unknown key 'aument'; did you mean 'augment'?"),
        ("data = 'x'\nseeds = 0\n", "seeds is at least 1, got 0"),
        ("data = 'x'\nseeds = 'many'\n", "study.toml:2: seeds: Input should be a valid integer"),
        ("score = 'makro_f1'\n", "study.toml:1: score: unknown value 'makro_f1': did you mean 'macro_f1'?"),
        ("data = \n", "study.toml: not valid TOML: "),
    ],
)
def test_a_design_with_a_mistake(harkd: Callable[..., Any], tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "study.toml").write_text(text)
    told = harkd("compare", "--recipe", "study.toml")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message in told.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--aument", "none"], "--augment"),
        (["--seed", "two"], "--seed takes a whole number; got 'two'"),
        (["--seeds", "0"], "seeds is at least 1, got 0"),
        (["--score", "makro_f1"], "did you mean 'macro_f1'?"),
        (["--executor", "locall"], "did you mean 'local'?"),
        (["--halving", "2", "--seeds", "1"], "halving decides after the first seed: it needs --seeds 2 or more"),
        (["--trials", "3"], "--trials and --search belong together: how many configurations, and from which space"),
    ],
)
def test_mistakes_on_the_command_line(harkd: Callable[..., Any], words: list[str], message: str) -> None:
    told = harkd("compare", *words)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message in told.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augment", "none,rotat(20)"], "unknown augmentation 'rotat': did you mean 'rotate'?"),
        (["--augment", "none"], "there is nothing to compare: give an option several levels, like --augment none,jeon_mix1"),
        (["--control", "nono"], "unknown control (of the form AUGMENT) 'nono': did you mean 'none'?"),
        (["--student", "dscnn-xs,dscnn-xxxs"], "unknown net 'dscnn-xxxs'"),
        (["--folds", "9"], "loso, session, splits of the card (official, blind) or split; got '9'"),
        (["--trials", "2", "--search", "rate=1..2"], "give one augment, not several"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    harkd: Callable[..., Any], asked: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    told = harkd(*asked, *words)
    assert (told.code, told.out) == (2, "")
    assert message in told.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_option(harkd: Callable[..., Any]) -> None:
    told = harkd("compare", "--help")
    assert (told.code, told.err) == (0, "")
    for option in (*fields(Study), *fields(Running), *fields(Pair), *fields(Machine)):
        assert f"--{option.name.replace('_', '-')}" in told.out


# Planning


def test_a_dry_run_shows_the_plan_and_trains_nothing(harkd: Callable[..., Any], asked: list[str], tmp_path: Path) -> None:
    told = harkd(*asked, "--method", "kd,ce", "--augment", "none,rotate(20),rotate(max_angle=20)", "--dry-run")
    assert (told.code, told.err) == (0, "")
    head, *rows = told.out.splitlines()
    assert head.split("  ")[0] == "what"
    assert [row.split("  ")[0] for row in rows[:5]] == ["teacher dscnn-s", "none/kd", "none/ce", "rotate(20)/kd", "rotate(20)/ce"]
    counts = [[int(word) for word in row.replace("teacher dscnn-s", "").split()[-5:-2] if word.isdecimal()] for row in rows[:5]]
    assert [count[:2] for count in counts] == [[3, 0]] * 5
    assert "4 levels x 3 folds x 1 seeds against none/kd: 15 runs with their teachers, 0 there already; at most about" in told.out
    assert "rotate(max_angle=20)/kd is the same as rotate(20)/kd" in told.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_as_json(harkd: Callable[..., Any], asked: list[str]) -> None:
    told = harkd(*asked, "--dry-run", "--json")
    found = told.json
    assert (found["levels"], found["control"]) == (["none", "rotate(20)"], "none")
    assert (found["folds"], found["seeds"]) == (["kfold:3/0", "kfold:3/1", "kfold:3/2"], [0])
    # The first fold trains on two people, 24 windows in batches of 12, for four epochs.
    assert [(job["what"], job["runs"], job["there"], job["updates"]) for job in found["jobs"]] == [
        ("none", 3, 0, 8),
        ("rotate(20)", 3, 0, 8),
    ]
    assert all(job["seconds"] > 0 for job in found["jobs"])


def test_what_a_search_will_cost_nobody_knows(harkd: Callable[..., Any], asked: list[str]) -> None:
    told = harkd(*asked, "--augment", "none", "--trials", "2", "--search", "rate=1..2", "--dry-run")
    assert (told.code, told.err) == (
        2,
        "harkd: --dry-run cannot know what --trials will try: take the options of one trial\n",
    )


# Doing


def test_a_study_from_beginning_to_end(harkd: Callable[..., Any], asked: list[str], tmp_path: Path) -> None:
    """Table and page, then the same as JSON by its own design, then a new level: nothing is trained twice."""
    out = tmp_path / "study"
    told = harkd(*asked, "--out", out)
    assert told.code == 0, told.err
    assert told.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "6 of 6 runs" in told.err
    names = {"comparison.json", "design.json", "model-card.md", "report.html", "report.md", "results.csv", "runs", "study.toml"}
    assert {path.name for path in out.iterdir()} == names
    rows = (out / "results.csv").read_text().splitlines()
    tested = [row.split(",")[4] for row in rows if row.startswith("none,") and ",test," in row]
    assert sorted(tested) == [f"person-{n}" for n in range(1, 6)]
    options = tomllib.loads((out / "study.toml").read_text())
    wanted = parse_study(asked[1:])
    assert options == json.loads(json.dumps(asdict(wanted.run) | asdict(wanted.study)))
    written = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")}

    again = harkd("compare", "--recipe", out / "study.toml", "--out", out, "--device", "cpu", "--no-export", "--json")
    assert again.code == 0, again.err
    assert again.json["study"] == str(out)
    assert json.loads((out / "comparison.json").read_text()) == {k: v for k, v in again.json.items() if k != "study"}
    assert (out / "results.csv").read_text().splitlines() == rows

    wider = harkd(*asked, "--augment", "none,rotate(20),jitter(0.1)", "--out", out)
    assert wider.code == 0, wider.err
    assert "6 of 9 runs are there already" in wider.err
    assert (out / "results.csv").read_text().splitlines()[: len(rows)] != rows  # a new level stands among the folds
    assert set(rows) < set((out / "results.csv").read_text().splitlines())
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_study_lies_where_its_data_say(harkd: Callable[..., Any], asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "studies" / "swings").mkdir(parents=True)
    (tmp_path / "studies" / "swings" / "notes.txt").touch()
    told = harkd(*asked)
    assert told.code == 2
    assert told.err.endswith("studies/swings holds other things than a study; choose another folder with --out\n")


def test_workers_are_as_many_as_processors_unless_said(
    harkd: Callable[..., Any], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, float]] = []

    def init(self: Local, begin: object, workers: int, memory: float) -> None:
        made.append((workers, memory))
        raise UsageError("enough")

    monkeypatch.setattr(Local, "__init__", init)
    for words in ([], ["--workers", "0", "--memory", "2"]):
        assert harkd(*asked, *words).err.endswith("harkd: enough\n")
    assert made[0][0] == 1
    assert made[0][1] > 0
    assert made[1] == (processors(), 2 * 1024**3)
