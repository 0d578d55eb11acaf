"""Synthetic recordings, made by harkd and read from nowhere: people in motion, with a skeleton and inertial sensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.recording import Recording
from harkd.datasets.synthetic import motion
from harkd.datasets.synthetic.imu import PLACES
from harkd.errors import DataError


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """The study that the card describes: its classes are the activities, its sensors say where devices are worn.

    Raises:
        DataError: a folder was given, though there is nothing to read.
    """
    if folder is not None:
        raise DataError(f"{card.name} is made by harkd and reads no files; leave the data folder out (got {folder})")
    names = {sensor.name for sensor in card.sensors}
    study = motion.Study(
        subjects=card.counts.subjects or motion.Study.subjects,
        activities=card.target.classes,
        places=tuple(place for place in PLACES if f"{place}_acc" in names),
    )
    return motion.recordings(study)
