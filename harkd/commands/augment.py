"""`harkd augment`: what augmentations there are, and what they do to windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from harkd.commands.cli import action, parse
from harkd.commands.table import print_json, print_table
from harkd.errors import UsageError
from harkd.files import write_atomically
from harkd.options import Data

if TYPE_CHECKING:
    from harkd.report.catalogue import Entry

ACTIONS = {
    "list": "all ops, policies and named strategies",
    "preview": "draw training windows before and after a strategy",
}


@dataclass(frozen=True, kw_only=True)
class List:
    """List ops, policies (which choose among ops, or say how strong they are) and named strategies."""

    words: Positional[tuple[str, ...]] = ()
    """Only what has all of these words in its name, family, description or options."""
    json: bool = False
    """As JSON, with everything that there is to know."""


@dataclass(frozen=True, kw_only=True)
class Preview(Data):
    """Draw training windows before and after a strategy, with spectra and the effect on the label."""

    strategy: Annotated[Positional[str], arg(metavar="STRATEGY")] = ""
    """What to do to them, like "rotate(15)+jitter(0.05)|mixup(0.2)"; without it, every op by itself, at its default."""
    out: str = ""
    """Page to write (.html); by default the name of the data set with -augment.html, in the current folder."""
    png: str = ""
    """The same as a picture (.png)."""
    dark: bool = False
    """Light on dark, for the picture; the page follows the reader's system."""
    windows: int = 0
    """How many windows; 0: four of a strategy, one of every op."""
    draws: int = 3
    """How often each is augmented."""
    seed: int = 0
    """Which windows, and the seed of the augmentation."""
    steps: bool = False
    """Also what comes out after the first op, after the second, and so on."""
    json: bool = False
    """Tell what was written as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, bound in (("windows", 0), ("draws", 1), ("seed", 0)):
            if getattr(self, name) < bound:
                raise UsageError(f"--{name} is at least {bound}, got {getattr(self, name)}")
        for name, suffix in (("out", ".html"), ("png", ".png")):
            path = getattr(self, name)
            if path and Path(path).suffix.lower() != suffix:
                raise UsageError(f"--{name} {path}: the name ends in {suffix}")
        if self.steps and not self.strategy:
            raise UsageError("--steps takes a strategy apart, and none is given")


def main(argv: Sequence[str]) -> int:
    chosen, rest = action("augment", ACTIONS, "[WORDS] [OPTIONS]", argv)
    return {"list": _list, "preview": _preview}[chosen](rest)


def _list(argv: Sequence[str]) -> int:
    options = parse(List, "harkd augment list", argv)
    from harkd.report.catalogue import catalogue

    entries = [entry for entry in catalogue() if entry.has(options.words)]
    if not entries:
        raise UsageError(f"no augmentation has {' and '.join(options.words)} in its name, family, description or options")
    if options.json:
        print_json([asdict(entry) for entry in entries])
        return 0
    for number, (family, group) in enumerate(groupby(entries, lambda entry: entry.family)):
        rows = [_row(entry) for entry in group]
        print(f"{chr(10) * bool(number)}{family}")
        print_table([{column: row[column] for column in row if any(other[column] for other in rows)} for row in rows])
    return 0


def _row(entry: Entry) -> dict[str, str]:
    from harkd.report.catalogue import spaced

    return {
        "as written": entry.text,
        "label": "" if entry.kind == "policy" else entry.effect,
        "magnitude": entry.range,
        "about": f"{entry.about}: {spaced(entry.strategy)}" if entry.kind == "strategy" else entry.about,
    }


def _preview(argv: Sequence[str]) -> int:
    options = parse(Preview, "harkd augment preview", argv)
    from harkd.augment import parse as parse_strategy
    from harkd.parts import prepare
    from harkd.report.gallery import Gallery
    from harkd.report.gallery_page import privacy, to_page, to_picture

    parse_strategy(options.strategy or "none")  # a misspelt op is told before minutes of reading
    parts = prepare(options)
    gallery = Gallery(
        parts.train,
        parts.codes,
        options.strategy,
        split=parts.split,
        number=options.windows,
        draws=options.draws,
        seed=options.seed,
        steps=options.steps,
    )
    out = Path(options.out or f"{parts.train.card.name}-augment.html")
    written = [out, *([Path(options.png)] if options.png else [])]
    write_atomically(out, to_page(gallery).encode())
    if options.png:
        write_atomically(Path(options.png), to_picture(gallery, dark=options.dark))
    refused = gallery.refusal() if options.strategy else ""
    if options.json:
        print_json(
            {
                "files": [str(path) for path in written],
                "windows": [gallery.windows.classes[int(gallery.windows.labels[at])] for at in gallery.at],
                "draws": options.draws,
                "refused": refused,
            }
        )
        return 0
    shown = f"{len(gallery.at)} window{'s' * (len(gallery.at) != 1)}, {options.draws} draw{'s' * (options.draws != 1)} of each"
    print(f"wrote {' and '.join(map(str, written))}: {shown}")
    if refused:
        print(f"harkd train would refuse it: {refused}")
    if mind := privacy(gallery):
        print(mind)
    return 0
