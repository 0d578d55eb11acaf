"""A draft as the commented text of a card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harkd.datasets.card import INVARIANCES, Counts
from harkd.datasets.draft.notes import Notes
from harkd.datasets.draft.streams import Stream
from harkd.datasets.layout import Column, SegmentTable, SideTable


@dataclass
class Plan:
    """What the card will say; see `harkd.datasets.card.Card`."""

    name: str
    folder: str
    reader: str = ""
    pattern: str = ""
    archive: str = ""
    header: bool = True
    separator: str = ""
    decimal: str = "."
    comment: str = "%"
    time: Column = ""
    time_unit: str = "s"
    keys: dict[str, Column] = field(default_factory=dict)
    device: tuple[Column, ...] = ()
    devices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)
    lasting: bool = True
    segments: SegmentTable | None = None
    tables: tuple[SideTable, ...] = ()
    target: str = "activity"
    classes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    prepare: str = ""
    codes: bool = False
    length: int = 128
    step: int = 64
    counts: Counts = field(default_factory=Counts)
    values: dict[str, list[str]] = field(default_factory=dict)
    """The words that rows or variables hold for each key."""
    runs: list[int] = field(default_factory=list)
    """Samples of the stretches that rows label."""


def value(given: Any) -> str:
    """A value as TOML."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str):
        plain = given.encode("utf-8", "replace").decode("utf-8")
        literal = "\\" in plain and "'" not in plain and plain.isprintable()
        return f"'{plain}'" if literal else json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(given, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {value(item)}" for name, item in given.items()) + " }"
    if isinstance(given, list | tuple):
        return _list([value(item) for item in given])
    return repr(float(given)) if isinstance(given, float) else str(given)


def _list(items: list[str]) -> str:
    flat = "[" + ", ".join(items) + "]"
    if len(flat) < 110:
        return flat
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) > 118:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(["[", *lines, line, "]"])


