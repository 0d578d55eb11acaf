"""What is wrong with the recordings of a data set, before anybody trains on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harkd.datasets.card import Card
from harkd.datasets.folder import file_sensors
from harkd.datasets.loading import read, windows_of
from harkd.datasets.recording import Recording, Sensor
from harkd.datasets.windows import Windows
from harkd.errors import DataError

Level = Literal["error", "warning", "note"]

DRIFT = 0.02
"""A rate that differs by this share from the card's is worth a warning."""
PAUSE = 3.0
"""So many sample intervals between two time stamps are a gap."""
FLAT = 3
"""So many equal samples in a row at the end of a sensor's range are clipped."""
STANDARD_GRAVITY = 9.80665


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing: an `error` makes numbers wrong, a `warning` may."""

    level: Level
    what: str
    where: str


@dataclass(frozen=True)
class Person:
    """What there is of one subject; `minutes` are labelled ones, windows are per class."""

    subject: str
    recordings: int
    minutes: float
    windows: tuple[int, ...]


@dataclass(frozen=True)
class Quality:
    """The report on a data set.

    Attributes:
        counts: by name, what was found and what the card counts (None: nothing).
        people: in the order of their names.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[str, tuple[int, int | None]]
    people: tuple[Person, ...]

    @property
    def good(self) -> bool:
        return all(finding.level != "error" for finding in self.findings)


def inspect(card: Card, folder: Path | None, prepare: str = "") -> Quality:
    """Read all files of a data set and look for what is wrong; what cannot be read becomes a finding.

    Raises:
        DataError: there is nothing to look at.
    """
    unread: list[str] = []
    recordings = read(card, folder, unread)
    if not recordings:
        raise DataError(f"{card.name}: none of its files can be read; the first: {unread[0]}")
    findings = [Finding("error", "a file that cannot be read", problem) for problem in unread]
    sensors = {sensor.name: sensor for sensor in file_sensors(card)}
    for check in (_missing_sensors, _not_finite, _clipped, _clocks, _lengths, _still, _units, _duplicates):
        findings += check(recordings, sensors)
    counts: dict[str, tuple[int, int | None]] = {
        "recordings": (len(recordings), card.counts.recordings),
        "subjects": (len({r.subject for r in recordings}), card.counts.subjects),
    }
    windows: Windows | None = None
    try:
        windows = windows_of(card, recordings, None, prepare)
    except DataError as problem:
        findings.append(Finding("error", "no windows can be cut", str(problem)))
    if windows is not None:
        counts["windows"] = (len(windows), None if prepare else card.counts.windows)
        findings += _windowless(recordings, windows)
    findings += [
        _count(name, found, expected, card) for name, (found, expected) in counts.items() if expected not in (None, found)
    ]
    people = tuple(_people(card, recordings, sensors, windows))
    findings += _balance(card, people, windows)
    order = {"error": 0, "warning": 1, "note": 2}
    return Quality(tuple(sorted(findings, key=lambda f: order[f.level])), counts, people)


