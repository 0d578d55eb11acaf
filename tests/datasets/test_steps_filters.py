"""Filters, references, alignment and fitted stretches, against SciPy and identities."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal as dsp

from harkd.datasets import Recording, Segment, Sensor
from harkd.datasets.euclidean import inverse_root
from harkd.datasets.prepare import parse, run
from harkd.errors import DataError, UsageError

EEG = Sensor("eeg", "eeg", "uV", 100.0, channels=tuple("abcd"))
NOISE = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)


def eeg(x: NDArray[Any], *stretches: tuple[float, float], subject: str = "1", session: str = "") -> Recording:
    segments = tuple(Segment(*stretch, {"hand": i % 2}) for i, stretch in enumerate(stretches))
    return Recording(f"{subject}{session}", subject, {"eeg": x.astype(np.float32)}, session=session, segments=segments)


def filtered(text: str, x: NDArray[Any] = NOISE) -> NDArray[np.float32]:
    (done,), _ = run(parse(text), [eeg(x)], [EEG], [EEG])
    found: NDArray[np.float32] = done.signals["eeg"]
    return found


DESIGNS = {
    "bandpass(8, 30)": dsp.butter(4, (8, 30), "bandpass", fs=100, output="sos"),
    "bandpass(0.5, 40, order=2)": dsp.butter(2, (0.5, 40), "bandpass", fs=100, output="sos"),
    "lowpass(20)": dsp.butter(4, 20, "lowpass", fs=100, output="sos"),
    "highpass(1, 2)": dsp.butter(2, 1, "highpass", fs=100, output="sos"),
    "notch(25, 10)": dsp.tf2sos(*dsp.iirnotch(25, 10, fs=100)),
}
FILTERS = list(DESIGNS)


def with_phase(text: str, phase: str) -> str:
    return f"{text[:-1]}, phase={phase})"


@pytest.mark.parametrize("text", FILTERS)
def test_filters_are_those_of_scipy(text: str) -> None:
    pad = 3 * (2 * len(DESIGNS[text]) + 1)
    np.testing.assert_allclose(filtered(text), dsp.sosfiltfilt(DESIGNS[text], NOISE, axis=1, padlen=pad), atol=1e-5)
    moved = NOISE - NOISE[:, :1]  # then the filter starts at rest, if it starts as if the first sample had always been there
    steady = np.array([dsp.sosfreqz(DESIGNS[text], [0.0])[1].real[0]])
    causal = dsp.sosfilt(DESIGNS[text], moved.astype(float), axis=1) + steady * NOISE[:, :1]
    np.testing.assert_allclose(filtered(with_phase(text, "causal")), causal, atol=1e-5)


@pytest.mark.parametrize("text", FILTERS)
def test_the_attenuation_of_a_tone_is_the_designs(text: str) -> None:
    at = np.arange(4000) / 100
    for hertz in (3.0, 10.0, 25.0, 35.0):
        tone = np.tile(np.sin(2 * np.pi * hertz * at), (4, 1))
        gain = abs(dsp.sosfreqz(DESIGNS[text], [hertz], fs=100)[1][0])
        once, twice = filtered(with_phase(text, "causal"), tone), filtered(text, tone)
        middle = slice(1500, 2500)
        assert once[0, middle].std() / tone[0, middle].std() == pytest.approx(gain, abs=0.01)
        assert twice[0, middle].std() / tone[0, middle].std() == pytest.approx(gain**2, abs=0.01)
        if gain**2 > 0.1:  # no delay: the tone is where it was
            lag = np.argmax([np.dot(twice[0, 1500 + k : 2500 + k], tone[0, middle]) for k in range(-2, 3)]) - 2
            assert lag == 0


@pytest.mark.parametrize("text", [*FILTERS, "gravity(0.3, of=eeg)"])
def test_a_causal_filter_never_looks_ahead(text: str) -> None:
    changed = NOISE.copy()
    changed[:, 600:] = 1e3
    causal = with_phase(text, "causal")
    names = ["eeg_gravity", "eeg_motion"] if "gravity" in text else ["eeg"]
    for name in names:
        (one, other), _ = run(parse(causal), [eeg(NOISE), eeg(changed)], [EEG], [EEG])
        np.testing.assert_array_equal(one.signals[name][:, :600], other.signals[name][:, :600])
        (one, other), _ = run(parse(text), [eeg(NOISE), eeg(changed)], [EEG], [EEG])
        assert not np.array_equal(one.signals[name][:, :600], other.signals[name][:, :600])


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_filters_leave_missing_samples_missing_and_the_rest_finite(text: str, phase: str) -> None:
    x = NOISE.copy()
    x[1, 300:350] = np.nan
    x[:, 990:] = np.nan
    found = filtered(with_phase(text, phase), x)
    np.testing.assert_array_equal(np.isnan(found).any(0), np.isnan(x).any(0))
    # Far from the hole it is as if there were none.
    np.testing.assert_allclose(found[0, 100:150], filtered(with_phase(text, phase))[0, 100:150], atol=0.05)
    assert np.isnan(filtered(text, np.full((4, 50), np.nan))).all()


@pytest.mark.parametrize("samples", [0, 1, 2, 5, 12])
def test_short_signals_are_filtered_too(samples: int) -> None:
    for text in FILTERS:
        for phase in ("zero", "causal"):
            assert filtered(with_phase(text, phase), NOISE[:, :samples]).shape == (4, samples)


def test_an_edge_beyond_half_the_rate_is_refused() -> None:
    with pytest.raises(DataError, match="a filter edge of 50 Hz needs more than 100 samples per second; the sensor has 100 Hz"):
        filtered("lowpass(50)")
    with pytest.raises(DataError, match="a notch at 60 Hz needs more than 120 samples per second; the sensor has 100 Hz"):
        filtered("notch(60)")
    with pytest.raises(UsageError, match="unknown sensor 'acc'"):
        filtered("gravity()")


def test_the_common_average_is_taken_out() -> None:
    found = filtered("reference()")
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found[0] - found[3], NOISE[0] - NOISE[3], atol=1e-6)


# Euclidean alignment

MIX = np.array([[3.0, 1, 0, 0.5], [0, 2, 1, 0], [1, 0, 0.1, 0], [0, 0, 1, 9]])
TRIALS = ((0.0, 3.0), (4.0, 7.0))


def aligned(*recordings: Recording, by: str = "subject") -> list[Recording]:
    done, sensors = run(parse(f"euclidean({by})"), recordings, [EEG], [EEG])
    assert sensors[0].units == "1"
    return done


def trials(recording: Recording) -> list[NDArray[np.float64]]:
    x = recording.signals["eeg"].astype(np.float64)
    return [x[:, round(100 * s.start) : round(100 * s.stop)] for s in recording.segments]


def test_the_mean_covariance_of_every_subject_is_the_identity() -> None:
    made = [eeg(MIX * k @ NOISE, *TRIALS, subject=str(k), session=s) for k in (1, 20) for s in ("am", "pm")]
    done = aligned(*made)
    for subject in ("1", "20"):
        covariances = [x @ x.T / x.shape[1] for r in done if r.subject == subject for x in trials(r)]
        assert len(covariances) == 4
        np.testing.assert_allclose(np.mean(covariances, 0), np.eye(4), atol=1e-5)


def test_by_session_every_session_for_itself() -> None:
    done = aligned(eeg(NOISE, *TRIALS, session="am"), eeg(50 * NOISE, *TRIALS, session="pm"), by="session")
    np.testing.assert_allclose(done[0].signals["eeg"], done[1].signals["eeg"], atol=1e-4)
    together = aligned(eeg(NOISE, *TRIALS, session="am"), eeg(50 * NOISE, *TRIALS, session="pm"))
    assert together[1].signals["eeg"].std() > 10 * together[0].signals["eeg"].std()


def test_how_the_electrodes_are_mixed_does_not_matter() -> None:
    """After alignment, A x and x differ by a rotation: distances between samples are the same."""
    (one,), (other,) = aligned(eeg(NOISE, *TRIALS)), aligned(eeg(MIX @ NOISE, *TRIALS))
    a, b = (r.signals["eeg"].astype(np.float64)[:, ::10] for r in (one, other))
    np.testing.assert_allclose(a.T @ a, b.T @ b, atol=2e-3)
    assert np.abs(a - b).max() > 0.01


def test_directions_without_variance_stay_empty() -> None:
    (done,), _ = run(parse("reference()+euclidean()"), [eeg(NOISE, *TRIALS)], [EEG], [EEG])
    covariance = np.mean([x @ x.T / x.shape[1] for x in trials(done)], 0)
    np.testing.assert_allclose(covariance, np.eye(4) - 1 / 4, atol=1e-5)
    still = np.concatenate([NOISE[:3], np.zeros((1, 1000))])
    (done,) = aligned(eeg(still, *TRIALS))
    assert np.isfinite(done.signals["eeg"]).all()
    assert (done.signals["eeg"][3] == 0).all()
    (done,) = aligned(eeg(np.zeros((4, 100))))
    assert (done.signals["eeg"] == 0).all()


def test_only_labelled_and_present_samples_count() -> None:
    loud = NOISE.copy()
    loud[:, 700:] *= 1e3  # behind the last trial
    loud[0, 500:510] = np.nan
    (done,) = aligned(eeg(loud, *TRIALS))
    covariance = np.mean([y @ y.T / y.shape[1] for x in trials(done) for y in [x[:, ~np.isnan(x).any(0)]]], 0)
    np.testing.assert_allclose(covariance, np.eye(4), atol=1e-5)
    nothing = np.full((4, 100), np.nan)
    assert np.isnan(aligned(eeg(nothing))[0].signals["eeg"]).all()


def test_the_inverse_root() -> None:
    np.testing.assert_allclose(inverse_root(np.diag([4.0, 1.0, 0.25])), np.diag([0.5, 1.0, 2.0]), atol=1e-12)
    c = MIX @ MIX.T
    np.testing.assert_allclose(inverse_root(c) @ c @ inverse_root(c), np.eye(4), atol=1e-9)


# fit


IMU = Sensor("imu", "acc", "g", 50.0)
BODY = Sensor("body", "skeleton", "m", 25.0)


def fitted(text: str, made: Recording) -> Recording:
    (done,), _ = run(parse(text), [made], [IMU, BODY], [IMU, BODY])
    return done


def both(samples: int, frames: int, **more: Any) -> Recording:
    """Two sensors whose every sample says which share of the recording is over."""
    signals = {n: np.tile(np.arange(k) / k, (3, 1)).astype(np.float32) for n, k in (("imu", samples), ("body", frames))}
    return Recording("a", "1", signals, segments=(Segment(0.0, 99.0, {"what": 1}),), **more)


def test_sensors_whose_clocks_cannot_be_trusted_meet_by_relative_time() -> None:
    """180 samples and 50 frames of one gesture: nominal rates would put the end of one at 3.6 s and of the other at 2 s."""
    done = fitted("fit(128)", both(180, 50))
    share = np.arange(128) / 128
    np.testing.assert_allclose(done.signals["imu"][0, 5:-5], share[5:-5], atol=0.01)
    np.testing.assert_allclose(done.signals["body"][0, 5:-5], share[::2][5:-5], atol=0.01)
    assert done.signals["body"].shape == (3, 64)
    assert [(s.start, s.stop, dict(s.targets)) for s in done.segments] == [(0.0, 2.56, {"what": 1})]


def test_a_stretch_of_the_right_length_is_left_alone() -> None:
    made = both(128, 64)
    done = fitted("fit(128)", made)
    for name, x in made.signals.items():
        np.testing.assert_array_equal(done.signals[name], x)


def test_on_a_common_clock_stretches_are_where_all_were_recording() -> None:
    """imu from 0 to 4 s, body from 1 to 3 s: the stretch is 1 to 3 s of both."""
    made = both(200, 50, onsets={"body": 1.0})
    done = fitted("fit(100, clock=common)", made)
    np.testing.assert_array_equal(done.signals["imu"], made.signals["imu"][:, 50:150])
    np.testing.assert_array_equal(done.signals["body"], made.signals["body"])
    own = fitted("fit(100)", made)
    assert own.signals["imu"][0, -1] > 0.9


def test_every_stretch_becomes_one_of_the_same_length() -> None:
    x = np.tile(np.arange(400) / 50, (3, 1)).astype(np.float32)
    stretches = (Segment(1.0, 2.0, {"what": 0}), Segment(4.0, 7.0, {"what": 1}))
    made = Recording("a", "1", {"imu": x}, segments=stretches)
    (done,), _ = run(parse("fit(64)"), [made], [IMU], [IMU])
    assert done.signals["imu"].shape == (3, 128)
    np.testing.assert_allclose(done.signals["imu"][0, 8:56], 1 + np.arange(8, 56) / 64, atol=0.02)
    np.testing.assert_allclose(done.signals["imu"][0, 72:120], 4 + 3 * np.arange(8, 56) / 64, atol=0.05)
    assert [(s.start, s.stop, s.targets["what"]) for s in done.segments] == [(0.0, 1.28, 0), (1.28, 2.56, 1)]


def test_missing_samples_stay_missing_in_their_place() -> None:
    made = both(256, 64)
    x = made.signals["imu"].copy()
    x[:, 100:120] = np.nan
    done = fitted("fit(128)", replace(made, signals={**made.signals, "imu": x}))
    bad = np.flatnonzero(np.isnan(done.signals["imu"]).all(0))
    assert set(range(50, 60)) <= set(bad.tolist()) <= set(range(49, 62))


def test_a_recording_without_labels_stays_without() -> None:
    done = fitted("fit(128)", replace(both(180, 50), segments=(Segment(0.0, 0.0),)))
    assert [(s.start, s.stop) for s in done.segments] == [(0.0, 0.0)]
    with pytest.raises(DataError, match="sensor 'imu': a stretch of 1 samples cannot be fitted to 128"):
        fitted("fit(128)", replace(both(180, 50), segments=(Segment(1.0, 1.02),)))
