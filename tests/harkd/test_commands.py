"""The commands that look at things, and the demo: known answers, as text and as JSON."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from harkd.augment import check_invariances, parse
from harkd.commands import cli
from harkd.datasets import read_card
from harkd.methods import METHODS
from harkd.nets import NETS, build
from harkd.options import Distill


def columns(text: str) -> list[str]:
    """The first column of a table, below its head."""
    return [line.split("  ")[0] for line in text.splitlines()[1:]]


# harkd list


def test_nets(harkd: Any) -> None:
    rows = harkd("list", "nets", "--json").json
    assert {row["name"]: row["parameters"] for row in rows}["dscnn-xs"] == 1263
    listed = {name: 6 for family in NETS.values() for name in family.examples}
    listed |= {name: inputs for family in NETS.values() for name, inputs in family.special.items()}
    assert [row["name"] for row in rows] == sorted(listed, key=[row["name"] for row in rows].index)
    for row in rows:
        assert row["parameters"] == build(row["name"], listed[row["name"]], classes=7).parameter_count
    told = harkd("list", "nets").out
    assert columns(told) == [row["name"] for row in rows]
    assert f"{rows[-1]['parameters']:,}" in told


def test_methods(harkd: Any) -> None:
    rows = harkd("list", "methods", "--json").json
    assert [row["name"] for row in rows] == list(METHODS)
    for row, entry in zip(rows, METHODS.values(), strict=True):
        words = ("about", "needs", "phases", "answers_in_a_step", "source", "evidence")
        assert set(row) == {"name", "bankable", *words}
        assert all(isinstance(row[word], str) and row[word].strip() for word in words), row["name"]
        assert (row["bankable"], row["needs"], row["answers_in_a_step"]) == (entry.bankable, entry.need, entry.cost)
        assert row["phases"][0].isdigit()
        assert row["answers_in_a_step"].startswith("student")
        # Whoever is needed is named, and nobody else.
        for kind, (_, most) in entry.wanted.items():
            assert (kind in row["needs"]) == (most != 0 and not entry.own_teacher), row["name"]
    needs = {row["name"]: row["needs"] for row in rows}
    assert (needs["ce"], needs["kd"], needs["takd"]) == ("nobody", "one teacher", "one teacher, any assistants")
    assert needs["selfkd"] == "earlier generations of itself"
    assert needs["amtml"] == needs["camkd"] == "two teachers or more"
    assert (needs["dml"], needs["ummkd"], needs["indistill"]) == (
        "one peer or more",
        "one domain or more",
        "one teacher, at most one assistant",
    )
    assert columns(harkd("list", "methods").out) == list(METHODS)


def test_datasets(harkd: Any) -> None:
    rows = harkd("list", "datasets", "--json").json
    (watch,) = [row for row in rows if row["name"] == "seglearn_watch"]
    assert (watch["subjects"], watch["classes"], watch["windows"]) == (10, 7, 3605)
    assert (watch["sensors"], watch["licence"]) == ("wrist_acc, wrist_gyro", "BSD-3-Clause")
    assert harkd("data", "list").out == harkd("list", "datasets").out
    assert harkd("data", "list", "--json").json == rows


# harkd data


def test_a_shipped_data_set(harkd: Any) -> None:
    told = harkd("data", "info", "seglearn_watch").out
    assert "140 recordings of 10 subjects, 3,605 windows of 128 samples:" in told
    assert "     388 pendulum\n" in told
    assert "split official: train 1, 2, 3, 4, 5; validation 6, 7; test 8, 9, 10\n" in told
    assert "licence: BSD-3-Clause. Copyright 2018 David M. Burns" in told
    assert "  wrist_gyro: x, y, z in rad/s at 50 Hz, wrist\n" in told


def test_a_data_set_of_ones_own(harkd: Any, world: Any) -> None:
    found = harkd("data", "info", world.card, "--data-folder", world.folder, "--json").json
    assert found["found"] == {
        "subjects": 5,
        "recordings": 15,
        "windows": 60,
        "per_class": {"slow": 20, "medium": 20, "fast": 20},
        "without_sensor": {},
    }
    assert found["card"]["licence"]["commercial"] is False
    assert found["card"]["splits"]["blind"]["val"] == []
    told = harkd("data", "info", world.card, "--data-folder", world.folder).out
    assert "split blind: train Ermintrude, Kunigunde, Zwentibold; validation nobody; test Hrothgar, Wolfdietrich\n" in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 1, "say where they are with --data-folder"),
        (["--data-folder", "nowhere"], 1, "say where they are with --data-folder (got nowhere)"),
        (["--data-folder", "."], 1, "no file under . matches the card's pattern"),
    ],
)
def test_recordings_that_are_not_there(harkd: Any, world: Any, words: list[str], code: int, message: str) -> None:
    for command in (["data", "info", world.card], ["train", "--data", world.card]):
        told = harkd(*command, *words)
        assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
        assert message in told.err


def test_damaged_recordings_name_the_file(harkd: Any, world: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.folder, tmp_path / "recordings"))
    path = folder / "Hrothgar" / "pm-slow.csv"
    lines = path.read_text().splitlines()
    for damage, message in (
        (["ax,ay,az,gx,gy,gz", "not,a,table,of,any,numbers"], "Hrothgar/pm-slow.csv"),
        ([*lines[:5], "nan,0,0,0,0,0", *lines[6:]], "Hrothgar/pm-slow.csv"),
        ([line.rsplit(",", 1)[0] for line in lines], "Hrothgar/pm-slow.csv"),
        ([], "pm-slow.csv"),
    ):
        path.write_text("\n".join(damage) + "\n")
        told = harkd("data", "info", world.card, "--data-folder", folder)
        assert (told.code, told.out, told.err.count("\n")) == (1, "", 1), told.err
        assert message in told.err


def test_a_card_with_a_mistake_names_the_line(harkd: Any, world: Any, tmp_path: Path) -> None:
    card = world.other_card(tmp_path, ("commercial = false", "comercial = false"))
    told = harkd("train", "--data", card, "--data-folder", world.folder)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"harkd: {card}:8: unknown key 'licence.comercial'; did you mean 'commercial'?\n"


# harkd report


def test_a_report_on_folders_of_runs(harkd: Any, world: Any, distilled: Path, tmp_path: Path) -> None:
    told = harkd("report", distilled.parent, "--out", "deep/page.html")
    assert (told.code, told.err) == (0, "")
    assert told.out == "2 runs: deep/page.html and deep/page.md\n"
    assert "dscnn-xs distilled (kd) from dscnn-s" in (tmp_path / "deep" / "page.html").read_text()
    assert "dscnn-xs distilled (kd) from dscnn-s" in (tmp_path / "deep" / "page.md").read_text()
    found = harkd("report", distilled.parent, "--json").json
    assert found["report"] == "report.html"
    assert sorted(run["role"] for run in found["runs"]) == ["distilled", "teacher"]
    assert all((Path(run["folder"]) / "result.json").is_file() for run in found["runs"])


def test_a_run_that_is_named_twice_counts_once(harkd: Any, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(trained)
    told = harkd("report", trained, f"{trained}/", trained.parent, trained / ".." / trained.name, "link")
    assert told.out == "1 run: report.html and report.md\n"


def test_runs_that_a_report_cannot_be_about(harkd: Any, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").touch()
    for words, code, message in (
        (["begun"], 2, "begun holds no finished run"),
        ([trained, "begun"], 2, "begun holds no finished run"),
        ([trained, "--out", "page.md"], 2, "page.md: give the name of the HTML page"),
        ([trained, "--out", trained / "last.json" / "page.html"], 1, "last.json"),
    ):
        told = harkd("report", *words)
        assert (told.code, told.out, told.err.count("\n")) == (code, "", 1), told.err
        assert message in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun"]


# harkd train, distill, demo


def test_the_table_of_a_run(harkd: Any, trained: Path, world: Any) -> None:
    words = [*world.train, "--select", "best", "--keep-epochs", "2", "--out", trained]
    told, scores = harkd(*words), json.loads((trained / "result.json").read_text())["test"]
    head, row, blank, where = told.out.splitlines()
    assert head.split("  ")[0] == "run"
    accuracy, f1 = f"{scores['accuracy']:.1%}", f"{scores['macro_f1']:.1%}"
    wanted = [
        "dscnn-xs alone",
        "0",
        "1,195",
        accuracy,
        f1,
        f"{scores['nll']:.3f}",
        f"{scores['ece']:.3f}",
        f"person-4: {accuracy}",
    ]
    assert [cell.strip() for cell in row.split("  ") if cell] == wanted
    assert (blank, where) == ("", f"run: {trained}")
    assert harkd(*words, "--json").json == {"folder": str(trained), **json.loads((trained / "result.json").read_text())}


@pytest.fixture
def small_demo(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped recipe of the demo, on data and nets that take a second."""
    values = tomllib.loads((cli.RECIPES / "demo.toml").read_text())
    small = {
        "data": str(world.card),
        "data_folder": str(world.folder),
        "student": "dscnn-xs",
        "teacher": "dscnn-s",
        "epochs": 3,
        "teacher_epochs": 3,
        "batch": 12,
        "force_augment": True,
    }
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "demo.toml").write_text(tomli_w.dumps(values | small))
    monkeypatch.setattr(cli, "RECIPES", tmp_path / "recipes")


