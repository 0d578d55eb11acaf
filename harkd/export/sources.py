"""How a recording file holds what a model needs: a card's `files`, found from the file itself and from what the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harkd.datasets import Card, Sensor
from harkd.datasets.draft.arrays import arrays_in
from harkd.datasets.draft.columns import roles_of
from harkd.datasets.draft.notes import Notes
from harkd.datasets.draft.survey import READERS as SUFFIXES
from harkd.datasets.draft.tables import Form, look
from harkd.datasets.draft.tabular import open_tables
from harkd.datasets.draft.words import unit_in
from harkd.datasets.edf import read_edf
from harkd.datasets.layout import Column, Files, TimeUnit
from harkd.datasets.readers import READERS, Piece, Table, Wanted, column, from_table
from harkd.errors import DataError, UsageError
from harkd.export.columns import AXES, Source, find, per_sensor, plain, to_array, to_columns
from harkd.export.units import factor

Pieces = Callable[[Card, Wanted], Iterable[Piece]]
_HEAD = 2000  # rows that tell which column is time
_CLOCKS = re.compile(r"time|t|time_?stamps?|seconds", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """What the user says about a recording; empty: its file says it.

    Attributes:
        columns: like "wrist_acc=ax,ay,az wrist_gyro=gx,gy,gz"; of arrays like "wrist_acc=data[0,1,2]".
        units: of the recording, like "wrist_acc=m/s2 wrist_gyro=deg/s".
        axes: like "wrist_acc=-y,x,z": the model's x is the recording's -y.
        rate: Hz, or like "wrist_acc=100 wrist_gyro=50"; time stamps are then left alone.
        time: column or array of time stamps.
    """

    columns: str = ""
    units: str = ""
    axes: str = ""
    rate: str = ""
    time: str = ""
    time_unit: Literal["", TimeUnit] = ""


@dataclass(frozen=True)
class Opened:
    """A recording file whose layout is known.

    Attributes:
        files: as a card would describe it.
        pieces: reads it.
        remarks: how it is understood, for people.
    """

    files: Files
    pieces: Pieces
    remarks: tuple[str, ...]


def open_recording(path: Path, sensors: Sequence[Sensor], told: Told) -> Opened:
    """Find the channels, units and clock of a recording.

    Args:
        sensors: what a model wants, in its units and at its rates.

    Raises:
        UsageError: there is no such file, or what the user says does not fit it.
        DataError: it is damaged, of a kind that harkd does not read, or leaves in doubt what is what; names the flag that helps.
    """
    if not path.is_file():
        raise UsageError(f"{path}: {'a folder, and one recording is wanted' if path.is_dir() else 'no such file'}")
    if told.rate and told.time:
        raise UsageError("--rate and --time: give one of them; with --rate no time stamps are looked at")
    suffix = path.suffix.lower()
    kind = next((reader for reader, suffixes in SUFFIXES.items() if suffix in suffixes), "")
    if not kind:
        known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise DataError(f"{path}: harkd reads {known}; save the recording as one of them, such as .csv")
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty")
    opened = _edf if kind == "edf" else _arrays if kind in ("mat", "npz") else _table
    try:
        return opened(path, kind, sensors, told)
    except DataError as problem:
        text = str(problem)
        raise DataError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _table(path: Path, kind: str, sensors: Sequence[Sensor], told: Told) -> Opened:
    form = look(path) if kind == "text" else Form()
    if form.problem:
        only = "it has a header and no rows" if form.width and not any(form.numeric) else form.problem
        raise DataError(f"{path}: {only}; a recording is a table of numbers with a column for each channel")
    (table,) = open_tables(path.parent, [path.name], {path.name: form}, kind)
    files = form.files() if kind == "text" else Files(reader="parquet", pattern=".*")
    return _of_table(path, table, files, sensors, told)


def _of_table(path: Path, table: Table, files: Files, sensors: Sequence[Sensor], told: Told) -> Opened:
    if not len(table):
        raise DataError(f"{path}: it has a header and no rows")
    names = [] if all(isinstance(name, int) for name in table.columns) else list(map(str, table.columns))
    said = per_sensor("--columns", told.columns, sensors)
    if not names and len(said) < len(sensors):
        wanted = " ".join(f"{name}={numbers}" for name, numbers in _numbered(sensors).items())
        raise DataError(
            f'{path}: it has no header; say which of its {table.shape[1]} columns are which, like --columns "{wanted}"'
        )
    sources = {s.name: to_columns(s, said[s.name], names) for s in sensors if s.name in said}
    sources |= find(names, [sensor for sensor in sensors if sensor.name not in said])
    clock: tuple[Column, TimeUnit] = ("", "s")
    if not told.rate:
        clock = _clock(table, told)
        if clock[0] == "":
            raise _no_rate(path, "no column of time stamps")
    files = _completed(files, sources, sensors, told, rates(told, sensors), clock)
    return Opened(files, lambda card, wanted: from_table(table, str(path), card, wanted), _remarks(files, sources, sensors))


def _clock(table: Table, told: Told) -> tuple[Column, TimeUnit]:
    """The column of time stamps, and its unit."""
    if not told.time:
        roles = roles_of([table.head(_HEAD)], Notes())
        return roles.time, told.time_unit or roles.unit
    named = [str(name) for name in table.columns]
    time: Column = int(told.time) if told.time.isdecimal() and told.time not in named else told.time
    head = table.iloc[:_HEAD, [column(table, time, "--time")]].set_axis([f"time {told.time}"], axis=1)
    return time, told.time_unit or roles_of([head], Notes()).unit


def _no_rate(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; say how fast it was recorded with --rate HZ, or name its time with --time")


def _edf(path: Path, kind: str, sensors: Sequence[Sensor], told: Told) -> Opened:
    if told.rate or told.time:
        raise UsageError(f"{path}: an EDF file says its rates itself; leave {'--rate' if told.rate else '--time'} out")
    file = read_edf(path)
    names = list(file.signals)
    said = per_sensor("--columns", told.columns, sensors)
    sources = {s.name: to_columns(s, said[s.name], names) for s in sensors if s.name in said}
    sources |= find(names, [sensor for sensor in sensors if sensor.name not in said])
    found: dict[str, float] = {}
    for name, source in sources.items():
        by_rate = {file.rates[str(label)] for label in source.columns}
        if len(by_rate) > 1:
            raise DataError(
                f"{path}: the channels of {name!r} have {', '.join(f'{r:g}' for r in sorted(by_rate))} Hz, not one rate"
            )
        found[name] = by_rate.pop()
        _, units, scale = unit_in(f"x ({file.units[str(source.columns[0])]})")
        sources[name] = replace(source, units=units, factor=scale)
    files = _completed(Files(reader="edf", pattern=".*"), sources, sensors, told, found)
    return Opened(files, lambda card, wanted: READERS["edf"](path, card, wanted), _remarks(files, sources, sensors))


def _arrays(path: Path, kind: str, sensors: Sequence[Sensor], told: Told) -> Opened:
    content = arrays_in(path)
    arrays = {name: np.asarray(x) for name, x in content.items() if not isinstance(x, str | list | dict)}
    arrays = {name: x for name, x in arrays.items() if x.dtype.kind in "iuf" and x.size > 1}
    if not arrays:
        raise DataError(f"{path}: it holds no array of numbers ({', '.join(content) or 'nothing at all'})")
    flat = {name: x.ravel() for name, x in arrays.items() if max(x.shape) == x.size}
    if len(flat) == len(arrays) and len(set(map(len, flat.values()))) == 1 and "[" not in told.columns:
        return _of_table(path, pd.DataFrame(flat), Files(reader="text", pattern=".*"), sensors, told)
    said = per_sensor("--columns", told.columns, sensors)
    sources = {s.name: to_array(s, said[s.name], list(arrays)) for s in sensors if s.name in said}
    sources |= _find_arrays(path, {n: x for n, x in arrays.items() if n not in flat}, [s for s in sensors if s.name not in said])
    axes, lengths = {}, {}
    for sensor in sensors:
        array = sources[sensor.name].array
        axes[sensor.name], lengths[sensor.name] = _orientation(path, array, arrays[array].shape, sources[sensor.name], sensor)
    clock: tuple[Column, TimeUnit] = ("", "s")
    if not told.rate:
        at = told.time or next((name for name, x in flat.items() if _CLOCKS.fullmatch(name) and len(x) in lengths.values()), "")
        if not at:
            raise _no_rate(path, "no array of time stamps")
        if at not in flat or any(len(flat[at]) != length for length in lengths.values()):
            raise DataError(f"{path}: {at!r} is no time for each of {', '.join(f'{n} samples' for n in set(lengths.values()))}")
        clock = at, _clock(pd.DataFrame({at: flat[at]}), replace(told, time=at))[1]
    base = Files(reader="mat" if kind == "mat" else "npz", pattern=".*", axes=axes)
    files = _completed(base, sources, sensors, told, rates(told, sensors), clock)
    return Opened(files, lambda card, wanted: READERS[kind](path, card, wanted), _remarks(files, sources, sensors))


def _find_arrays(path: Path, arrays: Mapping[str, Any], sensors: Sequence[Sensor]) -> dict[str, Source]:
    """The array of each sensor: by the sensor's name, else, where just one sensor is of a kind, as columns are found."""
    found = {s.name: Source(array=name) for s in sensors for name in arrays if plain(name) == plain(s.name)}
    rest = [sensor for sensor in sensors if sensor.name not in found]
    spelled = {f"{name} {axis}": name for name in arrays for axis in AXES}
    try:
        if any(sensor.channels != AXES for sensor in rest):
            raise DataError("an array says no names of channels")
        return found | {name: Source(array=spelled[str(s.columns[0])]) for name, s in find(list(spelled), rest).items()}
    except DataError:
        there = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
        wanted = " ".join(f"{name}=NAME[{numbers}]" for name, numbers in _numbered(rest).items())
        raise DataError(
            f"{path}: which array is {' and '.join(sensor.name for sensor in rest)}? "
            f'It has {there}; say so, like --columns "{wanted}"'
        ) from None


