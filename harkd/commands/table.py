"""What commands print on standard output: tables that fit the terminal, and JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

GAP = "  "
_NUMBER = re.compile(r"-?[\d,.]+%?")


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
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    right = [all(_NUMBER.fullmatch(line[i]) for line in cells) for i in range(len(names))]
    wide = _widths([names, *cells], right, columns)
    if wide is None:
        return _blocks(names, cells, columns or 0)
    lines = []
    for line in [names, *cells]:
        parts = [[text] if r else _wrap(text, w) for text, w, r in zip(line, wide, right, strict=True)]
        for row in zip_longest(*parts, fillvalue=""):
            placed = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, wide, right, strict=True)]
            lines.append(GAP.join(placed).rstrip())
    return lines


def _widths(lines: Sequence[Sequence[str]], right: Sequence[bool], columns: int | None) -> list[int] | None:
    """The width of each column, or None if the table cannot be made narrow enough."""
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    least = [
        max(len(word) for text in column for word in ([text] if r else text.split(" ")))
        for column, r in zip(zip(*lines, strict=True), right, strict=True)
    ]
    while columns is not None and sum(wide) + len(GAP) * (len(wide) - 1) > columns:
        number = max(range(len(wide)), key=lambda i: wide[i] if wide[i] > least[i] else 0)
        if wide[number] <= least[number]:
            return None
        wide[number] -= 1
    return wide


def _wrap(text: str, columns: int, **indents: str) -> list[str]:
    return textwrap.wrap(text, columns, break_on_hyphens=False, **indents) or [""]  # type: ignore[arg-type]


def _blocks(names: Sequence[str], cells: Sequence[Sequence[str]], columns: int) -> list[str]:
    lines = []
    for line in cells:
        for number, (name, text) in enumerate(zip(names, line, strict=True)):
            lines += _wrap(f"{name}: {text}", columns, initial_indent="  " * bool(number), subsequent_indent="    ")
    return lines


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def print_json(values: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(values, indent=1, allow_nan=False))
