"""Readers: one function each, chosen by the card, from a file to the pieces of recordings that it holds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.card import Card
from harkd.datasets.edf import read_edf
from harkd.datasets.layout import KEYS, Column, Files
from harkd.datasets.matlab import read_mat
from harkd.datasets.npz import read_npz
from harkd.datasets.recording import Sensor
from harkd.datasets.times import seconds
from harkd.errors import DataError, unknown

Table = pd.DataFrame


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds on the clock of its file, and the word that the file marks it with."""

    start: float
    stop: float
    word: str


@dataclass(frozen=True)
class Piece:
    """What one file tells about one recording.

    Attributes:
        signals: per sensor (channel, time) in the sensor's units.
        times: per sensor (time,) in seconds, where the file has time stamps.
        keys: recording, subject, session and label, where the file itself says them.
        spans: stretches that the file marks.
        onset: of the signals without time stamps, in seconds on the same clock as the spans.
    """

    signals: Mapping[str, NDArray[np.float32]]
    times: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    onset: float = 0.0


Wanted = Sequence[Sensor]
"""The sensors that a file is expected to hold, as the files have them (their own rates)."""


def read_text(path: Path, card: Card, wanted: Wanted) -> Iterator[Piece]:
    """A table of numbers in a text file. Empty lines and comments are left out."""
    return from_table(text_table(path, card.files), str(path), card, wanted)


def read_parquet(path: Path, card: Card, wanted: Wanted) -> Iterator[Piece]:
    """An Apache Parquet table (needs the package pyarrow: pip install 'harkd[parquet]')."""
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs the package pyarrow: pip install 'harkd[parquet]'") from None
    except Exception as problem:  # pyarrow's own errors, of several families
        raise DataError(f"{path}: not a Parquet table ({str(problem).splitlines()[0]})") from None
    return from_table(table, str(path), card, wanted)


def text_table(path: Path, files: Files, header: bool | None = None) -> Table:
    """The columns of a text file, by name if it has a header."""
    try:
        encoding = "utf-8-sig" if files.encoding == "utf-8" else files.encoding
        with path.open(encoding=encoding) as file:
            content = (
                (n, line.strip(" \r\n"))
                for n, line in enumerate(file, 1)
                if n > files.skip and line.strip() and not (files.comment and line.lstrip().startswith(files.comment))
            )
            number, first = next(content, (0, ""))
        separator = files.separator or next((mark for mark in "\t;," if mark in first), r"\s+")
        header = files.header if header is None else header

        # The header is read apart: pandas takes a trailing separator for an index column and shifts all names by one.
        def read(sep: str) -> Table:
            return pd.read_csv(
                path,
                sep=sep,
                header=None,
                skiprows=number if header else files.skip,
                encoding=encoding,
                comment=files.comment or None,
                decimal=files.decimal,
                skipinitialspace=True,
                low_memory=False,
            )

        plain = _by_single_spaces(read) if separator == r"\s+" and first.split(" ") == first.split() else None
        table = read(separator) if plain is None else plain
    except (ValueError, LookupError) as problem:  # of an encoding that does not exist
        raise DataError(f"{path}: not a table of numbers ({str(problem).strip()})") from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror})") from None
    if not header:
        return table
    names = first.split() if separator == r"\s+" else next(csv.reader([first], delimiter=separator, skipinitialspace=True))
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    spare = table.columns[len(names) :]
    if table.shape[1] < len(names) or table[spare].notna().any(axis=None):
        raise DataError(f"{path}: the header has {len(names)} columns, the rows have {table.shape[1]}")
    return table.drop(columns=spare).set_axis(names, axis=1)


def _by_single_spaces(read: Callable[[str], Table]) -> Table | None:
    """What pandas reads a third faster than any white space; None where it meets more than numbers with a space between them."""
    try:
        table = read(" ")
    except pd.errors.ParserError:
        return None
    return table if all(kind.kind in "iuf" for kind in table.dtypes) and not table.isna().to_numpy().any() else None


def from_table(table: Table, where: str, card: Card, wanted: Wanted) -> Iterator[Piece]:
    """The pieces of a table: its rows by recording, subject and session, then by device."""
    said: dict[str, Column] = {str(key): name for key, name in card.files.keys.items()}
    by = [key for key in KEYS if key in said and key != "label"]
    if not by:
        yield _piece(table, where, card, wanted, {})
        return
    columns = [column(table, said[key], where) for key in by]
    words = [table.iloc[:, at].map(word_of) for at in columns]
    for values, rows in table.groupby([w.to_numpy() for w in words], sort=False):
        keys = dict(zip(by, map(str, values), strict=True))
        yield _piece(rows, f"{where}, {', '.join(f'{k} {v}' for k, v in keys.items())}", card, wanted, keys)


