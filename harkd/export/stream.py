"""A model on samples as they arrive: the same windows and decisions as on the whole recording, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from harkd.datasets import Sees
from harkd.datasets.draft.tables import split
from harkd.datasets.layout import Files
from harkd.datasets.readers import scaled
from harkd.errors import DataError, UsageError
from harkd.export.columns import find
from harkd.export.decide import UNKNOWN, softmax
from harkd.export.live import Live
from harkd.export.manifest import Channel, Manifest
from harkd.export.recording import wanted_sensors
from harkd.export.runners import Runner
from harkd.export.units import factor

LONGEST = 65536
"""Bytes of a line."""
Row = tuple[float, ...]


@dataclass(frozen=True)
class Decision:
    """What a window is.

    Attributes:
        time: of its end, in seconds since the first sample.
        decision: a class, or `unknown`.
        likeliest: the class with the largest probability.
    """

    time: float
    decision: str
    likeliest: str
    probability: float


class Stream:
    """Takes samples and gives decisions.

    Attributes:
        expects: what each sample holds, in order, in the watch's units.
        rate: samples per second.

    Raises:
        UsageError: the model's preparation needs later samples, or its sensors have different rates.
    """

    def __init__(self, manifest: Manifest, runner: Runner, threshold: float) -> None:
        self._manifest, self._runner, self._threshold = manifest, runner, threshold
        self._sensors = wanted_sensors(manifest)
        rates = {sensor.rate for sensor in self._sensors}
        if len(rates) > 1:
            told = ", ".join(f"{sensor.name} {sensor.rate:g} Hz" for sensor in self._sensors)
            raise UsageError(f"a stream has one sample per line, and this model's sensors have different rates ({told})")
        self.rate = rates.pop()
        self.live = Live(manifest.preparation, self._sensors)
        self.expects = expected(manifest)
        self._sees = Sees.parse(
            manifest.sees,
            {sensor.name: sensor for sensor in self.live.sensors},
            dict.fromkeys((sensor.name for sensor in self.live.sensors), manifest.window.length),
        )
        self._factors = np.array([channel.factor for channel in manifest.channels], np.float32)[:, None]
        self._held = {s.name: np.zeros((len(s.channels), 0), np.float32) for s in self.live.sensors}
        self._count = self._skip = 0
        self._have = 0

    @property
    def wanted(self) -> int:
        """Samples to feed at once: no window ends before the last of them, even if a gap makes windows start anew among them."""
        length = self._manifest.window.length
        return min(self._skip, length) if self._skip else length - self._have

    def feed(self, samples: NDArray[np.float64], scale: dict[str, float]) -> Decision | None:
        """Take the next samples (time, channel), at most `wanted` of them; NaN is missing.

        Args:
            scale: per sensor the factor from these numbers to the sensor's units.

        Returns:
            The decision, if they completed a window.

        Raises:
            DataError: samples are missing, and a step of preparation cannot do without.
        """
        files = Files(reader="text", pattern=".*", scale=scale)
        place = {(channel.sensor, channel.channel): at for at, channel in enumerate(self.expects)}
        rows = {s.name: [place[s.name, channel] for channel in s.channels] for s in self._sensors}
        chunk = self.live({name: scaled(samples[:, at].T, files, name) for name, at in rows.items()})
        bad = np.isnan(np.concatenate([np.asarray(x) for x in chunk.values()])).any(0)
        self._count += len(samples)
        begin = 0
        if bad.any():
            if self.live.whole:
                raise DataError(f"a sample is missing, and {self.live.whole} cannot go on without it")
            begin = int(np.flatnonzero(bad)[-1]) + 1  # no window was complete before, and none crosses the gap
            self._held = {name: x[:, :0] for name, x in self._held.items()}
            self._skip = 0
        gone = min(self._skip, len(samples) - begin)
        self._skip -= gone
        self._held = {name: np.concatenate([x, chunk[name][:, begin + gone :]], 1) for name, x in self._held.items()}
        self._have = next(iter(self._held.values())).shape[1]
        return self._decide() if self._have == self._manifest.window.length else None

    def _decide(self) -> Decision:
        cut = self._manifest.window
        seen = self._sees({name: torch.from_numpy(np.ascontiguousarray(x))[None] for name, x in self._held.items()})
        x: NDArray[np.float32] = np.divide(seen.numpy(), self._factors, dtype=np.float32)
        (probabilities,) = softmax(self._runner(x))
        self._held = {name: x[:, cut.step :].copy() for name, x in self._held.items()}
        self._have = max(0, cut.length - cut.step)
        self._skip = max(0, cut.step - cut.length)
        best = int(probabilities.argmax())
        name, share = self._manifest.classes[best], float(probabilities[best])
        return Decision(self._count / self.rate, name if share >= self._threshold else UNKNOWN, name, share)

    def told(self) -> str:
        """What a line holds, for people: one line."""
        units = {channel.units for channel in self.expects}
        names = [f"{channel.sensor}.{channel.channel}" for channel in self.expects]
        if len(units) > 1:
            names = [f"{name} ({channel.units})" for name, channel in zip(names, self.expects, strict=True)]
        shared = f" in {units.pop()}" if len(units) == 1 else ""
        return f"expects {len(names)} numbers per line at {self.rate:g} Hz{shared}: {', '.join(names)}"

    def columns(self, header: Sequence[str]) -> tuple[list[int], dict[str, float]]:
        """Where a header has the channels, and the scale of each sensor.

        Raises:
            DataError: it leaves in doubt what is what.
        """
        sources = find(header, self._sensors)
        scale = self.scale()
        for sensor in self._sensors:
            if sources[sensor.name].units:
                scale[sensor.name] = sources[sensor.name].factor * factor(sources[sensor.name].units, sensor.units)
        at = {
            (sensor.name, channel): list(header).index(str(name))
            for sensor in self._sensors
            for channel, name in zip(sensor.channels, sources[sensor.name].columns, strict=True)
        }
        return [at[channel.sensor, channel.channel] for channel in self.expects], scale

    def scale(self) -> dict[str, float]:
        """Per sensor the factor from the watch's units to the sensor's."""
        return {channel.sensor: channel.factor for channel in self.expects if channel.factor != 1}


def expected(manifest: Manifest) -> tuple[Channel, ...]:
    """The channels of a sample: the model's, in their order; where preparation mixes or renames channels, the sensors'."""
    sensors = wanted_sensors(manifest)
    known = {(channel.sensor, channel.channel): channel for channel in manifest.channels}
    wanted = [(sensor, channel) for sensor in sensors for channel in sensor.channels]
    if known.keys() == {(sensor.name, channel) for sensor, channel in wanted}:
        return manifest.channels
    found = []
    for sensor, channel in wanted:
        names = (sensor.name, *(f"{sensor.name}_{part}" for part in ("gravity", "motion")))
        like = next((each for each in manifest.channels if each.sensor in names), Channel("", "", sensor.units, 1.0))
        found.append(replace(like, sensor=sensor.name, channel=channel))
    return tuple(found)


def decisions(lines: Iterable[bytes], stream: Stream) -> Iterator[Decision]:
    """The decisions of a stream of lines, each as soon as its window is complete.

    A line holds the numbers of one sample, separated by commas, semicolons, tabs or spaces as in the first line. An empty cell
    or `nan` is missing. If the first line is a header, its names say which column is which; others are left out.

    Raises:
        DataError: a line is not what it should be; says which.
    """
    waiting: list[Row] = []
    columns: list[int] | None = None
    scale, separator, width = stream.scale(), "", len(stream.expects)
    for number, raw in enumerate(lines, 1):
        line = _text(raw, number)
        if not line:
            continue
        if columns is None:
            separator = next((mark for mark in "\t;," if mark in line), r"\s+")
        cells = split(line, separator)
        if columns is None:
            columns = list(range(width))
            if not all(map(_is_number, cells)):
                columns, scale = stream.columns(cells)
                width = len(cells)
                continue
        if len(cells) != width:
            raise DataError(f"line {number} has {len(cells)} values, expected {width} ({stream.told()})")
        waiting.append(tuple(_number(cells[at], number, at) for at in columns))
        if len(waiting) == stream.wanted:
            try:
                found = stream.feed(np.array(waiting), scale)
            except DataError as problem:
                raise DataError(f"lines {number - len(waiting) + 1} to {number}: {problem}") from None
            waiting.clear()
            if found is not None:
                yield found


def _text(raw: bytes, number: int) -> str:
    if len(raw) >= LONGEST:
        raise DataError(f"line {number} is longer than {LONGEST} bytes: one sample per line is expected")
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise DataError(f"line {number} is not text: numbers separated by commas are expected") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _number(cell: str, line: int, column: int) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value) or "_" in cell:
        raise DataError(f"line {line}, column {column + 1}: {cell!r} is not a number")
    return value