def _numbered(sensors: Sequence[Sensor]) -> dict[str, str]:
    """The channels of all sensors, numbered from 0."""
    ends = list(accumulate(len(sensor.channels) for sensor in sensors))
    return {s.name: ",".join(map(str, range(end - len(s.channels), end))) for s, end in zip(sensors, ends, strict=True)}


def _orientation(
    path: Path, name: str, shape: tuple[int, ...], source: Source, sensor: Sensor
) -> tuple[tuple[Literal["time", "channel"], ...], int]:
    """Which axis of an array is time, and how long it is."""
    if len(shape) != 2:
        raise DataError(f"{path}: array {name!r} has the shape {shape}; expected two axes, time and channel")
    wide = [axis for axis in (0, 1) if (shape[axis] < shape[1 - axis] if source.columns else shape[axis] == len(sensor.channels))]
    if len(wide) != 1:
        raise DataError(f"{path}: array {name!r} has the shape {shape}; expected one axis of {len(sensor.channels)} channels")
    return ("channel", "time") if wide[0] == 0 else ("time", "channel"), shape[1 - wide[0]]


def rates(told: Told, sensors: Sequence[Sensor]) -> dict[str, float]:
    """Samples per second of each sensor's file, as the user says.

    Raises:
        UsageError: it is no rate, or of no sensor.
    """
    if not told.rate:
        return {}
    said = per_sensor("--rate", told.rate, sensors) if "=" in told.rate else {s.name: told.rate for s in sensors}
    found: dict[str, float] = {}
    for sensor in sensors:
        text = said.get(sensor.name, f"{sensor.rate}")
        try:
            found[sensor.name] = float(text)
        except ValueError:
            found[sensor.name] = 0.0
        if not 0 < found[sensor.name] < float("inf"):
            raise UsageError(f"--rate {text}: expected samples per second, like 50")
    return found


