"""From a recording file to windows as an exported model takes them: the same reading, preparation and cutting as in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harkd.datasets import Card, Recording, Sees, Sensor, Windows
from harkd.datasets.card import ClassTarget, Licence
from harkd.datasets.draft.columns import rate_of
from harkd.datasets.draft.words import GRAVITY_FREE, parts
from harkd.datasets.folder import file_sensors
from harkd.datasets.layout import Files
from harkd.datasets.prepare import run, to_text, usage
from harkd.datasets.readers import Piece
from harkd.datasets.recording import VECTOR_KINDS
from harkd.datasets.steps import Fill, Filter, Fit, Resample, Step
from harkd.errors import DataError, HarkdError
from harkd.export.columns import Turn, per_sensor, to_turn
from harkd.export.manifest import Manifest
from harkd.export.sources import Told, open_recording
from harkd.export.units import factor

Floats = NDArray[np.float32]
BY_CHANNEL: tuple[type[Step], ...] = (Fill, Resample, Filter)
"""Steps of preparation for which the channels of a sensor are nothing to each other."""
_ACCELERATIONS = ("g", "m/s2", "mg")
_NEAR = 1.6  # times more or less than gravity that the length of acceleration may usually be


@dataclass(frozen=True)
class Heard:
    """A recording as a model takes it.

    Attributes:
        inputs: (window, channel, time) in the watch's units, in the order of `Manifest.channels`.
        spans: (window, 2) start and end in seconds from the first sample.
        seconds: how long the recording is.
        remarks: how the file is understood.
        warnings: what looks wrong.
    """

    inputs: Floats
    spans: NDArray[np.float64]
    seconds: float
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]


def wanted_sensors(manifest: Manifest) -> tuple[Sensor, ...]:
    """What has to be recorded: of electrodes and the like only those that the model sees, unless preparation mixes all."""
    if not all(isinstance(step, BY_CHANNEL) for step in usage(manifest.preparation)):
        return manifest.sensors
    seen = {(each.sensor, each.channel) for each in manifest.channels}

    def narrowed(sensor: Sensor) -> Sensor:
        channels = tuple(name for name in sensor.channels if (sensor.name, name) in seen)
        return sensor if sensor.kind in VECTOR_KINDS or not channels else replace(sensor, channels=channels, montages={})

    return tuple(map(narrowed, manifest.sensors))


def steps_of(manifest: Manifest, files: Files, sensors: Sequence[Sensor]) -> tuple[Step, ...]:
    """The preparation of training, with `resample()` before it if the file has another clock, and gaps left out after it."""
    steps = usage(manifest.preparation)
    other = any(files.rate.get(sensor.name, sensor.rate) != sensor.rate for sensor in sensors)
    if (files.time != "" or other) and not any(step.sets_clock for step in steps):
        steps = (Resample(), *steps)
    return steps if any(isinstance(step, Fill) for step in steps) else (*steps, Fill(0.0))


def card_of(manifest: Manifest, files: Files, sensors: Sequence[Sensor]) -> Card:
    """The card of a data set that consists of one recording."""
    return Card(
        name=manifest.name,
        title=manifest.name,
        citation="",
        licence=Licence(""),
        files=files,
        sensors=tuple(sensors),
        target=ClassTarget("class", manifest.classes),
        windows=manifest.window,
        prepare=to_text(steps_of(manifest, files, sensors)),
    )


def hear(path: Path, manifest: Manifest, told: Told) -> Heard:
    """Read a recording and cut it into the windows that a model takes.

    Raises:
        UsageError: there is no such file, or what the user says does not fit it.
        DataError: the file is damaged, leaves something in doubt, or holds no whole window.
    """
    sensors = wanted_sensors(manifest)
    turns = {name: to_turn(_named(name, sensors), text) for name, text in per_sensor("--axes", told.axes, sensors).items()}
    opened = open_recording(path, sensors, told)
    card = card_of(manifest, opened.files, sensors)
    pieces = list(opened.pieces(card, file_sensors(card)))
    recordings = list(_recordings(path, pieces, sensors, turns))
    warnings = [*_strange_sizes(recordings, sensors, opened.files), *_strange_clocks(path, recordings, sensors)]
    extents = [r.extent(s) for r in recordings for s in file_sensors(card)]
    seconds = max(stop for _, stop in extents) - min(start for start, _ in extents)
    prepared, after = run(usage(card.prepare), recordings, file_sensors(card), card.sensors)
    inputs, spans = [], []
    for recording in prepared:
        windows = _cut(recording, card, after)
        if windows is not None:
            inputs.append(inputs_of(windows, manifest))
            spans.append(_spans(windows, recording))
    if not inputs:
        length = manifest.window.length / after[0].rate
        raise DataError(
            f"{path}: {seconds:.4g} s long, and no stretch of it without a gap holds one window of {length:.4g} s "
            f"({manifest.window.length} samples at {after[0].rate:g} Hz)"
        )
    at = np.concatenate(spans)
    if any(isinstance(step, Fit) for step in usage(card.prepare)):
        at = at / at.max() * seconds  # each stretch was fitted to a window, whatever it lasted
    return Heard(np.concatenate(inputs), at, seconds, opened.remarks, tuple(warnings))


def _named(name: str, sensors: Iterable[Sensor]) -> Sensor:
    return next(sensor for sensor in sensors if sensor.name == name)


def _recordings(path: Path, pieces: Sequence[Piece], sensors: Sequence[Sensor], turns: Mapping[str, Turn]) -> Iterable[Recording]:
    """The uninterrupted parts of a file; their clock starts with the first sample."""
    origin = min((float(at.min()) for piece in pieces for at in piece.times.values() if len(at)), default=0.0)
    for number, piece in enumerate(pieces):
        signals = {}
        for sensor in sensors:
            x = piece.signals[sensor.name]
            if sensor.name in turns:
                x = np.stack([sign * x[row] for row, sign in turns[sensor.name]]).astype(np.float32)
            if np.isinf(x).any():
                row, sample = (int(i) for i in np.argwhere(np.isinf(x))[0])
                raise DataError(
                    f"{path}: channel {sensor.channels[row]!r} of {sensor.name!r} is infinite at sample {sample + 1}; "
                    "leave the cell empty where nothing was measured"
                )
            signals[sensor.name] = x
        times = {name: at - origin for name, at in piece.times.items()}
        onsets = {sensor.name: piece.onset for sensor in sensors if piece.onset and sensor.name not in times}
        yield Recording(f"{path.name} {number}", "", signals, onsets=onsets, times=times)


def _cut(recording: Recording, card: Card, sensors: Sequence[Sensor]) -> Windows | None:
    """The windows of one part; None if it holds none."""
    recording.check({sensor.name: sensor for sensor in sensors})
    try:
        return Windows.cut([recording], card, sensors=sensors)
    except DataError:  # what else could be wrong was checked
        return None


def inputs_of(windows: Windows, manifest: Manifest) -> Floats:
    """(window, channel, time) as the model takes them, in the watch's units.

    Raises:
        HarkdError: the manifest contradicts itself.
    """
    sees = Sees.parse(manifest.sees, windows.sensors, windows.lengths)
    if (sees.width, sees.length) != (len(manifest.channels), manifest.length):
        raise HarkdError(
            f"the manifest of {manifest.name!r} sees {sees.width} channels of {sees.length} samples and has "
            f"{len(manifest.channels)} of {manifest.length}: export again"
        )
    # Resampling is a matrix product, whose last bit hangs on how many windows it takes at once: a stream takes one.
    size = 1 if any(ratio != 1 for ratio in sees.ratios) else 4096
    seen = torch.cat([sees(windows.gather(index)) for index in torch.arange(len(windows)).split(size)])
    factors = np.array([channel.factor for channel in manifest.channels], np.float32)
    inputs: Floats = np.divide(seen.numpy(), factors[:, None], dtype=np.float32)
    return inputs


def _spans(windows: Windows, recording: Recording) -> NDArray[np.float64]:
    """Start and end of each window, in seconds on the recording's clock."""
    sensor = next(iter(windows.sensors.values()))
    start = windows.starts[sensor.name].numpy()
    return np.stack([start, start + windows.lengths[sensor.name]], 1) / sensor.rate + recording.onsets.get(sensor.name, 0.0)


