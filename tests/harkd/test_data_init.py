"""harkd data init: what it writes, what it says, what it refuses."""

import os
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pytest

from harkd.datasets import read_card

Harkd = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six trials of two people, with a clock, an accelerometer in g and a gyroscope in deg/s."""
    t = np.arange(300)[:, None]
    for subject in ("01", "02"):
        for number, label in enumerate(("walk", "rest", "run")):
            acc = np.array([0.0, 0.1, 1.0]) + 0.05 * np.sin(0.3 * t + [0, 1, 2] + number + 0.37 * int(subject))
            gyro = 90 * np.array([1.0, 0.2, 0.1]) * np.sin(0.2 * t + number + 0.37 * int(subject))
            path = tmp_path / "my trials" / f"s{subject}_{label}.csv"
            path.parent.mkdir(exist_ok=True)
            np.savetxt(path, np.hstack([t / 50, acc, gyro]), "%.4f", ",", header="time,ax,ay,az,gx,gy,gz", comments="")
    return tmp_path / "my trials"


def test_the_card_is_written_and_told(harkd: Harkd, folder: Path) -> None:
    told = harkd("data", "init", folder)
    assert (told.code, told.err) == (0, "")
    card = read_card("my_trials.toml")
    assert card.name == "my_trials"
    assert card.files.pattern == r"s(?P<subject>\d+)_(?P<label>[A-Za-z]+)\.csv"
    assert [s.name for s in card.sensors] == ["acc", "gyro"]
    assert "6 recording files for the reader 'text', like 's01_rest.csv'" in told.out
    assert "files.pattern: subject: 2 values like '01'; 's' before it" in told.out
    assert "sensors.acc.units: g: median length" in told.out
    assert "could not decide" not in told.out
    assert "wrote my_trials.toml; title, citation and licence are yours to fill in" in told.out
    assert "it loads: 6 recordings of 2 subjects, 18 windows" in told.out
    assert f"harkd data check my_trials.toml --data-folder {quote(str(folder))}" in told.out
    # What it recommends works.
    assert harkd("data", "check", "my_trials.toml", "--data-folder", folder).code == 0
    assert "18 windows" in harkd("data", "info", "my_trials.toml", "--data-folder", folder).out


def test_a_later_damaged_copy_is_noticed(harkd: Harkd, folder: Path) -> None:
    harkd("data", "init", folder)
    (folder / "s02_run.csv").unlink()
    told = harkd("data", "info", "my_trials.toml", "--data-folder", folder)
    assert told.code == 1
    assert "read 5 recordings, but its card counts 6: are files missing or damaged?" in told.err


def test_open_questions_have_their_line(harkd: Harkd, folder: Path) -> None:
    for path in folder.iterdir():
        lines = [line.split(",", 1)[1] for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")
    told = harkd("data", "init", folder)
    assert told.code == 0
    assert "it does not load yet" in told.out
    assert "a rate of 0.0 Hz" in told.out
    lines = Path("my_trials.toml").read_text().splitlines()
    (asked,) = (line for line in told.out.splitlines() if "sensors.gyro.rate" in line)
    number = int(asked.split("line ")[1].split(",")[0])
    assert lines[number - 1].startswith("# TODO: samples per second of gyro")
    assert lines[number] == "rate = 0"
    again = harkd("data", "init", folder, "--rate", "50", "--force")
    assert "it loads: 6 recordings of 2 subjects, 18 windows" in again.out


def test_as_json(harkd: Harkd, folder: Path) -> None:
    told = harkd("data", "init", folder, "--name", "trials", "--json").json
    assert told["card"] == "trials.toml"
    assert told["loads"] == {
        "recordings": 6, "with_windows": 6, "subjects": 2, "windows": 18, "per_class": {"rest": 6, "run": 6, "walk": 6},
    }  # fmt: skip
    assert {"key": "files.time_unit", "why": told["guessed"][2]["why"]} in told["guessed"]
    assert (told["open"], told["problem"]) == ([], "")


def test_nothing_is_overwritten_unasked(harkd: Harkd, folder: Path) -> None:
    Path("mine.toml").write_text("precious")
    told = harkd("data", "init", folder, "--out", "mine.toml")
    assert told.code == 2
    assert "mine.toml is there already; give another name with --out, or --force" in told.err
    assert Path("mine.toml").read_text() == "precious"
    assert harkd("data", "init", folder, "--out", "mine.toml", "--force").code == 0
    assert read_card("mine.toml").name == "my_trials"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not there; give a folder with recordings"),
        (["a.csv"], "a.csv is a file; give a folder"),
        (["empty"], "holds no recordings that a card can describe; it is empty"),
        ([], "harkd data init needs FOLDER"),
        (["{folder}", "--out", "card.txt"], "a card is a TOML file; call it card.toml"),
        (["{folder}", "--out", "taken.toml"], "taken.toml is there already; that is a folder"),
        (["{folder}", "--name", "a/b"], "'a/b' cannot be the name of a data set"),
        (["{folder}", "--rate", "-1"], "--rate is a positive number"),
        (["{folder}", "--rat", "50"], "unknown option --rat: .*did you mean --rate"),
    ],
)
def test_what_is_wrong_is_said(harkd: Harkd, folder: Path, words: list[str], message: str) -> None:
    Path("a.csv").write_text("1,2,3\n")
    Path("empty").mkdir()
    Path("taken.toml").mkdir()
    told = harkd("data", "init", *(word.replace("{folder}", str(folder)) for word in words))
    assert told.code == 2, told
    import re

    assert re.search(message, told.err), told.err
    assert told.out == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(harkd: Harkd, folder: Path) -> None:
    (folder / "s01_walk.csv").chmod(0)
    told = harkd("data", "init", folder)
    assert "s01_walk.csv" in told.err + told.out


def test_a_damaged_file_is_named(harkd: Harkd, folder: Path) -> None:
    text = (folder / "s01_walk.csv").read_text().splitlines()
    text[200] = "0.1,oops,0,1,0,0,0"
    (folder / "s01_walk.csv").write_text("\n".join(text) + "\n")
    told = harkd("data", "init", folder)
    assert told.code == 0
    assert "it does not load yet" in told.out
    assert "s01_walk.csv: row 200 of column 'ax' holds 'oops', not a number" in told.out
