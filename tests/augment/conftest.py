"""Windows on a bench: small data sets whose signals, classes and subjects a test designs."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from harkd.augment import Augmenter, Batch, Draws, Spec, Transform, keys, parse
from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Windows
from harkd.datasets.card import ClassTarget, Files, Licence

ACC = Sensor("wrist_acc", "acc", "g", 50.0, segment="wrist")
GYRO = Sensor("wrist_gyro", "gyro", "rad/s", 50.0, segment="wrist")
ANKLE = Sensor("ankle_acc", "acc", "g", 25.0, segment="ankle")
BODY = Sensor("body", "skeleton", "m", 25.0, channels=tuple("abcdef"))
JOINTS = ("hip_center", "spine", "left_hip", "left_knee", "right_hip", "right_knee")
EVERY = (
    ACC,
    GYRO,
    Sensor("left_acc", "acc", "g", 25.0, placement="left_ankle", segment="left_ankle"),
    Sensor("right_acc", "acc", "g", 25.0, placement="right_ankle", segment="right_ankle"),
    Sensor("body", "skeleton", "m", 25.0, channels=tuple(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")),
    Sensor("cap", "eeg", "uV", 50.0, channels=("Fp1", "Fp2", "C3", "Cz", "C4", "O1", "O2")),
    Sensor("band", "emg", "mV", 50.0, channels=tuple(f"e{i}" for i in range(32))),
)
"""Sensors of all kinds, so that every op has something to work on."""

Fill = Callable[[Sensor, int, int], NDArray[Any]]


def eeg(channels: int) -> Sensor:
    """A sensor with any number of channels that have no direction in space."""
    return Sensor("cap", "eeg", "uV", 50.0, channels=tuple(f"e{i}" for i in range(channels)))


def noise(sensor: Sensor, total: int, label: int) -> NDArray[Any]:
    """Different in every channel and class, with means and spreads that are not 0 and 1."""
    rng = np.random.default_rng([zlib.crc32(sensor.name.encode()), label])
    rows = np.arange(len(sensor.channels))[:, None]
    return rng.normal(1.0 + rows, 0.5 + 0.25 * rows, (len(rows), total))


def build_windows(
    sensors: Sequence[Sensor] = (ACC, GYRO),
    length: int = 64,
    n: int = 24,
    classes: int = 3,
    subjects: int = 4,
    fill: Fill = noise,
    dense: Callable[[int], NDArray[np.int64]] | None = None,
    labelled: bool = True,
) -> Windows:
    """At least n windows, the same number for every subject and class.

    Args:
        fill: the signal (channel, total) of a sensor in recordings of class number `label`.
        dense: labels (total,) of a target "phase" for every sample of the first sensor.
    """
    card = Card(
        name="bench",
        title="Designed windows",
        citation="none",
        licence=Licence("none"),
        files=Files(hook="none"),
        sensors=tuple(sensors),
        target=ClassTarget("activity", tuple(f"class {i}" for i in range(max(classes, 2)))),
        windows=Cut(length, length),
    )
    first = sensors[0]
    each = math.ceil(n / classes / subjects)
    seconds = each * length / first.rate
    recordings = []
    for subject, label in product(range(subjects), range(classes)):
        # A second more than the windows need: those of a slow sensor round up.
        totals = {s.name: math.ceil(seconds * s.rate + s.rate) + length for s in sensors}
        recordings.append(
            Recording(
                name=f"{subject} {label}",
                subject=str(subject),
                signals={s.name: fill(s, totals[s.name], label).astype(np.float32) for s in sensors},
                segments=(Segment(0.0, seconds, {"activity": label} if labelled else {}),),
                dense={"phase": dense(totals[first.name])} if dense else {},
            )
        )
    return Windows.cut(recordings, card)


class Onlooker:
    """A judge that looks at the first channel, whose size is what it believes and what it looks at."""

    def probabilities(self, x: Mapping[str, Tensor]) -> Tensor:
        first = next(iter(x.values()))[:, 0, 0].double().abs().clamp(0.1, 0.9)
        return torch.stack([first, (1 - first) / 2, (1 - first) / 2], 1)

    def attention(self, x: Mapping[str, Tensor]) -> Tensor:
        return next(iter(x.values()))[:, 0].abs()


@dataclass(frozen=True)
class Bench:
    """What the tests of this folder share."""

    acc: Sensor = ACC
    gyro: Sensor = GYRO
    ankle: Sensor = ANKLE
    body: Sensor = BODY
    eeg = staticmethod(eeg)
    windows = staticmethod(build_windows)

    @staticmethod
    def everything(length: int = 64, **more: Any) -> Windows:
        """Windows of sensors of all kinds and of two rates."""
        return build_windows(EVERY, length, **more)

    @staticmethod
    def spec(windows: Windows) -> Spec:
        """A spec with all that an op may ask for."""
        return replace(Spec.of(windows), visits=10, judge=Onlooker())

    @staticmethod
    def draw(op: Transform, spec: Spec, n: int, seed: int = 0) -> dict[str, Any]:
        """Parameters of n windows, straight from the generator."""
        words = keys.bits(keys.mix(torch.arange(n) + (seed + 1) * 2**32), op.slots(spec))
        return op.sample(Draws(words), spec)

    @staticmethod
    def augment(strategy: Transform | str, windows: Windows, draw: int = 0, seed: int = 0, spec: Spec | None = None) -> Batch:
        """All windows, augmented."""
        transform = parse(strategy) if isinstance(strategy, str) else strategy
        index = torch.arange(len(windows))
        return Augmenter(transform, windows, spec or Bench.spec(windows), seed)(index, torch.full_like(index, draw))

    @staticmethod
    def by_hand(
        augmenter: Augmenter, ops: Sequence[Transform], index: Tensor, draw: Tensor
    ) -> tuple[dict[str, Tensor], list[Any]]:
        """The windows at `index` through the first ops of a strategy without choices, and each op's parameters."""
        words = augmenter.draw_words(augmenter.windows.ids[index], draw)
        x, at, drawn = augmenter.windows.gather(index), 0, []
        for op in ops:
            slots = op.slots(augmenter.spec)
            drawn.append(op.sample(Draws(words[:, at + 1 : at + 1 + slots]), augmenter.spec))
            if not op.MIXES:
                x = op.apply(x, drawn[-1], augmenter.spec)
            at += 1 + slots
        return x, drawn


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def thousand() -> tuple[Windows, Spec]:
    """1,200 windows of all kinds of sensors, and a spec with all that an op may ask for."""
    windows = Bench.everything(32, n=1200)
    return windows, Bench.spec(windows)
