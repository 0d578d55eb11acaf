"""What all reports say alike: the data's terms, the versions that numbers depend on, and options as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence

from harkd.report.record import Result, Terms
from harkd.report.words import NONE, listed

Items = tuple[tuple[str, str], ...]
"""Terms and what is said of them, for `Facts`."""

TRAVEL = "The terms of the training data travel with every model trained on them."
_ALLOWED = {True: "allowed", False: "not allowed", None: "not stated by those who published the data"}


def terms(data: Terms) -> Items:
    """Whose data they are, and what may be done with them."""
    items = [("data", data.data)]
    if data.citation:
        items.append(("please cite", data.citation))
    items += [
        ("licence", data.name or "not stated"),
        ("commercial use", _ALLOWED[data.commercial]),
        ("redistribution", _ALLOWED[data.redistribute]),
    ]
    if data.note:
        items.append(("note", data.note))
    return tuple(items)


def environment(results: Sequence[Result]) -> Items:
    """Versions, each with all the values that runs had."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        for name, value in result.environment.items():
            found.setdefault(name, {})[str(value)] = None
    return tuple((name, listed(list(values))) for name, values in found.items())


def option(value: object) -> str:
    """The value of an option."""
    if value is None or value in ("", [], ()):
        return NONE
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
