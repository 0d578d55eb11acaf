"""Write the pages of the documentation that are made from the code.

python docs/generate.py
"""

from __future__ import annotations

import json
from pathlib import Path

import augmentations
import methods

from harkd.datasets import Card, names, read_card
from harkd.schema import json_schema

DOCS = Path(__file__).parent


def _count(number: int | None, card: Card) -> str:
    return "" if number is None else f"{'up to ' if card.counts.partial else ''}{number:,}"


def _origin(card: Card) -> str:
    if card.synthetic:
        return "synthetic: made by harkd"
    return "yes" if card.checked_on_original_files else "no: on repacked or rebuilt copies"


def _fetch(card: Card) -> str:
    if card.synthetic or card.files.hook == "seglearn_watch":
        return "nothing to do"
    return "`harkd data fetch`" if card.files_to_fetch() else "by hand"


def _sensors(card: Card) -> str:
    """Sensors that differ in nothing but their place, together."""
    groups: dict[str, list[str]] = {}
    for sensor in card.sensors:
        channels = f"{len(sensor.channels)} channels, " if sensor.kind in ("eeg", "skeleton") else ""
        groups.setdefault(f"{channels}{sensor.rate:g} Hz", []).append(sensor.name)
    return "; ".join(f"{', '.join(members)} ({about})" for about, members in groups.items())


def datasets() -> str:
    """The page of all data sets."""
    lines = [
        "# Data sets",
        "",
        "Made from the cards in `datasets/cards` by `python docs/generate.py`. `harkd data info NAME` tells more, `harkd data",
        "check NAME` compares your copy with the counts, and `harkd data init FOLDER` drafts [your own card](own-data.md).",
        "",
        "| name | recordings of | sensors | subjects | classes | windows | getting it | licence | checked on original files |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names():
        card = read_card(name)
        title = f"[{card.title}]({card.url})" if card.url else card.title
        cells = [
            f"`{name}`",
            title,
            _sensors(card),
            _count(card.counts.subjects, card),
            str(len(card.target.classes)),
            _count(card.counts.windows, card),
            _fetch(card),
            card.licence.name,
            _origin(card),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Citations and terms", ""]
    for name in names():
        card = read_card(name)
        lines.append(f"- `{name}`: {card.citation} Licence: {card.licence.name}. {card.licence.note}".rstrip())
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """Every generated page, by its name in this folder."""
    return {
        "datasets.md": datasets(),
        **augmentations.pages(),
        **methods.pages(),
        "card.schema.json": json.dumps(json_schema(Card), indent=1, ensure_ascii=False, sort_keys=True) + "\n",
    }


if __name__ == "__main__":
    written = pages()
    for page, text in written.items():
        (DOCS / page).parent.mkdir(exist_ok=True)
        (DOCS / page).write_text(text, encoding="utf-8")
    for folder in (augmentations.FOLDER, methods.FOLDER):
        for page in (DOCS / folder).glob("*.md"):
            if f"{folder}/{page.name}" not in written:
                page.unlink()  # of an op or a method that is no more
