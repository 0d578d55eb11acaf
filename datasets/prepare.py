"""Signal preparation between file and windows, declared by the card or the recipe and never implicit.

limit(2, of=acc)                 samples beyond 2 units are wrong: they become missing
fill(0.2)                        gaps of up to 0.2 s are filled linearly; windows avoid longer ones
resample()                       every sensor at its card's rate, with an anti-alias filter; time stamps are used up
fit(128)                         each labelled stretch to 128 samples: sensors meet by relative time
bandpass(8, 30, of=eeg)          Butterworth, zero phase; phase=causal for what a watch could do
gravity(0.3)                     each accelerometer as two sensors, gravity and motion
euclidean(session)               EEG: the mean covariance of every subject's session becomes the identity

Steps are joined by +, and done from left to right.
"""

from __future__ import annotations

import ast
import keyword
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from typing import Any, get_args, get_type_hints

import numpy as np

from harkd.datasets.euclidean import Euclidean
from harkd.datasets.recording import Recording, Segment, Sensor
from harkd.datasets.steps import Bandpass, Fill, Fit, Gravity, Highpass, Limit, Lowpass, Notch, Reference, Resample, Sensors, Step
from harkd.errors import DataError, UsageError, unknown

STEPS: dict[str, type[Step]] = {
    "bandpass": Bandpass,
    "euclidean": Euclidean,
    "fill": Fill,
    "fit": Fit,
    "gravity": Gravity,
    "highpass": Highpass,
    "limit": Limit,
    "lowpass": Lowpass,
    "notch": Notch,
    "reference": Reference,
    "resample": Resample,
}


def parse(text: str) -> tuple[Step, ...]:
    """The steps that a text asks for.

    Raises:
        ValueError: quotes what is not understood.

    >>> parse("fill(0.2) + resample()")
    (Fill(seconds=0.2, of='all'), Resample(rate=0.0, gap=1.0, of='all'))
    """
    if not text.strip():
        return ()
    if "\0" in text:
        raise ValueError(f"preparation {text!r} is not understood: it holds a zero byte")
    calls: list[ast.expr] = []
    try:
        with warnings.catch_warnings(action="ignore"):  # such as of odd escapes in words
            tree = ast.parse(" ".join(text.splitlines()).strip(), mode="eval").body
        while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
            calls.append(tree.right)
            tree = tree.left
        return tuple(_step(call, text) for call in (tree, *reversed(calls)))
    except (SyntaxError, OverflowError, RecursionError, MemoryError):
        raise ValueError(f"preparation {text!r} is not understood: write steps like fill(0.2)+resample()") from None


def _step(call: ast.expr, text: str) -> Step:
    name = call.func if isinstance(call, ast.Call) else call
    if not isinstance(name, ast.Name):
        raise ValueError(f"preparation {text!r}: {ast.unparse(call)} is not a step like fill(0.2)")
    if name.id not in STEPS:
        raise ValueError(str(unknown("preparation step", name.id, STEPS)))
    kind = STEPS[name.id]
    known = {f.name: f for f in fields(kind)}
    given: dict[str, Any] = {}
    places = [f.name for f in fields(kind) if not f.kw_only]
    for place, value in enumerate(call.args if isinstance(call, ast.Call) else []):
        if place >= len(places):
            named = [key for key in known if key not in places]
            raise ValueError(
                f"preparation step {name.id} takes {len(places)} values, {', '.join(places) or 'none'}"
                + (f"; name the others: {', '.join(f'{key}=' for key in named)}" if named else "")
            )
        given[places[place]] = _value(value, text)
    for word in call.keywords if isinstance(call, ast.Call) else []:
        if word.arg not in known:
            raise ValueError(str(unknown(f"value of {name.id}", str(word.arg), known)))
        given[str(word.arg)] = _value(word.value, text)
    hints = get_type_hints(kind)
    for key, value in given.items():
        choices = get_args(hints[key])
        if choices and value not in choices:
            raise ValueError(str(unknown(f"{key} of {name.id}", str(value), map(str, choices))))
        if not choices and isinstance(value, str) != (hints[key] is str):
            raise ValueError(f"preparation step {name.id}: {key} is a {'word' if hints[key] is str else 'number'}, got {value!r}")
        if hints[key] in (int, float) and not np.isfinite(float(value)) and key != "seconds":
            raise ValueError(f"preparation step {name.id}: {key} is a finite number, got {value!r}")
        if hints[key] is int:
            if not float(value).is_integer():
                raise ValueError(f"preparation step {name.id}: {key} is a whole number, got {value!r}")
            given[key] = int(value)
    missing = [f.name for f in known.values() if f.default is MISSING and f.name not in given]
    if missing:
        raise ValueError(f"preparation step {name.id} needs {' and '.join(missing)}")
    return kind(**given)


