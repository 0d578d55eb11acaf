"""`harkd export` as a user meets it: what it writes, refuses, and ends with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harkd.export.formats import missing
from harkd.export.manifest import Manifest
from harkd.export.runners import open_runner
from harkd.parts import data_of, prepare
from harkd.runs import Run

Command = Callable[..., Any]
pytestmark = pytest.mark.skipif(bool(missing("tflite", "onnx")), reason="needs the export extra")
TFLITE = ("litert_torch", "ai_edge_litert", "torchao", "tflite_micro")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run of this test's own."""
    shutil.copytree(trained, tmp_path / "mine")
    return tmp_path / "mine"


def test_onnx_alone_for_a_watch_in_other_units(harkd: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tools for .tflite. On windows in the watch's units the files answer as the net does on its own; on windows
    in the units of training they do not."""
    for tool in TFLITE:
        monkeypatch.setitem(sys.modules, tool, None)
    said = harkd("export", run, "--to", "onnx", "--units", "acc=m/s2 gyro=deg/s")
    assert said.code in (0, 1), said.err
    files = ["REPORT.md", "manifest.json", "model_fp32.onnx", "model_int8.onnx", "vectors.npz", "verification.json"]
    assert sorted(path.name for path in (run / "export").iterdir()) == files
    assert "The terms of swings do not allow commercial use" in said.out
    assert "mcu-s: there is no file that TensorFlow Lite Micro runs" in said.out
    told = Manifest.read(run / "export")
    assert [channel.units for channel in told.channels] == ["m/s2"] * 3 + ["deg/s"] * 3
    prepared = prepare(data_of(Run(run)))
    player = Run(run).load_player(prepared.train)
    x = player.sees(prepared.test.gather(torch.arange(len(prepared.test))))
    factors = np.array([9.80665] * 3 + [180 / np.pi] * 3, np.float32)[:, None]
    expected = player.net(x).logits.detach().numpy()
    answers = open_runner(run / "export", told.file("float"))
    assert answers(x.numpy() * factors) == pytest.approx(expected, abs=1e-4)
    assert np.abs(answers(x.numpy()) - expected).max() > 0.1
    int8 = open_runner(run / "export", told.file("int8"))
    assert (int8(x.numpy() * factors).argmax(1) == expected.argmax(1)).mean() >= 0.9


@pytest.mark.parametrize("tool", ["onnxruntime", "onnxscript"])
def test_a_missing_tool_is_told_at_once(tool: str, harkd: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    said = harkd("export", run, "--to", "onnx")
    assert said.code == 1
    assert said.err == f"harkd: {tool} is not installed: pip install -c constraints.txt 'harkd[onnx]'\n"
    assert not (run / "export").exists()


WRONG = {
    "format": (["--to", "onxx"], "unknown format 'onxx': did you mean 'onnx'?"),
    "no format": (["--to", ","], "no format is asked for; choose from tflite, onnx"),
    "target": (["--target", "moon"], "moon"),
    "unit": (["--units", "acc=stone"], "unknown unit (of what is measured in 'g'): 'stone'"),
    "sensor": (["--units", "ankle=g"], "unknown sensor in --units: 'ankle'"),
    "no unit": (["--units", "acc"], "'acc' is not like acc=..."),
    "unit twice": (["--units", "acc=g acc=mg"], "'acc' is given twice"),
    "weights": (["--weights", "epoch-99"], "did not keep the weights 'epoch-99'; it has best, epoch-2, last"),
    "epochs": (["--qat", "--qat-epochs", "0"], "epochs"),
    "device": (["--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_flag_is_told(what: str, harkd: Command, trained: Path) -> None:
    words, message = WRONG[what]
    said = harkd("export", trained, *words)
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert not (trained / "export").exists()


def test_a_folder_that_is_no_run_is_told(harkd: Command, tmp_path: Path) -> None:
    assert harkd("export", tmp_path).err == f"harkd: {tmp_path} holds no run of harkd\n"
    assert harkd("export", tmp_path / "nowhere").code == 2


def test_nothing_of_other_peoples_is_replaced(harkd: Command, trained: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "model_fp32.onnx").write_text("mine")
    (full / "thesis.tex").write_text("mine")
    (full / "file").write_text("mine")
    said = harkd("export", trained, "--to", "onnx", "--out", full)
    assert said.code == 2
    assert said.err == f"harkd: {full} holds other things than an export (file); give another folder with --out\n"
    assert {path.read_text() for path in full.iterdir()} == {"mine"}
    said = harkd("export", trained, "--to", "onnx", "--out", full / "file")
    assert said.err == f"harkd: {full / 'file'} is a file; give a folder with --out\n"


@pytest.mark.parametrize(("split", "unknown"), [("blind", 0.0), ("session:pm", 0.0)], ids=["without validation", "by session"])
def test_any_split_can_be_exported(split: str, unknown: float, harkd: Command, world: Any, tmp_path: Path) -> None:
    """Nobody is there to fit a threshold on; and of a split by session, the same people are on both sides."""
    run = tmp_path / "run"
    assert harkd(*world.train, "--split", split, "--out", run).code == 0
    found = harkd("export", run, "--to", "onnx", "--json")
    checks = {check["name"]: check for check in found.json["checks"]}
    assert checks["calibration windows are from training subjects, of all classes"]["passed"]
    assert found.json["scored"] == "test"
    told = Manifest.read(run / "export")
    assert told.unknown == unknown
    assert told.unknown_rule == "no validation subjects: nothing is unknown"
    assert "Every decision counts" in (run / "export" / "REPORT.md").read_text()


def test_training_for_int8_changes_the_int8_file_alone(harkd: Command, run: Path, tmp_path: Path) -> None:
    assert harkd("export", run, "--to", "onnx", "--out", tmp_path / "plain").code in (0, 1)
    found = harkd("export", run, "--to", "onnx", "--qat", "--qat-epochs", "2", "--out", tmp_path / "qat", "--json")
    assert found.json["qat"] is True
    plain, qat = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("plain", "qat"))
    assert plain["model_fp32.onnx"] == qat["model_fp32.onnx"]
    assert plain["model_int8.onnx"] != qat["model_int8.onnx"]
    assert b"went through quantisation-aware training" in qat["REPORT.md"]


@pytest.mark.slow
def test_a_model_over_its_budget_fails_and_says_what_to_try(harkd: Command, world: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert harkd(*world.train, "--net", "dscnn-xl", "--epochs", "1", "--out", run).code == 0
    said = harkd("export", run, "--to", "tflite", "--target", "mcu-s")
    assert said.code == 1
    assert "FAILED: model_int8.tflite fits mcu-s: the file takes " in said.out
    assert "Try: take a smaller net" in said.out
    assert "wear-os: fits" in said.out
    assert (run / "export" / "model_int8.tflite").is_file(), "it is there to be looked at"


@pytest.mark.slow
def test_two_exports_in_two_processes_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """Every file of the folder, with another hash seed and another working directory, and where an export was before."""
    for number, name in enumerate(("one", "two")):
        (tmp_path / f"cwd{number}").mkdir()
        command = [sys.executable, "-m", "harkd", "export", str(run), "--out", str(tmp_path / name)]
        subprocess.run(
            command,
            check=False,
            cwd=tmp_path / f"cwd{number}",
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            capture_output=True,
        )
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert len(one) == 8
    assert one == two
