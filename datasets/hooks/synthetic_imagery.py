"""Synthetic recordings, made by harkd and read from nowhere: imagined movement of a hand, 64 electrodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.recording import Recording
from harkd.datasets.synthetic import imagery
from harkd.errors import DataError


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """The study that the card describes.

    Raises:
        DataError: a folder was given, though there is nothing to read.
    """
    if folder is not None:
        raise DataError(f"{card.name} is made by harkd and reads no files; leave the data folder out (got {folder})")
    return imagery.recordings(imagery.Study(subjects=card.counts.subjects or imagery.Study.subjects))
