"""Markdown tables of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A column is of numbers if any cell in it begins with one."""
    lines = list(rows)
    marks = ["---:" if any(line[i].lstrip("*+-")[:1].isdigit() for line in lines) else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *lines))
