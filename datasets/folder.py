"""From the files of a folder to recordings: which files belong together, who wore the sensor, what is labelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.card import Card, same
from harkd.datasets.layout import SegmentTable, SideTable
from harkd.datasets.readers import READERS, Piece, Span, column, text_table, word_of
from harkd.datasets.recording import Recording, Segment, Sensor
from harkd.datasets.store import unpacked
from harkd.datasets.times import seconds
from harkd.errors import DataError, HarkdError, unknown

WORKERS = 2
"""Files that are read at the same time: parsing numbers lets other threads run."""

SMALL = 200_000
"""Bytes of a file for which a thread is not worth it."""

T = TypeVar("T")
Found = tuple[str, dict[str, str]]
"""A file's path inside the data folder, and what the card's pattern reads from it."""
Look = Callable[[Path, Mapping[str, str]], Iterable[Piece]]


@dataclass(frozen=True)
class Stretches:
    """The rows of a segment table, by what it says of their recordings."""

    by: tuple[str, ...]
    rows: Mapping[tuple[str, ...], Sequence[Segment]]


def file_sensors(card: Card) -> tuple[Sensor, ...]:
    """The card's sensors at the rates that they have in the files."""
    return tuple(replace(s, rate=card.files.rate.get(s.name, s.rate)) for s in card.sensors)


def read_folder(card: Card, folder: Path | None, look: Look | None = None, problems: list[str] | None = None) -> list[Recording]:
    """The recordings in a folder, as the card describes its files, in the order of their names.

    Args:
        look: reads one file, for hooks; by default the card's reader.
        problems: takes what is wrong with single files, which are then left out; by default the first one is raised.

    Raises:
        DataError: no file fits the card, or a file does not hold the columns and labels that the card says.
    """
    place, found = locate(card, folder)
    sensors = file_sensors(card)
    read = look or (lambda path, keys: READERS[card.files.reader](path, card, _expected(card, sensors, keys)))

    def pieces_of(file: Found) -> list[tuple[Found, Piece]]:
        try:
            return [(file, piece) for piece in read(place / file[0], file[1])]
        except HarkdError as problem:
            if problems is None:
                raise
            problems.append(str(problem))
            return []

    known = _side_tables(card, place)
    groups: dict[tuple[str, str, str], list[tuple[Found, Piece, dict[str, str]]]] = {}
    for (name, path_keys), piece in (pair for pairs in _each(pieces_of, found, place) for pair in pairs):
        keys = {"recording": name, "subject": "unknown", "session": "", **path_keys, **piece.keys}
        for side, table in known:
            if same(keys[side.key]) not in table:
                raise DataError(f"{side.file}: no row for the {side.key} {keys[side.key]!r}, which {name} holds")
            keys |= table[same(keys[side.key])]
        groups.setdefault((keys["recording"], keys["subject"], keys["session"]), []).append(((name, path_keys), piece, keys))
    stretches = _segment_table(card, place, sensors) if card.files.segments else None
    often = Counter(recording for recording, _, _ in groups)
    recordings = []
    for (name, subject, session), parts in groups.items():
        # A card may number recordings anew for every subject.
        unique = name if often[name] == 1 else "/".join(filter(None, (subject, session, name)))
        try:
            recordings.append(_recording(card, unique, (name, subject, session), parts, sensors, stretches))
        except HarkdError as problem:
            if problems is None:
                raise
            problems.append(str(problem))
    return recordings


def _each(read: Callable[[Found], list[T]], files: Sequence[Found], place: Path) -> Iterator[list[T]]:
    """Read large files in several threads, small ones one after the other: they would only wait for each other."""
    if sum((place / name).stat().st_size for name, _ in files) < SMALL * len(files):
        yield from map(read, files)
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(read, files)


