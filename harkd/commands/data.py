"""`harkd data`: get, check, prepare and look at a data set, or draft the card of one's own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from harkd.commands.cli import action, parse
from harkd.commands.table import print_json, print_table
from harkd.errors import UsageError

if TYPE_CHECKING:
    from harkd.datasets import Card

ACTIONS = {
    "list": "the data sets that harkd has a card for",
    "info": "what a card says, and what the recordings hold",
    "fetch": "download the official files, or say what to put where",
    "check": "look for what is wrong with the recordings",
    "prepare": "make a copy that opens at once",
    "preview": "draw a recording of every class",
    "init": "draft the card of a folder of one's own",
    "schema": "the JSON schema of cards, for editors",
}


@dataclass(frozen=True, kw_only=True)
class Named:
    """A data set."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Data set, or the path of a card."""
    data_folder: str = ""
    """Where its recordings are, if harkd does not bring them along."""
    prepare: str = ""
    """Signal preparation after the card's own, like "bandpass(4, 40)+euclidean(session)"."""
    json: bool = False
    """As JSON."""


@dataclass(frozen=True, kw_only=True)
class Info(Named):
    """Tell what a card says, and what the recordings hold."""


@dataclass(frozen=True, kw_only=True)
class Check(Named):
    """Look for what is wrong with the recordings: exit code 1 if numbers would be wrong."""


@dataclass(frozen=True, kw_only=True)
class Prepare(Named):
    """Make a copy of the windows that opens at once. It is used wherever the same card, files and window are asked for."""

    window: int = 0
    """Samples of a window; 0 takes the card's."""
    step: int = 0
    """Samples from one window to the next; 0 takes the card's."""


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Download the official files of a data set, or say what to put where."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Data set, or the path of a card."""
    only: str = ""
    """Regular expression: only files whose names match, like "S00[1-5]/"."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Print the JSON schema of cards: editors then complete keys and mark mistakes."""


def main(argv: Sequence[str]) -> int:
    chosen, rest = action("data", ACTIONS, "[NAME] [OPTIONS]", argv)
    if chosen == "list":
        from harkd.commands import list as listing

        named = [word for word in rest if not word.startswith("-")]
        if named:
            raise UsageError(f"harkd data list takes no name; did you mean harkd data info {named[0]}?")
        return listing.main(["datasets", *rest])
    if chosen == "preview":
        from harkd.commands import preview

        return preview.main(rest)
    if chosen == "init":
        from harkd.commands import draft

        return draft.main(rest)
    actions: dict[str, Callable[[Sequence[str]], int]] = {
        "info": _info,
        "fetch": _fetch,
        "check": _check,
        "prepare": _prepare,
        "schema": _schema,
    }
    return actions[chosen](rest)


def _info(argv: Sequence[str]) -> int:
    options = parse(Info, "harkd data info", argv)
    from harkd.datasets import load, read_card

    card = read_card(options.name)
    windows = load(options.name, options.data_folder or None, prepare=options.prepare)
    classes = {name: int((windows.labels == number).sum()) for number, name in enumerate(card.target.classes)}
    subjects = len(set(windows.subjects.tolist()))
    lacking = {name: int((~there).sum()) for name, there in windows.present.items()}
    found = {
        "subjects": subjects,
        "recordings": len(set(windows.recordings.tolist())),
        "windows": len(windows),
        "per_class": classes,
        "without_sensor": lacking,
    }
    if options.json:
        print_json({"card": asdict(card), "found": found})
        return 0
    _head(card)
    for sensor in windows.sensors.values():
        channels = ", ".join(sensor.channels) if len(sensor.channels) <= 9 else f"{len(sensor.channels)} channels"
        lacks = f", missing in {lacking[sensor.name]:,} windows" if sensor.name in lacking else ""
        print(f"  {sensor.name}: {channels} in {sensor.units} at {sensor.rate:g} Hz, {sensor.placement or sensor.kind}{lacks}")
    if windows.card.prepare:
        print(f"\nprepared by {windows.card.prepare}")
    print(
        f"\n{found['recordings']} recordings of {subjects} subjects, {len(windows):,} windows of {card.windows.length} samples:"
    )
    for name, count in classes.items():
        print(f"  {count:6,} {name}")
    for name, parts in card.splits.items():
        print(f"\nsplit {name}: train {_names(parts.train)}; validation {_names(parts.val)}; test {_names(parts.test)}")
    return 0


def _head(card: Card) -> None:
    from harkd.report.words import SYNTHETIC

    made_up = f"{SYNTHETIC}\n" if card.synthetic else ""
    print(f"{card.title}\n{made_up}{card.citation}\nlicence: {f'{card.licence.name}. {card.licence.note}'.strip()}\n")


