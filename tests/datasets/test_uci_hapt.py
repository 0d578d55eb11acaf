"""UCI HAPT: the published numbers of windows, and values that stand at known places of its files."""

from typing import Any

import numpy as np
import pytest
import torch

from harkd.datasets import split
from harkd.datasets.quality import inspect

SAMPLES = [122_091, 116_707, 107_961, 126_677, 138_105, 136_865, 10_316, 8_029, 12_428, 11_150, 14_418, 10_867]


@pytest.fixture(scope="module")
def hapt(real: Any) -> Any:
    return real("uci_hapt", "uci-hapt")


def test_recordings_and_samples(hapt: Any) -> None:
    assert len(hapt.recordings) == 61
    assert sum(r.signals["waist_acc"].shape[1] for r in hapt.recordings.values()) == 1_122_772
    assert all(r.signals["waist_acc"].shape == r.signals["waist_gyro"].shape for r in hapt.recordings.values())
    per_user = {user: sum(r.subject == user for r in hapt.recordings.values()) for user in {f"{n:02d}" for n in range(1, 31)}}
    assert {user: count for user, count in per_user.items() if count != 2} == {"10": 3}
    assert [hapt.recordings[name].subject for name in ("19", "20", "21")] == ["10"] * 3


def test_labelled_samples_of_every_class(hapt: Any) -> None:
    found = np.zeros(12, int)
    for recording in hapt.recordings.values():
        for segment in recording.segments:
            found[segment.targets["activity"]] += round((segment.stop - segment.start) * 50)
    assert found.tolist() == SAMPLES
    assert found.sum() == 815_614
    assert sum(len(r.segments) for r in hapt.recordings.values()) == 1_214


def test_the_published_windows(hapt: Any) -> None:
    """7,767 and 3,162; the six activities alone 7,415 and 2,996."""
    train, val, test = split(hapt.windows)
    assert len(hapt.windows) == 10_929
    assert (len(train) + len(val), len(test)) == (7_767, 3_162)
    assert set(test.subjects.tolist()) == {"02", "04", "09", "10", "12", "13", "18", "20", "24"}
    assert [int((part.labels < 6).sum()) for part in (hapt.windows, test)] == [10_411, 2_996]
    assert int((train.labels < 6).sum() + (val.labels < 6).sum()) == 7_415


def test_values_at_known_places(hapt: Any) -> None:
    """The first row of labels.txt is `1 1 5 250 1232`: the third window of experiment 1 begins at sample 378."""
    assert (hapt.folder / "RawData" / "labels.txt").read_text().split()[:5] == ["1", "1", "5", "250", "1232"]
    windows = hapt.windows
    at = np.flatnonzero(windows.recordings == "01")[:15]
    assert windows.labels[at[:14]].tolist() == [4] * 14  # 983 samples: 14 windows
    assert int(windows.labels[at[14]]) != 4
    for sensor, file in (("waist_acc", "acc"), ("waist_gyro", "gyro")):
        rows = np.loadtxt(hapt.folder / "RawData" / f"{file}_exp01_user01.txt")
        found = windows.gather(torch.from_numpy(at[2:3]))[sensor][0].numpy()
        np.testing.assert_allclose(found, rows[378:506].T, rtol=1e-6)
    last = hapt.recordings["61"]
    rows = np.loadtxt(hapt.folder / "RawData" / "gyro_exp61_user30.txt")
    np.testing.assert_allclose(last.signals["waist_gyro"], rows.T, rtol=1e-6, atol=1e-9)


def test_ranges_and_missing_values(hapt: Any) -> None:
    acc, gyro = (hapt.windows.signals[name] for name in ("waist_acc", "waist_gyro"))
    assert bool(acc.isfinite().all() and gyro.isfinite().all())
    assert (round(float(acc.min()), 2), round(float(acc.max()), 2)) == (-2.01, 2.0)
    assert (round(float(gyro.min())), round(float(gyro.max()))) == (-10, 10)


def test_no_window_crosses_the_end_of_a_segment(hapt: Any) -> None:
    rows = np.loadtxt(hapt.folder / "RawData" / "labels.txt", dtype=int)
    firsts = np.concatenate([[0], np.cumsum([r.signals["waist_acc"].shape[1] for r in hapt.recordings.values()])])
    numbers = {name: i for i, name in enumerate(hapt.recordings)}
    label = np.zeros(firsts[-1], int)
    part = np.zeros(firsts[-1], int)
    for number, (experiment, _, activity, start, stop) in enumerate(rows, 1):
        where = slice(firsts[numbers[f"{experiment:02d}"]] + start, firsts[numbers[f"{experiment:02d}"]] + stop + 1)
        label[where], part[where] = activity, number
    at = hapt.windows.starts["waist_acc"].numpy()[:, None] + np.arange(128)
    assert (np.ptp(part[at], axis=1) == 0).all()
    assert (label[at[:, 0]] == hapt.windows.labels.numpy() + 1).all()


def test_what_the_check_tells(hapt: Any) -> None:
    found = inspect(hapt.card, hapt.folder)
    assert found.good
    assert [f.what for f in found.findings if f.level == "warning"] == []
    assert [f.what for f in found.findings if "unbalanced" in f.where]
    assert found.counts == {"recordings": (61, 61), "subjects": (30, 30), "windows": (10_929, 10_929)}
    assert sum(person.minutes for person in found.people) == pytest.approx(815_614 / 50 / 60)
