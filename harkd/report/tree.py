"""What a report consists of: plain values, ready to be set as HTML or as Markdown. All text is plain, never markup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Role = Literal["teacher", "alone", "distilled"]
Mark = Role | Literal["float", "int8", "told", "untold"]
"""What a sign in a figure stands for: who answers, in which arithmetic, or whether something could be told of it."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Facts:
    """Terms and what is said of them."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Table:
    """A table whose first `texts` columns are words; all others are numbers, set to the right.

    Attributes:
        totals: so many of the last rows summarise the others.
        folded: shown on demand only.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    totals: int = 0
    folded: bool = False


@dataclass(frozen=True)
class Sheet:
    """What a drawing shows, for other programs: numbers as they are (shares from 0 to 1), not as they are read.

    A number that does not exist is None.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        svg: an <svg> element that needs nothing from outside the page.
        wide: takes the whole width rather than standing beside others.
        name: of the files in which the drawing and its data are taken away, without ending; no other panel has it.
        data: the numbers drawn. A preview draws recordings, whose samples stay with their owner.
    """

    title: str
    svg: str
    name: str
    data: Sheet | None = None
    wide: bool = False


@dataclass(frozen=True)
class Figure:
    """Drawings under one heading.

    Attributes:
        numbers: what is drawn, as tables; empty if a table beside it says the same. Markdown has the numbers only.
    """

    kind: ClassVar[str] = "figure"
    title: str
    caption: str
    legend: tuple[tuple[Mark, str], ...]
    panels: tuple[Panel, ...]
    numbers: tuple[Table, ...]


Block = Text | Facts | Code | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        verdict: one paragraph in plain words.
        details: one sentence per comparison, where there are several.
        notes: what a reader has to mind when reading the verdict.
    """

    kicker: str
    title: str
    verdict: str
    details: tuple[str, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str