def _piece(table: Table, where: str, card: Card, wanted: Wanted, keys: dict[str, str]) -> Piece:
    files = card.files
    signals: dict[str, NDArray[np.float32]] = {}
    times: dict[str, NDArray[np.float64]] = {}
    spans: tuple[Span, ...] = ()
    for rows, sensors in _by_device(table, where, card, wanted):
        at = None
        if files.time != "":
            at = seconds(rows.iloc[:, column(rows, files.time, where)], files.time_unit, where)
        for sensor in sensors:
            signals[sensor.name] = _numbers(rows, files, sensor, where)
            if at is not None:
                times[sensor.name] = at
        if "label" in files.keys and sensors and not spans:
            clock = np.arange(len(rows)) / sensors[0].rate if at is None else at
            spans = _runs(rows.iloc[:, column(rows, files.keys["label"], where)], clock, 1 / sensors[0].rate)
    return Piece(signals, times, keys, spans)


def _by_device(table: Table, where: str, card: Card, wanted: Wanted) -> Iterator[tuple[Table, Wanted]]:
    files = card.files
    if not files.device:
        yield table, wanted
        return
    parts = [table.iloc[:, column(table, name, where)].map(word_of) for name in files.device]
    words = sum((("/" + part) for part in parts[1:]), parts[0])
    by_name = {sensor.name: sensor for sensor in wanted}
    for word, rows in table.groupby(words.to_numpy(), sort=False):
        named = files.devices.get(str(word), (str(word),) if str(word) in by_name else ())
        if named:
            yield rows, [by_name[name] for name in named if name in by_name]


def _runs(labels: Any, at: NDArray[np.float64], sample: float) -> tuple[Span, ...]:
    """Stretches of equal labels; one ends where the next begins, and after a sample at the end or before a gap."""
    words = labels.map(word_of).to_numpy(str)
    if not len(words):
        return ()
    starts = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    ends = np.append(starts[1:], len(words)) - 1
    return tuple(Span(float(at[a]), float(at[b]) + sample, str(words[a])) for a, b in zip(starts, ends, strict=True) if words[a])


