"""Folders of recordings as strangers have them: files written by hand, and a card of a few lines that describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harkd.datasets import Card, Recording, Sensor, Windows, read_card
from harkd.datasets.folder import file_sensors, locate
from harkd.datasets.loading import from_files, read
from harkd.datasets.prepare import run, usage

HEAD = 'name = "own"\ntitle = "Own"\ncitation = "none"\nlicence = { name = "CC0-1.0" }\n'


@dataclass(frozen=True)
class Own:
    """A data folder, and beside it the card that the last call wrote."""

    folder: Path

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def table(self, name: str, header: str, rows: Sequence[Sequence[Any]], separator: str = ",") -> Path:
        """A text file: a header of one word per column, and rows whose numbers are written in full."""
        lines = [separator.join(header.split())] if header else []
        return self.write(name, "\n".join([*lines, *(separator.join(map(str, row)) for row in rows)]) + "\n")

    def card(
        self,
        files: str,
        sensors: Sequence[str] = ("acc acc g 10",),
        classes: Sequence[str] = ("rest", "walk"),
        labels: Sequence[str] = (),
        *,
        unlabelled: Sequence[str] = (),
        cut: tuple[int, int] = (4, 4),
        prepare: str = "",
        top: str = "",
        more: str = "",
    ) -> Card:
        """A card: `files` is the body of its table [files]; a sensor is "name kind units rate [channels ...]"."""
        text = HEAD + top + "\n" + (f'prepare = "{prepare}"\n' if prepare else "")
        target = f'name = "activity"\nclasses = {json.dumps(classes)}\n' + (f"labels = {json.dumps(labels)}\n" if labels else "")
        target += f"unlabelled = {json.dumps(unlabelled)}\n"
        text += f"[files]\n{files}\n[target]\n{target}[windows]\nlength = {cut[0]}\nstep = {cut[1]}\n"
        for sensor in sensors:
            name, kind, units, rate, *channels = sensor.split()
            optional = "optional" in channels and not channels.remove("optional")
            text += f'[[sensors]]\nname = "{name}"\nkind = "{kind}"\nunits = "{units}"\nrate = {float(rate)}\n'
            text += (f"channels = {json.dumps(channels)}\n" if channels else "") + ("optional = true\n" if optional else "")
        path = self.folder.parent / "own.toml"
        path.write_text(text + more)
        return read_card(str(path))

    def windows(self, files: str, *sensors: str, **more: Any) -> Windows:
        """The windows that a card with this table [files] makes of the folder."""
        return from_files(self.card(files, **({"sensors": sensors} if sensors else {}), **more), self.folder)

    def recordings(self, files: str, *sensors: str, **more: Any) -> dict[str, Recording]:
        """The recordings by name, before any preparation."""
        card = self.card(files, **({"sensors": sensors} if sensors else {}), **more)
        return {recording.name: recording for recording in read(card, self.folder)}


@pytest.fixture
def own(tmp_path: Path) -> Own:
    (tmp_path / "data").mkdir()
    return Own(tmp_path / "data")


def values(windows: Windows, sensor: str, channel: int = 0) -> NDArray[np.float32]:
    """(window, time) of one channel."""
    return windows.gather(torch.arange(len(windows)))[sensor][:, channel].numpy()


@pytest.fixture
def seen() -> Any:
    """`seen(windows, sensor, channel=0)`: (window, time) of one channel."""
    return values


# Real recordings, which stand in the folder that HARKD_TEST_DATA names


@dataclass(frozen=True)
class Real:
    """A public data set: its card, its folder (unpacked), its recordings as the files have them, and its windows."""

    card: Card
    folder: Path
    recordings: dict[str, Recording]
    windows: Windows

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        return file_sensors(self.card)

    def first(self, recording: str, sensor: str) -> NDArray[np.float32]:
        """(channel, time) of the first window of a recording."""
        at = np.flatnonzero(self.windows.recordings == recording)[:1]
        return self.windows.gather(torch.from_numpy(at))[sensor][0].numpy()


@pytest.fixture(scope="session")
def real() -> Callable[[str, str], Real]:
    """`real(card, folder)`, each read once in a session, as `load` does it."""
    home = os.environ.get("HARKD_TEST_DATA")
    if not home:
        pytest.skip("HARKD_TEST_DATA does not name a folder of recordings")
    done: dict[str, Real] = {}

    def get(name: str, folder: str) -> Real:
        if not (Path(home) / folder).is_dir():
            pytest.skip(f"HARKD_TEST_DATA holds no folder {folder}")
        if name not in done:
            card = read_card(name)
            place, _ = locate(card, Path(home) / folder) if card.files.reader else (Path(home) / folder, [])
            recordings = read(card, Path(home) / folder)
            prepared, sensors = run(usage(card.prepare), recordings, file_sensors(card), card.sensors)
            windows = Windows.cut(prepared, card, None, sensors)
            found = {"recordings": len(recordings), "subjects": len({r.subject for r in recordings}), "windows": len(windows)}
            card.counts.check(name, **found)
            done[name] = Real(card, place, {r.name: r for r in recordings}, windows)
        return done[name]

    return get