def locate(card: Card, folder: Path | None) -> tuple[Path, list[Found]]:
    """Where the files are (an archive in the folder is unpacked first), and those that the card's pattern finds."""
    if folder is None or not folder.is_dir():
        raise DataError(
            f"{card.name}: its recordings are not shipped with harkd; say where they are with --data-folder (got {folder}), "
            f"or see harkd data fetch {card.name}"
        )
    found, names = _matches(card, folder)
    if not found and card.files.archive:
        packed = [name for name in names if re.fullmatch(card.files.archive, name)]
        if len(packed) == 1:
            folder = unpacked(folder / packed[0])
            found, names = _matches(card, folder)
    if not found:
        there = f"its {len(names)} files are like {names[0]!r}" if names else "it holds no files"
        raise DataError(f"{card.name}: no file under {folder} matches the card's pattern {card.files.pattern!r}; {there}")
    return folder, found


def _matches(card: Card, folder: Path) -> tuple[list[Found], list[str]]:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    matches = [match for match in map(re.compile(card.files.pattern).fullmatch, names) if match]
    return [(m[0], {key: value for key, value in m.groupdict().items() if value is not None}) for m in matches], names


def _expected(card: Card, sensors: Sequence[Sensor], keys: Mapping[str, str]) -> list[Sensor]:
    """The sensors in a file: those of its device, if its path names one."""
    if "device" not in keys:
        return list(sensors)
    by_name = {sensor.name: sensor for sensor in sensors}
    named = card.files.devices.get(keys["device"], (keys["device"],))
    for name in named:
        if name not in by_name:
            raise unknown("device in a file's path:", keys["device"], {*card.files.devices, *by_name})
    return [by_name[name] for name in named]


def _recording(
    card: Card,
    name: str,
    key: tuple[str, str, str],
    parts: Sequence[tuple[Found, Piece, dict[str, str]]],
    sensors: Sequence[Sensor],
    stretches: Stretches | None,
) -> Recording:
    signals: dict[str, NDArray[np.float32]] = {}
    times: dict[str, NDArray[np.float64]] = {}
    onsets: dict[str, float] = {}
    owner: dict[str, str] = {}
    for (path, _), piece, _ in parts:
        for sensor, signal in piece.signals.items():
            if sensor in signals:
                raise DataError(f"recording {name!r}: both {owner[sensor]} and {path} hold sensor {sensor!r}")
            signals[sensor], owner[sensor] = signal, path
            onsets[sensor] = piece.onset
        times |= piece.times
    for sensor, at in list(times.items()):
        if not len(at):
            del times[sensor], signals[sensor], onsets[sensor]
    if not signals:
        raise DataError(
            f"recording {name!r}: no sensor of the card is in {parts[0][0][0]}; what its devices are called, "
            f"the card's 'devices' say"
        )
    # Labels may stand in the file of each sensor, and their last digits differ: the first sensor's count.
    first = next(s.name for s in sensors if s.name in signals)
    spans = next((p.spans for _, p, _ in parts if first in p.signals and p.spans), ()) or next(
        (p.spans for _, p, _ in parts if p.spans), ()
    )
    # Clocks count from 1970 or from anywhere: a recording's starts with its first sample.
    origin = min((float(at.min()) for at in times.values()), default=0.0)
    recording = Recording(
        name=name,
        subject=key[1],
        session=key[2],
        signals={s.name: signals[s.name] for s in sensors if s.name in signals},
        times={sensor: at - origin for sensor, at in times.items()},
        onsets={sensor: onset for sensor, onset in onsets.items() if onset and sensor not in times},
    )
    keys = parts[0][2]
    target, where = card.target, parts[0][0][0]
    found: list[Segment] = []
    if stretches is not None:
        told = {what: same(word) for what, word in zip(("recording", "subject", "session"), key, strict=True)}
        mine = stretches.rows.get(tuple(told[what] for what in stretches.by), [])
        if card.files.segments and card.files.segments.unit == "samples":
            found = [_by_stamps(s, recording.times.get(sensors[0].name), sensors[0].rate) for s in mine]
        else:
            found = [replace(s, start=s.start - origin, stop=s.stop - origin) for s in mine]
    elif spans or card.files.events or ("label" in card.files.keys and "label" not in keys):
        found = list(_labelled(card, [replace(s, start=s.start - origin, stop=s.stop - origin) for s in spans], key[2], where))
    elif "label" in keys:
        number = target.number(keys["label"], where)
        by_name = {sensor.name: sensor for sensor in sensors}
        extents = [recording.extent(by_name[sensor]) for sensor in recording.signals]
        whole = min(start for start, _ in extents), max(stop for _, stop in extents)
        found = [Segment(*whole, {target.name: number})] if number >= 0 else []
    else:
        return recording
    # An empty stretch keeps "nothing is labelled" from meaning "the whole recording".
    return replace(recording, segments=tuple(found) or (Segment(0.0, 0.0),))


