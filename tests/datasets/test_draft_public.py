"""The layouts of public data sets: the draft names the right reader, groups and sensors."""

import math
import os
from pathlib import Path

import pytest

from harkd.datasets import load, read_card
from harkd.datasets.draft import Draft, draft
from harkd.datasets.store import unpacked

DATA = Path(os.environ.get("HARKD_TEST_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="HARKD_TEST_DATA is not set")


def asked(found: Draft) -> str:
    return "\n".join(f"{key}: {text}" for key, text in found.notes.asked)


def test_uci_hmp() -> None:
    found = draft(DATA / "uci-hmp", rate=32)
    assert 'reader = "text"' in found.text
    assert "(?P<label>" in found.text
    assert "(?P<subject>" in found.text
    assert found.counts.subjects == 16
    assert len(found.windows.classes if found.windows else ()) == 14
    assert "need an offset" in asked(found)


def test_utd_mhad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path))
    found = draft(DATA / "utd-mhad", rate=50)
    assert "their rates differ" in asked(found)
    assert 'prepare = "fit(128)"' in asked(found)
    path = tmp_path / "mine.toml"
    path.write_text(found.text.replace('\nprepare = ""\n', '\nprepare = "fit(128)"\n'))
    card = read_card(str(path))
    assert card.files.reader == "mat"
    assert card.files.axes == {"skeleton": ("joint", "axis", "time")}
    assert {s.name: s.units for s in card.sensors} == {"acc": "g", "gyro": "deg/s", "skeleton": "m"}
    assert card.sensors[2].channels[:6] == tuple(f"{joint}_{axis}" for joint in ("head", "shoulder_center") for axis in "xyz")
    assert [s.name for s in card.sensors if s.optional] == []
    windows = load(str(path), DATA / "utd-mhad")
    assert (len(windows), len(set(windows.subjects.tolist())), len(windows.classes)) == (861, 8, 27)


def test_uci_hapt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path))
    found = draft(unpacked(DATA / "uci-hapt" / "HAPT_RawData.tar.xz"), rate=50)
    assert found.windows is not None
    assert found.windows.card.files.segments is not None
    assert found.windows.card.files.segments.inclusive
    assert (found.counts.recordings, found.counts.subjects, found.counts.windows) == (61, 30, 10929)  # as published
    assert "walking upstairs" in found.windows.classes


@pytest.mark.slow
def test_berkeley(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path))
    found = draft(DATA / "berkeley-mhad")
    assert found.windows is not None
    card = found.windows.card
    assert card.files.archive == r"Accelerometer\.tar\.gz"
    assert (card.files.time, card.files.time_unit) == (3, "s")
    assert [s.name for s in card.sensors] == [f"shimmer0{n}_acc" for n in range(1, 7)]
    assert all(math.isclose(s.rate, 31, rel_tol=0.02) for s in card.sensors)
    assert {s.units for s in card.sensors} == {"g"}
    assert (found.counts.recordings, found.counts.subjects) == (658, 12)
