"""The prepared copy: what it holds is what the files hold, it is whole or absent, and opening it costs next to nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harkd.datasets import Card, Cut, Scaler, Sees, Statistics, Windows, cache, load
from harkd.datasets.loading import from_files
from harkd.errors import DataError

FILES = r"""reader = "text"
pattern = '(?P<recording>(?P<subject>\w+)_(?P<label>\w+)_(?P<session>\w+))_(?P<device>\w+)\.csv'
columns = { acc = ["x", "y", "z"], gyro = ["x", "y", "z"] }
"""
SENSORS = ("acc acc g 10", "gyro gyro dps 20 optional")


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def card(own: Any) -> Card:
    """Three subjects; the second has no gyroscope."""
    for n, who in enumerate(("a", "b", "c")):
        for label in ("rest", "walk"):
            rows = [[1000 * n + t, -t, 1] for t in range(21 + n)]
            own.table(f"{who}_{label}_am_acc.csv", "x y z", rows)
            if who != "b":
                own.table(f"{who}_{label}_am_gyro.csv", "x y z", [[t, 7, n] for t in range(44)])
    made: Card = own.card(FILES, SENSORS)
    return made


def wait() -> None:
    time.sleep(0.01)


def prepared(card: Card, folder: Path, **more: Any) -> tuple[str, Windows]:
    key = cache.key(card, folder, more.get("cut"), more.get("prepare", ""))
    windows = from_files(card, folder, **more)
    cache.write(windows, key, wait)
    return key, windows


def same(one: Windows, other: Windows) -> bool:
    """Whether every field is equal, down to types and order."""
    for field in fields(Windows):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert list(a) == list(b), field.name
        for x, y in zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else [(a, b)]:
            if isinstance(x, torch.Tensor):
                assert x.dtype == y.dtype, field.name
                assert torch.equal(x, y), field.name
            elif isinstance(x, np.ndarray):
                assert x.dtype == y.dtype, field.name
                assert x.tolist() == y.tolist(), field.name
            elif hasattr(x, "values"):
                assert (x.kind, x.classes) == (y.kind, y.classes)
                assert torch.equal(x.values, y.values)
            else:
                assert x == y, field.name
    return True


@pytest.mark.parametrize("more", [{}, {"cut": Cut(6, 3)}, {"prepare": "lowpass(2)+gravity(0.5)"}])
def test_a_prepared_copy_is_what_the_files_hold(card: Card, own: Any, more: dict[str, Any]) -> None:
    key, windows = prepared(card, own.folder, **more)
    found = cache.open_windows(key, card)
    assert found is not None
    assert same(found, windows)
    index = torch.arange(len(windows)).flip(0)
    for name, x in windows.gather(index).items():
        assert torch.equal(found.gather(index)[name], x)


def test_load_takes_the_copy_if_there_is_one(card: Card, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(own.folder.parent / "own.toml")
    first = load(path, own.folder)
    assert cache.open_windows(cache.key(card, own.folder, None, ""), card) is None  # nobody asked for a copy
    prepared(card, own.folder)

    def fail(*_: Any) -> None:
        raise AssertionError("the files were read")

    monkeypatch.setattr("harkd.datasets.loading.from_files", fail)
    assert same(load(path, own.folder), first)
    assert same(load(path, own.folder, card.windows), first)
    with pytest.raises(AssertionError, match="the files were read"):
        load(path, own.folder, Cut(5, 4))


def test_the_key_knows_code_card_cut_preparation_and_files(card: Card, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        cache.key(card, own.folder, None, ""),
        cache.key(replace(card, prepare="fill(1)"), own.folder, None, ""),
        cache.key(replace(card, title="Mine"), own.folder, None, ""),
        cache.key(card, own.folder, Cut(4, 3), ""),
        cache.key(card, own.folder, None, "fill(1)"),
        cache.key(card, None, None, ""),
    ]
    assert cache.key(card, own.folder, Cut(4, 4), "") == keys[0]
    path = own.folder / "a_rest_am_acc.csv"
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    keys.append(cache.key(card, own.folder, None, ""))
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    keys.append(cache.key(card, own.folder, None, ""))
    path.rename(path.with_name("d_rest_am_acc.csv"))
    keys.append(cache.key(card, own.folder, None, ""))
    monkeypatch.setattr(cache, "code", lambda: "of another harkd")
    keys.append(cache.key(card, own.folder, None, ""))
    assert len(set(keys)) == len(keys)


def test_older_copies_go_and_others_stay(card: Card, own: Any, folder_of_its_own: Path) -> None:
    first, _ = prepared(card, own.folder)
    other = replace(card, name="own-too")
    foreign, _ = prepared(other, own.folder)
    second, _ = prepared(card, own.folder, cut=Cut(8, 8))
    assert cache.open_windows(first, card) is not None  # another cut of the same files
    path = own.folder / "a_rest_am_acc.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    third, _ = prepared(card, own.folder)
    there = sorted(path.name for path in (folder_of_its_own / "prepared").iterdir())
    assert there == sorted([cache.place(card, third).name, cache.place(other, foreign).name])
    assert cache.open_windows(first, card) is cache.open_windows(second, card) is None


@pytest.mark.parametrize("damage", ["signal-0", "starts-1", "ids", "subjects", "present-1", "target-0"])
def test_a_damaged_copy_is_named(card: Card, own: Any, damage: str) -> None:
    key, _ = prepared(card, own.folder)
    path = cache.place(card, key) / f"{damage}.npy"
    whole = path.read_bytes()
    for content in (whole[:-3], whole[:20], b"", b"\0" * len(whole)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"the prepared copy in .* is damaged .*: delete it and run harkd data prepare"):
            cache.open_windows(key, card)
    path.unlink()
    with pytest.raises(DataError, match="is damaged"):
        cache.open_windows(key, card)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sensors": [{"name": "x"}]}', '{"sensors": 3}', "\udcff"])
def test_damaged_words_beside_a_copy_are_named(card: Card, own: Any, text: str) -> None:
    key, _ = prepared(card, own.folder)
    (cache.place(card, key) / "meta.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match="is damaged"):
        cache.open_windows(key, card)


def test_parts_of_different_lengths_are_noticed(card: Card, own: Any) -> None:
    key, windows = prepared(card, own.folder)
    meta = cache.place(card, key) / "meta.json"
    told = json.loads(meta.read_text())
    meta.write_text(json.dumps({**told, "windows": len(windows) + 1}))
    with pytest.raises(DataError, match=r"damaged .its parts have different lengths"):
        cache.open_windows(key, card)
    meta.write_text(json.dumps(told))
    for file in ("target-0", "starts-0", "present-1", "sessions"):
        path = cache.place(card, key) / f"{file}.npy"
        whole = np.load(path)
        np.save(path, whole[:-1])
        with pytest.raises(DataError, match=r"damaged .its parts have different lengths"):
            cache.open_windows(key, card)
        np.save(path, whole)
    assert cache.open_windows(key, card) is not None


# Processes


def process(own: Any, code: str) -> subprocess.Popen[str]:
    text = f"""
