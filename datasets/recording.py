"""Recordings: what a sensor measured, in physical units, with everything by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harkd.errors import DataError, unknown
from harkd.schema import STRICT_KEYS

VECTOR_KINDS = frozenset({"acc", "gyro", "mag", "skeleton"})
"""Sensor kinds whose channels come in (x, y, z) triples."""
INERTIAL_KINDS = frozenset({"acc", "gyro", "mag"})


@dataclass(frozen=True)
class Sensor:
    """One stream of a device. Units are physical (g, rad/s, uV, m); `rate` is in Hz.

    Sensors with the same `segment` sit on one rigid part of the body and turn together.
    """

    __pydantic_config__ = STRICT_KEYS

    name: str
    kind: str
    units: str
    rate: float
    channels: tuple[str, ...] = ("x", "y", "z")
    placement: str = ""
    segment: str = ""
    montages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: bool = False
    """Whether recordings may lack it: whoever sees it then has no answer for their windows."""
    range: float | None = None
    """Largest absolute value that it can give; what reaches it is clipped."""

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"sensor {self.name!r} has a rate of {self.rate} Hz: a positive rate is expected")
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"sensor {self.name!r} needs channels with distinct names, got {list(self.channels)}")
        if self.kind in VECTOR_KINDS and len(self.channels) % 3:
            raise ValueError(
                f"sensor {self.name!r} is of kind {self.kind!r}, so its channels come in x, y, z triples; "
                f"got {len(self.channels)} channels"
            )
        for montage, names in self.montages.items():
            missing = sorted(set(names) - set(self.channels))
            if missing:
                raise ValueError(f"montage {montage!r} of sensor {self.name!r} names unknown channels {missing}")

    @property
    def turns(self) -> bool:
        """Whether a turn of the device turns the channels (acc, gyro, mag; a skeleton lives in room coordinates)."""
        return self.kind in INERTIAL_KINDS


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, in seconds on the recording's clock, with its targets.

    A target is a class number, or a vector of values.
    """

    start: float
    stop: float
    targets: Mapping[str, int | NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recording:
    """One uninterrupted recording.

    Attributes:
        signals: per sensor (channel, time) in the sensor's units.
        segments: the labelled stretches; no window crosses their ends. Empty: the whole recording, no targets.
        dense: per target one class number for each sample of the card's first sensor (`IGNORE` where unknown).
        onsets: time of the first sample per sensor, in seconds; 0 where absent.
        times: time of every sample (time,) in seconds, for sensors whose files have time stamps; gone after `resample`.
    """

    name: str
    subject: str
    signals: Mapping[str, NDArray[np.float32]]
    session: str = ""
    segments: tuple[Segment, ...] = ()
    dense: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    onsets: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def extent(self, sensor: Sensor) -> tuple[float, float]:
        """Time of the first sample of a sensor, and of the end of its last one, in seconds."""
        if sensor.name in self.times:
            at = self.times[sensor.name]
            return float(at[0]), float(at[-1]) + 1 / sensor.rate
        onset = self.onsets.get(sensor.name, 0.0)
        return onset, onset + self.signals[sensor.name].shape[1] / sensor.rate

    def check(self, sensors: Mapping[str, Sensor]) -> None:
        """Refuse a recording that does not fit its sensors (the card's, in order) or holds values that are not finite.

        Raises:
            DataError: says which sensor of which recording, and where.
        """
        for name, sensor in sensors.items():
            if name not in self.signals:
                if sensor.optional:
                    continue
                raise DataError(
                    f"recording {self.name!r}: sensor {name!r} is missing; where they may lack it, its card says optional = true"
                )
            signal = self.signals[name]
            if signal.ndim != 2 or signal.shape[0] != len(sensor.channels):
                raise DataError(
                    f"recording {self.name!r}, sensor {name!r}: expected ({len(sensor.channels)}, time), got {signal.shape}"
                )
            bad = ~np.isfinite(signal)
            if bad.any():
                channel, sample = (int(i) for i in np.argwhere(bad)[0])
                raise DataError(
                    f"recording {self.name!r}, sensor {name!r}: {int(bad.sum())} values are not finite, the first in channel "
                    f"{sensor.channels[channel]!r} at sample {sample}; the card's 'prepare' says how to mend them, like fill(0.2)"
                )
        first = next(iter(sensors))
        if not self.signals or (self.dense and first not in self.signals):
            raise DataError(f"recording {self.name!r}: no sensor is there, or its dense targets lack their sensor {first!r}")
        for name, labels in self.dense.items():
            if labels.shape != self.signals[first].shape[1:]:
                raise DataError(
                    f"recording {self.name!r}: dense target {name!r} has the shape {labels.shape}; sensor {first!r} has "
                    f"{self.signals[first].shape[1]} samples, and each needs one class number"
                )


def matching(name: str, sensors: Mapping[str, Sensor]) -> list[Sensor]:
    """The sensors that a word means: a sensor's name, `all`, `inertial`, a placement, a body segment or a kind.

    Raises:
        UsageError: there is none; names the nearest word.
    """
    if name in sensors:
        return [sensors[name]]
    if name == "all":
        return list(sensors.values())
    if name == "inertial":
        found = [s for s in sensors.values() if s.kind in INERTIAL_KINDS]
    else:
        found = [s for s in sensors.values() if name in (s.placement, s.segment, s.kind)]
    if not found:
        groups = {group for s in sensors.values() for group in (s.placement, s.segment, s.kind) if group}
        raise unknown("sensor", name, {*sensors, *groups, "all", "inertial"})
    return found
