"""`harkd data`: check, prepare, info, fetch and schema from the command line, as text and as JSON."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harkd.commands.data import ACTIONS
from harkd.datasets.card import CARDS


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mine(world: Any, tmp_path: Path) -> list[str]:
    """A copy of the world's recordings, as words: card and folder."""
    folder = shutil.copytree(world.folder, tmp_path / "mine")
    return [str(world.card), "--data-folder", str(folder)]


def test_help_tells_the_actions(harkd: Any) -> None:
    told = harkd("data", "--help")
    assert told.code == 0
    for action, about in ACTIONS.items():
        assert f"{action:<8} {about}" in told.out
    for action in ("info", "fetch", "check", "prepare", "schema"):
        told = harkd("data", action, "--help")
        assert (told.code, told.err) == (0, "")
        assert f"harkd data {action}" in told.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc", "x"], "unknown ACTION of harkd data 'chekc': did you mean 'check'?"),
        ([], "harkd data needs ACTION: list, info, fetch"),
        (["--json"], "harkd data needs ACTION before options"),
        (["check"], "NAME"),
        (["check", "seglearn_wach"], "unknown data set 'seglearn_wach': did you mean 'seglearn_watch'"),
        (["prepare", "nowhere.toml"], "nowhere.toml: no such file"),
        (["list", "seglearn_watch"], "did you mean harkd data info seglearn_watch?"),
        (["info", "seglearn_watch", "--prepare", "lowpas(3)"], "unknown preparation step 'lowpas': did you mean 'lowpass'"),
        (["check", "seglearn_watch", "--jsn"], "--jsn"),
    ],
)
def test_a_mistyped_request_has_exit_code_2(harkd: Any, words: list[str], message: str) -> None:
    told = harkd("data", *words)
    assert (told.code, told.out) == (2, "")
    assert message in told.err


# check


def test_check_of_good_recordings(harkd: Any, mine: list[str]) -> None:
    told = harkd("data", "check", *mine)
    assert told.code == 0
    assert "15 recordings\n5 subjects\n60 windows\n" in told.out
    found = harkd("data", "check", *mine, "--json")
    assert found.code == 0
    assert found.json["good"] is True
    assert found.json["counts"] == {"recordings": [15, None], "subjects": [5, None], "windows": [60, None]}
    assert {tuple(person["windows"]) for person in found.json["people"]} == {(4, 4, 4)}


def test_check_of_bad_recordings(harkd: Any, mine: list[str]) -> None:
    folder = Path(mine[-1])
    (folder / "Hrothgar" / "am-slow.csv").write_text("")
    (folder / "Kunigunde" / "dusk-slow.csv").write_text("not,a,table\n")
    told = harkd("data", "check", *mine)
    assert told.code == 1
    assert told.err == ""
    assert "error: a file that cannot be read (" in told.out
    found = harkd("data", "check", *mine, "--json")
    assert (found.code, found.json["good"]) == (1, False)
    assert {"error", "warning", "note"} >= {finding["level"] for finding in found.json["findings"]}
    assert any("dusk-slow.csv" in finding["where"] for finding in found.json["findings"])


def test_check_with_another_preparation(harkd: Any, mine: list[str]) -> None:
    found = harkd("data", "check", *mine, "--prepare", "gravity(0.3)", "--json")
    assert (found.code, found.json["counts"]["windows"][0]) == (0, 60)
    told = harkd("data", "check", *mine, "--prepare", "lowpass(30)", "--json")
    assert told.code == 1
    assert "a filter edge of 30 Hz needs more than 60 samples per second" in told.json["findings"][0]["where"]


# prepare


def test_prepare_makes_a_copy_that_is_used(harkd: Any, mine: list[str], cache: Path) -> None:
    first = harkd("data", "prepare", *mine, "--json").json
    assert (first["windows"], first["fresh"]) == (60, True)
    assert Path(first["folder"]).parent == cache / "prepared"
    assert first["bytes"] == sum(path.stat().st_size for path in Path(first["folder"]).iterdir())
    assert harkd("data", "prepare", *mine, "--json").json == {**first, "fresh": False}
    told = harkd("data", "prepare", *mine).out
    assert told.startswith("60 windows, 0.")
    assert "was prepared already" in told
    before = harkd("data", "info", *mine, "--json").json
    path = Path(first["folder"]) / "signal-0.npy"
    x = np.load(path)
    np.save(path, x[:, :7])
    damaged = harkd("data", "info", *mine)
    assert (damaged.code, damaged.out) == (1, "")
    assert "is damaged" in damaged.err
    assert "delete it and run harkd data prepare" in damaged.err
    np.save(path, x)
    assert harkd("data", "info", *mine, "--json").json == before


