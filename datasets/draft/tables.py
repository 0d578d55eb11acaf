"""Looking at the first lines of a text file: separator, decimal mark, header, comments."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harkd.datasets.layout import Files
from harkd.datasets.readers import Table, text_table
from harkd.errors import DataError

_LOOK = 1 << 16
_LINES = 60
_COMMENTS = ("%", "#", "//", ";", "!")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """How a text file writes a table.

    Attributes:
        separator: as a card has it; empty where the default finds it.
        names: of the columns; empty without a header.
        numeric: which columns hold numbers.
        problem: why a card cannot describe it.
    """

    separator: str = ""
    decimal: str = "."
    comment: str = "%"
    header: bool = True
    names: tuple[str, ...] = ()
    width: int = 0
    numeric: tuple[bool, ...] = ()
    rows: int = 0
    problem: str = ""

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for tables that one card can read."""
        return self.decimal, self.comment, self.header, tuple(map(str.lower, self.names)), self.width

    def files(self) -> Files:
        """The part of a card that reads it."""
        decimal: Literal[".", ","] = "," if self.decimal == "," else "."
        return Files(
            reader="text", pattern=".*", separator=self.separator, decimal=decimal, comment=self.comment, header=self.header
        )  # fmt: skip

    def read(self, path: Path) -> Table:
        """The whole table, as a card would read it."""
        return text_table(path, self.files())


def look(path: Path) -> Form:
    """The form of a text file; `problem` says why it is no table of numbers."""
    try:
        with path.open("rb") as file:
            data = file.read(_LOOK)
    except OSError as problem:
        return Form(problem=f"cannot be read ({problem.strerror})")
    if b"\0" in data:
        what = "UTF-16 text: save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "binary, not text"
        return Form(problem=what)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        if problem.start < len(data) - 4:
            return Form(problem="not UTF-8 text: save it as UTF-8")
        text = data[: problem.start].decode("utf-8-sig")
    lines = [line.strip(" \r") for line in text.split("\n")]
    if len(data) == _LOOK:
        lines.pop()  # it may be cut
    lines = [line for line in lines if line.strip()]
    if not lines:
        return Form(problem="empty")
    comment = next((mark[0] for mark in _COMMENTS if lines[0].startswith(mark)), "%")
    content = [line for line in lines if not line.lstrip().startswith(comment)][:_LINES]
    if not content:
        return Form(problem="nothing but comments")
    forms = [_as(content, separator) for separator in ("\t", ";", ",", r"\s+")]
    best = max(forms, key=lambda form: (not form.problem, sum(form.numeric), form.width))
    default = next((mark for mark in "\t;," if mark in content[0]), r"\s+")
    return replace(best, comment=comment, separator="" if best.separator == default else best.separator)


def split(line: str, separator: str) -> list[str]:
    """The cells of a line."""
    if separator == r"\s+":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def _as(lines: list[str], separator: str) -> Form:
    """The form of some lines if this were their separator."""
    rows = [split(line, separator) for line in lines]
    if len(rows) > 1 and all(len(row) > 1 and not row[-1] for row in rows[1:]):  # a separator at the end of every line
        rows = [row if row[-1] else row[:-1] for row in rows]
    width = Counter(len(row) for row in rows[len(rows) // 3 :]).most_common(1)[0][0]
    first = next(number for number, row in enumerate(rows) if len(row) == width)
    body = [row for row in rows[first:] if len(row) == width]
    lower = body[1:] or body
    cells = list(zip(*lower, strict=True))
    decimal = "."
    if separator != ",":
        joined = [cell for column in cells for cell in column]
        if any(re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell) for cell in joined) and not any(
            re.fullmatch(r"[+-]?\d*\.\d+", cell) for cell in joined
        ):
            decimal = ","
    number = re.compile(_NUMBER.pattern.replace("[.,]", "[.]" if decimal == "." else "[,]"), re.IGNORECASE)
    numeric = tuple(
        any(map(str.strip, column)) and all(not cell or number.fullmatch(cell) for cell in column) for column in cells
    )
    head = body[0]
    header = any(n and cell and not number.fullmatch(cell) for n, cell in zip(numeric, head, strict=True))
    header = header or (len(body) > 1 and not any(map(number.fullmatch, filter(None, head))) and any(numeric))
    problem = ""
    if width < 2 and sum(numeric) == 0:
        problem = "no table: its lines have no columns in common"
    elif not any(numeric):
        problem = "no column of numbers"
    elif sum(len(row) != len(rows[first]) for row in rows[first:]) > 0.1 * len(rows[first:]):
        problem = "its lines have different numbers of columns"
    elif first:
        problem = f"{first} lines before the table ({lines[0][:40]!r}) are no comments: put % in front of them, or take them out"
    return Form(separator, decimal, "%", header, tuple(head) if header else (), width, numeric, len(body) - header, problem)


def read(form: Form, path: Path) -> Table | None:
    """The table of a file; None if it cannot be read as that form."""
    try:
        return form.read(path)
    except DataError:
        return None
