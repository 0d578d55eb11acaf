"""From a data set's name to its windows: the prepared copy if there is one, else the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harkd.datasets import cache
from harkd.datasets.card import Card, Cut, read_card
from harkd.datasets.folder import file_sensors, read_folder
from harkd.datasets.hooks import HOOKS
from harkd.datasets.prepare import run, to_text, usage
from harkd.datasets.recording import Recording
from harkd.datasets.store import cache_folder
from harkd.datasets.windows import Windows
from harkd.errors import unknown


def load(name: str, folder: str | Path | None = None, cut: Cut | None = None, prepare: str = "") -> Windows:
    """The windows of a data set.

    Args:
        name: a name of `names()`, or the path of a card (a TOML file).
        folder: where the recordings are, for data that harkd does not bring along; by default what `harkd data fetch` got.
        cut: window length and step in samples of the first sensor; by default the card's.
        prepare: steps of signal preparation that follow the card's own.

    Raises:
        DataError: the files do not hold what the card says, down to its counts.
    """
    card = read_card(name)
    place = folder_of(card, folder)
    key = cache.key(card, place, cut, prepare)
    found = cache.open_windows(key, card)
    return found if found is not None else from_files(card, place, cut, prepare)


def from_files(card: Card, folder: Path | None = None, cut: Cut | None = None, prepare: str = "") -> Windows:
    """The windows of a data set, read from its files."""
    recordings = read(card, folder)
    card.counts.check(card.name, recordings=len(recordings), subjects=len({r.subject for r in recordings}))
    windows = windows_of(card, recordings, cut, prepare)
    if cut in (None, card.windows) and not prepare:
        card.counts.check(card.name, windows=len(windows))
        if card.target.name in windows.targets and windows.targets[card.target.name].kind == "class":
            counted = torch.bincount(windows.labels, minlength=len(card.target.classes)).tolist()
            card.counts.check(card.name, per_class=tuple(counted))
    return windows


def windows_of(card: Card, recordings: Sequence[Recording], cut: Cut | None = None, prepare: str = "") -> Windows:
    """The windows of recordings as the files have them: prepared as the card (then `prepare`) says, and cut.

    Raises:
        DataError: no window can be cut.
    """
    steps = (*usage(card.prepare), *usage(prepare))
    prepared, sensors = run(steps, recordings, file_sensors(card), card.sensors)
    return Windows.cut(prepared, replace(card, prepare=to_text(steps)), cut, sensors)


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """All recordings of a card as its files have them, in the order of their names.

    Args:
        problems: takes what is wrong with single files, which are then left out; by default the first one is raised.

    Raises:
        DataError: no file fits the card, or a file does not hold the columns and labels that the card says.
    """
    if not card.files.hook:
        return read_folder(card, folder, problems=problems)
    if card.files.hook not in HOOKS:
        raise unknown("hook", card.files.hook, HOOKS)
    return HOOKS[card.files.hook](card, folder, problems)


def folder_of(card: Card, folder: str | Path | None) -> Path | None:
    """Where a card's recordings are: as given, or where `harkd data fetch` put them."""
    if folder:
        return Path(folder)
    got = cache_folder() / "data" / card.name
    return got if got.is_dir() else None
