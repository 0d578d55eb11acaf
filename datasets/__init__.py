"""Recordings, windows, splits, cards and readers.

>>> from harkd.datasets import load, split
>>> windows = load("seglearn_watch")
>>> len(windows), windows.classes[0]
(3605, 'pendulum')
>>> train, val, test = split(windows)
>>> sorted(set(test.subjects.tolist()), key=int)
['8', '9', '10']
"""

from __future__ import annotations

from pathlib import Path

from harkd.datasets.card import Card, Cut, names, read_card
from harkd.datasets.readers import read
from harkd.datasets.recording import Recording, Segment, Sensor
from harkd.datasets.scaler import Scaler, Statistics
from harkd.datasets.sees import Sees
from harkd.datasets.splits import Split, check, split
from harkd.datasets.windows import IGNORE, Signals, Target, Windows

__all__ = [
    "IGNORE",
    "Card",
    "Cut",
    "Recording",
    "Scaler",
    "Sees",
    "Segment",
    "Sensor",
    "Signals",
    "Split",
    "Statistics",
    "Target",
    "Windows",
    "check",
    "load",
    "names",
    "read_card",
    "split",
]


def load(name: str, folder: str | Path | None = None, cut: Cut | None = None) -> Windows:
    """The windows of a data set.

    Args:
        name: a name of `names()`, or the path of a card (a TOML file).
        folder: where the recordings are, for data that harkd does not bring along.
        cut: window length and step in samples of the first sensor; by default the card's.

    Raises:
        DataError: the files do not hold what the card says, down to its counts.
    """
    card = read_card(name)
    recordings = read(card, Path(folder) if folder else None)
    card.counts.check(card.name, recordings=len(recordings), subjects=len({r.subject for r in recordings}))
    windows = Windows.cut(recordings, card, cut)
    if cut in (None, card.windows):
        card.counts.check(card.name, windows=len(windows))
    return windows
