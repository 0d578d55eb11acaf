"""Which column of a recording is which channel of a model: what its header says, or what the user says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harkd.datasets import Sensor
from harkd.datasets.draft.streams import Stream, from_names
from harkd.datasets.draft.words import GRAVITY_FREE, PLACES, parts, unit_in
from harkd.datasets.layout import Column
from harkd.errors import DataError, UsageError, unknown

AXES = ("x", "y", "z")
_ELECTRODE = re.compile(r"^(eeg|ch|channel)[\s_.:-]+|[\s_.-]+(ref|le|avg)$", re.IGNORECASE)
_PICK = re.compile(r"(?P<array>[^\[\]]+)(?:\[(?P<numbers>[\d,\s]+)\])?")


@dataclass(frozen=True)
class Source:
    """Where the channels of a sensor stand.

    Attributes:
        columns: of its channels, in order, by name or by number; empty: all of `array`.
        array: the variable of a file of arrays.
        units: what the header says they are in, '' if it says nothing.
        factor: from the numbers to these units, such as 0.001 g for mg.
    """

    columns: tuple[Column, ...] = ()
    array: str = ""
    units: str = ""
    factor: float = 1.0


Turn = tuple[tuple[int, float], ...]
"""For each channel of a sensor which channel of the recording it is, and with which sign."""


def find(names: Sequence[str], sensors: Sequence[Sensor]) -> dict[str, Source]:
    """The columns of each sensor, where their names leave no doubt.

    Raises:
        DataError: no rule fits a sensor, or a rule fits it in two ways; lists what is there and what is wanted.

    >>> acc = Sensor("wrist_acc", "acc", "g", 50.0, placement="wrist")
    >>> find(["t", "Accelerometer X (mg)", "Accelerometer Y (mg)", "Accelerometer Z (mg)"], [acc])["wrist_acc"].units
    'g'
    """
    triples = from_names(list(names), list(names))[0]
    found: dict[str, Source] = {}
    for sensor in sensors:
        for rule in RULES:
            ways = rule(sensor, sensors, names, triples)
            if len(ways) > 1:
                told = " or ".join(",".join(map(str, way.columns)) for way in ways)
                raise DataError(f"sensor {sensor.name!r} may be the columns {told}: {_advice(names, sensors)}")
            if ways:
                found[sensor.name] = ways[0]
                break
        else:
            raise DataError(f"no columns for sensor {sensor.name!r}: {_advice(names, sensors)}")
    taken: dict[Column, str] = {}
    for name, source in found.items():
        for column in source.columns:
            if taken.setdefault(column, name) != name:
                raise DataError(f"column {column!r} may be of {taken[column]!r} or of {name!r}: {_advice(names, sensors)}")
    return found


def _advice(names: Sequence[str], sensors: Sequence[Sensor]) -> str:
    wanted = " ".join(f"{sensor.name}={','.join(sensor.channels)}" for sensor in sensors)
    return f'the recording has {", ".join(names)}; say which they are, like --columns "{wanted}"'


def plain(name: str) -> str:
    """A name in the form in which names are compared: without unit, case, spaces, dots and underscores.

    >>> plain("Wrist_Acc.X [g]")
    'wristaccx'
    """
    return re.sub(r"[\W_]+", "", unit_in(name)[0].lower())


def _by_name(sensor: Sensor, sensors: Sequence[Sensor], names: Sequence[str], triples: Sequence[Stream]) -> list[Source]:
    """wrist_acc_x: the sensor's name and the channel's."""
    return _all_of([plain(sensor.name + channel) for channel in sensor.channels], names, plain)


def _by_channel(sensor: Sensor, sensors: Sequence[Sensor], names: Sequence[str], triples: Sequence[Stream]) -> list[Source]:
    """C3, EEG C3-REF: the channel's name alone, where it is more than an axis."""
    if set(map(plain, sensor.channels)) <= set(AXES):
        return []
    return _all_of(list(map(plain, sensor.channels)), names, lambda name: plain(_ELECTRODE.sub("", unit_in(name)[0])))


def _all_of(wanted: Sequence[str], names: Sequence[str], form: Callable[[str], str]) -> list[Source]:
    forms = [form(name) for name in names]
    if any(forms.count(each) != 1 for each in wanted):
        return []
    columns = tuple(names[forms.index(each)] for each in wanted)
    _, units, factor = unit_in(columns[0])
    return [Source(columns, units=units, factor=factor)]


