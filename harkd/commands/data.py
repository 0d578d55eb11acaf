"""`harkd data`: look at a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json
from harkd.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DataCommand:
    """List the data sets, or tell about one: what its card says, and what its recordings hold."""

    action: Positional[Literal["list", "info"]]
    """list all, or info about one."""
    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """Data set, or the path of a card."""
    data_folder: str = ""
    """Where its recordings are, if harkd does not bring them along."""
    json: bool = False
    """As JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(DataCommand, "harkd data", argv)
    if options.action == "list":
        if options.name:
            raise UsageError(f"harkd data list takes no name; did you mean harkd data info {options.name}?")
        from harkd.commands import list as listing

        return listing.main(["datasets", *(["--json"] if options.json else [])])
    if not options.name:
        raise UsageError("harkd data info needs NAME, a data set of harkd data list or the path of a card")
    from harkd.datasets import load, read_card

    card = read_card(options.name)
    windows = load(options.name, options.data_folder or None)
    classes = {name: int((windows.labels == number).sum()) for number, name in enumerate(card.target.classes)}
    subjects = len(set(windows.subjects.tolist()))
    found = {
        "subjects": subjects,
        "recordings": len(set(windows.recordings.tolist())),
        "windows": len(windows),
        "per_class": classes,
    }
    if options.json:
        print_json({"card": asdict(card), "found": found})
        return 0
    licence = f"{card.licence.name}. {card.licence.note}".strip()
    print(f"{card.title}\n{card.citation}\nlicence: {licence}\n")
    for sensor in card.sensors:
        print(f"  {sensor.name}: {', '.join(sensor.channels)} in {sensor.units} at {sensor.rate:g} Hz, {sensor.placement}")
    print(
        f"\n{found['recordings']} recordings of {subjects} subjects, {len(windows):,} windows of {card.windows.length} samples:"
    )
    for name, count in classes.items():
        print(f"  {count:6,} {name}")
    for name, parts in card.splits.items():
        print(f"\nsplit {name}: train {_names(parts.train)}; validation {_names(parts.val)}; test {_names(parts.test)}")
    return 0


def _names(subjects: Sequence[str]) -> str:
    return ", ".join(subjects) or "nobody"