def _count(name: str, found: int, expected: int | None, card: Card) -> Finding:
    assert expected is not None
    fewer = card.counts.partial and found < expected
    return Finding("note" if fewer else "error", f"{found} {name}", f"the card counts {expected}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


Sensors = Mapping[str, Sensor]


def _missing_sensors(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name, sensor in sensors.items():
        lacking = [r.name for r in recordings if name not in r.signals]
        if lacking:
            level: Level = "note" if sensor.optional else "error"
            yield Finding(level, f"sensor {name} is missing in {len(lacking)} of {len(recordings)} recordings", _some(lacking))


def _not_finite(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name in sensors:
        bad = {r.name: int((~np.isfinite(r.signals[name])).any(0).sum()) for r in recordings if name in r.signals}
        bad = {recording: count for recording, count in bad.items() if count}
        if bad:
            yield Finding("warning", f"{name}: {sum(bad.values())} samples are missing (NaN) or infinite", _some(list(bad)))


def _clipped(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name, sensor in sensors.items():
        signals = {r.name: r.signals[name] for r in recordings if name in r.signals and r.signals[name].size}
        if not signals:
            continue
        top = sensor.range or max(float(np.nanmax(np.abs(x), initial=0.0)) for x in signals.values())
        beyond = sum(int((np.abs(x) > 1.02 * top).any(0).sum()) for x in signals.values())
        if beyond:
            yield Finding(
                "warning", f"{name}: {beyond} samples beyond its range of {top:g} {sensor.units}", "see the step limit()"
            )
        at_end = {recording: int(_plateau(np.abs(x) >= top * (1 - 1e-3)).sum()) for recording, x in signals.items()}
        at_end = {recording: count for recording, count in at_end.items() if count}
        if at_end and top:
            share = sum(at_end.values()) / sum(x.shape[1] for x in signals.values())
            what = f"{name}: {share:.2%} of the samples are clipped at {top:g} {sensor.units}"
            yield Finding("warning" if share > 0.001 else "note", what, _some(list(at_end)))


def _plateau(high: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(channel, time) to (time,): in a run of `FLAT` samples at least."""
    if high.shape[1] < FLAT:
        return np.zeros(high.shape[1], bool)
    runs = np.asarray(np.lib.stride_tricks.sliding_window_view(high, FLAT, axis=1).all(2).any(0))
    found = np.zeros(high.shape[1], bool)
    for shift in range(FLAT):
        found[shift : shift + len(runs)] |= runs
    return found


def _clocks(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name, sensor in sensors.items():
        clocks = {r.name: r.times[name] for r in recordings if name in r.times and len(r.times[name]) > 1}
        back = [recording for recording, at in clocks.items() if (np.diff(at) <= 0).any()]
        if back:
            yield Finding("warning", f"{name}: time stamps that stand still or go back", _some(back))
        steps = {recording: np.diff(np.sort(at)) for recording, at in clocks.items()}
        off = {recording: 1 / float(np.median(d)) for recording, d in steps.items() if np.median(d) > 0}
        off = {recording: rate for recording, rate in off.items() if abs(rate / sensor.rate - 1) > DRIFT}
        if off:
            rates = f"{min(off.values()):.4g} to {max(off.values()):.4g} Hz"
            yield Finding(
                "warning",
                f"{name}: {len(off)} of {len(clocks)} recordings do not have {sensor.rate:g} Hz",
                f"{rates}: {_some(list(off))}",
            )
        holes = {recording: float(d.max()) for recording, d in steps.items() if d.max() > PAUSE / sensor.rate}
        if holes:
            worst = max(holes, key=lambda recording: holes[recording])
            yield Finding("warning", f"{name}: gaps in {len(holes)} recordings, the longest {holes[worst]:.2f} s", f"in {worst}")


def _lengths(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    """Sensors of one recording that did not record equally long."""
    for a, b in combinations(sensors, 2):
        apart = []
        for recording in recordings:
            if a in recording.signals and b in recording.signals:
                extents = [recording.extent(sensors[name]) for name in (a, b)]
                seconds = [stop - start for start, stop in extents]
                if abs(seconds[0] - seconds[1]) > max(0.1 * max(seconds), 2 / sensors[a].rate, 2 / sensors[b].rate):
                    apart.append(recording.name)
        if apart:
            what = f"{a} and {b} differ by over a tenth in length in {len(apart)} recordings"
            yield Finding("warning", what, f"{_some(apart)}: one stopped early, or a rate is wrong")


def _still(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name, sensor in sensors.items():
        still = [
            f"{r.name} ({sensor.channels[int(np.flatnonzero(flat)[0])]})"
            for r in recordings
            if name in r.signals and r.signals[name].shape[1] > 1 and (flat := np.ptp(r.signals[name], axis=1) == 0).any()
        ]
        if still:
            yield Finding("warning", f"{name}: a channel that never moves in {len(still)} recordings", _some(still))


def _units(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    """Gravity tells the unit of an accelerometer."""
    for name, sensor in sensors.items():
        if sensor.kind != "acc" or sensor.units not in ("g", "m/s2", "m/s^2"):
            continue
        norms = [np.linalg.norm(r.signals[name], axis=0) for r in recordings if name in r.signals]
        if not norms:
            continue
        median = float(np.nanmedian(np.concatenate(norms)))
        expected = 1.0 if sensor.units == "g" else STANDARD_GRAVITY
        if not 0.5 < median / expected < 1.5:
            guess = "gravity was taken out" if median < 0.5 * expected else "check 'units' and 'scale'"
            yield Finding("warning", f"{name}: its median length is {median:.3g} {sensor.units}, gravity {expected:.3g}", guess)


def _duplicates(recordings: Sequence[Recording], sensors: Sensors) -> Iterator[Finding]:
    for name in sensors:
        by_content: dict[bytes, list[Recording]] = {}
        for recording in recordings:
            if name in recording.signals and _moves(recording.signals[name]):
                content = np.ascontiguousarray(recording.signals[name])
                by_content.setdefault(hashlib.blake2b(content.tobytes(), digest_size=16).digest(), []).append(recording)
        twice = [group for group in by_content.values() if len(group) > 1]
        if twice:
            across = any(len({r.subject for r in group}) > 1 for group in twice)
            names = [" = ".join(r.name for r in group) for group in twice]
            what = f"{name}: {len(twice)} recordings are there more than once" + (", under different subjects" if across else "")
            yield Finding("error" if across else "warning", what, _some(names))


def _moves(x: NDArray[np.float32]) -> bool:
    seen = x[np.isfinite(x)]
    return bool(seen.size and np.ptp(seen) > 0)


def _windowless(recordings: Sequence[Recording], windows: Windows) -> Iterator[Finding]:
    there = set(windows.recordings.tolist())
    short = [r.name for r in recordings if r.name not in there]
    if short:
        yield Finding(
            "warning", f"{len(short)} of {len(recordings)} recordings give no window", f"too short, or unlabelled: {_some(short)}"
        )


def _people(card: Card, recordings: Sequence[Recording], sensors: Sensors, windows: Windows | None) -> Iterator[Person]:
    names = sorted({r.subject for r in recordings}, key=lambda n: (not n.isdecimal(), int(n) if n.isdecimal() else 0, n))
    for name in names:
        mine = [r for r in recordings if r.subject == name]
        seconds = sum(_labelled(r, sensors) for r in mine)
        counted = (0,) * len(card.target.classes)
        if windows is not None and card.target.name in windows.targets:
            labels = windows.labels.numpy()[windows.subjects == name]
            counted = tuple(np.bincount(labels, minlength=len(counted)).tolist())
        yield Person(name, len(mine), seconds / 60, counted)


def _labelled(recording: Recording, sensors: Sensors) -> float:
    if recording.segments:
        return sum(s.stop - s.start for s in recording.segments)
    extents = [recording.extent(sensors[name]) for name in recording.signals]
    return max(stop for _, stop in extents) - min(start for start, _ in extents)


def _balance(card: Card, people: Sequence[Person], windows: Windows | None) -> Iterator[Finding]:
    if len(people) == 1:
        yield Finding("warning", "one subject", "no split by subject is possible: results say nothing about anybody else")
    if windows is None or card.target.name not in windows.targets:
        return
    total = np.sum([p.windows for p in people], 0)
    classes = card.target.classes
    for number in np.flatnonzero(total == 0):
        yield Finding("warning", f"class {classes[number]!r} has no window", "it cannot be learnt")
    if (total > 0).sum() == 1:
        yield Finding("error", f"every window is {classes[int(total.argmax())]!r}", "at least two classes are needed")
    elif total.max() > 10 * total[total > 0].min():
        few, many = int(np.where(total > 0, total, total.max()).argmin()), int(total.argmax())
        what = f"{classes[many]!r} has {total[many]} windows, {classes[few]!r} {total[few]}"
        yield Finding("note", what, "unbalanced: read macro-F1 beside accuracy")
    largest = max(people, key=lambda p: sum(p.windows))
    if len(people) > 2 and sum(largest.windows) > 0.3 * total.sum():
        share = sum(largest.windows) / total.sum()
        yield Finding("note", f"subject {largest.subject} has {share:.0%} of the windows", "folds will differ in size")