def _by_stamps(segment: Segment, times: NDArray[np.float64] | None, rate: float) -> Segment:
    """A stretch that is counted in samples, on the clock of their time stamps if they have some."""
    if times is None or not len(times):
        return segment
    low, high = (int(np.clip(round(end * rate), 0, len(times))) for end in (segment.start, segment.stop))
    if high <= low:
        return replace(segment, start=0.0, stop=0.0)
    return replace(segment, start=float(times[low]), stop=float(times[high - 1]) + 1 / rate)


def _labelled(card: Card, spans: Sequence[Span], session: str, where: str) -> Iterator[Segment]:
    """The stretches that are labelled by words, or by marks that the card's events explain."""
    events = [e for e in card.files.events if not e.sessions or same(session) in map(same, e.sessions)]
    for span in spans:
        if not card.files.events:
            number = card.target.number(span.word, where)
            if number >= 0:
                yield Segment(span.start, span.stop, {card.target.name: number})
            continue
        for event in events:
            if span.word in event.labels:
                number = card.target.number(event.labels[span.word], where)
                stop = span.stop if event.stop is None else span.start + event.stop
                yield Segment(span.start + event.start, stop, {card.target.name: number})


def _side_tables(card: Card, folder: Path) -> list[tuple[SideTable, dict[str, dict[str, str]]]]:
    known: list[tuple[SideTable, dict[str, dict[str, str]]]] = []
    for side in card.files.tables:
        table = text_table(folder / side.file, card.files, side.header)
        at: dict[str, int] = {key: column(table, name, side.file) for key, name in side.columns.items()}
        rows: dict[str, dict[str, str]] = {}
        for cells in table.itertuples(index=False):
            row = {key: word_of(cells[place]) for key, place in at.items()}
            rows[same(row.pop(side.key))] = row
        known.append((side, rows))
    return known


def _counts(numbers: Any, where: str) -> NDArray[np.float64]:
    """A column of sample numbers."""
    found: NDArray[np.float64] = pd.to_numeric(numbers, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise DataError(f"{where}: row {bad[0] + 1} holds {word_of(numbers.iloc[int(bad[0])])!r}, not the number of a sample")
    return found


def _segment_table(card: Card, folder: Path, sensors: Sequence[Sensor]) -> Stretches:
    assert card.files.segments is not None
    about: SegmentTable = card.files.segments
    table = text_table(folder / about.file, card.files, about.header)
    at: dict[str, int] = {key: column(table, name, about.file) for key, name in about.columns.items()}
    if about.unit == "samples":
        start, stop = (_counts(table.iloc[:, at[key]], about.file) / sensors[0].rate for key in ("start", "stop"))
        stop = stop + (1 / sensors[0].rate if about.inclusive else 0)
    else:
        start, stop = (seconds(table.iloc[:, at[key]], about.unit, about.file) for key in ("start", "stop"))
    by = tuple(what for what in ("recording", "subject", "session") if what in at)
    rows: dict[tuple[str, ...], list[Segment]] = {}
    for number, cells in enumerate(table.itertuples(index=False)):
        label = card.target.number(word_of(cells[at["label"]]), f"row {number + 1} of {about.file}")
        if label >= 0:
            segment = Segment(float(start[number]), float(stop[number]), {card.target.name: label})
            rows.setdefault(tuple(same(word_of(cells[at[what]])) for what in by), []).append(segment)
    return Stretches(by, rows)
