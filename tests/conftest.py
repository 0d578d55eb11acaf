"""Data that tests share: a toy set whose every sample says where it comes from, and the demo recordings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Windows, load
from harkd.datasets.card import ClassTarget, Counts, Files, Licence, SubjectSplit

SUBJECTS = ("1", "2", "3", "4", "5", "6")
SESSIONS = ("am", "pm")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own for the tests: a prepared copy on this machine would hide what readers do."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("HARKD_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def watch() -> Windows:
    """The demo recordings, cut as their card says."""
    return load("seglearn_watch")


@pytest.fixture(scope="session")
def toy_card() -> Card:
    """Acceleration and angular rate of one wrist at 50 Hz, three classes, windows of 20 samples every 10."""
    return Card(
        name="toy",
        title="Ramps",
        citation="none",
        licence=Licence("CC0-1.0", commercial=True, redistribute=True),
        files=Files(hook="toy"),
        sensors=(
            Sensor("acc", "acc", "g", 50.0, placement="left_wrist", segment="left_hand"),
            Sensor("gyro", "gyro", "rad/s", 50.0, placement="left_wrist", segment="left_hand"),
        ),
        target=ClassTarget("activity", ("rest", "walk", "run")),
        windows=Cut(20, 10),
        subjects_are_codes=True,
        invariances={"rotation": True, "pace": ("rest", "run")},
        splits={"official": SubjectSplit(train=("1", "2", "3"), val=("4",), test=("5", "6"))},
        counts=Counts(recordings=12, subjects=6, windows=110),
    )


@pytest.fixture(scope="session")
def toy_recordings() -> Sequence[Recording]:
    """12 recordings, one per subject and session; number r has 100 + r samples and the class r % 3.

    Sample t of channel c is 10000 r + 1000 c + t for acc and its negative for gyro: exact in float32.
    """
    recordings = []
    for r, (subject, session) in enumerate((subject, session) for subject in SUBJECTS for session in SESSIONS):
        samples = 100 + r
        acc = (10_000 * r + 1_000 * np.arange(3)[:, None] + np.arange(samples)).astype(np.float32)
        recordings.append(
            Recording(
                name=f"{subject}-{session}",
                subject=subject,
                session=session,
                signals={"acc": acc, "gyro": -acc},
                segments=(Segment(0.0, samples / 50, {"activity": r % 3}),),
            )
        )
    return recordings


@pytest.fixture(scope="session")
def toy_windows(toy_recordings: Sequence[Recording], toy_card: Card) -> Windows:
    """110 windows: 9 of each recording, 10 of the last two. Treat them as read-only."""
    return Windows.cut(toy_recordings, toy_card)


@pytest.fixture(scope="session")
def toy_windows_two_segments(toy_recordings: Sequence[Recording], toy_card: Card) -> Windows:
    """The same windows, but the gyroscope sits on the ankle: another body segment, which turns on its own."""
    acc, gyro = toy_card.sensors
    ankle = replace(gyro, placement="right_ankle", segment="right_foot")
    return Windows.cut(toy_recordings, replace(toy_card, name="toy_two_segments", sensors=(acc, ankle)))
