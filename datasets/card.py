"""The data set card: a TOML file that says everything about a data set that code must know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harkd.datasets.recording import Sensor
from harkd.errors import DataError, unknown
from harkd.schema import STRICT_KEYS, load_toml

CARDS = Path(__file__).parent / "cards"

Invariance = Literal["rotation", "reversal", "pace", "amplitude", "mirror"]
INVARIANCES: tuple[Invariance, ...] = ("rotation", "reversal", "pace", "amplitude", "mirror")
GROUPS = ("recording", "subject", "session", "label")
"""What the named groups of a file pattern may say."""


@dataclass(frozen=True)
class Licence:
    """The terms of the data; they travel with every model trained on them."""

    __pydantic_config__ = STRICT_KEYS

    name: str
    commercial: bool | None = None
    redistribute: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Files:
    """Where recordings stand and which reader reads them.

    Either `hook` (a small file in datasets/hooks) or a `reader` with a `pattern`: a regular expression on the path inside the
    data folder, whose named groups may give `recording`, `subject`, `session` and `label`.
    """

    __pydantic_config__ = STRICT_KEYS

    hook: str = ""
    reader: str = ""
    pattern: str = ""
    columns: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    """Columns of each sensor's channels, by name or by number."""
    header: bool = True
    scale: Mapping[str, float] = field(default_factory=dict)
    """Factor from the file's numbers to the sensor's units."""

    def __post_init__(self) -> None:
        if bool(self.hook) == bool(self.reader):
            raise ValueError("give either 'hook' or 'reader'")
        if self.reader and not self.pattern:
            raise ValueError("a 'reader' needs a 'pattern' that says which files it reads")
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as problem:
            raise ValueError(f"the pattern {self.pattern!r} is not a regular expression: {problem}") from None
        for group in groups:
            if group not in GROUPS:
                raise ValueError(f"the pattern has a group {group!r}; groups are {', '.join(GROUPS)}")


@dataclass(frozen=True)
class ClassTarget:
    """The target that recordings are labelled with.

    `labels` are the words or numbers in the files, if they are not the class names.
    """

    __pydantic_config__ = STRICT_KEYS

    name: str
    classes: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a target needs at least two classes with distinct names, got {list(self.classes)}")
        if self.labels and len(self.labels) != len(self.classes):
            raise ValueError(f"{len(self.labels)} labels for {len(self.classes)} classes")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"each class needs a label of its own, got {list(self.labels)}")


@dataclass(frozen=True)
class Cut:
    """Window length and step, in samples of the first sensor."""

    __pydantic_config__ = STRICT_KEYS

    length: int
    step: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.step < 1:
            raise ValueError(f"length and step are at least 1 sample, got {self.length} and {self.step}")


@dataclass(frozen=True)
class SubjectSplit:
    """A split by subject."""

    __pydantic_config__ = STRICT_KEYS

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """What a correct reading gives: the integrity check of the loader."""

    __pydantic_config__ = STRICT_KEYS

    recordings: int | None = None
    subjects: int | None = None
    windows: int | None = None

    def check(self, name: str, **found: int) -> None:
        """Refuse a reading of the data set `name` that gave other numbers."""
        for key, number in found.items():
            if getattr(self, key) not in (None, number):
                raise DataError(
                    f"{name}: read {number} {key}, but its card counts {getattr(self, key)}: are files missing or damaged?"
                )


@dataclass(frozen=True)
class Card:
    """Everything that code must know about a data set. See `datasets/cards/*.toml`."""

    __pydantic_config__ = STRICT_KEYS

    name: str
    title: str
    citation: str
    licence: Licence
    files: Files
    sensors: tuple[Sensor, ...]
    target: ClassTarget
    windows: Cut
    url: str = ""
    checked_on_original_files: bool = False
    subjects_are_codes: bool = False
    """Subject names in the files are already pseudonyms, so reports may print them."""
    invariances: Mapping[Invariance, bool | tuple[str, ...]] = field(default_factory=dict)
    """What leaves the label alone: true, false, or the classes for which it holds. Absent means false."""
    splits: Mapping[str, SubjectSplit] = field(default_factory=dict)
    counts: Counts = Counts()

    def __post_init__(self) -> None:
        if not self.sensors or len({s.name for s in self.sensors}) != len(self.sensors):
            raise ValueError("a card needs at least one sensor, and their names differ")
        for key, named in (("columns", self.files.columns), ("scale", self.files.scale)):
            for name in set(named) - {s.name for s in self.sensors}:
                raise ValueError(f"files.{key} names the sensor {name!r}, which the card does not have")
        for key, classes in self.invariances.items():
            if not isinstance(classes, bool):
                for name in set(classes) - set(self.target.classes):
                    raise ValueError(f"invariance {key!r} names the class {name!r}, which the target does not have")

    def breaks(self, invariance: Invariance) -> tuple[str, ...]:
        """The classes whose meaning `invariance` does not preserve."""
        holds = self.invariances.get(invariance, False)
        if isinstance(holds, bool):
            return () if holds else self.target.classes
        return tuple(name for name in self.target.classes if name not in holds)


def names() -> list[str]:
    """Names of the data sets that harkd ships a card for."""
    return sorted(path.stem for path in CARDS.glob("*.toml"))


def read_card(name: str) -> Card:
    """The card of a data set, by name or by the path of a TOML file."""
    if name.endswith(".toml"):
        return load_toml(Card, Path(name))
    if name not in names():
        raise unknown("data set", name, names())
    return load_toml(Card, CARDS / f"{name}.toml")
