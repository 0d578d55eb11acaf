"""What the columns of a table are: time, keys of the rows, devices, numbers of sensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.words import is_device, kind, parts, role, unit_in
from harkd.datasets.layout import Column, TimeUnit
from harkd.datasets.readers import Table, word_of

_TIME = re.compile(
    r"time|timestamp|time[_ ]?stamp|t|ts|seconds|secs?|datetime|date[_ ]?time|epoch|ms|millis\w*"
    r"|nanos\w*|clock|date"
)
_UNIT_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "s"),
    **dict.fromkeys(("ms", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), "ns"),
}
_COUNTERS = re.compile(r"(sample|frame|row|line|packet|record)?[_ ]?(no|number|nr|index|idx|count|counter|id|#)?|unnamed.*", re.I)


@dataclass
class Roles:
    """What columns are, each as a card calls it.

    Attributes:
        step: median seconds between rows of one device, 0 without time.
        values: the words in the columns of keys and devices.
    """

    time: Column = ""
    unit: TimeUnit = "s"
    keys: dict[str, Column] = field(default_factory=dict)
    device: tuple[Column, ...] = ()
    names: list[str] = field(default_factory=list)
    signals: list[Column] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def roles_of(tables: Sequence[Table], notes: Notes) -> Roles:
    """What the columns of tables of one form are.

    Args:
        tables: some of the files; those of single recordings or one long table.
    """
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    names = [str(name) for name in table.columns]
    headed = not all(isinstance(name, int) for name in table.columns)
    call: list[Column] = [name if headed and names.count(name) == 1 else n for n, name in enumerate(names)]
    number = [_numeric(table.iloc[:, n]) for n in range(len(names))]
    found = Roles()
    rest = list(range(len(names)))
    named = {n: named_role(name) for n, name in enumerate(names)} if headed else {}
    for n in list(rest):
        wanted = named.get(n, "")
        words = _words(table, n)
        few = 1 <= len(words) <= max(60, len(table) // 50)
        if wanted == "device" and few and len(words) <= 40 and not (number[n] and not _whole(table, n)):
            found.device = (*found.device, call[n])
        elif wanted in ("subject", "session", "recording", "label") and few and wanted not in found.keys:
            if number[n] and not _whole(table, n):
                continue
            found.keys[wanted] = call[n]
        elif not number[n] and not _is_stamp(table, n) and few and not wanted:
            if all(map(is_device, words)) and words:
                found.device = (*found.device, call[n])
            elif "label" not in found.keys and not _unit_time(names[n]) and not headed:
                found.keys["label"] = call[n]
                notes.guess("files.keys", f"label: column {call[n]!r} holds a few words ({some(words)})")
                rest.remove(n)
                continue
            else:
                continue
        else:
            continue
        rest.remove(n)
        where = "files.device" if call[n] in found.device else "files.keys"
        notes.guess(where, f"{wanted or 'device'}: column {call[n]!r} holds {some(words)}")
    if not headed and not found.device:
        found.device = _switches(tables, number, rest, call, notes)
    _find_time(table, tables, names, call, number, rest, found, headed, notes)
    for n in rest:
        if not number[n] or (headed and _COUNTERS.fullmatch(names[n])) or _is_counter(groups_of(tables, found), n):
            found.unused.append(names[n])
        else:
            found.signals.append(call[n])
            found.names.append(names[n] if headed else "")
    return found


def _switches(
    tables: Sequence[Table], number: Sequence[bool], rest: list[int], call: Sequence[Column], notes: Notes
) -> tuple[Column, ...]:
    """Columns without a name whose few small whole numbers are the same in every file: devices, by turns or one by one."""
    found: list[int] = []
    if len(tables) < 2 or len(rest) < 4:
        return ()
    for n in [n for n in rest if number[n] and _whole(tables[0], n)]:
        sets = [frozenset(_words(table, n)) for table in tables]
        small = all(word.isdecimal() and int(word) < 32 for word in sets[0])
        if small and 2 <= len(sets[0]) <= 12 and Counter(sets).most_common(1)[0][1] >= 0.8 * len(sets):
            found.append(n)
    if not 1 <= len(found) <= 2 or len(rest) - len(found) < 3:
        return ()
    for n in found:
        rest.remove(n)
        notes.guess(
            "files.device",
            f"column {n} holds {some(_words(tables[0], n), 6)} in nearly every file; if these are no devices, take it out",
        )
    return tuple(call[n] for n in found)


def named_role(name: str) -> str:
    words = [word for word in parts(unit_in(name)[0]) if not word.isdecimal()]
    if not words or any(kind(word) for word in words):
        return ""
    if re.fullmatch(r"[xyz]", words[-1]):
        return ""
    plain = [word for word in words if word not in ("id", "name", "no", "nr", "number", "type", "code")]
    if words == ["type"]:
        return "device"
    if words == ["id"]:
        return "subject"
    if plain and len(plain) <= 2:
        return role(plain[-1]) or role(plain[0]) or role("".join(plain))
    return ""


def _numeric(column: Any) -> bool:
    if column.dtype.kind in "iuf":
        return bool(column.notna().any())
    if column.dtype.kind in "bM":
        return False
    values = column.dropna()
    # A single word among numbers is damage, which trying the card will name.
    return bool(len(values)) and bool(pd.to_numeric(values, errors="coerce").notna().mean() > 0.9)


def _words(table: Table, n: int) -> list[str]:
    values = table.iloc[:, n].dropna()
    if values.dtype.kind == "f" and not _whole(table, n):
        return []
    return sorted(filter(None, {word_of(value) for value in values.unique()[:2000]}))


def _whole(table: Table, n: int) -> bool:
    values = pd.to_numeric(table.iloc[:, n], errors="coerce").dropna().to_numpy(float)
    return bool(len(values)) and bool((values == np.rint(values)).all())


def _is_stamp(table: Table, n: int) -> bool:
    """Whether a column holds dates and times as text."""
    values = table.iloc[:, n].dropna().head(50)
    if values.dtype.kind == "M":
        return True
    texts = values.astype(str)
    return bool(len(texts)) and bool(texts.str.match(r"\d{4}-?\d\d-?\d\d([T ]|$)").all()) and not _numeric(values)


def _unit_time(name: str) -> str:
    """The unit that a name of a time column tells."""
    inner = re.search(r"[\[(](\w+)[\])]", name)
    words = parts(inner[1] if inner else name)
    return next((_UNIT_WORDS[word] for word in words if word in _UNIT_WORDS), "")


def _is_time_name(name: str) -> bool:
    words = [word for word in parts(re.sub(r"[\[(].*", "", name)) if word not in _UNIT_WORDS or len(parts(name)) == 1]
    return any(_TIME.fullmatch(word) for word in words) and not any(role(word) for word in words)


def groups_of(tables: Sequence[Table], found: Roles) -> list[Table]:
    """The rows of each device in each recording."""
    by = [key for name, key in found.keys.items() if name != "label"] + list(found.device)
    groups: list[Table] = []
    for table in tables:
        at = [key if isinstance(key, int) else list(table.columns).index(key) for key in by]
        if not at:
            groups.append(table)
            continue
        words = [table.iloc[:, place].map(word_of).to_numpy() for place in at]
        groups += [rows for _, rows in table.groupby(words if len(words) > 1 else words[0], sort=False)]
    return groups


def _find_time(
    table: Table, tables: Sequence[Table], names: list[str], call: list[Column], number: list[bool], rest: list[int],
    found: Roles, headed: bool, notes: Notes,
) -> None:  # fmt: skip
    candidates = [n for n in rest if headed and _is_time_name(names[n])] or ([] if headed else list(rest))
    groups = groups_of(tables, found)
    for n in candidates:
        if _is_stamp(table, n):
            found.time, found.unit = call[n], "iso"
            rest.remove(n)
            notes.guess("files.time", f"column {call[n]!r} holds dates and times ({table.iloc[0, n]!r})")
            return
    for n in candidates:
        if not number[n]:
            continue
        steps = _steps(groups, n)
        if not len(steps) or (steps < 0).mean() > 0.01 or not float(np.median(steps)) > 0:
            continue
        step, first = float(np.median(steps)), float(pd.to_numeric(table.iloc[:, n], errors="coerce").iloc[0])
        if not headed and (step == 1 or np.percentile(steps, 90) > 3 * step):
            continue
        told = _unit_time(names[n]) if headed else ""
        if step == 1 and not told and abs(first) < 1e8:
            notes.tell(f"column {call[n]!r} counts rows, it tells no time")
            rest.remove(n)
            continue
        found.time, found.unit = call[n], told or _unit(step, first)  # type: ignore[assignment]
        rest.remove(n)
        why = f"its name says {told}" if told else f"its numbers are like {first:.13g} and rise by {step:.6g}"
        notes.guess("files.time_unit", f"{found.unit}: column {call[n]!r} rises all along, and {why}")
        break
    for n in list(rest):  # a second clock is no signal
        if headed and _is_time_name(names[n]):
            rest.remove(n)
            found.unused.append(names[n])


def _steps(groups: Sequence[Table], n: int) -> NDArray[np.float64]:
    differences = [np.diff(pd.to_numeric(rows.iloc[:, n], errors="coerce").to_numpy(np.float64)) for rows in groups[:200]]
    joined = np.concatenate(differences) if differences else np.zeros(0)
    return joined[np.isfinite(joined)]


def _unit(step: float, first: float) -> str:
    """The unit of time stamps: by their size if they count from 1970, else by a plausible rate."""
    for unit, since in (("s", 1e9), ("ms", 1e12), ("us", 1e15), ("ns", 1e18)):
        if 0.5 * since < first < 4 * since and 1e-4 < step / (since / 1e9) < 10:
            return unit
    return "s" if step < 0.5 else "ms" if step < 500 else "us" if step < 5e5 else "ns"


def _is_counter(tables: Sequence[Table], n: int) -> bool:
    """Whether a column just counts the rows."""
    values = [pd.to_numeric(table.iloc[:, n], errors="coerce").to_numpy(np.float64) for table in tables[:50]]
    return all(bool((np.diff(x) == 1).all()) for x in values) and sum(map(len, values)) > 3 * len(values)


def rate_of(clocks: Sequence[NDArray[np.float64]]) -> float:
    """Samples per second from time stamps in seconds, as a round number if one is near; 0 if they do not tell.

    Loggers write in bursts, so that the usual step says little: counted is what comes between two gaps.
    """
    rates = []
    for at in clocks:
        steps = np.diff(np.sort(at))
        steps = steps[steps < 10 * np.median(steps[steps > 0])] if (steps > 0).any() else steps[:0]
        if len(steps) and steps.sum() > 0:
            rates.append(len(steps) / float(steps.sum()))
    if not rates:
        return 0.0
    rate = float(np.median(rates))
    nice = (10, 12.5, 20, 25, 30, 32, 40, 50, 60, 64, 100, 120, 128, 200, 250, 256, 400, 500, 512, 1000)
    near = [each for each in nice if abs(rate / each - 1) < 0.012]
    return float(near[0]) if near else float(f"{rate:.3g}")
