"""Sensors from columns: triples by name, kinds and units by name and by magnitude."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.words import GRAVITY_FREE, JOINTS, KINDS, SHORT, TEN_TWENTY, kind, parts, slug, unit_in
from harkd.datasets.layout import Column
from harkd.datasets.recording import VECTOR_KINDS

_AXIS = re.compile(r"(.*?)[\s_.-]*([xyzXYZ])(?:[\s_-]*axis)?$")


@dataclass
class Stream:
    """A sensor as a draft has it.

    Attributes:
        kind: '' until it is known.
        words: of its place and device, for its name.
        rate: 0 while it is not known.
        factor: that the header's unit asks for.
        data: (channel, time) of some recordings, in the file's numbers.
        times: (time,) of the same, in seconds, if the files tell.
    """

    kind: str
    channels: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    words: tuple[str, ...] = ()
    name: str = ""
    units: str = ""
    factor: float = 1.0
    rate: float = 0.0
    variable: str = ""
    axes: tuple[str, ...] = ()
    device: str = ""
    optional: bool = False
    gravity_free: bool = False
    data: list[NDArray[np.float64]] = field(default_factory=list)
    times: list[NDArray[np.float64]] = field(default_factory=list)


def from_names(names: Sequence[str], at: Sequence[Column]) -> tuple[list[Stream], list[str]]:
    """The sensors that columns of these names are, and the columns that are of none.

    Args:
        at: how the card calls each column.
    """
    found: dict[str, dict[str, tuple[Column, str, float]]] = {}
    left: list[tuple[str, Column]] = []
    for name, column in zip(names, at, strict=True):
        plain, unit, factor = unit_in(name)
        match = _AXIS.fullmatch(plain)
        if match:
            found.setdefault(match[1].strip("_. -"), {})[match[2].lower()] = (column, unit, factor)
        else:
            left.append((name, column))
    streams: list[Stream] = []
    joints: list[tuple[str, dict[str, tuple[Column, str, float]]]] = []
    for stem, axes in found.items():
        if set(axes) != {"x", "y", "z"}:
            left += [(f"{stem}{axis}", column) for axis, (column, _, _) in axes.items()]
        elif JOINTS & set(parts(stem)) and not any(map(kind, parts(stem))):
            joints.append((stem, axes))
        else:
            streams.append(_triple(stem, axes))
    if len(joints) >= 5:
        channels = tuple(f"{'_'.join(parts(stem))}_{axis}" for stem, _ in joints for axis in "xyz")
        places = tuple(axes[axis][0] for _, axes in joints for axis in "xyz")
        streams.append(Stream("skeleton", channels, places, units=joints[0][1]["x"][1]))
    else:
        streams += [_triple(stem, axes) for stem, axes in joints]
    more, unused = singles(left)
    return streams + more, unused


def _triple(stem: str, axes: dict[str, tuple[Column, str, float]]) -> Stream:
    words = parts(stem)
    kinds = [_kind(word, place == len(words) - 1) for place, word in enumerate(words)]
    known = next(filter(None, kinds), "")
    place = tuple(word for word, which in zip(words, kinds, strict=True) if not which)
    free = any(part.startswith(sign) for part in words for sign in GRAVITY_FREE)
    _, unit, factor = axes["x"]
    columns = tuple(axes[axis][0] for axis in "xyz")
    return Stream(known, ("x", "y", "z"), columns, place, units=unit, factor=factor, gravity_free=free)


def _kind(word: str, last: bool) -> str:
    """The kind that a word of a triple's name tells, also where words are run together (accelleft)."""
    if word in KINDS and (word not in SHORT or last):
        return KINDS[word]
    return next((KINDS[key] for key in KINDS if len(key) > 2 and word.startswith(key)), "")