def test_prepare_with_other_windows(harkd: Any, mine: list[str]) -> None:
    assert harkd("data", "prepare", *mine, "--window", "16", "--step", "16", "--json").json["windows"] == 120
    assert harkd("data", "prepare", *mine, "--step", "16", "--json").json["windows"] == 105
    told = harkd("data", "prepare", *mine, "--window", "999")
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert "no window of 999 samples fits; the longest labelled stretch has 128 samples" in told.err
    negative = harkd("data", "prepare", *mine, "--window", "-5")
    assert (negative.code, negative.out) == (2, "")
    assert "length and step are at least 1 sample, got -5 and 32" in negative.err


# info, fetch, schema


def test_info_tells_the_preparation_and_what_is_missing(harkd: Any, mine: list[str]) -> None:
    found = harkd("data", "info", *mine, "--prepare", "gravity(0.3)").out
    assert "prepared by gravity(cutoff=0.3)" in found or "prepared by gravity()" in found
    assert "acc_gravity: x, y, z in g at 50 Hz" in found
    assert harkd("data", "info", *mine, "--json").json["found"]["without_sensor"] == {}


def test_fetch_says_what_to_put_where(harkd: Any, mine: list[str]) -> None:
    assert "nothing to fetch: harkd brings it along" in harkd("data", "fetch", "seglearn_watch").out
    told = harkd("data", "fetch", mine[0])
    assert told.code == 0
    assert "give the folder with --data-folder" in told.out
    assert "licence: CC-BY-NC-4.0. Ask before you sell." in told.out


def test_the_schema_is_of_cards(harkd: Any) -> None:
    schema = harkd("data", "schema").json
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"name", "title", "licence", "files", "sensors", "target", "windows"} <= set(schema["required"])
    assert schema["properties"]["prepare"]["default"] == ""
    assert "additionalProperties" in json.dumps(schema)


def test_fetch_takes_the_files_that_are_asked_for(harkd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is a folder here; the checksums are those of its files."""
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    server = tmp_path / "server"
    lines = []
    for name in ("S001/a.edf", "S002/b.edf"):
        (server / name).parent.mkdir(parents=True)
        (server / name).write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n")
    monkeypatch.setattr("harkd.datasets.card.CARDS", tmp_path)
    (tmp_path / "sums.sha256").write_text("".join(lines))
    card = (CARDS / "eegmmidb.toml").read_text()
    changed = card.replace("https://physionet.org/files/eegmmidb/1.0.0/", f"{server.as_uri()}/").replace(
        "eegmmidb.sha256", "sums.sha256"
    )
    assert changed.count("sums.sha256") == 1
    (tmp_path / "mine.toml").write_text(changed)
    told = harkd("data", "fetch", tmp_path / "mine.toml", "--only", "S002")
    folder = tmp_path / "cache" / "data" / "eegmmidb"
    assert (told.code, told.out.splitlines()[-1]) == (0, f"in {folder}")
    assert [path.name for path in folder.rglob("*.edf")] == ["b.edf"]
    assert harkd("data", "fetch", tmp_path / "mine.toml").code == 0
    assert sorted(path.name for path in folder.rglob("*.edf")) == ["a.edf", "b.edf"]
    told = harkd("data", "fetch", tmp_path / "mine.toml", "--only", "S9")
    assert (told.code, "matches none of the files, which are like 'S001/a.edf'" in told.err) == (2, True)
    assert "is not a regular expression" in harkd("data", "fetch", tmp_path / "mine.toml", "--only", "(").err


def test_a_damaged_file_of_a_data_set_with_a_hook_is_a_finding(
    harkd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "umafall"
    folder.mkdir()
    head = "%f8:95:c7:f3:ba:82; 3; WRIST; SensorTag\n"
    for trial, text in enumerate((head + "".join(f"{50 * t};{t};0;1;{t % 3};0;3\n" for t in range(100)), "0;0;0;0;0;0;0\n"), 1):
        (folder / f"UMAFall_Subject_01_ADL_Walking_{trial}_2016-06-13_13-07-16.csv").write_text(text)
    found = harkd("data", "check", "umafall", "--data-folder", folder, "--json")
    assert found.code == 1
    assert found.json["counts"]["recordings"][0] == 1
    assert any("no line of its header says where a device sits" in finding["where"] for finding in found.json["findings"])
