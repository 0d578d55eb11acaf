"""What commands print on standard output: tables that fit the terminal, and JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NUMBER = re.compile(r"-?[\d,.]+%?")
_ANY = 10_000
_GAP = 2


def width() -> int | None:
    """Columns to print in; None means any number: a file or a pipe takes lines as long as they are."""
    if os.environ.get("COLUMNS", "").isdecimal() or (sys.stdout is not None and sys.stdout.isatty()):
        return max(20, shutil.get_terminal_size().columns)
    return None


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows with the same keys as a table in the width of the terminal."""
    print("\n".join(table(rows, width())))


def table(rows: Sequence[Mapping[str, object]], columns: int | None) -> list[str]:
    """The lines of a table in at most `columns` columns (None: as many as it takes). Numbers stand to the right.

    Texts are wrapped between words, the widest column first. Where the longest words do not fit either, each row is a block.

    >>> rows = [{"net": "dscnn-s", "about": "small and quick"}, {"net": "x", "about": "none"}]
    >>> print("\\n".join(table(rows, 20)))
    net      about
    dscnn-s  small and
             quick
    x        none
    >>> print("\\n".join(table(rows, 13)))
    net: dscnn-s
      about:
      small and
      quick
    net: x
      about: none
    """
    console = Console(width=columns or _ANY, file=StringIO(), color_system=None)
    cells = [[_text(value) for value in row.values()] for row in rows]
    content = [(name, *column) for name, column in zip(rows[0], zip(*cells, strict=True), strict=True)]
    numbers = [all(map(_NUMBER.fullmatch, column)) for _, *column in content]
    widths = [max(map(len, column)) for column in content]
    least = [
        width if number else max(len(word) for text in column for word in text.split() or [""])
        for column, width, number in zip(content, widths, numbers, strict=True)
    ]
    spare = console.width - _GAP * (len(widths) - 1)
    if sum(least) <= spare:
        while sum(widths) > spare:  # rich would cut words of columns that it narrows
            widest = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
            widths[widest] -= 1
        sheet = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for (name, *_), number, width in zip(content, numbers, widths, strict=True):
            sheet.add_column(Text(name), justify="right" if number else "left", no_wrap=number, width=width)
        for row in cells:
            sheet.add_row(*map(Text, row))
        return _lines(console, sheet)
    blocks: list[str] = []
    for row in cells:
        for place, (name, text) in enumerate(zip(rows[0], row, strict=True)):
            blocks += _lines(console, Padding(Text(f"{name}: {text}"), (0, 0, 0, 2 * bool(place))))
    return blocks


def _lines(console: Console, content: RenderableType) -> list[str]:
    with console.capture() as captured:
        console.print(content)
    return [line.rstrip() for line in captured.get().splitlines()]


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def print_json(values: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(values, indent=1, allow_nan=False))