def _names(subjects: Sequence[str]) -> str:
    return ", ".join(subjects) or "nobody"


def _check(argv: Sequence[str]) -> int:
    options = parse(Check, "harkd data check", argv)
    from harkd.datasets import read_card
    from harkd.datasets.loading import folder_of
    from harkd.datasets.quality import inspect

    card = read_card(options.name)
    found = inspect(card, folder_of(card, options.data_folder), options.prepare)
    if options.json:
        print_json({"good": found.good, **asdict(found)})
        return 0 if found.good else 1
    _head(card)
    for name, (number, expected) in found.counts.items():
        most = "at most " if card.counts.partial else ""
        print(f"{number:,} {name}" + (f" (card: {most}{expected:,})" if expected is not None else ""))
    print()
    people: list[dict[str, Any]] = []
    for person in found.people:
        lacks = [name for name, count in zip(card.target.classes, person.windows, strict=True) if not count]
        shown = ", ".join(lacks) if len(lacks) <= 3 else f"{len(lacks)} classes"
        row = {"subject": person.subject, "recordings": person.recordings, "minutes": f"{person.minutes:.1f}"}
        people.append({**row, "windows": f"{sum(person.windows):,}", "has no": shown})
    print_table(people)
    print()
    classes: list[dict[str, Any]] = []
    for number, name in enumerate(card.target.classes):
        counted = [person.windows[number] for person in found.people]
        classes.append({"class": name, "windows": f"{sum(counted):,}", "subjects": sum(count > 0 for count in counted)})
    print_table(classes)
    print()
    for finding in found.findings:
        print(f"{finding.level}: {finding.what} ({finding.where})")
    if not found.findings:
        print("nothing wrong was found")
    return 0 if found.good else 1


def _prepare(argv: Sequence[str]) -> int:
    options = parse(Prepare, "harkd data prepare", argv)
    from harkd.datasets import Cut, cache, read_card
    from harkd.datasets.loading import folder_of, from_files

    card = read_card(options.name)
    folder = folder_of(card, options.data_folder)
    cut = None
    if options.window or options.step:
        try:
            cut = Cut(options.window or card.windows.length, options.step or card.windows.step)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
    began = time.monotonic()
    key = cache.key(card, folder, cut, options.prepare)
    windows = cache.open_windows(key, card)
    fresh = windows is None
    if windows is None:
        windows = from_files(card, folder, cut, options.prepare)
        cache.write(windows, key, lambda: time.sleep(0.2))
    place = cache.place(card, key)
    size = sum(path.stat().st_size for path in place.iterdir())
    about = {"folder": str(place), "windows": len(windows), "bytes": size, "fresh": fresh}
    if options.json:
        print_json(about)
        return 0
    how = f"prepared in {time.monotonic() - began:.1f} s" if fresh else "was prepared already"
    print(f"{len(windows):,} windows, {size / 1e6:.1f} MB, {how}: {place}")
    return 0


def _fetch(argv: Sequence[str]) -> int:
    options = parse(Fetch, "harkd data fetch", argv)
    from harkd.datasets import read_card
    from harkd.datasets.store import fetch

    card = read_card(options.name)
    print(f"{card.title}\nlicence: {f'{card.licence.name}. {card.licence.note}'.strip()}\n")
    try:
        wanted = card.files_to_fetch(options.only)
    except re.error as problem:
        raise UsageError(f"--only {options.only!r} is not a regular expression: {problem}") from None
    if options.only and not wanted and card.files_to_fetch():
        raise UsageError(f"--only {options.only!r} matches none of the files, which are like {card.files_to_fetch()[0].file!r}")
    if wanted:
        print(f"in {fetch(wanted, card.name)}")
        return 0
    if card.synthetic or card.files.hook == "seglearn_watch":
        print("nothing to fetch: harkd brings it along")
        return 0
    packed = f", or the archive that holds them ({card.files.archive})" if card.files.archive else ""
    print(
        f"No official address for a program is known. Get it from\n  {card.url}\nand give the folder with --data-folder. "
        f"It should hold files like\n  {card.files.pattern}{packed}"
    )
    return 0


def _schema(argv: Sequence[str]) -> int:
    parse(Schema, "harkd data schema", argv)
    from harkd.datasets.card import Card
    from harkd.schema import json_schema

    print_json(json_schema(Card))
    return 0


def folder_named(text: str) -> Path:
    """A folder from the command line.

    Raises:
        UsageError: there is none.
    """
    folder = Path(text)
    if not folder.is_dir():
        raise UsageError(f"{folder} is {'a file' if folder.exists() else 'not there'}; give a folder with recordings")
    return folder
