"""`harkd data preview`: draw a window of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harkd.commands.cli import parse
from harkd.commands.data import Named
from harkd.commands.table import print_json
from harkd.errors import UsageError
from harkd.files import write_atomically

SUFFIXES = (".html", ".png", ".svg")


@dataclass(frozen=True, kw_only=True)
class Preview(Named):
    """Draw a window of every class, with every sensor: a page (.html), or a picture (.png, .svg)."""

    out: str = ""
    """File to write; by default the name of the data set with -preview.html, in the current folder."""
    seed: int = 0
    """Which windows: another seed draws others."""
    dark: bool = False
    """Light on dark, for a picture; a page follows the reader's system."""


def main(argv: Sequence[str]) -> int:
    options = parse(Preview, "harkd data preview", argv)
    if options.seed < 0:
        raise UsageError(f"--seed is 0 or more, got {options.seed}")
    if options.out and Path(options.out).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {options.out}: the name ends in {', '.join(SUFFIXES)}, which says what is written")
    from harkd.datasets import load
    from harkd.report.preview import to_page, to_picture

    windows = load(options.name, options.data_folder or None, prepare=options.prepare)
    out = Path(options.out or f"{windows.card.name}-preview.html")
    suffix = out.suffix.lower()
    if suffix == ".html":
        content = to_page(windows, options.seed).encode()
    else:
        content = to_picture(windows, suffix, options.seed, dark=options.dark)
    write_atomically(out, content)
    if options.json:
        print_json({"out": str(out), "classes": len(windows.classes), "sensors": list(windows.sensors)})
    else:
        print(f"wrote {out}: {len(windows.classes)} classes, {', '.join(windows.sensors)}")
    return 0
