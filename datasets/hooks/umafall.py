"""UMAFall: one long table per file, and a header that says which device sits where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.folder import file_sensors, read_folder
from harkd.datasets.readers import Piece, read_text
from harkd.datasets.recording import Recording
from harkd.errors import DataError

_DEVICE = re.compile(r"%\s*[0-9A-Fa-f:]{17}\s*;\s*(\d+)\s*;\s*(\w+)\s*;")
KINDS = {"0": "acc", "1": "gyro", "2": "mag"}


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """Recordings named after their files: subject, movement and trial may occur twice."""
    return read_folder(card, folder, lambda path, keys: _look(path, keys, card), problems)


def _look(path: Path, keys: Mapping[str, str], card: Card) -> Iterator[Piece]:
    places: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip() and not line.lstrip().startswith("%"):
                break
            found = _DEVICE.match(line)
            if found:
                places[found[1]] = {"RIGHTPOCKET": "right_pocket"}.get(found[2], found[2].lower())
    if not places:
        raise DataError(f"{path}: no line of its header says where a device sits, like '%MAC; 0; WRIST; model'")
    known = {sensor.name for sensor in card.sensors}
    words = {f"{number}/{kind}": f"{place}_{name}" for number, place in places.items() for kind, name in KINDS.items()}
    devices = {word: (name,) for word, name in words.items() if name in known}
    return read_text(path, replace(card, files=replace(card.files, devices=devices)), file_sensors(card))