def word_of(value: Any) -> str:
    """A cell as a key: 3.0 is 3, nothing is ''."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def column(table: Table, wanted: Column, where: str) -> int:
    """The place of a column, by name or by number."""
    names: list[Any] = list(table.columns)
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if names.count(wanted) != 1:
        raise DataError(f"{where}: wants the column {wanted!r}, there once; the file has {names}")
    return names.index(wanted)


def _numbers(table: Table, files: Files, sensor: Sensor, where: str) -> NDArray[np.float32]:
    wanted = files.columns.get(sensor.name, ())
    names: list[Any] = list(table.columns)
    numbered = range(len(names))
    at = [c if isinstance(c, int) and c in numbered else names.index(c) if names.count(c) == 1 else -1 for c in wanted]
    if not at or -1 in at:
        raise DataError(
            f"{where}: sensor {sensor.name!r} wants the columns {list(wanted)}, each there once; the file has {names}"
        )
    cells: Table = table.take(at, axis=1)
    if not all(kind.kind in "iuf" for kind in cells.dtypes):
        numbers = cells.apply(pd.to_numeric, errors="coerce")
        text = (cells.notna() & numbers.isna()).to_numpy()
        if text.any():
            row, col = (int(i) for i in np.argwhere(text)[0])
            raise DataError(f"{where}: row {row + 1} of column {wanted[col]!r} holds {cells.iat[row, col]!r}, not a number")
        cells = numbers
    return scaled(cells.to_numpy(np.float64).T, files, sensor.name)


def scaled(numbers: NDArray[Any], files: Files, sensor: str) -> NDArray[np.float32]:
    """The file's numbers in the sensor's units. What float32 cannot hold becomes infinite, and is refused later."""
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(numbers, dtype=np.float32)
        if sensor in files.scale:
            x = x * np.float32(files.scale[sensor])
        return x + np.float32(files.offset[sensor]) if sensor in files.offset else x


def read_arrays(path: Path, card: Card, wanted: Wanted) -> Iterator[Piece]:
    """Arrays by name in a .mat, .npz or .npy file; an axis `window` makes every window a recording."""
    files = card.files
    content: Mapping[str, Any] = read_mat(path) if path.suffix.lower() == ".mat" else read_npz(path)
    arrays = {sensor.name: _array(content, files, sensor, path) for sensor in wanted}
    numbers = {len(x) for x in arrays.values()}
    if len(numbers) != 1:
        raise DataError(f"{path}: its sensors have different numbers of windows ({sorted(numbers)})")
    cut = any("window" in axes for axes in files.axes.values())
    count = numbers.pop()
    said = {key: _variable(content, str(name), path) for key, name in files.keys.items()}
    for key, values in said.items():
        if np.size(values) != count:
            raise DataError(f"{path}: variable {files.keys[key]!r} has {np.size(values)} values for {count} windows")
    for number in range(count):
        keys: dict[str, str] = {key: word_of(np.ravel(values)[number]) for key, values in said.items()}
        if cut and "recording" not in keys:
            keys["recording"] = f"{path.stem}-{number:05d}"
        times = {}
        if files.time != "":
            at = seconds(pd.Series(np.ravel(_variable(content, str(files.time), path))), files.time_unit, str(path))
            times = {name: at for name, x in arrays.items() if x.shape[2] == len(at)}
        yield Piece({name: x[number] for name, x in arrays.items()}, times, keys)


def _array(content: Mapping[str, Any], files: Files, sensor: Sensor, path: Path) -> NDArray[np.float32]:
    """(window, channel, time) of a sensor."""
    name = files.variables.get(sensor.name, sensor.name)
    found = np.asarray(_variable(content, name, path))
    axes = files.axes.get(sensor.name, ("time", "channel"))
    if found.ndim != len(axes) or found.dtype.kind not in "iufb":
        raise DataError(
            f"{path}: variable {name!r} of sensor {sensor.name!r} is an array of {found.dtype} with shape {found.shape}; "
            f"expected numbers over {', '.join(axes)}"
        )
    order = [axis for axis in ("window", "joint", "axis", "channel", "time") if axis in axes]
    x = found.transpose([axes.index(axis) for axis in order])
    if "window" not in axes:
        x = x[None]
    x = x.reshape(len(x), -1, x.shape[-1])
    picked = files.columns.get(sensor.name, ())
    if picked:
        at = [number for number in picked if isinstance(number, int) and 0 <= number < x.shape[1]]
        if len(at) < len(picked):
            raise DataError(f"{path}: sensor {sensor.name!r} wants the columns {picked}; variable {name!r} has {x.shape[1]}")
        x = x[:, at]
    return scaled(x, files, sensor.name)


def _variable(content: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in content:
        raise DataError(f"{path}: {unknown('variable', name, [key for key in content if not key.startswith('__')])}")
    return content[name]


def read_eeg(path: Path, card: Card, wanted: Wanted) -> Iterator[Piece]:
    """EDF, EDF+ and BDF files. Channels are matched by label, whatever their case; annotations become spans.

    Each uninterrupted stretch of a file with gaps (EDF+D) is a recording of its own.
    """
    found = read_edf(path)
    labels = {label.lower(): label for label in found.signals}
    spans = tuple(Span(a.onset, a.onset + (a.duration or 0.0), a.text) for a in found.annotations)
    labelled: dict[str, list[str]] = {}
    for sensor in wanted:
        names = [str(name) for name in card.files.columns.get(sensor.name, sensor.channels)]
        missing = [name for name in names if name.lower() not in labels]
        if missing:
            raise DataError(f"{path}: sensor {sensor.name!r} wants the signals {missing}; the file has {list(found.signals)}")
        picked = [labels[name.lower()] for name in names]
        rates = {found.rates[label] for label in picked}
        if rates != {sensor.rate}:
            raise DataError(
                f"{path}: the signals of sensor {sensor.name!r} have {', '.join(f'{r:g}' for r in sorted(rates))} Hz; the card "
                f"says {sensor.rate:g} Hz: leave the file out by the pattern, or give files.rate and the step resample()"
            )
        labelled[sensor.name] = picked
    for number, stretch in enumerate(found.stretches, 1):
        signals = {
            name: scaled(_float32([found.cut(label, stretch) for label in picked]), card.files, name)
            for name, picked in labelled.items()
        }
        if len(found.stretches) == 1:
            yield Piece(signals, spans=spans)
            return
        stop = stretch.onset + found.seconds * stretch.records
        mine = tuple(span for span in spans if stretch.onset <= span.start < stop)
        yield Piece(signals, keys={"recording": f"{path.stem}-part-{number}"}, spans=mine, onset=stretch.onset)


def _float32(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # see `scaled`
        return np.stack(rows, dtype=np.float32, casting="same_kind")


READERS: dict[str, Callable[[Path, Card, Wanted], Iterator[Piece]]] = {
    "text": read_text,
    "parquet": read_parquet,
    "mat": read_arrays,
    "npz": read_arrays,
    "edf": read_eeg,
}
