"""The steps of signal preparation, each on designed signals whose result is known, or against SciPy's reference designs."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal as dsp

from harkd.datasets import Recording, Segment, Sensor
from harkd.datasets.filters import regular, to_rate
from harkd.datasets.prepare import parse, run
from harkd.errors import DataError

ACC = Sensor("acc", "acc", "g", 50.0, placement="wrist")
EEG = Sensor("eeg", "eeg", "uV", 50.0, channels=("Cz", "C3", "C4"))


def recording(x: NDArray[np.floating], times: NDArray[np.float64] | None = None, *stretches: tuple[float, float]) -> Recording:
    segments = tuple(Segment(*stretch, {"activity": i}) for i, stretch in enumerate(stretches))
    x = np.broadcast_to(np.asarray(x, np.float32), (3, np.shape(x)[-1])).copy()
    return Recording("a", "1", {"acc": x}, times={} if times is None else {"acc": times}, segments=segments)


def after(text: str, made: Recording, before: Sensor = ACC, wanted: Sensor | None = None) -> Recording:
    (done,), _ = run(parse(text), [made], [before], [wanted or before])
    return done


def at_20(made: Recording, text: str = "resample()") -> Recording:
    return after(text, made, ACC, replace(ACC, rate=20.0))


def stamps(samples: int, rate: float, jitter: float) -> NDArray[np.float64]:
    shift = np.random.default_rng(0).uniform(-jitter, jitter, samples)
    at: NDArray[np.float64] = (np.arange(samples) + shift) / rate
    return at - at[0]


def clock(done: Recording, rate: float) -> NDArray[np.float64]:
    return done.onsets.get("acc", 0.0) + np.arange(done.signals["acc"].shape[1]) / rate


# resample


@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_a_slow_sine_survives_irregular_stamps_and_a_lower_rate(jitter: float) -> None:
    """3 Hz, 50 to 20 samples a second: error under one percent, away from the ends where a filter sees only one side."""
    at = stamps(1000, 50, jitter)
    done = at_20(recording(np.sin(2 * np.pi * 3 * at), at))
    expected = np.sin(2 * np.pi * 3 * clock(done, 20))[20:-20]
    found = done.signals["acc"][0, 20:-20]
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.01 * np.sqrt(0.5)
    assert np.abs(found - expected).max() < 0.01


def test_what_a_lower_rate_cannot_hold_vanishes() -> None:
    """15 Hz at 20 samples a second would come back as 5 Hz; with and without stamps it is filtered out."""
    at = np.arange(1000) / 50
    for made in (recording(np.sin(2 * np.pi * 15 * at), at), recording(np.sin(2 * np.pi * 15 * at))):
        done = at_20(made)
        assert done.signals["acc"].shape[1] == 400
        assert np.abs(done.signals["acc"][:, 20:-20]).max() < 0.02


@pytest.mark.parametrize("rate", [7.0, 20.0, 50.0, 64.0, 100.0])
@pytest.mark.parametrize("stamped", [True, False])
def test_a_constant_stays_what_it_is_up_to_the_ends(rate: float, stamped: bool) -> None:
    at = stamps(500, 50, 0.3)
    made = recording(np.full(500, 0.981), at if stamped else None)
    done = after("resample()", made, ACC, replace(ACC, rate=rate))
    assert (done.signals["acc"] == np.float32(0.981)).all()
    assert abs(done.signals["acc"].shape[1] - 10 * rate) <= 1


def test_a_ramp_keeps_its_time_and_nothing_goes_beyond_the_samples() -> None:
    at = 3.1 + stamps(300, 50, 0.3)
    done = after("resample()", recording(at, at), ACC, replace(ACC, rate=100.0))
    np.testing.assert_allclose(done.signals["acc"][0], clock(done, 100), atol=1e-5)
    steps = np.repeat([0.0, 1.0], 150)
    done = after("resample()", recording(steps, at), ACC, replace(ACC, rate=100.0))
    assert (done.signals["acc"].min(), done.signals["acc"].max()) == (0, 1)
    assert done.times == {}


def test_all_sensors_come_onto_one_grid() -> None:
    """Whatever the first stamp, samples stand at whole multiples of the sampling interval, and none before or after."""
    for first in (0.0, 0.013, 0.02, 1.999999):
        at = first + np.arange(100) / 50
        done = after("resample()", recording(np.zeros(100), at))
        onset = done.onsets["acc"]
        assert onset * 50 == pytest.approx(round(onset * 50))
        assert first - 1e-5 <= onset < first + 0.02
        assert onset + done.signals["acc"].shape[1] / 50 <= at[-1] + 0.02 + 1e-5


def test_a_pause_is_missing_and_not_invented() -> None:
    """Nothing between 2 and 4 s: linear time up to gaps of one second, missing beyond."""
    at = np.arange(400) / 50
    at = at[(at <= 2) | (at >= 4)]
    done = after("resample()", recording(at, at))
    bad = np.isnan(done.signals["acc"]).all(0)
    np.testing.assert_array_equal(np.flatnonzero(bad), np.arange(101, 200))
    assert not np.isnan(after("resample(gap=2.1)", recording(at, at)).signals["acc"]).any()
    with_windows = after("resample()+fill(1)", recording(at, at))
    assert [(s.start, s.stop) for s in with_windows.segments] == [(0.0, 2.02), (4.0, 8.0)]


def test_stamps_that_repeat_or_go_back_are_put_in_order() -> None:
    at = np.array([0.0, 0.02, 0.04, 0.04, 0.08, 0.06, 0.1])
    done = after("resample()", recording(at * [1, 1, 1, 99, 1, 1, 1], at))
    np.testing.assert_allclose(done.signals["acc"][0], np.arange(6) / 50, atol=1e-6)


def test_stamps_in_another_unit_are_noticed() -> None:
    at = np.arange(100) / 50 / 1e6  # milliseconds taken for nanoseconds, say
    with pytest.raises(DataError, match="too little for one sample at 50 Hz; are its time stamps in the unit"):
        after("resample()", replace(recording(np.zeros(100), at + 1e-5)))


def test_missing_samples_stay_missing_at_another_rate() -> None:
    x = np.ones(500, np.float32)
    x[100:200] = np.nan
    done = at_20(recording(x)).signals["acc"]
    bad = np.isnan(done).all(0)
    assert bad[40:80].all()
    assert bad.sum() <= 41
    assert (done[:, ~bad] == 1).all()
    one = np.full((3, 10), np.nan, np.float32)
    one[:, 3] = 1
    assert np.isnan(regular(np.arange(10) / 50, one, np.arange(10) / 50, 50, 1)).all()
    assert np.isnan(to_rate(x[None, :2] * np.nan, 50, 50)).all()


def test_only_what_is_named_is_resampled() -> None:
    gyro = Sensor("gyro", "gyro", "dps", 50.0)
    made = Recording("a", "1", {name: np.zeros((3, 100), np.float32) for name in ("acc", "gyro")})
    (done,), sensors = run(parse("resample(25, of=gyro)"), [made], [ACC, gyro], [ACC, gyro])
    assert [(s.name, s.rate) for s in sensors] == [("acc", 50.0), ("gyro", 25.0)]
    assert [x.shape[1] for x in done.signals.values()] == [100, 50]


# limit and fill


def test_a_value_beyond_the_limit_takes_its_row_along() -> None:
    x = np.array([[0, 2.0, 0, 0], [0, 0, -2.01, 0], [1, 1, 1, np.nan]], np.float32)
    done = after("limit(2)", recording(x)).signals["acc"]
    assert np.isnan(done).all(0).tolist() == [False, False, True, False]
    assert np.isnan(done[2, 3])
    np.testing.assert_array_equal(done[:, :2], x[:, :2])
    assert np.isnan(after("limit(2)", recording([np.inf, 0.0])).signals["acc"][:, 0]).all()


@pytest.mark.parametrize(("seconds", "filled"), [(0.099, False), (0.1, True), (0.101, True)])
def test_the_longest_gap_that_is_filled(seconds: float, filled: bool) -> None:
    """Five samples at 50 Hz are 0.1 s."""
    x = np.arange(20, dtype=np.float32)
    x[8:13] = np.nan
    done = after(f"fill({seconds})", recording(x))
    expected = np.arange(20)
    assert ((done.signals["acc"] == expected).all()) == filled
    spared = [(s.start, s.stop) for s in done.segments]
    assert spared == ([] if filled else [(0.0, 0.16), (0.26, 0.4)])


def test_open_ends_are_not_filled() -> None:
    x = np.array([np.nan, 1, np.nan, 3, np.nan], np.float32)
    done = after("fill(9)", recording(x))
    assert [(s.start, s.stop) for s in done.segments] == [(0.02, 0.08)]
    assert done.signals["acc"][0, 1:4].tolist() == [1, 2, 3]


# gravity


def test_the_parts_of_an_acceleration_sum_to_it() -> None:
    x = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    (done,), sensors = run(parse("gravity()"), [recording(x)], [ACC], [ACC])
    assert [(s.name, s.kind, s.units, s.rate, s.placement) for s in sensors] == [
        (f"acc_{part}", "acc", "g", 50.0, "wrist") for part in ("gravity", "motion")
    ]
    np.testing.assert_allclose(done.signals["acc_gravity"] + done.signals["acc_motion"], x, atol=1e-6)
    reference = dsp.filtfilt(*dsp.butter(3, 0.3, fs=50), x.astype(float), axis=1)
    np.testing.assert_allclose(done.signals["acc_gravity"][:, 150:-150], reference[:, 150:-150], atol=2e-2)


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_a_sensor_at_rest_shows_gravity_and_no_motion(phase: str) -> None:
    tilted = np.array([[0.36], [-0.48], [0.8]], np.float32) * np.ones((1, 400), np.float32)
    done = after(f"gravity(phase={phase})", recording(tilted))
    np.testing.assert_allclose(done.signals["acc_gravity"], tilted, atol=1e-6)
    np.testing.assert_allclose(done.signals["acc_motion"], 0, atol=1e-6)


def test_gravity_leaves_other_sensors_and_their_clocks() -> None:
    gyro = Sensor("gyro", "gyro", "dps", 50.0)
    signals = {name: np.ones((3, 100), np.float32) for name in ("acc", "gyro")}
    made = Recording("a", "1", signals, onsets={"acc": 0.5, "gyro": 0.1})
    (done,), _ = run(parse("gravity"), [made], [ACC, gyro], [ACC, gyro])
    assert list(done.signals) == ["acc_gravity", "acc_motion", "gyro"]
    assert done.onsets == {"acc_gravity": 0.5, "acc_motion": 0.5, "gyro": 0.1}