import sys, time
from pathlib import Path
from harkd.datasets import cache, read_card
from harkd.datasets.loading import from_files
card, folder = read_card({str(own.folder.parent / "own.toml")!r}), Path({str(own.folder)!r})
key, windows = cache.key(card, folder, None, ""), from_files(card, folder)
{code}
"""
    return subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_at_once_make_one_copy(card: Card, own: Any, folder_of_its_own: Path) -> None:
    """Each opens the folder for itself, so the lock holds threads apart as it does processes."""
    key, windows = cache.key(card, own.folder, None, ""), from_files(card, own.folder)
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: cache.write(windows, key, wait), range(8)))
    assert [path.name for path in (folder_of_its_own / "prepared").iterdir()] == [place.name for place in places]
    found = cache.open_windows(key, card)
    assert found is not None
    assert same(found, windows)


def test_a_process_that_is_killed_leaves_nothing_half(card: Card, own: Any, folder_of_its_own: Path) -> None:
    """It stops for ever after the third file of the copy; another waits for it, and does the work when it is killed."""
    code = f"""
import time
import numpy as np
from pathlib import Path
from harkd.datasets import cache, read_card
from harkd.datasets.loading import from_files
card, folder = read_card({str(own.folder.parent / "own.toml")!r}), Path({str(own.folder)!r})
save, count = np.save, []
def slow(*of):
    save(*of)
    count.append(1)
    if len(count) == 3:
        print("now", flush=True)
        time.sleep(60)
