"""The pages of all augmentations, made from the code; op_pictures.py draws their pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby

from harkd.report.catalogue import Entry, catalogue, spaced
from harkd.report.words import listed

FOLDER = "augmentations"
_SAID = {
    "kept": "The label is kept.",
    "kept if": (
        "The label is kept if {} does not change it. The data set's card says for which classes that holds, and training refuses "
        "the op where it does not."
    ),
    "mixed": "The label becomes shares of the window's class and of its partner's.",
    "same class": "The label is kept: partners are of the same class.",
}


def pages() -> dict[str, str]:
    """A page for every op and every policy, and one that lists them; by name in this folder."""
    entries = catalogue()
    found = {f"{FOLDER}/index.md": _index(entries)}
    return found | {f"{FOLDER}/{entry.name}.md": _page(entry) for entry in entries if entry.kind != "strategy"}


def _index(entries: list[Entry]) -> str:
    lines = [
        "# All augmentations",
        "",
        "Made from the code by `python docs/generate.py`; the built documentation (`make docs`) has a picture on every page.",
        "`harkd augment list` tells the same, `harkd augment preview` draws on your recordings, [Augment](../augment.md) helps",
        "to choose.",
    ]
    for family, group in groupby(entries, lambda entry: entry.family):
        lines += ["", f"## {family.upper() if family in ('dtw', 'eeg') else family.replace('_', ' ').capitalize()}", ""]
        if family == "strategies":
            lines += ["| name | stands for | source |", "| --- | --- | --- |"]
            lines += [row(f"`{e.name}`", f"{e.about}: `{spaced(e.strategy)}`", _source(e)) for e in group]
        else:
            lines += ["| as written | does | label |", "| --- | --- | --- |"]
            lines += [row(f"[`{e.text}`]({e.name}.md)", marked(e.about), e.effect) for e in group]
    return "\n".join([*lines, ""])


def _source(entry: Entry) -> str:
    return f"{entry.citation} ({entry.evidence})" if entry.evidence else entry.citation


def _page(entry: Entry) -> str:
    lines = [f"# {entry.name}", "", marked(entry.about), "", "```text", entry.strategy, "```", ""]
    if entry.details:
        lines += [marked(entry.details), ""]
    lines += ["## Options", "", "| option | default | values |", "| --- | --- | --- |"]
    lines += [row(f"`{o.name}`", f"`{_value(o.default)}`", ", ".join(o.choices) or o.kind) for o in entry.options]
    lines += ["", "## What becomes of the label", "", _label(entry), ""]
    if entry.strength:
        lines += ["## Magnitude", "", _magnitude(entry.strength), ""]
    if entry.sensors:
        lines += [f"It changes sensors of kind {listed(entry.sensors)}; others pass untouched.", ""]
    if entry.host:
        lines += ["It goes from window to window on the CPU, which is slow: keep its draws (`--draws`).", ""]
    if entry.learns:
        lines += ["It changes with what happens in training, so a teacher's answers cannot be kept (`--draws`).", ""]
    return "\n".join([*lines, "[All augmentations](index.md)", ""])


def _label(entry: Entry) -> str:
    if entry.kind == "policy":
        return "What becomes of the label is what its ops do to it: all that they assume has to hold."
    assumed = entry.assumes or entry.assumes_most
    said = [_SAID[entry.label].format(listed([f"*{each}*" for each in entry.assumes]))]
    if entry.label != "kept if" and assumed:
        what = f"that {listed([f'*{each}*' for each in assumed])} does not change the class."
        said.append(f"It assumes {what}" if entry.assumes else f"When it is stronger than by default, it assumes {what}")
    if entry.partners:
        said.append(f"Partners: {listed([each.replace('_', ' ') for each in dict.fromkeys(entry.partners)])}.")
    return " ".join(said)


def _magnitude(strength: Mapping[str, object]) -> str:
    allowed = f"{strength['least']:g} and more" if strength["most"] is None else f"{strength['least']:g} to {strength['most']:g}"
    said = [
        f"Magnitude 0 is `{strength['field']}` {strength['identity']:g}, which changes nothing; magnitude 1 is",
        f"{strength['strongest']:g}. Allowed is {allowed}.",
    ]
    if strength["whole"]:
        said.append("It counts something: values between are rounded.")
    if strength["geometric"]:
        said.append("Equal steps of magnitude are equal ratios.")
    return " ".join(said)


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def marked(text: str) -> str:
    """Documentation as Markdown: what stands outside of code is plain text."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<\[\]])", r"\\\1", part) for part in parts)
