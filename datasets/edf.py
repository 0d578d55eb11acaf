"""EDF, EDF+ and BDF: records of 16- or 24-bit samples behind a header of text, read with NumPy alone.

Kemp et al., Electroencephalogr. Clin. Neurophysiol. 82(5):391-393, 1992; Kemp and Olivan (EDF+), Clin. Neurophysiol.
114(9):1755-1761, 2003, whose additional annotation rules are followed; BDF is BioSemi's EDF with 24 bits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harkd.errors import DataError

_HEAD = {
    "version": 8, "patient": 80, "recording": 80, "start date": 8, "start time": 8,
    "header size": 8, "reserved": 44, "record count": 8, "record duration": 8, "signal count": 4,
}  # fmt: skip
_SIGNAL = {
    "label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8,
    "digital minimum": 8, "digital maximum": 8, "prefiltering": 80, "samples per record": 8, "reserved": 32,
}  # fmt: skip
_RANGE = ("physical minimum", "physical maximum", "digital minimum", "digital maximum")
_BLOCK = 256  # bytes of the head, and of what each signal adds to the header
_BDF = b"\xffBIOSEMI"
_NEAR = 2e-3  # seconds between records that are no gap, nor is half a sample: onsets are rounded, often to a millisecond
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Onset, duration and texts of a time-stamped annotation list (TAL), without the zero byte that ends it.
_TAL = re.compile(rb"([+-]\d{1,12}(?:\.\d*)?)(?:\x15(\d{1,12}(?:\.\d*)?)?)?\x14(?:(.*)\x14)?", re.DOTALL)


class Annotation(NamedTuple):
    """What happened, `onset` seconds after the first sample, for `duration` seconds (0: not given)."""

    onset: float
    duration: float
    text: str


class Stretch(NamedTuple):
    """So many `records`, from number `first` (counted from 0), without a gap: the first begins at `onset` seconds."""

    onset: float
    first: int
    records: int


@dataclass(frozen=True)
class Edf:
    """A recording; seconds count from its first sample.

    Attributes:
        signals: Physical values by label, one after the other over all records: the gaps of a discontinuous file leave
            no trace here, see `stretches`. Labels are without the spaces and dots that pad them; two signals of the
            same label get "-0" and "-1" behind it, one without a label is called "signal" and its number.
        rates: Samples per second of each signal.
        units: Unit of each signal as the file writes it.
        annotations: Sorted by onset; text that is not UTF-8 is read as Latin-1.
        start: Local time of the first sample; None where the header gives no date and time.
        records: Number of data records, of `seconds` each.
        seconds: Duration of a record; may be 0 in a file of annotations only.
        stretches: The uninterrupted parts, in order: one, unless the file is EDF+D; none in a file of annotations only.
        dropped: Bytes behind the last whole record, when the header leaves the number of records open. Else 0.
    """

    signals: dict[str, NDArray[np.float64]]
    rates: dict[str, float]
    units: dict[str, str]
    annotations: tuple[Annotation, ...]
    start: datetime | None
    records: int
    seconds: float
    stretches: tuple[Stretch, ...]
    dropped: int

    def cut(self, label: str, stretch: Stretch) -> NDArray[np.float64]:
        """The samples of one signal in one uninterrupted part (a view)."""
        size = len(self.signals[label]) // self.records
        return self.signals[label][stretch.first * size : (stretch.first + stretch.records) * size]


def read_edf(path: Path, names: Sequence[str] = ()) -> Edf:
    """The signals of an EDF, EDF+C, EDF+D or BDF file, all or those whose labels are in `names`, and its annotations.

    Raises:
        DataError: the file cannot be read, its header contradicts itself or the file's size, a wanted signal is
            missing or cannot be scaled, or the annotations or the times of the records are damaged.
    """
    try:
        size = path.stat().st_size
        if size < _BLOCK:
            raise DataError(f"{path}: {size} bytes, too few for the header of an EDF file; fetch the file again")
        file: NDArray[np.uint8] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror or problem})") from None
    head = _Header(path, file)
    labels = _unique([label for label in head.labels if label])
    if missing := [name for name in names if name not in labels]:
        raise DataError(f"{path}: no signal {missing[0]!r}; its signals are {', '.join(labels) or 'none'}")
    numbers = [i for i, label in enumerate(head.labels) if label]
    fastest = max((head.counts[i] for i in numbers), default=0)
    chosen = {label: i for label, i in zip(labels, numbers, strict=True) if not names or label in names}
    columns = [slice(end - count, end) for end, count in zip(accumulate(head.counts), head.counts, strict=True)]
    records = file[head.size : head.size + head.records * head.record_bytes].reshape(head.records, head.record_bytes)
    lists = [records[:, _bytes(columns[i], head.width)] for i, label in enumerate(head.labels) if not label]
    onsets, found = _read_lists(head, lists)
    origin = onsets[0] or 0.0 if onsets else 0.0
    return Edf(
        signals={label: _scaled(head, i, records, columns[i]) for label, i in chosen.items()},
        rates={label: head.counts[i] / head.seconds for label, i in chosen.items()},
        units={label: head.units[i] for label, i in chosen.items()},
        annotations=tuple(sorted((Annotation(a.onset - origin, *a[1:]) for a in found), key=lambda a: a.onset)),
        start=_start(head.texts, origin),
        records=head.records,
        seconds=head.seconds,
        stretches=_stretches(head, onsets, max(head.seconds / fastest / 2, _NEAR)) if fastest else (),
        dropped=head.dropped,
    )


class _Header:
    """The header, checked against itself and against the size of the file. The label of annotations is empty."""

    def __init__(self, path: Path, file: NDArray[np.uint8]) -> None:
        self.path = path
        first = file[:8].tobytes()
        if first != _BDF and first.strip(b" \0") != b"0":
            raise DataError(f"{path}: begins with {first!r}; an EDF file begins with '0', a BDF file with {_BDF!r}")
        self.width = 3 if first == _BDF else 2
        self.texts = {name: texts[0] for name, texts in _fields(file, 0, _HEAD, 1)}
        kind = re.match(r"[EB]DF\+([CD])", self.texts["reserved"])
        self.kind = kind[1] if kind else ""
        signals = self.whole("signal count", self.texts["signal count"])
        self.size = _BLOCK * (signals + 1)
        if signals < 1 or self.whole("header size", self.texts["header size"]) != self.size or len(file) < self.size:
            raise DataError(
                f"{path}: the header gives its own size as {self.texts['header size']!r} bytes and has {signals} signals, which"
                f" take {self.size} bytes; the file has {len(file)}. The header is damaged: fetch the file again"
            )
        self.columns = dict(_fields(file, _BLOCK, _SIGNAL, signals))
        written = self.columns["label"]
        self.labels = ["" if name in _ANNOTATIONS else name.strip(" .") or f"signal {i + 1}" for i, name in enumerate(written)]
        self.units = self.columns["unit"]
        self.counts = [self.whole("samples per record", text, i) for i, text in enumerate(self.columns["samples per record"])]
        for i, count in enumerate(self.counts):
            if count < 1:
                raise DataError(f"{path}: signal {i + 1} ({written[i]!r}) has {count} samples per record, expected at least 1")
        self.seconds = self.number("record duration", self.texts["record duration"])
        if self.seconds < 0 or (self.seconds == 0 and any(self.labels)):
            raise DataError(f"{path}: a record lasts {self.texts['record duration']} seconds: its signals have no rate")
        if any(self.labels) and not math.isfinite(max(self.counts) / self.seconds):
            raise DataError(f"{path}: {max(self.counts)} samples in {self.texts['record duration']} seconds are not a rate")
        if self.kind == "D" and all(self.labels):
            raise DataError(f"{path}: it is discontinuous (EDF+D), but has no signal 'EDF Annotations' to say when records begin")
        self.record_bytes = self.width * sum(self.counts)
        self.records, self.dropped = self._count(len(file) - self.size)

    def _count(self, held: int) -> tuple[int, int]:
        """The number of whole records, and the bytes behind them where the header allows any."""
        declared = self.whole("record count", self.texts["record count"])
        whole, rest = divmod(held, self.record_bytes)
        if declared != -1 and declared * self.record_bytes != held:
            raise DataError(
                f"{self.path}: the header declares {declared} records of {self.record_bytes} bytes, the file holds {whole}"
                f" and {rest} bytes more. It was cut short or changed by a transfer: fetch it again. If it is all there is,"
                " write -1 as the record count (8 characters at byte 236): an incomplete last record is then left out"
            )
        if whole == 0:
            raise DataError(f"{self.path}: no whole record; one has {self.record_bytes} bytes, {held} follow the header")
        return whole, rest

    def number(self, what: str, text: str, signal: int | None = None) -> float:
        # A decimal comma is against the rules and written all the same.
        plain = text.replace(",", ".")
        value = float(plain) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", plain, re.ASCII) else math.nan
        if not math.isfinite(value):
            of = "" if signal is None else f" of signal {signal + 1} ({self.columns['label'][signal]!r})"
            raise DataError(f"{self.path}: the {what}{of} is {text!r}, expected a number; the header is damaged")
        return value

    def whole(self, what: str, text: str, signal: int | None = None) -> int:
        value = self.number(what, text, signal)
        if not value.is_integer() or abs(value) > 99_999_999:  # what eight characters can spell without tricks
            raise DataError(f"{self.path}: the {what} is {text!r}, expected a whole number; the header is damaged")
        return int(value)


def _fields(file: NDArray[np.uint8], at: int, widths: dict[str, int], count: int) -> Iterator[tuple[str, list[str]]]:
    """The texts of each field: the header holds `count` of the first kind, then `count` of the second, and so on."""
    for name, width in widths.items():
        text = file[at : at + width * count].tobytes().decode("latin-1").replace("\0", " ")
        yield name, [text[i : i + width].strip() for i in range(0, width * count, width)]
        at += width * count


def _unique(labels: list[str]) -> list[str]:
    often, seen = Counter(labels), Counter[str]()
    unique = []
    for label in labels:
        unique.append(f"{label}-{seen[label]}" if often[label] > 1 else label)
        seen[label] += 1
    return unique if len(set(unique)) == len(unique) else [f"{label} ({i + 1})" for i, label in enumerate(labels)]


def _bytes(columns: slice, width: int) -> slice:
    return slice(columns.start * width, columns.stop * width)


def _scaled(head: _Header, signal: int, records: NDArray[np.uint8], columns: slice) -> NDArray[np.float64]:
    low, high, least, most = (head.number(field, head.columns[field][signal], signal) for field in _RANGE)
    gain = (high - low) / (most - least) if most > least else 0.0
    offset = low - least * gain
    if gain == 0 or not math.isfinite(gain * 2.0**24) or not math.isfinite(offset):
        raise DataError(
            f"{head.path}: signal {signal + 1} ({head.columns['label'][signal]!r}) maps the digital range {least:g} to {most:g}"
            f" onto {low:g} to {high:g} {head.units[signal]}: its values have no scale. Name the signals to read, without it"
        )
    if head.width == 2:
        digital: NDArray[np.integer] = records.view("<i2")[:, columns]
    else:
        wide = np.zeros((len(records), columns.stop - columns.start, 4), np.uint8)
        wide[..., 1:] = records[:, _bytes(columns, 3)].reshape(len(records), -1, 3)
        digital = wide.view("<i4")[..., 0] >> 8  # the shift brings the sign along
    values = np.multiply(digital, gain, dtype=np.float64)
    values += offset
    return values.reshape(-1)


def _read_lists(head: _Header, signals: list[NDArray[np.uint8]]) -> tuple[list[float | None], list[Annotation]]:
    """When each record begins, if the first annotation signal says so, and all annotations, in seconds of the header."""
    onsets: list[float | None] = []
    found: list[Annotation] = []
    for which, signal in enumerate(signals):
        for record, row in enumerate(signal):
            begins: float | None = None
            for n, tal in enumerate(filter(None, row.tobytes().split(b"\0"))):
                match = _TAL.fullmatch(tal)
                if not match:
                    raise DataError(
                        f"{head.path}: record {record + 1} holds the annotation {tal[:40]!r}, which is not of the form"
                        " onset, duration, texts (EDF+ section 2.2.2); the file is damaged: fetch it again"
                    )
                onset, duration = float(match[1]), float(match[2] or 0)
                texts = (match[3] or b"").split(b"\x14")
                if n == 0 and which == 0 and not texts[0]:
                    begins = onset
                found += [Annotation(onset, duration, _text(text)) for text in texts if text]
            if which == 0:
                onsets.append(begins)
    return onsets, found


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _stretches(head: _Header, onsets: list[float | None], near: float) -> tuple[Stretch, ...]:
    """The uninterrupted parts; a record that begins less than `near` seconds off the end of the one before follows it."""
    origin = onsets[0] or 0.0 if onsets else 0.0
    before, begins, firsts = origin - head.seconds, [], []
    for record, onset in enumerate(onsets):
        expected = before + head.seconds
        if onset is None and head.kind == "D":
            raise DataError(f"{head.path}: record {record + 1} does not say when it begins, but the file is EDF+D")
        before = expected if onset is None else onset
        gap = before - expected
        if abs(gap) > near and (head.kind != "D" or gap < 0):
            allowed = "EDF+D: gaps, no overlaps" if head.kind == "D" else "continuous. If it has gaps, write EDF+D at byte 192"
            raise DataError(
                f"{head.path}: record {record + 1} begins at {before:.9g} s, expected {expected:.9g} s: the file is {allowed}"
            )
        if record == 0 or gap > near:
            begins.append(before - origin)
            firsts.append(record)
    if not onsets:
        return (Stretch(0.0, 0, head.records),)
    counts = np.diff([*firsts, head.records]).tolist()
    return tuple(Stretch(*part) for part in zip(begins, firsts, counts, strict=True))


def _start(texts: dict[str, str], fraction: float) -> datetime | None:
    """The header's date, with the full year where EDF+ gives it, and time, to which the first record adds a fraction."""
    full = re.match(rf"Startdate (\d\d?)-({'|'.join(_MONTHS)})-(\d{{4}})\b", texts["recording"], re.IGNORECASE | re.ASCII)
    clipped = re.fullmatch(r"(\d\d?)[.:/-](\d\d?)[.:/-](\d\d)", texts["start date"], re.ASCII)
    clock = re.fullmatch(r"(\d\d?)[.:](\d\d?)[.:](\d\d?)", texts["start time"], re.ASCII)
    try:
        if full:
            day, month, year = int(full[1]), _MONTHS.index(full[2].upper()) + 1, int(full[3])
        elif clipped:
            day, month, year = (int(part) for part in clipped.groups())
            year += 2000 if year < 85 else 1900
        if not clock or not (full or clipped):
            return None
        hour, minute, second = (int(part) for part in clock.groups())
        return datetime(year, month, day, hour, minute, second) + timedelta(seconds=fraction)
    except (ValueError, OverflowError):
        return None