np.save = slow
cache.write(from_files(card, folder), cache.key(card, folder, None, ""), lambda: None)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "now\n"
        key, waited = cache.key(card, own.folder, None, ""), []
        assert cache.open_windows(key, card) is None

        def kill_it() -> None:
            waited.append(1)
            assert cache.open_windows(key, card) is None
            one.send_signal(signal.SIGKILL)
            one.wait(10)

        cache.write(from_files(card, own.folder), key, kill_it)
    assert waited
    assert [path.name for path in (folder_of_its_own / "prepared").iterdir()] == [cache.place(card, key).name]
    found = cache.open_windows(key, card)
    assert found is not None
    assert same(found, from_files(card, own.folder))


def test_a_batch_costs_its_own_memory_and_not_the_sets(card: Card, folder_of_its_own: Path) -> None:
    """300 MB on disk: opening them and gathering two batches of 64 windows takes a few MB more than without."""
    code = f"""
import numpy as np, torch
from dataclasses import replace
from pathlib import Path
from harkd.datasets import cache, read_card, Windows
from harkd.datasets.recording import Sensor
card = read_card({str(folder_of_its_own.parent / "own.toml")!r})
samples, length = 25_000_000, 100
folder = cache.place(card, "big")
folder.mkdir(parents=True)
big = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.float32, shape=(3, samples))  # sparse: not written
big[:, 12_345_600:12_345_700] = 7
del big
starts = torch.arange(0, samples - length, length)
few = Windows(card, {{"acc": torch.zeros(3, 1).expand(3, samples)}}, {{"acc": starts}}, {{"acc": length}}, starts.clone(),
              *(np.array(["1"] * len(starts)) for _ in range(3)), {{"acc": card.sensors[0]}})
whole, few.signals["acc"] = few.signals["acc"], torch.zeros(3, 1)
cache._write(few, folder)
few.signals["acc"] = whole
(folder / "x.npy").replace(folder / "signal-0.npy")
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
few.gather(torch.arange(2))
before = rss()
found = cache.open_windows("big", card)
index = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:128]
index[5] = 123456
batches = [found.gather(part)["acc"] for part in index.split(64)]
assert batches[0].shape == (64, 3, length) and (batches[0][5] == 7).all()
print(rss() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) < 60e6


# Windows that lack a sensor


def test_windows_without_a_sensor_are_zero_there_and_can_be_left_out(card: Card, own: Any) -> None:
    _, windows = prepared(card, own.folder)
    opened = cache.open_windows(cache.key(card, own.folder, None, ""), card)
    assert opened is not None
    for found in (windows, opened):
        lacks = found.subjects == "b"
        assert found.present.keys() == {"gyro"}
        assert (~found.present["gyro"]).numpy().tolist() == lacks.tolist()
        x = found.gather(torch.arange(len(found)))["gyro"]
        assert (x[torch.from_numpy(lacks)] == 0).all()
        assert (x[torch.from_numpy(~lacks)][:, 1] == 7).all()
        assert found.having(["acc"]) is found
        kept = found.having(["acc", "gyro"])
        assert set(kept.subjects.tolist()) == {"a", "c"}
        assert kept.present == {}
        part = found.subset(np.array([len(found) - 1, 0]))
        assert part.to("cpu").present["gyro"].tolist() == [True, True]
        assert part.subjects.tolist() == ["c", "a"]
        assert torch.equal(part.ids, found.ids[[-1, 0]])


def test_statistics_take_no_account_of_what_is_missing(card: Card, own: Any) -> None:
    """The gyroscope's second channel is 7 wherever there is one: its mean is 7, not less."""
    windows = from_files(card, own.folder)
    statistics = Statistics.of(windows)
    assert statistics.mean["gyro"][1] == 7
    assert statistics.std["gyro"][1] == 1  # it never moves
    only = Statistics.of(windows.having(["gyro"]))
    torch.testing.assert_close(statistics.mean["gyro"], only.mean["gyro"])
    torch.testing.assert_close(statistics.std["gyro"], only.std["gyro"])
    nobody = Statistics.of(windows.subset(np.flatnonzero(windows.subjects == "b")))
    assert nobody.mean["gyro"].tolist() == [0, 0, 0]
    assert nobody.std["gyro"].tolist() == [1, 1, 1]
    sees = Sees.parse("gyro", windows.sensors, windows.lengths)
    assert Scaler.fit(statistics, sees).mean.flatten().tolist() == statistics.mean["gyro"].tolist()
