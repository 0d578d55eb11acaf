"""Readers chosen by the card: one function each, from a file to the columns of every sensor."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.card import Card
from harkd.datasets.hooks import HOOKS
from harkd.datasets.recording import Recording, Segment
from harkd.errors import DataError, unknown

Table = pd.DataFrame


def read_text(path: Path, card: Card) -> Table:
    """A table of numbers in a text file; the separator (tab, semicolon, comma or spaces) is that of the first line.

    Empty lines and lines that begin with % are left out.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = ((n, line.strip(" \r\n")) for n, line in enumerate(file, 1) if line.strip() and line.lstrip()[0] != "%")
            number, first = next(content, (0, ""))
        separator = next((mark for mark in "\t;," if mark in first), r"\s+")
        skipped = number if card.files.header else 0
        # The header is read apart: pandas takes a trailing separator for an index column and shifts all names by one.
        table = pd.read_csv(
            path, sep=separator, header=None, skiprows=skipped, comment="%", skipinitialspace=True, low_memory=False
        )
    except ValueError as problem:
        raise DataError(f"{path}: not a table of numbers ({str(problem).strip()})") from None
    if not card.files.header:
        return table
    names = first.split() if separator == r"\s+" else next(csv.reader([first], delimiter=separator, skipinitialspace=True))
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    spare = table.columns[len(names) :]
    if table.shape[1] < len(names) or table[spare].notna().any(axis=None):
        raise DataError(f"{path}: the header has {len(names)} columns, the rows have {table.shape[1]}")
    return table.drop(columns=spare).set_axis(names, axis=1)


READERS: dict[str, Callable[[Path, Card], Table]] = {"text": read_text}


def read(card: Card, folder: Path | None) -> Sequence[Recording]:
    """All recordings of a card, in the order of their names.

    Raises:
        DataError: no file fits the card, or a file does not hold the columns and labels that the card says.
    """
    if card.files.hook:
        if card.files.hook not in HOOKS:
            raise unknown("hook", card.files.hook, HOOKS)
        return HOOKS[card.files.hook](card, folder)
    return list(_read_folder(card, folder))


def _read_folder(card: Card, folder: Path | None) -> Iterator[Recording]:
    if folder is None or not folder.is_dir():
        raise DataError(
            f"{card.name}: its recordings are not shipped with harkd; say where they are with --data-folder (got {folder})"
        )
    if card.files.reader not in READERS:
        raise unknown("reader", card.files.reader, READERS)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [match for match in map(re.compile(card.files.pattern).fullmatch, names) if match]
    if not found:
        there = f"its {len(names)} files are like {names[0]!r}" if names else "it holds no files"
        raise DataError(f"{card.name}: no file under {folder} matches the card's pattern {card.files.pattern!r}; {there}")
    for match in found:
        groups = {key: value for key, value in match.groupdict().items() if value is not None}
        yield _recording(card, match[0], groups, READERS[card.files.reader](folder / match[0], card))


def _recording(card: Card, name: str, groups: dict[str, str], table: Table) -> Recording:
    signals = {sensor.name: _columns(card, sensor.name, name, table) for sensor in card.sensors}
    segments: tuple[Segment, ...] = ()
    if "label" in groups:
        words = card.target.labels or card.target.classes
        if groups["label"] not in words:
            raise unknown(f"label in {name}:", groups["label"], words)
        first = card.sensors[0]
        seconds = signals[first.name].shape[1] / first.rate
        segments = (Segment(0.0, seconds, {card.target.name: words.index(groups["label"])}),)
    return Recording(
        name=groups.get("recording", name),
        subject=groups.get("subject", "unknown"),
        session=groups.get("session", ""),
        signals=signals,
        segments=segments,
    )


def _columns(card: Card, sensor: str, name: str, table: Table) -> NDArray[np.float32]:
    wanted = card.files.columns.get(sensor, ())
    names: list[str | int] = list(table.columns)
    numbered = range(len(names))
    at = [c if isinstance(c, int) and c in numbered else names.index(c) if names.count(c) == 1 else -1 for c in wanted]
    if not at or -1 in at:
        raise DataError(f"{name}: sensor {sensor!r} wants the columns {list(wanted)}, each there once; the file has {names}")
    cells: Table = table.take(at, axis=1)
    numbers = cells.apply(pd.to_numeric, errors="coerce")
    text = (cells.notna() & numbers.isna()).to_numpy()
    if text.any():
        row, column = (int(i) for i in np.argwhere(text)[0])
        raise DataError(f"{name}: row {row + 1} of column {wanted[column]!r} holds {cells.iat[row, column]!r}, not a number")
    return np.ascontiguousarray(numbers.to_numpy(np.float32).T) * np.float32(card.files.scale.get(sensor, 1.0))
