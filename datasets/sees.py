"""What one player sees of a window: sensors, channels and rate, from a short text.

wrist_acc                     one sensor
wrist_acc,wrist_gyro@20Hz     two sensors, resampled with an anti-alias filter
eeg[headband]                 the electrodes of a montage
eeg[C3,Cz,C4]                 channels by name
right_wrist                   every sensor placed there
acc                           every sensor of that kind
inertial                      every accelerometer, gyroscope and magnetometer
all                           everything
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor

from harkd.datasets.recording import Sensor, matching
from harkd.errors import UsageError, unknown

_ITEM = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?:\[(?P<channels>[^\]]*)\])?\s*")
_RATE = re.compile(r"@\s*(?P<rate>\d+(?:\.\d+)?)\s*Hz\s*$")


@dataclass(frozen=True)
class Sees:
    """A resolved view on windows. Call it on gathered signals to get (batch, channel, time).

    Attributes:
        text: the canonical text; equal texts see the same.
        kinds, names: per sensor its kind, and the names of the channels that are seen.
        channels: per sensor their positions.
        lengths, ratios: per sensor the samples of a window, and the seen rate over the sensor's.
        rate: in Hz.
        length: samples of a window at that rate.
    """

    text: str
    sensors: tuple[str, ...]
    kinds: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    channels: tuple[tuple[int, ...], ...]
    whole: tuple[bool, ...]
    lengths: tuple[int, ...]
    ratios: tuple[Fraction, ...]
    rate: float
    length: int

    @property
    def width(self) -> int:
        """Number of channels."""
        return sum(map(len, self.channels))

    def __call__(self, signals: Mapping[str, Tensor]) -> Tensor:
        parts = []
        each = zip(self.sensors, self.channels, self.whole, self.lengths, self.ratios, strict=True)
        for name, channels, whole, length, ratio in each:
            x = signals[name]
            if not whole:
                x = x[:, list(channels)]
            if length != self.length or ratio != 1:
                x = x @ _resampling(length, self.length, ratio).to(x)
            parts.append(x)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    @classmethod
    def parse(cls, text: str, sensors: Mapping[str, Sensor], lengths: Mapping[str, int]) -> Sees:
        """Resolve `text` against the sensors of some windows.

        Args:
            lengths: per sensor the samples of a window.

        Raises:
            UsageError: quotes the part that is not understood, with the nearest name.
        """
        body = text.strip()
        found = _RATE.search(body)
        if found:
            body = body[: found.start()]
        elif "@" in body:
            raise UsageError(f"sees {text!r}: the rate is written like @20Hz at the end, got {body[body.index('@') :]!r}")
        picked: dict[str, tuple[int, ...]] = {}
        for item in re.split(r",(?![^\[]*\])", body):
            match = _ITEM.fullmatch(item)
            if not match:
                raise UsageError(f"sees {text!r}: {item.strip()!r} is not a sensor name like wrist_acc or eeg[C3,C4]")
            for sensor in matching(match["name"], sensors):
                more = _channels(text, sensor, match["channels"])
                picked[sensor.name] = tuple(dict.fromkeys((*picked.get(sensor.name, ()), *more)))
        names = tuple(picked)
        rate = float(found["rate"]) if found else sensors[names[0]].rate
        seconds = lengths[names[0]] / sensors[names[0]].rate
        length = round(seconds * rate)
        if length < 1:
            raise UsageError(f"sees {text!r}: a window of {seconds:g} s has no sample at {rate:g} Hz")
        whole = tuple(picked[n] == tuple(range(len(sensors[n].channels))) for n in names)
        spelled = [
            n if w else f"{n}[{','.join(sensors[n].channels[i] for i in picked[n])}]" for n, w in zip(names, whole, strict=True)
        ]
        return cls(
            text=",".join(spelled) + (f"@{rate:.10g}Hz" if found else ""),
            sensors=names,
            kinds=tuple(sensors[name].kind for name in names),
            names=tuple(tuple(sensors[n].channels[i] for i in picked[n]) for n in names),
            channels=tuple(picked.values()),
            whole=whole,
            lengths=tuple(lengths[name] for name in names),
            ratios=tuple(Fraction(rate / sensors[name].rate).limit_denominator(1000) for name in names),
            rate=rate,
            length=length,
        )


def _channels(text: str, sensor: Sensor, wanted: str | None) -> tuple[int, ...]:
    if wanted is None:
        return tuple(range(len(sensor.channels)))
    names = sensor.montages.get(wanted.strip(), tuple(part.strip() for part in wanted.split(",")))
    for name in names:
        if name not in sensor.channels:
            raise unknown(f"channel of {sensor.name!r} in {text!r}:", name, {*sensor.channels, *sensor.montages})
    return tuple(sensor.channels.index(name) for name in names)


@lru_cache(maxsize=64)
def _resampling(length: int, wanted: int, ratio: Fraction) -> Tensor:
    """(length, wanted): anti-aliased resampling of a whole window is linear, so it is one matrix product.

    Sample i lies at i / ratio of the window's samples; wanted / length alone would give a slightly different rate.
    """
    # A window whose length was rounded down may end a sample too early: its last value is held.
    held = np.pad(np.eye(length), ((0, max(0, ceil(wanted / ratio) - length)), (0, 0)), mode="edge")
    # padtype "line" continues the window by its trend, and weights that sum to one keep a constant offset (gravity) as it is.
    columns = resample_poly(held, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    columns /= columns.sum(1, keepdims=True)
    return torch.from_numpy(np.ascontiguousarray(columns[:wanted].T, dtype=np.float32))
