"""The steps of signal preparation that look at one recording at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from harkd.datasets.filters import (
    Phase,
    Signal,
    butterworth,
    filled,
    increasing,
    regular,
    run_filter,
    stretched,
    through_gaps,
    to_rate,
)
from harkd.datasets.recording import Recording, Segment, Sensor, matching
from harkd.errors import DataError

Sensors = dict[str, Sensor]


@dataclass(frozen=True)
class Step:
    """One step: `apply(recordings, sensors, the card's sensors) -> (recordings, sensors)`."""

    sets_clock: ClassVar[bool] = False
    """Whether sensors have their card's rate afterwards, and no time stamps."""

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        raise NotImplementedError


def each(recording: Recording, names: Mapping[str, Any], do: Callable[[str, Signal], Signal]) -> Recording:
    """The recording with the signals of some sensors changed."""
    return replace(recording, signals={n: do(n, x) if n in names else x for n, x in recording.signals.items()})


@dataclass(frozen=True)
class Limit(Step):
    """Samples whose absolute value is beyond `most`, in the sensor's units, are wrong: they become missing."""

    most: float
    of: str = "all"

    def __post_init__(self) -> None:
        if not self.most > 0:
            raise ValueError(f"limit is positive, got {self.most}")

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        names = {s.name: s for s in matching(self.of, sensors)}

        def do(name: str, x: Signal) -> Signal:
            wrong = (np.abs(x) > self.most).any(0)  # a corrupt row is corrupt in all its numbers
            return np.where(wrong, np.float32(np.nan), x) if wrong.any() else x

        return [each(recording, names, do) for recording in recordings], sensors


@dataclass(frozen=True)
class Fill(Step):
    """Gaps of up to `seconds` between two samples are filled by a straight line; windows avoid longer ones and open ends."""

    seconds: float
    of: str = "all"

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"fill takes seconds, at least 0, got {self.seconds}")

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        names = {s.name: s for s in matching(self.of, sensors)}

        def fill(recording: Recording) -> Recording:
            def do(name: str, x: Signal) -> Signal:
                if not np.isnan(x).any():
                    return x
                at = recording.times.get(name)
                return filled(x, np.arange(x.shape[1]) / names[name].rate if at is None else at, self.seconds)

            return each(recording, names, do)

        return [fill(recording) for recording in recordings], sensors


@dataclass(frozen=True)
class Resample(Step):
    """Every sensor at its card's rate (or at `rate`), on one time axis, through an anti-alias filter where the rate falls.

    Time stamps are used up: between samples that are more than `gap` seconds apart, the signal is missing.
    """

    rate: float = 0.0
    gap: float = 1.0
    of: str = "all"
    sets_clock: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rate < 0 or self.gap <= 0:
            raise ValueError(f"resample takes a rate in Hz and a positive gap in seconds, got {self.rate} and {self.gap}")

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        chosen = {s.name for s in matching(self.of, sensors)}
        after = {n: replace(s, rate=self.rate or target.get(n, s).rate) if n in chosen else s for n, s in sensors.items()}
        return [self._recording(recording, sensors, after, chosen) for recording in recordings], after

    def _recording(self, recording: Recording, before: Sensors, after: Sensors, chosen: set[str]) -> Recording:
        signals, onsets = dict(recording.signals), dict(recording.onsets)
        for name in chosen & recording.signals.keys():
            rate = after[name].rate
            if name not in recording.times:
                signals[name] = through_gaps(signals[name], partial(to_rate, before=before[name].rate, after=rate))
                continue
            if np.isinf(recording.signals[name]).any():
                raise DataError(
                    f"recording {recording.name!r}, sensor {name!r}: holds infinite values; a step like limit(100) takes them out"
                )
            at, x = increasing(recording.times[name], signals[name])
            first, last = int(np.ceil(at[0] * rate - 1e-6)), int(np.floor(at[-1] * rate + 1e-6))
            if last - first > max(1e7, 1000 * len(at)):
                raise DataError(
                    f"recording {recording.name!r}, sensor {name!r}: its time stamps reach over {at[-1] - at[0]:g} s with only "
                    f"{len(at)} samples; is one of them wrong, or are they in another unit than the card says?"
                )
            onsets[name] = first / rate
            signals[name] = regular(at, x, np.arange(first, last + 1) / rate, rate, self.gap)
            if not signals[name].shape[1]:
                raise DataError(
                    f"recording {recording.name!r}, sensor {name!r}: {len(at)} samples within {at[-1] - at[0]:g} s, "
                    f"too little for one sample at {rate:g} Hz; are its time stamps in the unit that the card says?"
                )
        times = {name: at for name, at in recording.times.items() if name not in chosen}
        return replace(recording, signals=signals, onsets=onsets, times=times)


