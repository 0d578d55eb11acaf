"""`harkd predict`: tables, JSON, files, and what it says about wrong input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harkd.datasets import Windows
from harkd.export.decide import softmax
from harkd.export.manifest import Manifest
from harkd.export.runners import open_runner

Make = Callable[..., Manifest]
Levels = Callable[..., Path]


def test_decisions_on_a_real_recording_are_those_on_the_windows_of_its_data_set(
    harkd: Any, one: tuple[NDArray[np.float32], Windows], watch_export: tuple[Path, Manifest], tmp_path: Path
) -> None:
    signals, windows = one
    folder, manifest = watch_export
    x = torch.cat(list(windows.gather(torch.arange(len(windows))).values()), 1).numpy()
    expected = softmax(open_runner(folder, manifest.files[0])(x))
    np.savetxt(tmp_path / "one.csv", signals.T, "%.9g", ",", header="ax,ay,az,gx,gy,gz", comments="")
    found = harkd("predict", folder, tmp_path / "one.csv", "--rate", "50", "--json").json
    assert np.array([row["probabilities"] for row in found["windows"]]) == pytest.approx(expected, abs=1e-5)
    assert [row["decision"] for row in found["windows"]] == [manifest.classes[best] for best in expected.argmax(1)]


def test_the_table_says_when_what_was_and_for_how_long(harkd: Any, export: Make, levels: Levels, tmp_path: Path) -> None:
    """x stands at 1 g for 10 s and at -1 g for 5 s. The windows from 0 to 8 s are up, that from 9 s is half of each (still),
    and those from 10 s are down; they change in the middle between the middles of neighbours, at 9.5 and 10.5 s."""
    export(unknown=0.2)
    said = harkd("predict", tmp_path / "export", levels((1, 10), (-1, 5)))
    assert said.code == 0
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == "levels.csv, 0:15.0 long, 14 windows of 2 s"
    assert lines[1:4] == ["model.onnx: made by hand", "  wrist_acc in g from ax, ay, az", "  time from t (s)"]
    table = [line.split() for line in lines[5:9]]
    assert table[1:] == [
        ["0:00.0", "0:09.5", "0:09.5", "up", "0.98", "9"],
        ["0:09.5", "0:10.5", "0:01.0", "still", "0.33", "1"],
        ["0:10.5", "0:15.0", "0:04.5", "down", "0.98", "4"],
    ]
    assert [line.split() for line in lines[11:16]] == [
        ["still", "0.02", "6.7%"],
        ["up", "0.16", "63.3%"],
        ["down", "0.07", "30.0%"],
        ["unknown", "0.00", "0.0%"],
        ["all", "0.25", "100.0%"],
    ]
    assert lines[-1] == "0 of 14 windows are unknown: less likely than 0.2"


def test_what_is_less_likely_than_the_threshold_is_unknown(harkd: Any, export: Make, levels: Levels, tmp_path: Path) -> None:
    """The mixed window has a probability of one third."""
    export(unknown=0.5)
    path = levels((1, 10), (-1, 5))
    found = harkd("predict", tmp_path / "export", path, "--json").json
    assert found["unknown"] == {"threshold": 0.5, "windows": 1}
    assert [run["decision"] for run in found["decisions"]] == ["up", "unknown", "down"]
    assert found["minutes"] == pytest.approx({"still": 0, "up": 9.5 / 60, "down": 4.5 / 60, "unknown": 1 / 60})
    assert found["windows"][9]["likeliest"] == "still"
    assert harkd("predict", tmp_path / "export", path, "--json", "--unknown", "0").json["unknown"]["windows"] == 0
    assert harkd("predict", tmp_path / "export", path, "--json", "--unknown", "1").json["unknown"]["windows"] == 14
    assert "no threshold: every window is decided" in harkd("predict", tmp_path / "export", path, "--unknown", "0").out


def test_every_window_on_demand_and_what_lies_in_none(harkd: Any, export: Make, levels: Levels, tmp_path: Path) -> None:
    export()
    said = harkd("predict", tmp_path / "export", levels((1, 4.5)), "--windows")
    assert [line.split()[:3] for line in said.out.splitlines()[6:9]] == [
        ["0:00.0", "0:02.0", "up"],
        ["0:01.0", "0:03.0", "up"],
        ["0:02.0", "0:04.0", "up"],
    ]
    assert said.out.splitlines()[-1] == "0:00.5 at gaps and ends lie in no whole window: nothing is said about them"


def test_a_table_that_nobody_would_read_is_cut_and_files_are_not(
    harkd: Any, export: Make, levels: Levels, tmp_path: Path
) -> None:
    """252 windows, and up and down in turn every two seconds."""
    export()
    said = harkd("predict", tmp_path / "export", levels(*[(1, 2), (-1, 2)] * 63, (0, 1)), "--windows", "--out", "found")
    assert "and 52 rows more: --out FOLDER writes them all, --json prints them" in said.out.splitlines()
    assert said.out.count("0:02.0") == 2
    assert len((tmp_path / "found" / "windows.csv").read_text().splitlines()) == 253


def test_files_hold_what_is_printed(harkd: Any, export: Make, levels: Levels, tmp_path: Path) -> None:
    export(unknown=0.5)
    said = harkd("predict", tmp_path / "export", levels((1, 10), (-1, 5)), "--out", "found", "--json")
    with (tmp_path / "found" / "decisions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["start"], row["stop"], row["decision"]) for row in rows] == [
        ("0.000", "9.500", "up"),
        ("9.500", "10.500", "unknown"),
        ("10.500", "15.000", "down"),
    ]
    with (tmp_path / "found" / "windows.csv").open() as file:
        windows = list(csv.DictReader(file))
    assert len(windows) == 14
    assert float(windows[0]["p(up)"]) == pytest.approx(said.json["windows"][0]["probabilities"][1], abs=1e-6)
    drawn = ElementTree.parse(tmp_path / "found" / "timeline.svg").getroot()
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {"".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"still", "up", "down", "unknown"} <= texts
    assert "up 0:09.5" in drawn.attrib["aria-label"]


def test_warnings_stand_apart_from_json(harkd: Any, export: Make, levels: Levels, tmp_path: Path) -> None:
    export()
    path = levels((1, 4))
    path.write_text(path.read_text().replace(",1\n", ",9.81\n"))
    said = harkd("predict", tmp_path / "export", path, "--json")
    assert said.err.startswith(
        "harkd: warning: wrist_acc is usually 9.86 g long, and gravity is 1 g; if the recording is in m/s2"
    )
    assert said.json["warnings"] == [said.err.removeprefix("harkd: warning: ").rstrip("\n")]


def damaged(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    change(values)
    (folder / "manifest.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["none", "r.csv"], 2, "none: no such folder; give the folder that harkd export wrote"),
        ([".", "r.csv"], 2, "there is no manifest.json in it"),
        (["export", "none.csv"], 2, "none.csv: no such file"),
        (["export"], 2, "RECORDING"),
        (["export", "levels.csv", "--colums", "a"], 2, "--columns"),
        (["export", "levels.csv", "--unknown", "2"], 2, "--unknown is a probability from 0 to 1, got 2"),
        (["export", "levels.csv", "--model", "model.onn"], 2, "unknown model file 'model.onn': did you mean 'model.onnx'?"),
        (["export", "levels.csv", "--units", "wrist=g"], 2, "unknown sensor in --units: 'wrist'"),
        (["export", "levels.csv", "--axes", "wrist_acc=x,y"], 2, "expected x, y, z, each once"),
        (["export", "levels.csv", "--time-unit", "min"], 2, "min"),
    ],
)
def test_what_is_asked_for_wrongly(
    words: list[str], code: int, told: str, harkd: Any, export: Make, levels: Levels, tmp_path: Path
) -> None:
    export()
    levels((1, 4))
    said = harkd("predict", *words)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda values: values.pop("classes"), "export again"),
        (lambda values: values.update(format=99), "has the format 99"),
        (lambda values: values.update(length=7), "sees 3 channels of 100 samples and has 3 of 7: export again"),
        (lambda values: values["files"][0].update(sha256="0"), "is not the file that was exported"),
        (lambda values: values.update(files=[]), "holds no  model; it has none"),
    ],
)
def test_a_damaged_folder(
    change: Callable[[dict[str, Any]], object], told: str, harkd: Any, export: Make, levels: Levels, tmp_path: Path
) -> None:
    export()
    damaged(tmp_path / "export", change)
    said = harkd("predict", tmp_path / "export", levels((1, 4)))
    assert said.code in (1, 2)
    assert told in said.err
    assert said.err.count("\n") == 1