def _strange_sizes(recordings: Sequence[Recording], sensors: Sequence[Sensor], files: Files) -> Iterable[str]:
    """Acceleration whose usual length is gravity in other units than it is said to be in."""
    for sensor in sensors:
        free = any(word.startswith(sign) for word in parts(sensor.name) for sign in GRAVITY_FREE)
        if sensor.kind != "acc" or sensor.units not in _ACCELERATIONS or len(sensor.channels) != 3 or free:
            continue
        size = np.linalg.norm(np.concatenate([recording.signals[sensor.name] for recording in recordings], 1), axis=0)
        middle = float(np.median(size[np.isfinite(size)])) if np.isfinite(size).any() else 0.0
        gravity = factor("g", sensor.units)
        written = middle / files.scale.get(sensor.name, 1.0)  # in the file's own numbers
        close = [units for units in _ACCELERATIONS if 1 / _NEAR < written / factor("g", units) < _NEAR]
        if close and not 1 / _NEAR < middle / gravity < _NEAR:
            yield (
                f"{sensor.name} is usually {middle:.3g} {sensor.units} long, and gravity is {gravity:.3g} {sensor.units}; "
                f"if the recording is in {close[0]}, say --units {sensor.name}={close[0]}"
            )


def _strange_clocks(path: Path, recordings: Sequence[Recording], sensors: Sequence[Sensor]) -> Iterable[str]:
    """Time stamps that make no sense, or come too slowly."""
    for sensor in sensors:
        found = rate_of([recording.times[sensor.name] for recording in recordings if sensor.name in recording.times])
        if not found:
            continue
        if not sensor.rate / 50 < found < sensor.rate * 50:
            raise DataError(
                f"{path}: by its time stamps it has {found:g} samples a second, and the model wants {sensor.rate:g}; "
                "in which unit are they? Say --time-unit s, ms, us or ns"
            )
        if found < 0.9 * sensor.rate:
            yield f"{sensor.name} was recorded at {found:g} Hz, and the model knows {sensor.rate:g} Hz: quick movements are lost"
