"""UTD-MHAD: a gesture is a window, and sensor and skeleton meet by relative time."""

from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.signal
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from harkd.datasets import split
from harkd.datasets.quality import inspect

RIGHT_WRIST = 10


@pytest.fixture(scope="module")
def utd(real: Any) -> Any:
    return real("utd_mhad", "utd-mhad")


def test_sequences_and_their_official_gaps(utd: Any) -> None:
    everything = {f"a{a}_s{s}_t{t}" for a in range(1, 28) for s in range(1, 9) for t in range(1, 5)}
    assert everything - set(utd.recordings) == {"a8_s1_t4", "a23_s6_t4", "a27_s8_t4"}
    assert len(utd.windows) == len(utd.recordings) == 861
    assert all(set(r.signals) == {"acc", "gyro", "skeleton"} for r in utd.recordings.values())
    assert utd.windows.present == {}


def test_the_published_split(utd: Any) -> None:
    train, val, test = split(utd.windows)
    assert (len(train) + len(val), len(test)) == (431, 430)
    both = split(utd.windows, "cross_subject")
    assert (len(both[0]), len(both[2])) == (431, 430)
    assert set(test.subjects.tolist()) == {"2", "4", "6", "8"}


def test_lengths_ranges_and_missing_values(utd: Any) -> None:
    samples = [r.signals["acc"].shape[1] for r in utd.recordings.values()]
    frames = [r.signals["skeleton"].shape[1] for r in utd.recordings.values()]
    assert (min(samples), max(samples), np.median(samples), sum(samples)) == (107, 326, 177, 155_638)
    assert (min(frames), max(frames), np.median(frames)) == (41, 125, 67)
    share = np.array(samples) / np.array(frames)
    assert (round(share.min(), 2), round(share.max(), 2), round(float(np.median(share)), 3)) == (2.38, 4.51, 2.625)
    acc = np.concatenate([r.signals["acc"] for r in utd.recordings.values()], 1)
    gyro = np.concatenate([r.signals["gyro"] for r in utd.recordings.values()], 1)
    assert acc.min() == -8
    assert float(np.median(np.linalg.norm(acc, axis=0))) == pytest.approx(1.045, abs=5e-4)
    assert (round(float(gyro.min()), 2), round(float(gyro.max()), 2)) == (-1000.55, 1000.52)
    depth = np.concatenate([r.signals["skeleton"][2::3].ravel() for r in utd.recordings.values()])
    assert (round(float(depth.min()), 2), round(float(depth.max()), 2)) == (1.77, 4.05)
    assert np.isfinite(acc).all()
    assert np.isfinite(depth).all()


@pytest.mark.parametrize("name", ["a1_s1_t1", "a27_s8_t3", "a22_s6_t2"])
def test_values_are_those_of_the_files(utd: Any, name: str) -> None:
    imu = scipy.io.loadmat(utd.folder / "Inertial" / f"{name}_inertial.mat")["d_iner"]
    body = scipy.io.loadmat(utd.folder / "Skeleton" / f"{name}_skeleton.mat")["d_skel"]
    recording = utd.recordings[name]
    np.testing.assert_array_equal(recording.signals["acc"], imu[:, :3].T.astype(np.float32))
    np.testing.assert_array_equal(recording.signals["gyro"], imu[:, 3:].T.astype(np.float32))
    order = (utd.folder / "Skeleton" / "Skeleton_joint_order.txt").read_text().lower()
    channels = utd.windows.sensors["skeleton"].channels
    for joint in range(20):
        np.testing.assert_array_equal(recording.signals["skeleton"][3 * joint : 3 * joint + 3], body[joint].astype(np.float32))
        assert channels[3 * joint].removesuffix("_x").replace("_", "") in order.replace("_", "").replace(" ", "")
    # The window holds the whole gesture, stretched to 2.56 s.
    acc = recording.signals["acc"].astype(float)
    reference = scipy.signal.resample_poly(acc, 128, acc.shape[1], axis=1, padtype="line")[:, :128]
    np.testing.assert_allclose(utd.first(name, "acc"), reference, atol=0.005 * np.abs(acc).max())
    assert utd.first(name, "skeleton").shape == (60, 64)
    assert int(utd.windows.labels[utd.windows.recordings == name][0]) == int(name[1:].split("_")[0]) - 1


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_sensor_and_wrist_move_at_the_same_time_only_in_relative_time(utd: Any) -> None:
    """How fast the right wrist's velocity changes, against |acc| - 1 g, in the 669 gestures with the sensor at that wrist.

    At nominal rates (50 samples and 30 frames a second) they hardly correlate. In the windows the peak is at lag zero.
    """
    relative, nominal, lags = [], [], {lag: [] for lag in (-8, -4, 0, 4, 8)}
    for name, recording in utd.recordings.items():
        if int(name[1:].split("_")[0]) > 21:
            continue
        place = recording.signals["skeleton"][3 * RIGHT_WRIST : 3 * RIGHT_WRIST + 3].astype(float)
        moved = np.linalg.norm(savgol_filter(place, 7, 2, deriv=2, axis=1), axis=0)
        felt = savgol_filter(np.abs(np.linalg.norm(recording.signals["acc"], axis=0) - 1), 9, 1)
        samples, frames = len(felt), len(moved)
        relative.append(correlation(moved, np.interp(np.arange(frames) * samples / frames, np.arange(samples), felt)))
        at = np.arange(frames) * 50 / 30
        nominal.append(correlation(moved[at < samples], np.interp(at[at < samples], np.arange(samples), felt)))
        acc, body = utd.first(name, "acc"), utd.first(name, "skeleton")[3 * RIGHT_WRIST : 3 * RIGHT_WRIST + 3]
        moved = np.linalg.norm(savgol_filter(body, 7, 2, deriv=2, axis=1), axis=0)
        felt = savgol_filter(np.abs(np.linalg.norm(acc, axis=0) - 1), 9, 1)[::2]
        for lag, found in lags.items():
            found.append(correlation(moved[8:-8], felt[8 + lag : len(felt) - 8 + lag]))
    assert np.median(relative) > 0.6
    assert np.median(nominal) < 0.25
    assert np.mean(np.array(relative) > np.array(nominal)) > 0.9
    medians = {lag: float(np.median(found)) for lag, found in lags.items()}
    assert max(medians, key=lambda lag: medians[lag]) == 0
    assert medians[0] > max(medians[-4], medians[4]) + 0.05


def test_the_sensor_moves_to_the_thigh(utd: Any) -> None:
    """The place gives the class group away, so the card names both places, and one segment for none of them."""
    assert {s.placement for s in utd.card.sensors if s.kind != "skeleton"} == {"wrist or thigh"}
    assert "rotation" not in utd.card.invariances or utd.card.invariances["rotation"] is False


def test_what_the_check_tells(utd: Any) -> None:
    found = inspect(utd.card, utd.folder)
    assert found.good
    assert [f.what for f in found.findings if "differ by over a tenth" in f.what]  # the clocks
    assert [f.what for f in found.findings if "clipped" in f.what]