def singles(left: Sequence[tuple[str, Column]]) -> tuple[list[Stream], list[str]]:
    """Sensors of other than three channels: electrodes together, others one by one if their name says what they are."""
    stripped = {
        name: re.sub(r"^(eeg|ch|channel)[\s_.:-]*|[\s_.-]*(ref|le|avg)$|\.", "", unit_in(name)[0].lower()) for name, _ in left
    }
    electrodes = [(name, column) for name, column in left if stripped[name] in TEN_TWENTY]
    streams: list[Stream] = []
    unused: list[str] = []
    if len(electrodes) >= 2:
        channels = tuple(name for name, _ in electrodes)
        unit = unit_in(channels[0])
        streams.append(Stream("eeg", channels, tuple(c for _, c in electrodes), units=unit[1], factor=unit[2]))
    for name, column in left:
        if len(electrodes) >= 2 and (name, column) in electrodes:
            continue
        plain, unit_name, factor = unit_in(name)
        known = next((KINDS[word] for word in parts(plain) if kind(word)), "")
        if known and known not in VECTOR_KINDS:
            words = tuple(word for word in parts(plain) if KINDS.get(word) != known)
            streams.append(Stream(known, (known,), (column,), words, units=unit_name, factor=factor))
        else:
            unused.append(name)
    return streams, unused


def by_number(columns: Sequence[Column]) -> list[Stream]:
    """Sensors of columns without telling names: triples if their number allows it, else one sensor of all."""
    if len(columns) % 3 == 0 and len(columns) <= 18:
        return [Stream("", ("x", "y", "z"), tuple(columns[at : at + 3])) for at in range(0, len(columns), 3)]
    return [Stream("signal", tuple(f"c{n}" for n in range(len(columns))), tuple(columns))]


def decide(stream: Stream, notes: Notes, first: bool, taken: Collection[str] = ()) -> None:
    """Its kind, name and units, by the magnitude of its numbers.

    Args:
        first: whether no accelerometer was found before, for triples without a name.
        taken: names of other sensors.
    """
    x, middle, spread, whole = _size(stream)
    told = bool(stream.kind)
    gravity = feels_gravity(stream)
    steady = 15 < middle < 100 and spread < 0.25 * middle
    stream.kind = stream.kind or ("acc" if gravity or first else "mag" if steady and not whole else "gyro")
    stream.name = _free("_".join([*stream.words, stream.kind]), taken)
    key = f"sensors.{stream.name}"
    columns = some(list(map(str, stream.columns)))
    if not told and gravity:
        notes.guess(f"{key}.kind", f"acc: columns {columns}; the length is about {middle:.4g} throughout")
    elif not told:
        notes.ask(f"{key}.kind", f"what do columns {columns} measure? {stream.kind} is a guess by place and size")
    if not x.shape[1]:
        return
    if stream.units:
        return
    size = f"median length {middle:.4g}"
    if stream.kind == "acc":
        _acceleration(stream, middle, size, whole, float(x.min()), float(x.max()), notes)
    elif stream.kind == "gyro":
        high = float(np.percentile(np.abs(x), 99))
        if whole and high > 2500:
            _counts(stream, notes, f"whole numbers up to {np.abs(x).max():g}")
        else:
            stream.units = "deg/s" if high > 20 else "rad/s"
            notes.guess(f"{key}.units", f"{stream.units}: 99 % of its numbers are within {high:.3g}")
            if 8 < high < 40:
                notes.ask(f"{key}.units", f"deg/s or rad/s? Numbers up to {high:.3g} may be either")
    elif stream.kind == "mag":
        stream.units = "uT" if 15 < middle < 100 else "unknown"
        notes.guess(f"{key}.units", f"{stream.units}: {size}, the earth's field is 25 to 65 uT")
    elif stream.kind == "skeleton":
        stream.units, stream.factor = ("m", 1.0) if middle < 30 else ("m", 0.001)
        notes.guess(f"{key}.units", f"m{'' if stream.factor == 1 else ', from mm'}: numbers up to {np.abs(x).max():.4g}")
    elif stream.kind in ("eeg", "ecg", "emg", "eog"):
        level = float(np.median(np.abs(x - np.median(x, 1, keepdims=True))))
        stream.units = "uV"
        if level < 1e-3:
            stream.factor = 1e6
        notes.guess(f"{key}.units", f"uV{'' if stream.factor == 1 else ', from V'}: numbers of about {level:.2g}")
    else:
        stream.units = {"temperature": "C", "heart_rate": "bpm"}.get(stream.kind, "unknown")
        if stream.units == "unknown":
            notes.ask(f"{key}.units", "what are its units?")


