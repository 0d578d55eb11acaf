"""Tables beside the recordings: who wore the sensor, which stretch is labelled, what a number stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harkd.datasets.card import same
from harkd.datasets.draft.columns import named_role
from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.paths import Field
from harkd.datasets.draft.tables import Form, look, read
from harkd.datasets.draft.words import parts
from harkd.datasets.layout import Column, SegmentTable, SideTable
from harkd.datasets.readers import Table, word_of

_START = {"start", "begin", "onset", "from", "first"}
_STOP = {"stop", "end", "offset", "to", "last", "until", "finish"}


@dataclass
class Beside:
    """A table that is no recording.

    Attributes:
        words: of each column, row by row.
        call: how a card calls each column.
    """

    file: str
    form: Form
    table: Table
    words: list[list[str]]
    call: list[Column]


def open_table(folder: Path, file: str, form: Form) -> Beside | None:
    """A small table; None if it is none."""
    table = read(form, folder / file)
    if table is None or not len(table) or len(table) > 200_000 or table.shape[1] > 60:
        return None
    names = [str(name) for name in table.columns]
    words = [[word_of(value) for value in table.iloc[:, n]] for n in range(len(names))]
    return Beside(
        file, form, table, words, [name if form.header and names.count(name) == 1 else n for n, name in enumerate(names)]
    )


def opened(folder: Path, file: str) -> Beside | None:
    """A table by its name."""
    return open_table(folder, file, look(folder / file))


def overlap(words: Sequence[str], values: Sequence[str]) -> float:
    """How well the words of a column are the values of a field: shared over all."""
    here, there = set(map(same, filter(None, words))), set(map(same, values))
    return len(here & there) / max(1, len(here | there))


def segments(beside: Beside, known: Mapping[str, Sequence[str]], fields: Sequence[Field], notes: Notes) -> SegmentTable | None:
    """The table as one of labelled stretches, if it is one.

    Args:
        known: the recordings, subjects and sessions that contents and paths tell so far.
        fields: of the paths; the one whose values a column holds names the recording.
    """
    names = [parts(str(name)) for name in beside.call] if beside.form.header else []
    start = next((n for n, words in enumerate(names) if set(words) & _START), None)
    stop = next((n for n, words in enumerate(names) if set(words) & _STOP and n != start), None)
    if start is None or stop is None:
        pair = None if beside.form.header else bounds(beside.table)
        if pair is None:
            return None
        start, stop = pair
    rest = [n for n in range(len(beside.call)) if n not in (start, stop)]
    columns: dict[Any, Column] = {}
    taken: set[int] = set()
    for key in ("recording", "subject", "session"):
        best = max(
            ((overlap(beside.words[n], known[key]), -n) for n in rest if key in known and n not in taken), default=(0.0, 0)
        )
        if best[0] >= 0.3:
            columns[key] = beside.call[-best[1]]
            taken.add(-best[1])
    label = next((n for n in rest if n not in taken and names and named_role(str(beside.call[n])) == "label"), None)
    if label is None:
        left = [n for n in rest if n not in taken and 2 <= len(set(beside.words[n])) <= 60]
        label = left[0] if left else None
    if label is None or not columns:
        return None
    columns |= {"label": beside.call[label], "start": beside.call[start], "stop": beside.call[stop]}
    unit = _unit(beside, start, str(beside.call[start]))
    inclusive = False
    if unit == "samples":
        first, last = (pd.to_numeric(beside.table.iloc[:, n]).to_numpy(float) for n in (start, stop))
        steps = first[1:] - last[:-1]
        touching = steps[(steps == 0) | (steps == 1)]
        inclusive = bool(len(touching)) and bool((touching == 1).mean() > 0.5)
        if not len(touching):
            notes.ask(
                "files.segments.inclusive", "is the sample at 'stop' the last of the stretch (true), or the next one (false)?"
            )
        else:
            how = (
                "one stretch begins right after another's last sample" if inclusive else "one stretch begins where another stops"
            )
            notes.guess("files.segments.inclusive", f"{'true' if inclusive else 'false'}: {how}")
    notes.guess("files.segments", f"{beside.file} has {len(beside.table)} rows with start, stop and label; unit {unit}")
    return SegmentTable(beside.file, columns, unit, inclusive, beside.form.header)  # type: ignore[arg-type]


def bounds(table: Table) -> tuple[int, int] | None:
    """Two columns of whole numbers, each start below its stop, the stretches one after the other."""
    numbers = [pd.to_numeric(table.iloc[:, n], errors="coerce").to_numpy(float) for n in range(table.shape[1])]
    for n in range(len(numbers) - 1):
        a, b = numbers[n], numbers[n + 1]
        finite = np.isfinite(a).all() and np.isfinite(b).all()
        if len(a) > 1 and finite and (a < b).all() and np.median(b - a) > 5 and (a[1:] >= b[:-1]).mean() > 0.5:
            return n, n + 1
    return None


def _unit(beside: Beside, at: int, name: str) -> str:
    column = beside.table.iloc[:, at]
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        return "iso"
    words = set(parts(name))
    for word, unit in (("ms", "ms"), ("us", "us"), ("ns", "ns"), ("sec", "s"), ("seconds", "s"), ("s", "s"), ("time", "")):
        if word in words and unit:
            return unit
    values = numbers.to_numpy(float)
    for unit, since in (("s", 1e9), ("ms", 1e12), ("us", 1e15), ("ns", 1e18)):
        if (values > 0.5 * since).all() and (values < 4 * since).all():
            return unit
    return "samples" if (values == np.rint(values)).all() and not words & {"time", "second"} else "s"


def about(
    beside: Beside, fields: Sequence[Field], paths: Sequence[str], needs: set[str], notes: Notes
) -> tuple[SideTable, Field] | None:
    """The table as one about recordings or subjects, and the field of the paths that its first column names.

    Args:
        needs: what paths and contents do not tell.
    """
    best: tuple[float, int, Field] | None = None
    for n, words in enumerate(beside.words):
        if len(set(words)) < len(words):
            continue
        for f in spans(fields, paths):
            share = overlap(words, f.values)
            if share >= 0.6 and (best is None or share > best[0]):
                best = share, n, f
    if best is None:
        return None
    _, at, f = best
    key = "subject" if f.role == "subject" else "session" if f.role == "session" else "recording"
    columns: dict[Any, Column] = {key: beside.call[at]}
    for n, name in enumerate(beside.call):
        wanted = named_role(str(name)) if beside.form.header else ""
        few = 2 <= len(set(beside.words[n])) <= 60
        if n != at and wanted in ("subject", "session", "label") and wanted in needs and (wanted != "label" or few):
            columns[wanted] = name
    if len(columns) < 2 and not beside.form.header and "label" in needs and len(beside.words) == 2:
        columns["label"] = beside.call[1 - at]
    if len(columns) < 2:
        return None
    told = some([str(name) for name in columns if name != key])
    notes.guess(
        "files.tables",
        f"{beside.file} has {len(beside.table)} rows; column {beside.call[at]!r} is the {key}, and it tells {told}",
    )
    return SideTable(beside.file, key, columns, beside.form.header), f  # type: ignore[arg-type]


def spans(fields: Sequence[Field], paths: Sequence[str]) -> list[Field]:
    """The fields, and the whole file name without and with its suffix (as fields without tokens)."""
    stems = tuple(path.rpartition("/")[2].rpartition(".")[0] for path in paths)
    names = tuple(path.rpartition("/")[2] for path in paths)
    return [*fields, Field(-1, -1, "words", stems), Field(-2, -2, "words", names), Field(-3, -3, "words", tuple(paths))]


def names_of(labels: Sequence[str], besides: Sequence[Beside], notes: Notes) -> dict[str, str]:
    """What numbers stand for, by a table of two columns that has them all (1 WALKING)."""
    if not labels or not all(re.fullmatch(r"-?\d+(\.0*)?", label) for label in labels):
        return {}
    for beside in besides:
        if len(beside.words) != 2:
            continue
        for at in (0, 1):
            names = dict(zip(map(same, beside.words[at]), beside.words[1 - at], strict=True))
            if (
                set(map(same, labels)) <= set(names)
                and len(set(names.values())) == len(names)
                and not any(name.replace(".", "").isdecimal() for name in names.values())
            ):
                notes.guess("target.classes", f"{beside.file} gives the names")
                return {label: names[same(label)] for label in labels}
    return {}