def test_the_demo(harkd: Any, small_demo: None, tmp_path: Path) -> None:
    told = harkd("demo", "--seeds", "2", "--out", "here")
    assert told.code == 0, told.err
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    (teacher,) = [name for name in names if name.startswith("teacher-dscnn-s-")]
    assert names == sorted(["alone-s0", "alone-s1", "distilled-s0", "distilled-s1", teacher, "report.html", "report.md"])
    lines = told.out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        "dscnn-s (teacher)",
        "dscnn-xs alone",
        "dscnn-xs distilled (eskd) from dscnn-s",
        "dscnn-xs alone",
        "dscnn-xs distilled (eskd) from dscnn-s",
    ]
    assert lines[-1] == "report: here/report.html"
    before = {path: path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()}
    again = harkd("demo", "--seeds", "2", "--out", "here")
    assert again.out == told.out
    assert again.err.count("is finished already") == 5
    assert {path: path.read_bytes() for path in before} == before
    found = harkd("demo", "--seeds", "1", "--out", "here", "--json").json
    assert [run["role"] for run in found["runs"]] == ["teacher", "alone", "distilled"]
    assert found["report"] == "here/report.html"


def test_the_demo_of_the_recipe_is_what_the_recipe_gives(harkd: Any, small_demo: None, tmp_path: Path) -> None:
    """`harkd demo` is no magic: the same runs come from `harkd distill --recipe demo`."""
    assert harkd("demo", "--seeds", "1", "--out", "here").code == 0
    assert harkd("distill", "--recipe", "demo", "--out", "there/distilled").code == 0
    assert harkd("distill", "--recipe", "demo", "--method", "ce", "--out", "there/alone").code == 0
    for name in ("distilled", "alone"):
        one, other = tmp_path / "here" / f"{name}-s0", tmp_path / "there" / name
        assert (one / "last.safetensors").read_bytes() == (other / "last.safetensors").read_bytes()
        assert (one / "config.toml").read_bytes() == (other / "config.toml").read_bytes()


def test_the_recipe_of_the_demo_fits_its_data() -> None:
    """Nothing that the command would refuse after the teacher is trained."""
    found = cli.read_recipe(Distill, "demo")
    card = read_card(found.data)
    for text in (found.augment, found.teacher_strategy, found.for_helpers(True)["augment"]):
        check_invariances(parse(text), card)
    for net in (found.student, found.teacher):
        assert build(net, channels=6, classes=len(card.target.classes)).parameter_count > 0
    assert card.splits[found.split].val


def test_a_folder_named_like_a_recipe_hides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before = cli.read_recipe(Distill, "demo")
    (tmp_path / "demo").mkdir()  # what the demo itself leaves behind
    assert cli.read_recipe(Distill, "demo") == before
