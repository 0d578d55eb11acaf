"""The report on some runs: one self-contained HTML page, and the same as Markdown.

    runs -> Study (study.py) -> Page, a tree of plain dataclasses (tree.py, page.py) -> page.html, page.md

Both files come from the one tree, so they cannot disagree; drawing is in figures.py, wording of numbers in words.py. What was
exported of a run is read from its `export/verification.json` (record.py) and has a section of its own (deployment.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harkd.report.page import build
from harkd.report.render import to_html, to_markdown
from harkd.report.study import Study
from harkd.report.writing import write_page
from harkd.runs import Run

__all__ = ["Study", "build", "to_html", "to_markdown", "write_report"]


def write_report(runs: Sequence[Run], html: Path) -> None:
    """Write a report on finished runs as `html`, and beside it as Markdown (same stem, `.md`).

    The page loads nothing. Its one script sorts tables; without it, and in print, nothing is missing. Drawings and their numbers
    can be taken from the page as SVG and CSV. Equal runs give equal bytes.

    Args:
        runs: of one data set and split; any mix of teachers, students alone and distilled students.
        html: the page's path; its folder is made if it is missing.

    Raises:
        UsageError: no runs, runs that cannot stand in one report, or a path that ends in `.md`.
        HarkdError: a run directory is damaged, or a file cannot be written.
    """
    write_page(build(Study.of(runs)), html)