def _by_kind(sensor: Sensor, sensors: Sequence[Sensor], names: Sequence[str], triples: Sequence[Stream]) -> list[Source]:
    """ax, accY, "gyro z": a triple of the sensor's kind, unless the places of both contradict each other."""
    if sensor.channels != AXES:
        return []
    alike = sum(other.kind == sensor.kind for other in sensors) > 1
    mine = set(parts(f"{sensor.name} {sensor.placement}"))
    free = any(word.startswith(sign) for word in mine for sign in GRAVITY_FREE)

    def fits(triple: Stream) -> bool:
        theirs = PLACES & set(triple.words)
        placed = bool(theirs & mine) if alike or (theirs and PLACES & mine) else True
        return triple.kind == sensor.kind and placed and triple.gravity_free == free

    return [Source(triple.columns, units=triple.units, factor=triple.factor) for triple in triples if fits(triple)]


def _by_being_alone(sensor: Sensor, sensors: Sequence[Sensor], names: Sequence[str], triples: Sequence[Stream]) -> list[Source]:
    """x, y, z: nothing else is there, and nothing else is wanted."""
    if len(sensors) > 1 or sensor.channels != AXES or len(triples) != 1 or triples[0].kind or triples[0].words:
        return []
    return [Source(triples[0].columns, units=triples[0].units, factor=triples[0].factor)]


RULES: tuple[Callable[[Sensor, Sequence[Sensor], Sequence[str], Sequence[Stream]], list[Source]], ...] = (
    _by_name,
    _by_channel,
    _by_kind,
    _by_being_alone,
)
"""How a sensor is told from names, the surest rule first. Each gives all ways in which it fits."""


def per_sensor(flag: str, text: str, sensors: Sequence[Sensor]) -> dict[str, str]:
    """What a flag says of each sensor, like "wrist_acc=ax,ay,az wrist_gyro='rate x','rate y','rate z'".

    Raises:
        UsageError: quotes what is not understood.
    """
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"{flag} {text!r}: {str(problem).lower()}") from None
    known = [sensor.name for sensor in sensors]
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{flag} {text!r}: {word!r} is not like {known[0]}=...; the sensors are {', '.join(known)}")
        if name not in known:
            raise unknown(f"sensor in {flag}:", name, known)
        if name in found:
            raise UsageError(f"{flag} {text!r}: {name!r} is given twice")
        found[name] = value
    return found


def to_columns(sensor: Sensor, text: str, names: Sequence[str]) -> Source:
    """The columns that a user says, by name, or by number (from 0) where no column has that name.

    Raises:
        UsageError: there is no such column, or there are more or fewer than channels.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) != len(sensor.channels):
        raise UsageError(f"--columns {sensor.name}={text}: {len(words)} columns for the channels {', '.join(sensor.channels)}")
    columns = tuple(word if word in names or not word.isdecimal() else int(word) for word in words)
    for column in columns:
        if isinstance(column, str) and column not in names:
            raise (
                unknown("column in --columns:", column, names)
                if names
                else UsageError(
                    f"--columns {sensor.name}={text}: the recording has no header, so columns are numbers from 0; got {column!r}"
                )
            )
    _, units, factor = unit_in(columns[0]) if isinstance(columns[0], str) else ("", "", 1.0)
    return Source(columns, units=units, factor=factor)


def to_array(sensor: Sensor, text: str, arrays: Sequence[str]) -> Source:
    """The array that a user says, or some of its columns: data[0,1,2].

    Raises:
        UsageError: it is not like this, or there is no such array.
    """
    match = _PICK.fullmatch(text)
    if not match:
        raise UsageError(f"--columns {sensor.name}={text}: name an array, or some columns of one like data[0,1,2]")
    if match["array"] not in arrays:
        raise unknown("array in --columns:", match["array"], arrays)
    numbers = tuple(int(number) for number in match["numbers"].split(",") if number.strip()) if match["numbers"] else ()
    if numbers and len(numbers) != len(sensor.channels):
        raise UsageError(f"--columns {sensor.name}={text}: {len(numbers)} columns for the channels {', '.join(sensor.channels)}")
    return Source(numbers, match["array"])


def to_turn(sensor: Sensor, text: str) -> Turn:
    """How a sensor sits in another device: "-y,x,z" says that its x is the recording's -y, its y is x and its z is z.

    Raises:
        UsageError: it is no signed permutation of the sensor's channels.

    >>> to_turn(Sensor("acc", "acc", "g", 50.0), "-y,x,z")
    ((1, -1.0), (0, 1.0), (2, 1.0))
    """
    words = [word.strip() for word in text.split(",")]
    bare = [word.lstrip("+-") for word in words]
    if sorted(bare) != sorted(sensor.channels) or any(len(word) - len(b) > 1 for word, b in zip(words, bare, strict=True)):
        raise UsageError(
            f"--axes {sensor.name}={text}: expected {', '.join(sensor.channels)}, each once, with a sign if need be, like -y,x,z"
        )
    return tuple((sensor.channels.index(b), -1.0 if word[0] == "-" else 1.0) for word, b in zip(words, bare, strict=True))
