"""`harkd data init`: draft the card of a folder of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.data import folder_named
from harkd.commands.table import print_json
from harkd.errors import UsageError
from harkd.files import write_atomically

if TYPE_CHECKING:
    from harkd.datasets.draft import Draft


@dataclass(frozen=True, kw_only=True)
class Init:
    """Look at the recordings in a folder and draft a card: a commented file that says how to read them."""

    folder: Annotated[Positional[str], arg(metavar="FOLDER")]
    """Folder with recordings: csv, txt, tsv, dat, mat, npz, npy, edf, bdf or parquet files, or one archive of them."""
    out: str = ""
    """Card to write; by default the name of the data set with .toml, in the current folder."""
    name: str = ""
    """Name of the data set; by default the folder's."""
    rate: float = 0.0
    """Samples per second, where the files do not tell."""
    force: bool = False
    """Overwrite a card that is there."""
    json: bool = False
    """As JSON."""


def main(argv: Sequence[str]) -> int:
    """Returns 0: the card was written, whether it loads already or still asks for something."""
    options = parse(Init, "harkd data init", argv)
    from harkd.datasets.draft import draft
    from harkd.datasets.draft.words import slug

    folder = folder_named(options.folder)
    if options.rate < 0:
        raise UsageError(f"--rate is a positive number of samples per second, got {options.rate:g}")
    out = Path(options.out or f"{options.name or slug(folder.resolve().name) or 'recordings'}.toml")
    if out.suffix != ".toml":
        raise UsageError(f"--out {out}: a card is a TOML file; call it {out.with_suffix('.toml').name}")
    if out.is_dir() or (out.exists() and not options.force):
        hint = "that is a folder" if out.is_dir() else "give another name with --out, or --force to overwrite it"
        raise UsageError(f"{out} is there already; {hint}")
    found = draft(folder, options.name, options.rate)
    write_atomically(out, found.text.encode())
    if options.json:
        print_json(_told(found, out))
    else:
        _print(found, out, folder)
    return 0


def _told(found: Draft, out: Path) -> dict[str, Any]:
    counts = found.counts
    numbers = (
        {
            "recordings": counts.recordings,
            "with_windows": len(set(found.windows.recordings.tolist())),
            "subjects": counts.subjects,
            "windows": counts.windows,
            "per_class": dict(zip(found.windows.classes, counts.per_class, strict=False)),
        }
        if found.windows is not None
        else None
    )
    return {
        "card": str(out),
        "name": found.name,
        "found": found.notes.found,
        "guessed": [{"key": key, "why": text} for key, text in found.notes.guessed],
        "open": [{"key": key, "what": text} for key, text in found.notes.asked],
        "loads": numbers,
        "problem": found.problem,
    }


def _print(found: Draft, out: Path, folder: Path) -> None:
    notes, lines = found.notes, found.text.splitlines()
    print("found")
    for text in notes.found:
        print(f"  {text}")
    print("\nguessed (see the comments in the card)")
    for key, text in notes.guessed:
        print(f"  {key}: {text}")
    if notes.asked:
        print("\ncould not decide")
        for key, text in notes.asked:
            line = next((n for n, written in enumerate(lines, 1) if written == f"# TODO: {text}"), 0)
            print(f"  {f'line {line}, ' if line else ''}{key}: {text}")
    print(f"\nwrote {out}; title, citation and licence are yours to fill in")
    if found.windows is None:
        print(f"it does not load yet: {found.problem}")
    else:
        told = _told(found, out)["loads"]
        short = told["recordings"] - told["with_windows"]
        print(
            f"it loads: {told['recordings']:,} recordings of {told['subjects']} subjects, {told['windows']:,} windows"
            + (f"; {short:,} recordings are too short for a window, or unlabelled" if short else "")
        )
        for name, count in told["per_class"].items():
            print(f"  {count:6,} {name}")
    if found.windows is None:
        print("\nfill in what it asks for, then" if notes.asked else "\nthen")
    else:
        print("\nnext")
    where = f"{quote(str(out))} --data-folder {quote(str(folder))}"
    print(f"  harkd data check {where}\n  harkd data preview {where}")