def key(name: str) -> str:
    """A key as TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def card_text(plan: Plan, notes: Notes) -> str:
    """The card, its comments in place: `# guessed:` with the evidence, `# TODO:` for what a person has to say."""
    lines: list[str] = [
        "# Drafted by harkd data init. What it was not sure of is marked 'guessed', what only you can know 'TODO'.",
        "",
    ]

    def put(where: str, name: str, given: Any, comment: str = "") -> None:
        lines.extend(notes.at(where))
        if comment:
            lines.append(f"# {comment}")
        lines.append(f"{key(name)} = {value(given)}")

    put("name", "name", plan.name)
    put("title", "title", plan.folder, "TODO: a title that others understand")
    put("citation", "citation", "TODO", "TODO: who recorded this, and the publication to cite")
    put("subjects_are_codes", "subjects_are_codes", plan.codes)
    if plan.prepare or notes.at("prepare"):
        put("prepare", "prepare", plan.prepare)
    lines += ["", "# TODO: the terms of the data. They travel with every model that is trained on them.", "[licence]"]
    lines += ['name = "TODO"', "# commercial = false", "# redistribute = false"]
    _files(plan, notes, lines, put)
    for stream in plan.streams:
        at = f"sensors.{stream.name}"
        lines += ["", *notes.at(f"{at}.kind"), "[[sensors]]"]
        put(at, "name", stream.name)
        put("", "kind", stream.kind)
        put(f"{at}.units", "units", stream.units or "unknown")
        put(f"{at}.rate", "rate", stream.rate or 0)
        if stream.channels != ("x", "y", "z"):
            put(f"{at}.channels", "channels", stream.channels)
        place = "_".join(word for word in stream.name.split("_") if word != stream.kind)
        if place:
            put("", "placement", place)
        if stream.kind in ("acc", "gyro", "mag"):
            put("", "segment", place or "body")
        if stream.optional:
            put(f"{at}.optional", "optional", True)
    lines += ["", "[target]"]
    put("", "name", plan.target)
    put("target.classes", "classes", plan.classes)
    if plan.labels != plan.classes:
        put("target.labels", "labels", plan.labels)
    if plan.unlabelled:
        put("target.unlabelled", "unlabelled", plan.unlabelled)
    lines += [
        "",
        "# TODO: what leaves the label alone? Augmentations that need more than is true here are refused.",
        "[invariances]",
    ]
    lines += [f"{name} = false" for name in INVARIANCES]
    lines += ["", *notes.at("windows"), "[windows]", f"length = {plan.length}", f"step = {plan.step}"]
    counted = {f.name: getattr(plan.counts, f.name) for f in fields(plan.counts) if f.name != "partial"}
    counted = {name: number for name, number in counted.items() if number}
    if counted:
        lines += ["", "# What the files gave when this was drafted: a copy that gives less is damaged.", "[counts]"]
        lines += [f"{name} = {value(number)}" for name, number in counted.items()]
    return "\n".join(lines) + "\n"


def _files(plan: Plan, notes: Notes, lines: list[str], put: Any) -> None:
    lines += ["", "[files]"]
    put("files.reader", "reader", plan.reader)
    put("files.pattern", "pattern", plan.pattern)
    if plan.archive:
        put("files.archive", "archive", plan.archive)
    if plan.reader == "text":
        put("files.header", "header", plan.header)
        for name, given, usual in (
            ("separator", plan.separator, ""),
            ("decimal", plan.decimal, "."),
            ("comment", plan.comment, "%"),
        ):
            if given != usual:
                put(f"files.{name}", name, given)
    if plan.time != "":
        put("files.time", "time", plan.time)
        put("files.time_unit", "time_unit", plan.time_unit)
    if plan.keys:
        put("files.keys", "keys", plan.keys)
    if plan.device:
        put("files.device", "device", plan.device)
    columns = {s.name: s.columns for s in plan.streams if s.columns and not (plan.reader == "edf" and s.columns == s.channels)}
    variables = {s.name: s.variable for s in plan.streams if s.variable}
    axes = {s.name: s.axes for s in plan.streams if s.axes}
    scale = {s.name: s.factor for s in plan.streams if s.factor != 1}
    if variables:
        put("files.variables", "variables", variables)
    if axes:
        put("files.axes", "axes", axes)
    if scale or notes.at("files.scale"):
        if scale:
            put("files.scale", "scale", scale)
        else:
            counted = [s.name for s in plan.streams if s.units == "counts"]
            lines.extend(notes.at("files.scale"))
            lines.append("# scale = { " + ", ".join(f"{name} = 1.0" for name in counted) + " }")
            lines.append("# offset = { " + ", ".join(f"{name} = 0.0" for name in counted) + " }")
    for name, table in (("devices", plan.devices), ("columns", columns)):
        if table:
            lines += ["", *notes.at(f"files.{name}"), f"[files.{name}]"]
            lines += [f"{key(word)} = {value(given)}" for word, given in table.items()]
    if plan.marks:
        lines += ["", *notes.at("files.events"), "[[files.events]]", f"labels = {value(plan.marks)}", "start = 0.0"]
        lines += (
            []
            if plan.lasting
            else ["# TODO: annotations without a duration: how many seconds from each are of its class?", "stop = 2.0"]
        )
    if plan.segments:
        s = plan.segments
        lines += ["", *notes.at("files.segments"), "[files.segments]", f"file = {value(s.file)}", f"columns = {value(s.columns)}"]
        lines += [f"unit = {value(s.unit)}", *notes.at("files.segments.inclusive"), f"inclusive = {value(s.inclusive)}"]
        lines += [f"header = {value(s.header)}"]
    for about in plan.tables:
        lines += ["", *notes.at("files.tables"), "[[files.tables]]", f"file = {value(about.file)}", f"key = {value(about.key)}"]
        lines += [f"columns = {value(about.columns)}", f"header = {value(about.header)}"]
