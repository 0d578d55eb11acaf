"""The last steps of a draft: names, units and rates of sensors, classes, windows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harkd.datasets.card import same
from harkd.datasets.draft import side
from harkd.datasets.draft.card_text import Plan
from harkd.datasets.draft.columns import rate_of
from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.pattern import Named
from harkd.datasets.draft.streams import Stream, decide, feels_gravity
from harkd.datasets.draft.words import NOTHING
from harkd.datasets.layout import SegmentTable, SideTable

SECONDS = 2.56
"""Length of windows, as in UCI HAR and much that followed."""


def finish(
    plan: Plan, folder: Path, named: Named, besides: Sequence[side.Beside], rate: float, readme: str, notes: Notes
) -> None:
    """Complete a draft whose files, columns and keys are known."""
    _sensors(plan, named, notes)
    _rates(plan, rate, readme, notes)
    _classes(plan, folder, named, besides, notes)
    _windows(plan, notes)
    subjects = plan.values.get("subject") or (named.fields["subject"].distinct if "subject" in named.fields else [])
    plan.codes = bool(subjects) and all(
        re.fullmatch(r"[A-Za-z]{0,2}\d+|(?:subject|user|participant|person)_?\d+", s, re.I) for s in subjects
    )
    if not subjects and not any("subject" in table.columns for table in plan.tables):
        notes.ask(
            "files.pattern",
            "nothing tells who wore the sensor: give the pattern a group (?P<subject>...). Without it all count as one person",
        )
    elif subjects and not plan.codes:
        notes.guess("subjects_are_codes", f"false: {some(subjects)} may be names, so reports will not print them")


def _sensors(plan: Plan, named: Named, notes: Notes) -> None:
    by_device: dict[str, list[Stream]] = {}
    for stream in plan.streams:
        by_device.setdefault(stream.device, []).append(stream)
    no_acc = not any(s.kind == "acc" or (not s.kind and feels_gravity(s)) for s in plan.streams)
    for streams in by_device.values():
        mine = no_acc
        for stream in streams:
            decide(stream, notes, mine, {s.name for s in plan.streams})
            mine = mine and stream.kind != "acc"
    if plan.device or "device" in named.fields:
        plan.devices = {word: tuple(s.name for s in streams) for word, streams in by_device.items()}
    _optional(plan, named, notes)
    told = [f"{s.name} ({len(s.channels)} x {s.units or 'unknown'})" for s in plan.streams]
    notes.tell(f"sensors: {some(told, 12)}")


def _optional(plan: Plan, named: Named, notes: Notes) -> None:
    if "device" not in named.fields:
        return
    there: dict[tuple[str, ...], set[str]] = {}
    for keys in named.keys:
        there.setdefault(tuple(keys.get(key, "") for key in ("recording", "subject", "session")), set()).add(keys["device"])
    for stream in plan.streams:
        lacking = sum(stream.device not in devices for devices in there.values())
        if lacking:
            stream.optional = True
            notes.guess(f"sensors.{stream.name}.optional", f"true: {lacking} of {len(there)} recordings lack it")


def _rates(plan: Plan, rate: float, readme: str, notes: Notes) -> None:
    for stream in plan.streams:
        if stream.rate:
            continue
        measured = rate_of(stream.times) if plan.time != "" else 0.0
        if measured:
            stream.rate = measured
            single = [rate_of([at]) for at in stream.times if len(at) > 2]
            notes.guess(
                f"sensors.{stream.name}.rate", f"from the time stamps: {min(single):g} to {max(single):g} Hz in single files"
            )
        elif rate:
            stream.rate = rate
            notes.guess(f"sensors.{stream.name}.rate", f"--rate {rate:g}: no column tells the time")
        else:
            hint = f" ({readme})" if readme else ""
            notes.ask(
                f"sensors.{stream.name}.rate",
                f"samples per second of {stream.name}: no column tells the time{hint}. Write it here, or --rate HZ",
            )
    if plan.time == "":
        _lengths(plan, notes)
    missing = any(np.isnan(x).any() for stream in plan.streams for x in stream.data)
    fill = "fill(0.2)" if missing else ""
    if plan.time != "":
        slow = [s.rate for s in plan.streams if 0 < s.rate < 3]
        plan.prepare = "+".join(
            filter(None, [fill, f"resample(gap={3 / min(slow):.3g})" if slow else "resample(gap=1)", "fill(0)"])
        )
        notes.guess("prepare", "time stamps become a regular clock; windows avoid gaps longer than 'gap' seconds")
    else:
        plan.prepare = fill
    if missing:
        notes.guess("prepare", "some numbers are missing: gaps of up to 0.2 s are filled, windows avoid longer ones")


def _lengths(plan: Plan, notes: Notes) -> None:
    """Ask about sensors of one rate that give different numbers of samples."""
    usual = {s.name: float(np.median([x.shape[1] for x in s.data])) for s in plan.streams if s.data}
    by_rate: dict[float, list[str]] = {}
    for stream in plan.streams:
        by_rate.setdefault(stream.rate, []).append(stream.name)
    for names in by_rate.values():
        counts = {name: usual[name] for name in names if name in usual}
        if counts and max(counts.values()) > 1.1 * min(counts.values()):
            order = sorted(counts, key=lambda name: counts[name])
            told = f"{counts[order[-1]]:g} samples of {order[-1]} and {counts[order[0]]:g} of {order[0]}"
            notes.ask(
                "prepare",
                f"usual recordings have {told}: their rates differ. Give each its own; or, if every recording is one gesture, "
                f'let them meet by relative time with prepare = "fit(128)" and windows of length and step 128',
            )


def _classes(plan: Plan, folder: Path, named: Named, besides: Sequence[side.Beside], notes: Notes) -> None:
    words, source = _labels(plan, folder, named, notes)
    if plan.segments and "label" in plan.keys:
        notes.ask(
            "files.segments", f"the column {plan.keys.pop('label')!r} of the rows could label them, too: give one of the two"
        )
    nothing = [word for word in words if word.strip().lower() in NOTHING]
    words = [word for word in words if word not in nothing]
    if source:
        notes.tell(f"labels from {source}: {some(words, 8)}")
    plan.unlabelled = tuple(word for word in nothing if word)
    if "0" in words and len(words) > 3:
        notes.ask("target.classes", "is label 0 a class, or does it mean 'nothing'? Then move it to unlabelled = [\"0\"]")
    names = side.names_of(words, besides, notes)
    readable = [re.sub(r"[\s_-]+", " ", names.get(word, word)).strip() for word in words]
    readable = [name.lower() if len(name) > 2 and name.isascii() else name for name in readable]
    if len(set(readable)) < len(readable) or not all(readable):
        readable = words
    if words and all(name.replace(".", "").lstrip("-").isdecimal() for name in readable):
        notes.ask("target.classes", "the labels are numbers: give the classes names, in the order of 'labels'")
    plan.labels, plan.classes = tuple(words), tuple(readable)
    if not words:
        notes.ask(
            "target.classes",
            "nothing tells what is done in a recording: name the classes, and give the pattern a group (?P<label>...), "
            "or see files.keys, files.tables and files.segments",
        )
        plan.classes = plan.labels = ("TODO-1", "TODO-2")
    elif len(words) == 1:
        notes.ask("target.classes", f"only one label was found, {words[0]!r}: what is the other class?")
        plan.classes, plan.labels = (*plan.classes, "TODO"), (*plan.labels, "TODO")


def _labels(plan: Plan, folder: Path, named: Named, notes: Notes) -> tuple[list[str], str]:
    """All labels, in order, and where they are."""

    def ordered(words: Sequence[str]) -> list[str]:
        unique = {same(word): word for word in reversed(words) if word is not None}
        return sorted(
            unique.values(), key=lambda w: (0, float(w), w) if re.fullmatch(r"-?\d+(\.\d+)?", w) else (1, 0.0, w.lower())
        )

    sources: list[SideTable | SegmentTable] = [*plan.tables, *filter(None, [plan.segments])]
    for about in sources:
        columns: dict[Any, Any] = dict(about.columns)
        if "label" in columns:
            beside = side.opened(folder, about.file)
            if beside is not None:
                return ordered(beside.words[beside.call.index(columns["label"])]), about.file
    if plan.values.get("label"):
        return ordered(
            plan.values["label"]
        ), f"{'the variable' if plan.reader in ('mat', 'npz') else 'the column'} {plan.keys.get('label')!r}"
    if plan.marks:
        return sorted(plan.marks), "the annotations"
    if "label" in named.fields:
        return ordered(named.fields["label"].distinct), "the files' names"
    return [], ""


def _windows(plan: Plan, notes: Notes) -> None:
    if not plan.streams:
        return
    first = plan.streams[0]
    if "window" in first.axes:
        return
    samples = sorted(x.shape[1] for x in first.data)
    if plan.runs:
        samples = sorted(plan.runs)
    # A tenth of the stretches may be too short for a window.
    usual = samples[len(samples) // 10] if samples else 0
    length = round(SECONDS * first.rate) if first.rate else 128
    why = "2.56 s, half overlapping" if first.rate else "2.56 s would be right at 50 Hz: make it 2.56 times the rate"
    if usual and 8 <= usual < length and not plan.segments:
        length, why = usual, f"most labelled stretches have at least {usual} samples"
    plan.length, plan.step = max(length, 2), max(length // 2, 1)
    if first.rate:
        notes.guess("windows", f"in samples of {first.name}: {why}")
    else:
        notes.ask("windows", f"in samples of {first.name}: {why}")