@dataclass(frozen=True)
class Fit(Step):
    """Each labelled stretch (or the whole recording) to `samples` samples of the first sensor, whatever it lasted.

    Others get samples by their card's rates. For gestures that are one window each. With clock `own`, sensors meet by relative
    time, first sample with first and end with end: for devices whose clocks cannot be trusted. With `common`, a stretch is where
    all of them were recording.
    """

    samples: int
    clock: Literal["own", "common"] = "own"
    sets_clock: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"fit takes at least 2 samples, got {self.samples}")

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        after = {name: replace(s, rate=target.get(name, s).rate) for name, s in sensors.items()}
        rate = next(iter(after.values())).rate
        lengths = {name: max(2, round(self.samples * s.rate / rate)) for name, s in after.items()}
        segments = [self._segments(recording, sensors) for recording in recordings]
        cut = [
            (number, name, piece, lengths[name])
            for number, recording in enumerate(recordings)
            for name, piece in self._pieces(recording, segments[number], sensors)
        ]
        parts: list[dict[str, list[Signal]]] = [{name: [] for name in recording.signals} for recording in recordings]
        for (number, name, _, _), fitted in zip(cut, stretched([(piece, length) for _, _, piece, length in cut]), strict=True):
            parts[number][name].append(fitted)
        seconds = self.samples / rate
        done = []
        for recording, mine, pieces in zip(recordings, segments, parts, strict=True):
            placed = tuple(replace(s, start=i * seconds, stop=(i + 1) * seconds) for i, s in enumerate(mine))
            # What nothing is labelled in has one empty stretch, and stays so.
            signals = {n: np.concatenate(p, 1) if p else recording.signals[n][:, :0] for n, p in pieces.items()}
            done.append(
                replace(recording, signals=signals, segments=placed or (Segment(0.0, 0.0),), onsets={}, times={}, dense={})
            )
        return done, after

    def _segments(self, recording: Recording, sensors: Sensors) -> tuple[Segment, ...]:
        """The stretches that become windows."""
        found = tuple(s for s in recording.segments if s.stop > s.start) if recording.segments else (Segment(-np.inf, np.inf),)
        if self.clock == "common":
            extents = [recording.extent(sensors[name]) for name in recording.signals]
            first, last = max(start for start, _ in extents), min(stop for _, stop in extents)
            found = tuple(replace(s, start=max(s.start, first), stop=min(s.stop, last)) for s in found)
        return found

    def _pieces(self, recording: Recording, segments: Sequence[Segment], sensors: Sensors) -> Iterator[tuple[str, Signal]]:
        for segment in segments:
            for name, x in recording.signals.items():
                start, stop = recording.extent(sensors[name])
                if not (segment.start <= start and segment.stop >= stop):
                    at = recording.times.get(name)
                    at = np.arange(x.shape[1]) / sensors[name].rate + start if at is None else at
                    x = x[:, (at >= segment.start - 1e-9) & (at < segment.stop - 1e-9)]
                if x.shape[1] < 2:
                    raise DataError(
                        f"recording {recording.name!r}, sensor {name!r}: a stretch of {x.shape[1]} samples cannot be fitted to "
                        f"{self.samples}"
                    )
                yield name, x


def _check_band(name: str, *edges: float, order: int = 1) -> None:
    if not 1 <= order <= 20:
        raise ValueError(f"{name} takes an order of 1 to 20, got {order}")
    if any(not edge > 0 for edge in edges) or list(edges) != sorted(set(edges)):
        raise ValueError(f"{name} takes rising frequencies above 0 Hz, got {', '.join(f'{edge:g}' for edge in edges)}")


