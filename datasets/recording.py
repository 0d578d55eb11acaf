"""Recordings: what a sensor measured, in physical units, with everything by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harkd.errors import DataError
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

    def __post_init__(self) -> None:
        if not self.rate > 0:
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
    """

    name: str
    subject: str
    signals: Mapping[str, NDArray[np.float32]]
    session: str = ""
    segments: tuple[Segment, ...] = ()
    dense: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    onsets: Mapping[str, float] = field(default_factory=dict)

    def check(self, sensors: Mapping[str, Sensor]) -> None:
        """Refuse a recording that does not fit its sensors (the card's, in order) or holds values that are not finite.

        Raises:
            DataError: says which sensor of which recording, and where.
        """
        for name, sensor in sensors.items():
            if name not in self.signals:
                raise DataError(f"recording {self.name!r}: sensor {name!r} is missing")
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
                    f"{sensor.channels[channel]!r} at sample {sample}; repair or drop them before cutting windows"
                )
        first = next(iter(sensors))
        for name, labels in self.dense.items():
            if labels.shape != self.signals[first].shape[1:]:
                raise DataError(
                    f"recording {self.name!r}: dense target {name!r} has the shape {labels.shape}; sensor {first!r} has "
                    f"{self.signals[first].shape[1]} samples, and each needs one class number"
                )
