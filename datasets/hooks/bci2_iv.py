"""BCI Competition II, data set IV: the labelled epochs, in ten blocks of the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.folder import file_sensors, read_folder
from harkd.datasets.readers import Piece, read_arrays
from harkd.datasets.recording import Recording

BLOCKS = 10


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """One recording per epoch; the unlabelled epochs of the competition's test are left out."""

    def look(path: Path) -> Iterator[Piece]:
        epochs = list(read_arrays(path, card, file_sensors(card)))
        for number, epoch in enumerate(epochs):
            block = f"block-{number * BLOCKS // len(epochs) + 1:02d}"
            yield replace(epoch, keys={**epoch.keys, "subject": "1", "session": block})

    return read_folder(card, folder, lambda path, keys: look(path), problems)
