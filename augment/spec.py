"""What augmentations may know of the windows that they work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from harkd.augment.pool import Pool
from harkd.datasets import Sensor, Signals, Statistics, Windows


class Judge(Protocol):
    """A trained net, as augmentations may ask it."""

    def probabilities(self, x: Signals) -> Tensor:
        """(batch, class) what it takes the windows for."""

    def attention(self, x: Signals) -> Tensor:
        """(batch, moment) from 0 up: how much each part of a window matters to it, at even distances over the window."""


@dataclass(frozen=True)
class Spec:
    """What a transform may know of the windows it works on.

    Attributes:
        lengths: per sensor the samples of a window.
        statistics: of the training windows. Noise levels and fills are meant on standardised signals, and use them.
        pool: the training windows that a mixing op takes its partners from.
        visits: how often each window will be visited, for what grows over a training.
        judge: a trained net that is asked about windows, for what listens to a teacher.
    """

    sensors: Mapping[str, Sensor]
    lengths: Mapping[str, int]
    statistics: Statistics
    pool: Pool | None = None
    visits: int | None = None
    judge: Judge | None = None

    @classmethod
    def of(cls, train: Windows, statistics: Statistics | None = None) -> Spec:
        """The spec of some training windows."""
        return cls(train.sensors, train.lengths, statistics or Statistics.of(train), Pool(train))

    def mean(self, sensor: str, like: Tensor) -> Tensor:
        """(channel, 1) training mean."""
        return self.statistics.mean[sensor].to(like)[:, None]

    def std(self, sensor: str, like: Tensor) -> Tensor:
        """(channel, 1) training standard deviation."""
        return self.statistics.std[sensor].to(like)[:, None]

    @property
    def segments(self) -> dict[str, int]:
        """Number of each body segment; a sensor without one is a segment of its own."""
        return {name: i for i, name in enumerate(dict.fromkeys(s.segment or s.name for s in self.sensors.values()))}

    def segment(self, sensor: str) -> int:
        """The number of the body segment that a sensor sits on."""
        return self.segments[self.sensors[sensor].segment or sensor]
