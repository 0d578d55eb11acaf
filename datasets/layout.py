"""How the files of a data set stand in its folder, and what they hold: the part of a card that readers go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from harkd.schema import STRICT_KEYS

GROUPS = ("recording", "subject", "session", "label", "device")
"""What the named groups of a file pattern may say."""
KEYS = ("recording", "subject", "session", "label")
"""What a column or a variable may say about its rows."""

Reader = Literal["", "text", "parquet", "mat", "npz", "edf"]
TimeUnit = Literal["s", "ms", "us", "ns", "iso"]
Column = str | int


@dataclass(frozen=True)
class SegmentTable:
    """A table of labelled stretches: one row each, with `start` and `stop`, `label`, and the recording (and subject) it is in.

    Attributes:
        file: its path inside the data folder.
        columns: of recording, subject, session, label, start and stop, by name or by number.
        unit: of start and stop; `samples` count from 0 in the first sensor's file.
        inclusive: whether `stop` is the last sample of the stretch rather than the first after it.
    """

    __pydantic_config__ = STRICT_KEYS

    file: str
    columns: Mapping[Literal["recording", "subject", "session", "label", "start", "stop"], Column]
    unit: Literal["samples", "s", "ms", "us", "ns", "iso"] = "samples"
    inclusive: bool = False
    header: bool = True

    def __post_init__(self) -> None:
        for key in ("label", "start", "stop"):
            if key not in self.columns:
                raise ValueError(f"a table of segments needs a column for {key!r}")
        if not {"recording", "subject", "session"} & set(self.columns):
            raise ValueError("a table of segments needs a column that says the recording, the subject or the session")


@dataclass(frozen=True)
class SideTable:
    """A table about recordings, subjects or sessions, such as who wore the sensor in which file.

    Attributes:
        file: its path inside the data folder.
        key: what a row is about.
        columns: of the key, and of what the table tells.
    """

    __pydantic_config__ = STRICT_KEYS

    file: str
    key: Literal["recording", "subject", "session"]
    columns: Mapping[Literal["recording", "subject", "session", "label"], Column]
    header: bool = True

    def __post_init__(self) -> None:
        if self.key not in self.columns or len(self.columns) < 2:
            raise ValueError(f"a side table needs columns for its key {self.key!r} and for at least one thing it tells")


@dataclass(frozen=True)
class Events:
    """What annotations mean: the same mark may stand for another class in another session.

    Attributes:
        labels: class label per mark; marks that are not listed are left out.
        sessions: in which sessions this holds; empty: in all.
        start, stop: the labelled stretch in seconds from the onset; without `stop` it lasts as long as the annotation.
    """

    __pydantic_config__ = STRICT_KEYS

    labels: Mapping[str, str]
    sessions: tuple[str, ...] = ()
    start: float = 0.0
    stop: float | None = None

    def __post_init__(self) -> None:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"an event's stretch stops after it starts, got {self.start} to {self.stop} s")


@dataclass(frozen=True)
class Files:
    """Where recordings stand and which reader reads them.

    Either `hook` (a small file in datasets/hooks) or a `reader` with a `pattern`: a regular expression on the path inside the
    data folder, whose named groups may give `recording`, `subject`, `session`, `label` and `device`. Files with the same
    recording (subject and session) are parts of one recording.
    """

    __pydantic_config__ = STRICT_KEYS

    hook: str = ""
    reader: Reader = ""
    pattern: str = ""
    archive: str = ""
    """Pattern of archives (zip, tar) that hold the files, for a folder where they are still packed."""
    columns: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)
    """Columns of each sensor's channels, by name or by number (EDF: labels; by default the channels' own names)."""
    header: bool = True
    """Whether the first line of a text file names its columns."""
    separator: str = ""
    """Between the columns of a text file; by default that of its first line: tab, semicolon, comma or spaces."""
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    """Of a text file, like latin-1 or utf-16."""
    skip: int = 0
    """Lines at the top of a text file that are neither header nor numbers."""
    comment: str = "%"
    """Lines of a text file that begin with this are left out."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The array of each sensor in a .mat or .npz file."""
    axes: Mapping[str, tuple[Literal["time", "channel", "joint", "axis", "window"], ...]] = field(default_factory=dict)
    """The axes of that array, by default time, channel. Of joint and axis the channels go joint by joint; each window is a
    recording."""
    scale: Mapping[str, float] = field(default_factory=dict)
    """Factor from the file's numbers to the sensor's units."""
    offset: Mapping[str, float] = field(default_factory=dict)
    """Added after the factor."""
    rate: Mapping[str, float] = field(default_factory=dict)
    """Samples per second in the files of a sensor, where the step `resample` changes it to the sensor's."""
    time: Column = ""
    """Column (or variable) of time stamps."""
    time_unit: TimeUnit = "s"
    keys: Mapping[Literal["recording", "subject", "session", "label"], Column] = field(default_factory=dict)
    """Columns (or variables) that say recording, subject, session or label of every row."""
    device: tuple[Column, ...] = ()
    """Columns of a long table that say which device or sensor a row is of; several are joined by /."""
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The sensors that a word in those columns, or in the pattern's group `device`, stands for. By default one of that name."""
    events: tuple[Events, ...] = ()
    """What annotations (EDF+) mean."""
    segments: SegmentTable | None = None
    tables: tuple[SideTable, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.hook) == bool(self.reader):
            raise ValueError("give either 'hook' or 'reader'")
        if self.reader and not self.pattern:
            raise ValueError("a 'reader' needs a 'pattern' that says which files it reads")
        for what, numbers in (("scale", self.scale), ("offset", self.offset), ("rate", self.rate)):
            for sensor, number in numbers.items():
                if not isfinite(number) or (what == "rate" and number <= 0):
                    raise ValueError(f"{what} of sensor {sensor!r} is {number}")
        if len(self.separator) > 1 and self.separator != r"\s+":
            raise ValueError(f"the separator of columns is one character, or \\s+ for spaces; got {self.separator!r}")
        if len(self.comment) > 1:
            raise ValueError(f"comments begin with one character, got {self.comment!r}")
        for what, pattern in (("pattern", self.pattern), ("archive", self.archive)):
            try:
                groups = re.compile(pattern).groupindex
            except re.error as problem:
                raise ValueError(f"the {what} {pattern!r} is not a regular expression: {problem}") from None
            for group in groups:
                if group not in GROUPS:
                    raise ValueError(f"the {what} has a group {group!r}; groups are {', '.join(GROUPS)}")
        if self.segments and (self.events or "label" in self.keys):
            raise ValueError("labels come from 'segments', from 'events' or from a column: give one of them")

    def named_sensors(self) -> dict[str, set[str]]:
        """Every sensor that is mentioned, by the key that mentions it."""
        keys = ("columns", "variables", "axes", "scale", "offset", "rate")
        named: dict[str, set[str]] = {key: set(getattr(self, key)) for key in keys}
        return named | {"devices": {name for words in self.devices.values() for name in words}}
