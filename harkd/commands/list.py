"""`harkd list`: what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

from harkd.commands.cli import parse
from harkd.commands.table import print_json, print_table
from harkd.errors import UsageError

SHOWN = {
    "nets": ("name", "channels", "parameters", "about"),
    "methods": ("name", "about", "needs", "phases", "answers_in_a_step", "bankable"),
    "datasets": ("name", "subjects", "classes", "windows", "licence", "title"),
}
"""Columns of the tables; with words, and as JSON, there are all."""


@dataclass(frozen=True, kw_only=True)
class List:
    """List what can be named on the command line."""

    topic: Positional[Literal["nets", "methods", "datasets"]]
    """What to list."""
    words: Positional[tuple[str, ...]] = ()
    """Only those of these names, or with all of these words in what is told of them; with all columns, sources of methods too."""
    json: bool = False
    """As JSON, with all columns."""


def main(argv: Sequence[str]) -> int:
    options = parse(List, "harkd list", argv)
    every = {"nets": _nets, "methods": _methods, "datasets": _datasets}[options.topic]()
    rows = [row for row in every if _has(row, options.words)]
    if not rows:
        raise UsageError(f"none of the {options.topic} has {' and '.join(options.words)} in what is told of it")
    if options.json:
        print_json(rows)
    else:
        columns = tuple(every[0]) if options.words else SHOWN[options.topic]
        print_table([{column.replace("_", " "): row[column] for column in columns} for row in rows])
    return 0


def _has(row: Mapping[str, Any], words: Sequence[str]) -> bool:
    told = " ".join(map(str, row.values())).casefold()
    return row["name"] in words or all(word.casefold() in told for word in words)


def _nets() -> list[dict[str, Any]]:
    from harkd.nets import NETS, Inputs, build

    rows = []
    for family in NETS.values():
        for name, inputs in {**dict.fromkeys(family.examples, Inputs(6)), **family.special}.items():
            rows.append(
                {
                    "name": name,
                    "channels": inputs.width,
                    "parameters": build(name, inputs, classes=7).parameter_count,
                    "about": family.summary,
                }
            )
    return rows


def _methods() -> list[dict[str, Any]]:
    from harkd.methods import METHODS

    return [
        {
            "name": m.key,
            "about": m.title,
            "needs": m.need,
            "phases": m.phases,
            "answers_in_a_step": m.cost,
            "bankable": m.bankable,
            "source": m.source,
            "evidence": m.evidence,
        }
        for m in METHODS.values()
    ]


def _datasets() -> list[dict[str, Any]]:
    from harkd.datasets.card import names, read_card

    cards = [read_card(name) for name in names()]
    return [
        {
            "name": card.name,
            "subjects": card.counts.subjects,
            "classes": len(card.target.classes),
            "windows": "" if card.counts.windows is None else card.counts.windows,
            "sensors": ", ".join(sensor.name for sensor in card.sensors),
            "licence": card.licence.name,
            "title": card.title,
        }
        for card in cards
    ]
