"""Drafting the card of a stranger's folder: look at the files, guess with evidence, ask what cannot be known.

paths.py, pattern.py     the files' paths, aligned, become the card's pattern
tables.py, columns.py   how text files write tables, and what the columns are
tabular.py, arrays.py   sensors in tables, arrays and EDF files
streams.py              kinds and units of sensors by name and magnitude
side.py                 tables beside the recordings
survey.py, finish.py    all together; card_text.py writes the card
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harkd.datasets.card import Card, Counts, names, read_card
from harkd.datasets.draft.card_text import Plan, card_text
from harkd.datasets.draft.notes import Notes
from harkd.datasets.draft.survey import survey
from harkd.datasets.draft.words import slug
from harkd.datasets.loading import read, windows_of
from harkd.datasets.recording import Recording
from harkd.datasets.windows import Windows
from harkd.errors import HarkdError, UsageError

__all__ = ["Draft", "Notes", "draft"]


@dataclass(frozen=True)
class Draft:
    """A drafted card.

    Attributes:
        text: the card, commented.
        notes: what was found, guessed and left open.
        windows: what the card gives as it stands; None if it does not load yet.
        counts: of recordings (also those too short for a window), subjects and windows.
        problem: why it does not, and which line to look at.
    """

    name: str
    text: str
    notes: Notes
    windows: Windows | None
    counts: Counts
    problem: str


def draft(folder: Path, name: str = "", rate: float = 0.0) -> Draft:
    """Draft the card of a folder, and try it.

    Args:
        name: of the data set; by default the folder's.
        rate: samples per second, where the files do not tell; 0: not known.

    Raises:
        UsageError: there are no recordings that a card could describe.
        DataError: the files that look like recordings cannot be read.
    """
    name = name or slug(folder.resolve().name) or "recordings"
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"{name!r} cannot be the name of a data set: letters, digits, '.', '-' and '_' only")
    name = f"my_{name}" if name in names() else name
    notes = Notes()
    plan, _ = survey(folder, name, rate, notes)
    windows, recordings, problem = _attempt(plan, notes, folder)
    if windows is not None:
        labelled = plan.target in windows.targets
        plan.counts = Counts(
            recordings=len(recordings),
            subjects=len({recording.subject for recording in recordings}),
            windows=len(windows),
            per_class=tuple(torch.bincount(windows.labels, minlength=len(plan.classes)).tolist()) if labelled else (),
        )
    return Draft(name, card_text(plan, notes), notes, windows, plan.counts, problem)


def _attempt(plan: Plan, notes: Notes, folder: Path) -> tuple[Windows | None, Sequence[Recording], str]:
    """What a card gives, or why it gives nothing: the way of `harkd.datasets.loading.from_files`."""
    with tempfile.TemporaryDirectory(prefix="harkd-draft-") as place:
        path = Path(place) / f"{plan.name}.toml"
        text = ""

        def card_now() -> Card:
            nonlocal text
            text = card_text(plan, notes)
            path.write_text(text, encoding="utf-8")
            return read_card(str(path))

        try:
            card = card_now()
            recordings = read(card, folder)
            for stream in plan.streams:
                lacking = sum(stream.name not in recording.signals for recording in recordings)
                if lacking and not stream.optional:
                    stream.optional = True
                    notes.guess(f"sensors.{stream.name}.optional", f"true: {lacking} of {len(recordings)} recordings lack it")
            card = card_now()
            return windows_of(card, recordings), recordings, ""
        except HarkdError as problem:
            told = re.sub(rf"{re.escape(str(path))}(?::(\d+))?:?", lambda m: f"line {m[1]}:" if m[1] else "", str(problem))
            line = _line(told, text)
            return None, (), told.strip() + (f" (see line {line} of the card)" if line and not told.startswith("line") else "")


_PLACES = {
    "wants the column": "columns",
    "the header has": "header",
    "not a number": "header",
    "label in": "labels",
    "time stamp": "time_unit",
    "no window of": "length",
    "pattern": "pattern",
    "holds sensor": "pattern",
    "device in": "pattern",
    "variable": "variables",
    " Hz": "rate",
}
"""What an error says, and the key of the card that it is about."""


def _line(told: str, text: str) -> int:
    """The line of a card that an error is about, or 0."""
    for sign, key in _PLACES.items():
        if sign in told:
            lines = text.splitlines()
            found = [n for n, line in enumerate(lines, 1) if re.match(rf"\[?(?:files\.)?{key}\b", line)]
            if found:
                return found[0]
    return 0