@dataclass(frozen=True)
class Filter(Step):
    """Base of the filters. With phase `zero` they run forward and backward, so that their order doubles and no delay is left;
    `causal` is what a watch can do."""

    phase: Phase = field(default="zero", kw_only=True)
    of: str = field(default="all", kw_only=True)

    def sections(self, rate: float) -> NDArray[np.float64]:
        """Its second-order sections for so many samples per second."""
        raise NotImplementedError

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        designed = {s.name: self.sections(s.rate) for s in matching(self.of, sensors)}

        def do(name: str, x: Signal) -> Signal:
            return through_gaps(x, partial(run_filter, designed[name], phase=self.phase))

        return [each(recording, designed, do) for recording in recordings], sensors


@dataclass(frozen=True)
class Bandpass(Filter):
    """Butterworth band-pass."""

    low: float
    high: float
    order: int = 4

    def __post_init__(self) -> None:
        _check_band("bandpass", self.low, self.high, order=self.order)

    def sections(self, rate: float) -> NDArray[np.float64]:
        return butterworth(self.order, (self.low, self.high), "bandpass", rate)


@dataclass(frozen=True)
class Lowpass(Filter):
    """Butterworth low-pass."""

    high: float
    order: int = 4

    def __post_init__(self) -> None:
        _check_band("lowpass", self.high, order=self.order)

    def sections(self, rate: float) -> NDArray[np.float64]:
        return butterworth(self.order, self.high, "lowpass", rate)


@dataclass(frozen=True)
class Highpass(Filter):
    """Butterworth high-pass."""

    low: float
    order: int = 4

    def __post_init__(self) -> None:
        _check_band("highpass", self.low, order=self.order)

    def sections(self, rate: float) -> NDArray[np.float64]:
        return butterworth(self.order, self.low, "highpass", rate)


@dataclass(frozen=True)
class Notch(Filter):
    """Takes one frequency out, such as that of the mains; `quality` is the frequency over the width at -3 dB."""

    frequency: float
    quality: float = 30.0

    def __post_init__(self) -> None:
        _check_band("notch", self.frequency)
        if not self.quality > 0:
            raise ValueError(f"notch takes a positive quality, got {self.quality}")

    def sections(self, rate: float) -> NDArray[np.float64]:
        if self.frequency >= rate / 2:
            raise DataError(
                f"a notch at {self.frequency:g} Hz needs more than {2 * self.frequency:g} samples per second; "
                f"the sensor has {rate:g} Hz"
            )
        b, a = dsp.iirnotch(self.frequency, self.quality, fs=rate)
        sos: NDArray[np.float64] = dsp.tf2sos(b, a)
        return sos


@dataclass(frozen=True)
class Gravity(Step):
    """Each accelerometer as two sensors: NAME_gravity, what a low-pass at `cutoff` Hz leaves, and NAME_motion, the rest.

    0.3 Hz after Anguita et al., ESANN 2013 (UCI HAR), third order.
    """

    cutoff: float = 0.3
    order: int = 3
    phase: Phase = field(default="zero", kw_only=True)
    of: str = field(default="acc", kw_only=True)

    def __post_init__(self) -> None:
        _check_band("gravity", self.cutoff, order=self.order)

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        low = {s.name: butterworth(self.order, self.cutoff, "lowpass", s.rate) for s in matching(self.of, sensors)}
        after: Sensors = {}
        for name, sensor in sensors.items():
            parts = [f"{name}_gravity", f"{name}_motion"] if name in low else [name]
            after |= {part: replace(sensor, name=part) for part in parts}
        return [self._recording(recording, low) for recording in recordings], after

    def _recording(self, recording: Recording, low: Mapping[str, NDArray[np.float64]]) -> Recording:
        signals: dict[str, Signal] = {}
        for name, x in recording.signals.items():
            if name in low:
                slow = through_gaps(x, partial(run_filter, low[name], phase=self.phase))
                signals |= {f"{name}_gravity": slow, f"{name}_motion": x - slow}
            else:
                signals[name] = x

        def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
            parts = {name: [f"{name}_gravity", f"{name}_motion"] if name in low else [name] for name in values}
            return {part: value for name, value in values.items() for part in parts[name]}

        return replace(recording, signals=signals, onsets=renamed(recording.onsets), times=renamed(recording.times))


@dataclass(frozen=True)
class Reference(Step):
    """EEG against the mean of all electrodes (common average reference)."""

    of: str = "eeg"

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        names = {s.name: s for s in matching(self.of, sensors)}
        return [each(r, names, lambda _, x: x - x.mean(0, keepdims=True)) for r in recordings], sensors
