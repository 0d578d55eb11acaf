"""How fast recordings become windows, against the loop that people write, and how fast a prepared copy opens.

    HARKD_TEST_DATA=/where/the/recordings/are python benchmarks/loading.py     # prints the tables, writes benchmarks/loading.md

Both sides read the same files in one process, in turns, and the medians are compared. Archives are unpacked before.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.signal import resample

from harkd.datasets import Card, Cut, Recording, Segment, Windows, cache, read_card
from harkd.datasets.loading import from_files
from harkd.datasets.store import unpacked

DATA = Path(os.environ.get("HARKD_TEST_DATA", ""))
TURNS = 5
Array = NDArray[np.float64]


def plain_utd(folder: Path) -> int:
    """Each sequence by loadmat, inertial to 128 samples and skeleton to 64 frames."""
    windows = []
    for path in sorted((folder / "Inertial").glob("*.mat")):
        inertial = loadmat(path)["d_iner"]
        skeleton = loadmat(folder / "Skeleton" / path.name.replace("inertial", "skeleton"))["d_skel"]
        flat = skeleton.reshape(60, -1)
        windows.append((resample(inertial, 128).T, resample(flat, 64, axis=1)))
    acc, bones = np.stack([w[0] for w in windows]), np.stack([w[1] for w in windows])
    assert len(acc) == len(bones)
    return len(acc)


def plain_hapt(folder: Path) -> int:
    """pandas for each file, windows of 128 with step 64 inside each labelled row."""
    labels = pd.read_csv(folder / "RawData" / "labels.txt", sep=" ", header=None).to_numpy()
    windows, classes = [], []
    for experiment, user in sorted({(row[0], row[1]) for row in labels.tolist()}):
        name = f"exp{experiment:02d}_user{user:02d}.txt"
        both = [pd.read_csv(folder / "RawData" / f"{s}_{name}", sep=r"\s+", header=None).to_numpy() for s in ("acc", "gyro")]
        signal = np.concatenate(both, 1).astype(np.float32)
        for _, _, label, start, stop in labels[(labels[:, 0] == experiment)].tolist():
            for at in range(start, stop + 1 - 127, 64):
                windows.append(signal[at : at + 128])
                classes.append(label)
    return len(np.stack(windows))


def plain_edf(folder: Path) -> int:
    """mne for each file, 4 s after each cue."""
    import mne

    trials = []
    for path in sorted(folder.glob("files/*/*.edf")):
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        signal = raw.get_data() * 1e6
        for mark in raw.annotations:
            if mark["description"] in ("T1", "T2"):
                at = round(mark["onset"] * 160)
                trials.append(signal[:, at : at + 640].astype(np.float32))
    return len(np.stack(trials))


def plain_npz(folder: Path) -> int:
    """np.load for the repacked runs."""
    trials = []
    for path in sorted(folder.glob("npz/*.npz")):
        content = np.load(path)
        for run in content["runs"]:
            if int(run) in (3, 4, 7, 8, 11, 12):
                signal = content[f"R{run:02d}"].astype(np.float32)
                for onset, label in zip(content[f"R{run:02d}_onset"], content[f"R{run:02d}_label"], strict=True):
                    if label in ("T1", "T2"):
                        trials.append(signal[:, round(onset * 160) : round(onset * 160) + 640])
    return len(np.stack(trials))


def edf_card() -> Card:
    """The card of EEGMMIDB for all six EDF files at hand, whatever their task."""
    card = read_card("eegmmidb")
    files = replace(
        card.files,
        hook="",
        reader="edf",
        pattern=r"files/S\d+/S(?P<subject>\d+)R(?P<session>\d+)\.edf",
        events=(replace(card.files.events[0], sessions=()),),
    )
    return replace(card, files=files)


def npz_card() -> Card:
    card = read_card("eegmmidb")
    return replace(card, files=replace(card.files, pattern="no EDF files"))


def seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def size(folder: Path, pattern: str) -> float:
    """MB of the files that are read."""
    names = {p: p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return sum(p.stat().st_size for p, name in names.items() if re.fullmatch(pattern, name)) / 1e6


def disk(folder: Path, pattern: str) -> None:
    """Read the bytes and nothing else."""
    for path in folder.rglob("*"):
        if path.is_file() and re.fullmatch(pattern, path.relative_to(folder).as_posix()):
            path.read_bytes()


@dataclass(frozen=True)
class Case:
    label: str
    card: Card
    folder: Path
    plain: Callable[[Path], int]
    peer: str
    pattern: str


def first_preparation() -> list[str]:
    rows = [
        "| data set | MB | plain loop | harkd, files to windows | ratio | writing the copy | opening it | reading the bytes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    hapt = unpacked(DATA / "uci-hapt" / "HAPT_RawData.tar.xz")
    eeg = DATA / "eegmmidb"
    cases = [
        Case("utd_mhad", read_card("utd_mhad"), DATA / "utd-mhad", plain_utd, "SciPy's loadmat", r".*\.mat"),
        Case("uci_hapt", read_card("uci_hapt"), hapt, plain_hapt, "pandas", r"RawData/.*"),
        Case("eegmmidb, EDF+ as published", edf_card(), eeg, plain_edf, "mne", r"files/.*\.edf"),
        Case("eegmmidb, repacked (LZMA)", npz_card(), eeg, plain_npz, "np.load", r"npz/.*"),
    ]
    for case in cases:
        times: dict[str, list[float]] = {"plain": [], "harkd": [], "write": [], "open": [], "bytes": []}
        windows = from_files(case.card, case.folder)
        assert case.plain(case.folder) == len(windows), "both sides cut the same windows"
        for turn in range(TURNS):
            key = f"here-{turn}-whole"
            times["plain"].append(seconds(partial(case.plain, case.folder)))
            times["harkd"].append(seconds(partial(from_files, case.card, case.folder)))
            times["write"].append(seconds(partial(cache.write, windows, key, lambda: None)))
            times["open"].append(seconds(partial(cache.open_windows, key, case.card)))
            times["bytes"].append(seconds(partial(disk, case.folder, case.pattern)))
        m = {what: statistics.median(values) for what, values in times.items()}
        rows.append(
            f"| {case.label} | {size(case.folder, case.pattern):.0f} | {m['plain']:.2f} s ({case.peer}) | {m['harkd']:.2f} s | "
            f"**{m['plain'] / m['harkd']:.1f}** | {m['write']:.2f} s | {m['open'] * 1e3:.1f} ms | {m['bytes']:.2f} s |"
        )
    return rows


OPEN = """
import json, re, sys, time
import torch
from harkd.datasets import cache, read_card
# Memory of its own: pages of mapped files are the system's to take back.
resident = lambda: int(re.findall(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[0]) / 1e3
card = read_card(sys.argv[1])
before, began = resident(), time.perf_counter()
windows = cache.open_windows("here-a-million", card)
seconds, opened = time.perf_counter() - began, resident()
generator = torch.Generator().manual_seed(0)
x = windows.gather(torch.randint(len(windows), (256,), generator=generator))
batch = sum(v.numel() * 4 for v in x.values()) / 1e6
print(json.dumps({"windows": len(windows), "seconds": seconds, "opened": opened - before, "batch": batch,
                  "gathered": resident() - opened, "signals": sum(s.numel() * 4 for s in windows.signals.values()) / 1e6}))
"""


def a_million() -> list[str]:
    """A made-up set of a million windows with the card of UCI HAPT: 64 recordings of 5.6 hours, 128 samples with step 64."""
    card = read_card("uci_hapt")
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((6, 1_000_064), np.float32)
    recordings = [
        Recording(
            f"recording-{n}",
            str(n % 30),
            {"waist_acc": noise[:3], "waist_gyro": noise[3:]},
            segments=(Segment(0.0, 1_000_064 / 50, {"activity": n % 12}),),
        )
        for n in range(64)
    ]
    windows = Windows.cut(recordings, card, Cut(128, 64))
    cache.write(windows, "here-a-million", lambda: None)
    told = subprocess.run([sys.executable, "-c", OPEN, "uci_hapt"], capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    return [
        "| windows | signals on disk | opened in | memory for that | a batch of 256 windows | memory for gathering it |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {found['windows']:,} | {found['signals']:,.0f} MB | {found['seconds'] * 1e3:.0f} ms | {found['opened']:.1f} MB | "
        f"{found['batch']:.1f} MB | {found['gathered']:.1f} MB |",
    ]


def main() -> None:
    if not DATA.is_dir() or not str(DATA):
        sys.exit("set HARKD_TEST_DATA to the folder of the recordings")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARKD_CACHE"] = folder
        text = [
            "# Loading",
            "",
            "`HARKD_TEST_DATA=... python benchmarks/loading.py`: " + str(__doc__).split("\n\n")[-1].strip().replace("\n", " "),
            "",
            f"{os.cpu_count()} cores; {TURNS} turns.",
            "",
            *first_preparation(),
            "",
            "What limits: of UTD-MHAD, inflating the files (zlib) takes a third of the plain loop's time, and the anti-alias",
            "filter of `fit` half of ours (the plain loop uses an FFT, which wraps the end of a gesture round to its start); of",
            "UCI HAPT, parsing decimal numbers, which both sides leave to pandas; of the repacked runs, LZMA. Every later start",
            "opens the prepared copy instead.",
            "",
            "A prepared copy is memory-mapped:",
            "",
            *a_million(),
            "",
        ]
    print("\n".join(text))
    Path(__file__).with_suffix(".md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
