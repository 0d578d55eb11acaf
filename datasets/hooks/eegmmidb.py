"""EEGMMIDB: the official EDF+ files, or runs repacked without loss as `npz/S001.npz` (int16 microvolts and annotations)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harkd.datasets.card import Card, same
from harkd.datasets.folder import file_sensors, read_folder
from harkd.datasets.npz import read_npz
from harkd.datasets.readers import Piece, Span, read_eeg
from harkd.datasets.recording import Recording
from harkd.errors import DataError


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """Recordings named after subject and run, each cut at the end of its last annotation: what follows is padding."""
    both = replace(card, files=replace(card.files, pattern=card.files.pattern + r"|npz/S(?P<recording>\d+)\.npz"))
    return read_folder(both, folder, lambda path, keys: map(_trimmed, _look(path, keys, card)), problems)


def _look(path: Path, keys: Mapping[str, str], card: Card) -> Iterator[Piece]:
    if path.suffix == ".edf":
        for piece in read_eeg(path, card, file_sensors(card)):
            yield replace(piece, keys={"recording": path.stem})
        return
    content = read_npz(path)
    subject = path.stem.removeprefix("S")
    wanted = {same(session) for events in card.files.events for session in events.sessions}
    names = [str(name).lower() for name in content["ch_names"]]
    sensor = card.sensors[0]
    if float(content["sfreq"]) != sensor.rate or names != [channel.lower() for channel in sensor.channels]:
        raise DataError(f"{path}: its channels or its rate are not those of the card")
    for run in map(int, content["runs"]):
        if str(run) in wanted:
            word = f"R{run:02d}"
            marks = zip(*(content[f"{word}_{what}"].tolist() for what in ("onset", "duration", "label")), strict=True)
            spans = tuple(Span(onset, onset + duration, str(label)) for onset, duration, label in marks)
            keys = {"recording": f"S{subject}{word}", "subject": subject, "session": f"{run:02d}"}
            yield Piece({sensor.name: content[word].astype(np.float32)}, keys=keys, spans=spans)


def _trimmed(piece: Piece) -> Piece:
    stop = max((span.stop for span in piece.spans), default=np.inf)
    signals = {n: x[:, : int(min(x.shape[1], np.ceil(stop * 160 - 1e-6)))] for n, x in piece.signals.items()}
    return replace(piece, signals=signals)
