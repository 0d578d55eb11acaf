"""The data set card: a TOML file that says everything about a data set that code must know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from harkd.datasets.download import Download, Listing
from harkd.datasets.layout import Files
from harkd.datasets.prepare import parse as parse_preparation
from harkd.datasets.recording import Sensor
from harkd.errors import DataError, unknown
from harkd.schema import STRICT_KEYS, load_toml

CARDS = Path(__file__).parent / "cards"

Invariance = Literal["rotation", "reversal", "pace", "amplitude", "mirror", "order", "frequency", "polarity", "layout"]
INVARIANCES: tuple[Invariance, ...] = get_args(Invariance)


@dataclass(frozen=True)
class Licence:
    """The terms of the data; they travel with every model trained on them."""

    __pydantic_config__ = STRICT_KEYS

    name: str
    commercial: bool | None = None
    redistribute: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class ClassTarget:
    """The target that recordings are labelled with.

    Attributes:
        labels: the words or numbers in the files, if they are not the class names. Numbers are compared as numbers.
        unlabelled: further words in the files that stand for no class; what they mark is left out.
    """

    __pydantic_config__ = STRICT_KEYS

    name: str
    classes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a target needs at least two classes with distinct names, got {list(self.classes)}")
        if self.labels and len(self.labels) != len(self.classes):
            raise ValueError(f"{len(self.labels)} labels for {len(self.classes)} classes")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"each class needs a label of its own, got {list(self.labels)}")

    def number(self, word: str, where: str) -> int:
        """The class that a word in the files stands for; -1 for one that stands for none.

        Raises:
            UsageError: names the nearest label.
        """
        known = _numbers(self)
        if same(word) not in known:
            raise unknown(f"label in {where}:", word, self.labels or self.classes)
        return known[same(word)]


@lru_cache(maxsize=16)
def _numbers(target: ClassTarget) -> dict[str, int]:
    known = {same(label): number for number, label in enumerate(target.labels or target.classes)}
    return known | dict.fromkeys(map(same, ("", *target.unlabelled)), -1)


@lru_cache(maxsize=4096)
def same(word: str) -> str:
    """A key in the form in which keys are compared: 01, 1 and 1.0 are one subject; 1_02, 1e2 and 100 are three."""
    word = word.strip()
    number = re.fullmatch(r"(-?)0*(\d+)(?:\.0*)?", word, re.ASCII)
    return number[1] + number[2] if number else word


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
    """What a correct reading gives: the integrity check of the loader.

    Attributes:
        per_class: windows of each class, in the order of the target's classes.
        partial: whether a part of the data set will do: the numbers are then the most that there may be.
    """

    __pydantic_config__ = STRICT_KEYS

    recordings: int | None = None
    subjects: int | None = None
    windows: int | None = None
    per_class: tuple[int, ...] = ()
    partial: bool = False

    def check(self, name: str, **found: int | tuple[int, ...]) -> None:
        """Refuse a reading of the data set `name` that gave other numbers."""
        for key, number in found.items():
            counted = getattr(self, key)
            if counted in (None, (), number) or (self.partial and isinstance(number, int) and number < counted):
                continue
            raise DataError(f"{name}: read {number} {key}, but its card counts {counted}: are files missing or damaged?")


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
    downloads: tuple[Download, ...] = ()
    """Official files that `harkd data fetch` gets."""
    listing: Listing | None = None
    """Or many of them."""
    prepare: str = ""
    """Signal preparation between file and windows, like "limit(2)+fill(0.2)+resample()"; see `harkd.datasets.prepare`."""
    synthetic: bool = False
    """Made by a program, not measured on anybody."""
    checked_on_original_files: bool = False
    subjects_are_codes: bool = False
    """Subject names in the files are already pseudonyms, so reports may print them."""
    invariances: Mapping[Invariance, bool | tuple[str, ...]] = field(default_factory=dict)
    """What leaves the label alone: true, false, or the classes for which it holds. Absent means false. `rotation` of a device,
    `reversal` of time, `pace`, `amplitude`, `mirror` (left and right), `order` of what happens in a window, `frequency` (a shift
    of the spectrum), `polarity` (the sign of a signal), `layout` (which channel is which)."""
    splits: Mapping[str, SubjectSplit] = field(default_factory=dict)
    counts: Counts = Counts()

    def __post_init__(self) -> None:
        if not self.sensors or len({s.name for s in self.sensors}) != len(self.sensors):
            raise ValueError("a card needs at least one sensor, and their names differ")
        for key, named in self.files.named_sensors().items():
            for name in sorted(named - {s.name for s in self.sensors}):
                raise ValueError(f"files.{key} names the sensor {name!r}, which the card does not have")
        steps = parse_preparation(self.prepare)
        if self.files.time != "" and not any(step.sets_clock for step in steps):
            raise ValueError("the files have time stamps: 'prepare' needs the step resample() or fit(...)")
        if self.counts.per_class and len(self.counts.per_class) != len(self.target.classes):
            raise ValueError(f"counts.per_class has {len(self.counts.per_class)} numbers for {len(self.target.classes)} classes")
        for key, classes in self.invariances.items():
            if not isinstance(classes, bool):
                for name in set(classes) - set(self.target.classes):
                    raise ValueError(f"invariance {key!r} names the class {name!r}, which the target does not have")

    def files_to_fetch(self, only: str = "") -> tuple[Download, ...]:
        """The official files, or those whose names match a regular expression."""
        kept = tuple(download for download in self.downloads if re.search(only, download.file))
        return kept + (self.listing.files(CARDS, only) if self.listing else ())

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
