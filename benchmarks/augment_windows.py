"""Windows for `augment.py`: smoothed noise of sensors of several kinds, all with the same number of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from harkd.augment import NODES, OPS, Augmenter, Compose, Spec, parse, to_text
from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Windows
from harkd.datasets.card import ClassTarget, Counts, Licence
from harkd.datasets.layout import Files
from harkd.errors import UsageError

SHAPES = ((6, 128), (9, 512))
"""Channels and samples of a window of one wrist; other sensors share out the same number of values."""
RATE, CLASSES, SUBJECTS, MOST = 50.0, 6, 8, 4096
JOINTS = ("hip_center", "spine", *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")))
ELECTRODES = ("F3", "F4", "C3", "C4", "P3", "P4", "Fz", "Cz", "Pz")
DEVICES = ("left_wrist", "right_wrist", "chest")
UNITS = {"acc": "g", "gyro": "rad/s", "mag": "uT"}
POOL, VISITS = "har_safe", 10


def sensors(what: str, channels: int) -> tuple[Sensor, ...]:
    """The sensors of a set of windows that stands for windows of so many channels."""
    match what:
        case "one wrist":
            kinds = list(UNITS.items())[: channels // 3]
            return tuple(Sensor(kind, kind, unit, RATE, placement="right_wrist", segment="wrist") for kind, unit in kinds)
        case "several devices":
            return tuple(Sensor(f"{at}_acc", "acc", "g", RATE, placement=at, segment=at) for at in DEVICES[: channels // 3])
        case "a body":
            return (
                Sensor("body", "skeleton", "m", RATE, channels=tuple(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")),
            )
        case "a cap":
            return (Sensor("cap", "eeg", "uV", RATE, channels=ELECTRODES[:channels]),)
        case _:
            return (Sensor("band", "emg", "mV", RATE, channels=tuple(f"e{i}" for i in range(32))),)


KINDS = ("one wrist", "several devices", "a body", "a cap", "a wristband")
"""In the order in which they are tried: an op works on the first that it does not refuse."""


class Onlooker:
    """A judge that costs next to nothing: the first channel is the class's probability, and the attention."""

    def probabilities(self, x: Mapping[str, Tensor]) -> Tensor:
        own = next(iter(x.values()))[:, 0, :CLASSES].abs() + 0.1
        return own / own.sum(1, keepdim=True)

    def attention(self, x: Mapping[str, Tensor]) -> Tensor:
        return next(iter(x.values()))[:, 0].abs()


@dataclass(frozen=True)
class Given:
    """Windows, and what an augmentation may know of them."""

    kind: str
    windows: Windows
    spec: Spec

    @property
    def form(self) -> str:
        """What is in a window, if it is not one wrist."""
        each = ", ".join(f"{len(sensor.channels)}x{self.windows.lengths[name]}" for name, sensor in self.windows.sensors.items())
        return "" if self.kind == KINDS[0] else f"{self.kind} ({each})"

    def on(self, device: str) -> Given:
        """The same on a device."""
        if device == "cpu":
            return self
        windows = self.windows.to(device)
        return replace(self, windows=windows, spec=replace(Spec.of(windows), visits=VISITS, judge=Onlooker()))


@lru_cache
def given(kind: str, shape: tuple[int, int]) -> Given:
    """Windows of one kind: each subject does all that there is to do."""
    own = sensors(kind, shape[0])
    total = sum(len(sensor.channels) for sensor in own)
    time = shape[0] * shape[1] // total
    rng = np.random.default_rng(0)
    smooth = np.ones(9) / 3

    def signal(channels: int, samples: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        rows = rng.standard_normal((channels, samples + 8))
        return np.stack([np.convolve(row, smooth, "valid") for row in rows]).astype(np.float32)

    each = MOST // SUBJECTS
    segments = tuple(Segment(k * time / RATE, (k + 1) * time / RATE, {"activity": k % CLASSES}) for k in range(each))
    recordings = [
        Recording(str(who), str(who), {s.name: signal(len(s.channels), each * time) for s in own}, segments=segments)
        for who in range(SUBJECTS)
    ]
    card = Card(
        name="augment",
        title="Smoothed noise",
        citation="none",
        licence=Licence("CC0-1.0", commercial=True, redistribute=True),
        files=Files(hook="augment"),
        sensors=own,
        target=ClassTarget("activity", tuple(f"class {k}" for k in range(CLASSES))),
        windows=Cut(time, time),
        subjects_are_codes=True,
        counts=Counts(recordings=SUBJECTS, subjects=SUBJECTS, windows=MOST),
    )
    windows = Windows.cut(recordings, card)
    return Given(kind, windows, replace(Spec.of(windows), visits=VISITS, judge=Onlooker()))


def strategy(name: str) -> Compose:
    """An op at its default, or a node with the ops of the pool."""
    if name in OPS:
        return Compose((OPS[name](),))
    return parse(f"{name}({', '.join(to_text(op) for op in parse(POOL).ops)})" if name == "one_of" else f"{name}({POOL})")


def fitting(what: Compose, shape: tuple[int, int]) -> Given:
    """The first windows that a strategy can do something with."""
    for kind in KINDS:
        found = given(kind, shape)
        try:
            Augmenter(what, found.windows, found.spec)
        except UsageError:
            continue
        return found
    raise AssertionError(f"{to_text(what)} works on none of {', '.join(KINDS)}")


NAMES = (*OPS, *NODES)