def _value(node: ast.expr, text: str) -> float | str:
    if isinstance(node, ast.Name):
        return node.id
    try:
        value = ast.literal_eval(node)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"preparation {text!r}: {ast.unparse(node)} is neither a number nor a word")
    return value


def to_text(steps: Sequence[Step]) -> str:
    """The canonical text of some steps: `parse(to_text(steps)) == steps`."""
    names = {kind: name for name, kind in STEPS.items()}
    spelled = []
    for step in steps:
        given = [f"{f.name}={_spelled(getattr(step, f.name))}" for f in fields(step) if getattr(step, f.name) != f.default]
        spelled.append(f"{names[type(step)]}({', '.join(given)})")
    return "+".join(spelled)


def _spelled(value: float | str) -> str:
    """A number, or a word, in quotes if Python would take it for something else."""
    if isinstance(value, str):
        return value if value.isidentifier() and not keyword.iskeyword(value) else repr(value)
    return "1e999" if value == np.inf else repr(value)


def run(
    steps: Sequence[Step], recordings: Sequence[Recording], sensors: Sequence[Sensor], wanted: Sequence[Sensor]
) -> tuple[list[Recording], tuple[Sensor, ...]]:
    """Do the steps.

    Args:
        sensors: as the files have them.
        wanted: as the card has them; `resample` goes to their rates.

    Returns:
        Recordings that windows can be cut from, and their sensors.

    Raises:
        UsageError: a step names a sensor that is not there.
        DataError: time stamps or another rate than the card's are left, so that `resample` is missing.
    """
    done: list[Recording] = list(recordings)
    now: Sensors = {sensor.name: sensor for sensor in sensors}
    target = {sensor.name: sensor for sensor in wanted}
    for step in steps:
        done, now = step.apply(done, now, target)
    clocked = any(step.sets_clock for step in steps)
    for name, sensor in now.items():
        if name in target and not clocked and sensor.rate != target[name].rate:
            raise DataError(
                f"sensor {name!r} has {sensor.rate:g} Hz in its files and {target[name].rate:g} Hz in the card: "
                "'prepare' needs the step resample()"
            )
    if any(isinstance(step, Fill) for step in steps):
        done = [_around_gaps(recording, now) for recording in done]
    return done, tuple(now.values())


def _around_gaps(recording: Recording, sensors: Sensors) -> Recording:
    """Take what is still missing out of the labelled stretches."""
    holes: list[tuple[float, float]] = []
    signals = dict(recording.signals)
    for name, signal in recording.signals.items():
        sensor = sensors[name]
        bad = np.isnan(signal).any(0)
        if bad.any():
            edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8)))
            onset = recording.onsets.get(name, 0.0)
            holes += [(onset + a / sensor.rate, onset + b / sensor.rate) for a, b in edges.reshape(-1, 2).tolist()]
            signals[name] = np.nan_to_num(signal, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if not holes:
        return recording
    extents = [recording.extent(sensors[name]) for name in recording.signals]
    whole = Segment(min(start for start, _ in extents), max(stop for _, stop in extents))
    left: list[Segment] = []
    for segment in recording.segments or (whole,):
        at = segment.start
        for start, stop in sorted(holes):
            if start > at:
                left.append(replace(segment, start=at, stop=min(start, segment.stop)))
            at = max(at, stop)
            if at >= segment.stop:
                break
        left.append(replace(segment, start=at))
    # No stretch may be left: an empty one keeps "no segments" from meaning "the whole recording".
    kept = tuple(s for s in left if s.stop > s.start) or (replace(whole, stop=whole.start),)
    return replace(recording, signals=signals, segments=kept)


def usage(text: str) -> tuple[Step, ...]:
    """`parse` for a text from the command line."""
    try:
        return parse(text)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
