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

from harkd.datasets.arrays import from_arrays
from harkd.datasets.card import Card, Cut, names, read_card
from harkd.datasets.loading import load
from harkd.datasets.recording import Recording, Segment, Sensor
from harkd.datasets.scaler import Scaler, Statistics
from harkd.datasets.sees import Sees
from harkd.datasets.splits import Split, check, split
from harkd.datasets.windows import IGNORE, Signals, Target, Windows, class_means, class_shares

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
    "class_means",
    "class_shares",
    "from_arrays",
    "load",
    "names",
    "read_card",
    "split",
]