def _size(stream: Stream) -> tuple[NDArray[np.float64], float, float, bool]:
    """Its finite samples (channel, time), their median length and its quartile range, and whether all are whole numbers."""
    x = np.concatenate(stream.data, 1) if stream.data else np.zeros((len(stream.channels), 0))
    x = x[:, np.isfinite(x).all(0)] * stream.factor
    there = x if x.shape[1] else np.zeros((len(stream.channels), 1))
    norm = np.linalg.norm(there[:3], axis=0)
    spread = float(np.subtract(*np.percentile(norm, [75, 25])))
    return x, float(np.median(norm)), spread, bool((there == np.rint(there)).all()) and float(np.ptp(there)) > 10


def feels_gravity(stream: Stream) -> bool:
    """Whether a triple is about as long as gravity throughout."""
    _, middle, spread, whole = _size(stream)
    return len(stream.channels) == 3 and bool(_gravity(middle, whole)[0]) and spread < 0.6 * middle


def _free(name: str, taken: Collection[str]) -> str:
    """A plain name that no other sensor has."""
    plain = slug(name)
    return next(each for each in (plain, *(f"{plain}_{n}" for n in range(2, 1000))) if each not in taken)


def _gravity(middle: float, whole: bool) -> tuple[str, float, str]:
    """Units and factor by which a length is that of gravity; ('', 1, '') if there are none."""
    if 0.6 < middle < 1.7:
        return "g", 1.0, "gravity is 1 g"
    if 6.5 < middle < 14:
        return "m/s2", 1.0, "gravity is 9.81 m/s2"
    if whole:
        for counts in (256, 512, 1024, 2048, 4096, 8192, 16384):
            if abs(middle / counts - 1) < 0.1 and not (counts == 1024 and middle < 1012):
                return "g", 1 / counts, f"whole numbers, and gravity would be {counts} counts"
    return ("g", 0.001, "gravity is 1000 mg") if 700 < middle < 1500 else ("", 1.0, "")


def _acceleration(stream: Stream, middle: float, size: str, whole: bool, low: float, high: float, notes: Notes) -> None:
    key = f"sensors.{stream.name}"
    if stream.gravity_free:
        stream.units = "m/s2"
        notes.ask(f"{key}.units", "m/s2 or g? Without gravity in it, its size does not tell")
        return
    units, factor, why = _gravity(middle, whole)
    if whole and low >= 0 and high > 30:  # unsigned: zero is somewhere in the middle
        _counts(stream, notes, f"whole numbers from {low:g} to {high:g}, none below 0: they need an offset, too")
    elif units:
        stream.units, stream.factor = units, factor
        told = f"files.scale {factor:.6g}" if factor != 1 else units
        notes.guess(f"{key}.units", f"{told}: {size}, {why}")
        if whole and factor not in (1, 0.001):
            notes.ask("files.scale", f"{stream.name}: check the factor {factor:.6g} in the device's data sheet")
    elif whole and high - low > 30:
        _counts(stream, notes, f"whole numbers from {low:g} to {high:g}, {size}")
    else:
        stream.units = "unknown"
        notes.ask(f"{key}.units", f"g or m/s2? The {size} fits neither: gravity would be 1 g or 9.81 m/s2")


def _counts(stream: Stream, notes: Notes, what: str) -> None:
    stream.units = "counts"
    unit = {"acc": "g", "gyro": "deg/s"}.get(stream.kind, "the units")
    notes.ask(
        "files.scale",
        f"{stream.name} is in counts ({what}). Write the factor to {unit} (and files.offset) from the data sheet here, "
        f"and the units at the sensor; until then it stays in counts",
    )
