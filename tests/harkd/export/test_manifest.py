"""A manifest that is damaged, or whose files are, says so; and units, budgets and tools on worked values."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harkd.datasets import Cut, Sensor
from harkd.errors import HarkdError, UsageError
from harkd.export.budget import TARGETS, judge, macs
from harkd.export.deploy import deploy
from harkd.export.formats import missing
from harkd.export.manifest import FORMAT, Channel, Manifest, ModelFile
from harkd.export.tools import lacks, need, quiet
from harkd.export.units import QUANTITIES, factor
from harkd.nets import build

CONTENT = b"not a model, but whole"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MADE = Manifest(
    format=FORMAT,
    name="dscnn-xs on swings",
    net="dscnn-xs",
    parameters=1263,
    macs=28784,
    classes=("slow", "fast"),
    sensors=(Sensor("acc", "acc", "g", 50.0, placement="wrist"),),
    preparation="",
    window=Cut(128, 64),
    sees="acc@25Hz",
    channels=tuple(Channel("acc", axis, "m/s2", 0.10197) for axis in "xyz"),
    rate=25.0,
    length=64,
    unknown=0.25,
    unknown_rule="a rule",
    files=(ModelFile("m.tflite", "tflite", "int8", len(CONTENT), DIGEST, "1,1,time,channel", (0.1,)),),
    terms={"data": "swings", "commercial": False},
    environment={"torch": "2"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.tflite").write_bytes(CONTENT)
    MADE.write(tmp_path)
    return tmp_path


def test_what_is_written_is_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert Manifest.read(folder) == MADE
    other = tmp_path_factory.mktemp("other")
    Manifest.read(folder).write(other)
    assert (other / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_files_are_found_by_kind() -> None:
    assert MADE.file() is MADE.file("int8") is MADE.file(format="tflite") is MADE.files[0]
    with pytest.raises(UsageError, match=r"holds no float onnx model; it has m\.tflite"):
        MADE.file("float", "onnx")


def change(**changed: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return damage


def drop(key: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file is missing": (lambda folder: (folder / "m.tflite").unlink(), r"m\.tflite is missing: export again$"),
    "a bit is flipped": (
        lambda folder: (folder / "m.tflite").write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:]),
        r"m\.tflite is not the file that was exported: export again$",
    ),
    "a later format": (change(format=FORMAT + 1), rf"has the format {FORMAT + 1}, and this harkd reads {FORMAT}: export again$"),
    "no format": (drop("format"), "has the format None"),
    "an unknown key": (change(colour="red"), r"manifest\.json.*colour.*: export again$"),
    "a key is missing": (drop("classes"), r"manifest\.json.*classes.*: export again$"),
    "a wrong kind": (change(rate="fast"), r"manifest\.json.*rate.*: export again$"),
    "no JSON": (lambda folder: (folder / "manifest.json").write_bytes(b'{"format": '), r"is damaged \(.*\): export again$"),
    "no text": (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe\0\xd8"), r"is damaged \(.*\): export again$"),
    "no object": (lambda folder: (folder / "manifest.json").write_bytes(b"[1]"), "has the format None"),
    "a path out of the folder": (
        change(files=[{**json.loads(json.dumps(vars(MADE.files[0]))), "file": "../../etc/passwd"}]),
        r"passwd is missing: export again$",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_told_in_one_line(kind: str, folder: Path) -> None:
    damage, message = DAMAGES[kind]
    damage(folder)
    with pytest.raises(HarkdError, match=message) as told:
        Manifest.read(folder)
    assert not isinstance(told.value, UsageError)
    assert "\n" not in str(told.value)


def test_a_folder_that_is_no_export_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no manifest\.json in it; give the folder that harkd export wrote"):
        Manifest.read(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        Manifest.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("units", "wanted", "expected"),
    [
        ("g", "g", 1),
        ("m/s2", "g", 1 / 9.80665),
        ("g", "m/s^2", 9.80665),
        ("mg", "m/s²", 0.00980665),
        ("dps", "rad/s", 3.141592653589793 / 180),
        ("rad/s", "deg/s", 57.29577951308232),
        ("mV", "uV", 1000),
        ("uV", "V", 1e-6),
        ("cm", "mm", 10),
        ("G", "uT", 100),
        ("counts", "counts", 1),
    ],
)
def test_units(units: str, wanted: str, expected: float) -> None:
    assert factor(units, wanted) == pytest.approx(expected, rel=1e-12)
    assert factor(wanted, units) == pytest.approx(1 / expected, rel=1e-12)


def test_units_of_other_quantities_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown unit \(of what is measured in 'rad/s'\): 'g'"):
        factor("g", "rad/s")
    with pytest.raises(UsageError, match="did you mean 'deg/s'"):
        factor("degs/s", "rad/s")
    with pytest.raises(UsageError, match="units 'counts' cannot be turned into 'g': harkd knows g, mg, m/s2"):
        factor("g", "counts")
    names = [name for table in QUANTITIES.values() for name in table]
    assert len(names) == len(set(names))


def test_a_budget_is_kept_to_the_byte() -> None:
    small = TARGETS["mcu-s"]
    assert judge(small, 65536, 16384).fits
    assert judge(small, 65537, 16384).why == "the file takes 64.0 KiB of 64"
    both = judge(small, 131072, 32768)
    assert (both.fits, both.why) == (False, "the file takes 128.0 KiB of 64; its arena takes 32.0 KiB of 16")
    assert not judge(small, 1000, None).fits
    assert judge(TARGETS["wear-os"], 500 * 1024, None).fits
    assert [(t.flash // 1024, t.ram and t.ram // 1024) for t in TARGETS.values()] == [(64, 16), (256, 64), (500, None)]


def test_macs_of_a_net_by_hand() -> None:
    """dscnn-xs on 6 channels of 128 samples, outputs of 64, 32, 16, 16, 16 samples: length * outputs * inputs * kernel."""
    stem = 64 * 8 * 6 * 5
    blocks = [32 * (8 * 5 + 8 * 8), 16 * (8 * 5 + 8 * 8), 16 * (8 * 5 + 16 * 8), 16 * (16 * 5 + 16 * 16)]
    pool, linear = 16 * 16, 16 * 7
    assert macs(deploy(build("dscnn-xs", 6, 7).eval()), 6, 128) == stem + sum(blocks) + pool + linear == 28784


@pytest.mark.parametrize(("tool", "extra"), [("onnxruntime", "onnx"), ("litert_torch", "export"), ("tflite_micro", "export")])
def test_a_missing_tool_is_told_with_its_extra(tool: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    message = f"{tool} is not installed: pip install -c constraints.txt 'harkd[{extra}]'"
    with pytest.raises(HarkdError) as told:
        need(tool)
    assert str(told.value) == message
    assert str(lacks(tool)) == message
    assert str(missing("tflite", "onnx")) == message
    assert missing("onnx" if extra == "export" else "tflite") is None
    assert lacks("onnx") is None


def test_a_fault_inside_a_tool_is_no_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxscript").mkdir()
    (tmp_path / "onnxscript" / "__init__.py").write_text("import something_that_is_nowhere")
    monkeypatch.delitem(sys.modules, "onnxscript", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_that_is_nowhere"):
        need("onnxscript")


NOISY = """
import logging, os, sys, warnings
from harkd.export.tools import quiet
print("before")
with quiet():
    print("printed")
    print("printed", file=sys.stderr)
    os.write(1, b"from below\\n")
    os.write(2, b"from below\\n")
    logging.getLogger("tool").warning("logged")
    warnings.warn("warned")
print("after")
"""


def test_what_tools_say_stays_inside() -> None:
    said = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, check=True, text=True)
    assert (said.stdout, said.stderr) == ("before\nafter\n", "")


def test_what_tools_said_before_they_failed_is_told() -> None:
    with pytest.raises(ValueError, match="broken") as told:
        _fail()
    assert told.value.__notes__ == ["the reason"]


@quiet()
def _fail() -> None:
    os.write(2, b"the reason\n")
    raise ValueError("broken")