def _completed(
    files: Files,
    sources: Mapping[str, Source],
    sensors: Sequence[Sensor],
    told: Told,
    rate: Mapping[str, float],
    clock: tuple[Column, TimeUnit] = ("", "s"),
) -> Files:
    """The layout with columns, scales, rates and clock."""
    said = per_sensor("--units", told.units, sensors)
    scale: dict[str, float] = {}
    for sensor in sensors:
        source = sources[sensor.name]
        given = said.get(sensor.name, "")
        number = factor(given, sensor.units) if given else source.factor * factor(source.units or sensor.units, sensor.units)
        if number != 1:
            scale[sensor.name] = number
    return replace(
        files,
        columns={name: source.columns for name, source in sources.items() if source.columns},
        variables={name: source.array for name, source in sources.items() if source.array},
        scale=scale,
        rate=dict(rate),
        time=clock[0],
        time_unit=clock[1],
    )


def _remarks(files: Files, sources: Mapping[str, Source], sensors: Sequence[Sensor]) -> tuple[str, ...]:
    """One line for each sensor, and one for the clock."""
    told = []
    for sensor in sensors:
        source = sources[sensor.name]
        columns = ", ".join(map(str, source.columns))
        where = f"{source.array}[{columns}]" if source.array and columns else source.array or columns
        times = f", times {files.scale[sensor.name]:.6g}" if sensor.name in files.scale else ""
        rate = f" at {files.rate[sensor.name]:g} Hz" if sensor.name in files.rate else ""
        told.append(f"{sensor.name} in {sensor.units} from {where}{times}{rate}")
    if files.time != "":
        told.append(f"time from {files.time} ({files.time_unit})")
    return tuple(told)
