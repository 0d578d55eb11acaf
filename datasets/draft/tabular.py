"""Sensors in tables: text files and Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.draft.columns import Roles, groups_of, roles_of
from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.streams import Stream, by_number, from_names
from harkd.datasets.draft.tables import Form, look
from harkd.datasets.readers import Table, column, word_of
from harkd.datasets.times import seconds
from harkd.errors import DataError

Forms = Mapping[str, Form]


@dataclass
class Tabular:
    """What tables of one form hold.

    Attributes:
        streams: of each word in the columns of devices, one after the other.
        runs: samples of each labelled stretch, if rows are labelled.
    """

    form: Form
    roles: Roles
    streams: list[Stream]
    tables: list[Table]
    runs: list[int]

    def told(self) -> dict[str, list[str]]:
        """The keys that the rows tell, with the words of the tables looked at."""
        return {key: sorted({word for table in self.tables for word in _column_words(table, name)})
                for key, name in self.roles.keys.items()}  # fmt: skip


def forms_of(folder: Path, names: Sequence[str]) -> dict[str, Form]:
    """How some text files write their tables."""
    return {name: look(folder / name) for name in names}


def open_tables(folder: Path, names: Sequence[str], forms: Forms, reader: str) -> list[Table]:
    """The tables of some files, as the card's reader will have them."""
    if reader == "text":
        form = forms[names[0]]
        return [form.read(folder / name) for name in names]
    try:
        return [pd.read_parquet(folder / name) for name in names]
    except ImportError:
        raise DataError(f"{folder / names[0]}: reading Parquet needs the package pyarrow: pip install 'harkd[parquet]'") from None
    except Exception as problem:  # pyarrow's own errors, of several families
        raise DataError(f"{folder / names[0]}: not a Parquet table ({str(problem).splitlines()[0]})") from None


def tabular(folder: Path, names: Sequence[str], forms: Forms, reader: str, notes: Notes) -> Tabular:
    """What the tables of some files hold; those of another form than the first are left out."""
    form = forms[names[0]] if reader == "text" else Form()
    alike = [name for name in dict.fromkeys(names) if reader != "text" or forms[name].signature == form.signature]
    tables = open_tables(folder, alike, forms, reader)
    if reader != "text":
        tables = [table for table in tables if list(table.columns) == list(tables[0].columns)]
    roles = roles_of(tables, notes)
    if reader == "text":
        how = {"": "", "\t": "tab", r"\s+": "spaces"}.get(form.separator, repr(form.separator))
        shown = [f"{form.width} columns", "with a header" if form.header else "without a header"]
        shown += [f"separated by {how}"] if how else []
        shown += ["decimal comma"] if form.decimal == "," else []
        notes.tell(f"files like {names[0]!r}: {', '.join(shown)}")
    streams: list[Stream] = []
    for word, parts in _by_device(tables, roles).items():
        streams += _streams(word, parts, roles, notes, folder / names[0])
    runs: list[int] = []
    if "label" in roles.keys:
        for rows in groups_of(tables, replace(roles, device=())):
            words = rows.iloc[:, column(rows, roles.keys["label"], "")].map(word_of).to_numpy(str)
            edges = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1], [True]]))
            runs += np.diff(edges).tolist()
    return Tabular(form, roles, streams, tables, runs)


def _by_device(tables: Sequence[Table], roles: Roles) -> dict[str, list[Table]]:
    """The rows of each device, one table for each recording."""
    groups = groups_of(tables, roles)
    if not roles.device:
        return {"": groups}
    found: dict[str, list[Table]] = {}
    for rows in groups:
        word = "/".join(word_of(rows.iloc[0, column(rows, name, "")]) for name in roles.device)
        found.setdefault(word, []).append(rows)
    return dict(sorted(found.items()))


def _streams(word: str, parts: Sequence[Table], roles: Roles, notes: Notes, where: Path) -> list[Stream]:
    streams: list[Stream] = []
    unused = list(roles.unused)
    if any(roles.names):
        streams, more = from_names(roles.names, roles.signals)
        unused += more
    if not streams:
        streams = by_number(roles.signals)
        if streams and any(roles.names):
            unused = [name for name in unused if name not in roles.names]
            notes.ask(
                "files.columns", f"the names {some(roles.names)} tell no sensor: are these columns what you want to learn from?"
            )
    if unused and not word:
        notes.tell(f"columns that are not used: {some(sorted(set(unused)), 6)}")
    kept = []
    for stream in streams:
        stream.device = word
        for rows in parts:
            x = _numbers(rows, stream)
            if np.isfinite(x).any():
                stream.data.append(x)
                if roles.time != "":
                    stream.times.append(seconds(rows.iloc[:, column(rows, roles.time, str(where))], roles.unit, str(where)))
        if stream.data:
            kept.append(stream)
    return kept


def _numbers(rows: Table, stream: Stream) -> NDArray[np.float64]:
    cells = rows.iloc[:, [column(rows, name, "") for name in stream.columns]]
    return cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64).T


def _column_words(table: Table, name: str | int) -> list[str]:
    return [word_of(value) for value in table.iloc[:, column(table, name, "")].unique()]


def all_words(
    folder: Path, names: Sequence[str], forms: Forms, reader: str, keys: Mapping[str, str | int]
) -> dict[str, list[str]]:
    """The words that the rows of all files hold for each key."""
    found: dict[str, set[str]] = {key: set() for key in keys}
    for name in names:
        try:
            (table,) = open_tables(folder, [name], forms, reader)
            for key, at in keys.items():
                found[key].update(_column_words(table, at))
        except DataError:
            continue  # trying the card will tell
    return {key: sorted(words) for key, words in found.items()}
