"""The prepared copy of a data set: windows in memory-mapped files, so that opening them reads next to nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sized
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harkd.datasets.card import Card, Cut
from harkd.datasets.recording import Sensor
from harkd.datasets.store import cache_folder
from harkd.datasets.windows import Target, Windows
from harkd.errors import DataError, HarkdError
from harkd.files import held, new_folder
from harkd.schema import validate

NAMES = ("subjects", "recordings", "sessions")


def key(card: Card, folder: Path | None, cut: Cut | None, prepare: str) -> str:
    """The name of a copy: of the folder; of the card, the files there (names, sizes and times of change) and harkd's own code; of
    the cut and the preparation that are asked for."""
    digest = hashlib.blake2b(json.dumps([code(), asdict(card)], sort_keys=True).encode(), digest_size=8)
    if folder is not None and folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                about = path.stat()
                digest.update(f"{path.relative_to(folder).as_posix()}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    where = "" if folder is None else str(folder.resolve())
    asked = json.dumps([asdict(cut or card.windows), prepare], sort_keys=True)
    short = (hashlib.blake2b(text.encode(), digest_size=4).hexdigest() for text in (where, asked))
    return "-".join([next(short), digest.hexdigest(), next(short)])


@lru_cache(maxsize=1)
def code() -> str:
    """A hash of the code that makes windows of files: a copy that an older harkd made is not taken for what this one would."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def place(card: Card, name: str) -> Path:
    """The folder of a prepared copy."""
    return cache_folder() / "prepared" / f"{card.name}-{name}"


def write(windows: Windows, name: str, wait: Callable[[], None]) -> Path:
    """Write the prepared copy of some windows, unless another process was faster. Copies of what the folder held before go.

    Args:
        wait: called every now and then while another process writes.
    """
    folder = place(windows.card, name)
    with held(folder.parent, wait):
        if not (folder / "meta.json").is_file():
            with new_folder(folder) as beside:
                _write(windows, beside)
        where, content, _ = name.split("-")
        for other in folder.parent.glob(f"{windows.card.name}-{where}-*"):
            if not other.name.startswith(f"{windows.card.name}-{where}-{content}-"):
                shutil.rmtree(other, ignore_errors=True)
    return folder


def _write(windows: Windows, folder: Path) -> None:
    def save(file: str, values: Tensor | np.ndarray) -> str:
        array = values.cpu().numpy() if isinstance(values, Tensor) else values
        np.save(folder / f"{file}.npy", np.ascontiguousarray(array))
        return file

    sensors = list(windows.sensors)
    meta = {
        "prepare": windows.card.prepare,
        "windows": len(windows),
        "ids": save("ids", windows.ids),
        **{name: save(name, getattr(windows, name)) for name in NAMES},
        "sensors": [asdict(sensor) for sensor in windows.sensors.values()],
        "lengths": dict(windows.lengths),
        "signals": {n: save(f"signal-{i}", windows.signals[n]) for i, n in enumerate(sensors)},
        "starts": {n: save(f"starts-{i}", windows.starts[n]) for i, n in enumerate(sensors)},
        "present": {n: save(f"present-{i}", windows.present[n]) for i, n in enumerate(sensors) if n in windows.present},
        "targets": {
            n: {"kind": t.kind, "classes": list(t.classes), "values": save(f"target-{i}", t.values)}
            for i, (n, t) in enumerate(windows.targets.items())
        },
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def open_windows(name: str, card: Card) -> Windows | None:
    """The windows of a prepared copy, their signals memory-mapped; None if there is no such copy.

    Raises:
        DataError: it is damaged.
    """
    folder = place(card, name)
    try:
        text = (folder / "meta.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None

    def array(file: str) -> np.ndarray:
        # Copy on write: torch wants arrays that could be written to; nobody writes, and nothing would reach the file.
        found: np.ndarray = np.load(folder / f"{file}.npy", mmap_mode="c", allow_pickle=False)
        return found

    def tensor(file: str) -> Tensor:
        return torch.from_numpy(array(file))

    try:
        meta = json.loads(text)
        sensors = {s["name"]: validate(Sensor, s, "meta.json") for s in meta["sensors"]}
        windows = Windows(
            card=replace(card, prepare=meta["prepare"]),
            signals={n: tensor(file) for n, file in meta["signals"].items()},
            starts={n: tensor(file) for n, file in meta["starts"].items()},
            lengths=meta["lengths"],
            ids=tensor(meta["ids"]),
            subjects=array(meta["subjects"]),
            recordings=array(meta["recordings"]),
            sessions=array(meta["sessions"]),
            sensors=sensors,
            targets={n: Target(t["kind"], tensor(t["values"]), tuple(t["classes"])) for n, t in meta["targets"].items()},
            present={n: tensor(file) for n, file in meta["present"].items()},
        )
        _check(windows, meta["windows"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, HarkdError) as problem:
        raise DataError(f"the prepared copy in {folder} is damaged ({problem}): delete it and run harkd data prepare") from None
    return windows


def _check(windows: Windows, count: int) -> None:
    """Refuse parts that do not belong together, without touching the signals."""
    targets = [target.values for target in windows.targets.values()]
    names = [windows.subjects, windows.recordings, windows.sessions]
    parts: list[Sized] = [windows.ids, *names, *windows.starts.values(), *windows.present.values(), *targets]
    if any(len(part) != count for part in parts):
        raise ValueError("its parts have different lengths")
    for name, starts in windows.starts.items():
        if int(starts.min()) < 0 or int(starts.max()) + windows.lengths[name] > windows.signals[name].shape[1]:
            raise ValueError(f"windows lie outside the signal of {name}")
