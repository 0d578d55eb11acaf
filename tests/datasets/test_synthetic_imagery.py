"""The head model against series and identities, and imagery whose course at the source is known."""

from dataclasses import replace

import mne
import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt, welch
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, cross_val_score

from harkd.datasets import Sees, Windows, load, read_card, split
from harkd.datasets.synthetic.head import CHANNELS, CONDUCTIVITY, RADIUS, lead_field, position
from harkd.datasets.synthetic.imagery import RHYTHMS, SOURCES, Study, person, recordings, truth
from harkd.datasets.synthetic.jet import Array
from harkd.errors import DataError, UsageError

ELECTRODES = np.stack([position(name) for name in CHANNELS])
UNIT = 1e-3 / (4 * np.pi * CONDUCTIVITY * RADIUS**2)
"""Microvolts that 1 nAm makes, but for a factor of geometry."""
SMALL = Study(subjects=2, runs=1, trials=4, seed=3)
C3, C4 = CHANNELS.index("C3"), CHANNELS.index("C4")


@pytest.fixture(scope="module")
def windows() -> Windows:
    return load("synthetic_imagery")


# --- electrodes


def test_landmarks_stand_where_the_10_10_system_says() -> None:
    expected = {"Cz": (0, 0, 1), "Iz": (0, -1, 0), "T9": (-1, 0, 0), "T10": (1, 0, 0)}
    for name, place in expected.items():
        np.testing.assert_allclose(position(name), place, atol=1e-12)
    for one, other, degrees in (("Cz", "Fz", 36), ("Cz", "C3", 36), ("Fpz", "Fp2", 0), ("T8", "FT8", 0), ("Cz", "O1", 72)):
        angle = np.rad2deg(np.arccos(position(one) @ position(other)))
        # Neighbours on the ring are 18 degrees of its circumference apart, and the ring is a small circle.
        ring = np.rad2deg(np.arccos(1 - np.sin(np.deg2rad(72)) ** 2 * (1 - np.cos(np.deg2rad(18)))))
        assert angle == pytest.approx(degrees or ring, abs=1e-9)


def test_electrodes_are_on_the_sphere_and_their_sides_mirror() -> None:
    np.testing.assert_allclose(np.linalg.norm(ELECTRODES, axis=1), 1.0, atol=1e-12)
    assert len(set(CHANNELS)) == 64
    for name in CHANNELS:
        number = name.lstrip("ACFIOPTZpz")
        if number:
            twin = name.removesuffix(number) + str(int(number) + (1 if int(number) % 2 else -1))
            np.testing.assert_allclose(position(twin), position(name) * [-1, 1, 1], atol=1e-12)


def test_electrodes_agree_with_a_published_spherical_montage() -> None:
    """BioSemi's cap puts its ring at 92 degrees from the vertex instead of 72; scaled, no electrode is 7 degrees off."""
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    for name in set(CHANNELS) - {"T9", "T10"}:
        x, y, z = places[name] / np.linalg.norm(places[name])
        low, round_about = np.arccos(z) * 72 / 92, np.arctan2(y, x)
        scaled = np.array([np.sin(low) * np.cos(round_about), np.sin(low) * np.sin(round_about), np.cos(low)])
        assert np.rad2deg(np.arccos(min(1.0, scaled @ position(name)))) < 7, name


def test_an_unknown_electrode_is_named() -> None:
    with pytest.raises(UsageError, match="'Xz'"):
        position("Xz")


# --- lead field


@pytest.mark.parametrize("depth", [0.1, 0.6, 0.8])
def test_the_closed_form_is_the_sum_of_the_legendre_series(depth: float) -> None:
    """Sum over n of (2n + 1)/n s^(n-1) times n P_n for a radial dipole, dP_n/d(angle) for a tangential one."""
    angle = np.linspace(0.0, np.pi, 37)
    ring = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    x, n = np.cos(angle)[:, None], np.arange(1, 301)
    size = (2 * n + 1) * depth ** (n - 1)
    radial = (size * eval_legendre(n, x)).sum(1)
    # (1 - x^2) P_n' = n (P_(n-1) - x P_n), and the dipole's angle grows as the electrode's shrinks.
    slope = n * (eval_legendre(n - 1, x) - x * eval_legendre(n, x)) / np.maximum(np.sin(angle)[:, None], 1e-12)
    tangential = (size / n * slope).sum(1)
    place = np.array([[0.0, 0.0, depth]] * 2)
    field = lead_field(ring, place, np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(field[:, 0], UNIT * radial, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(field[1:-1, 1], UNIT * tangential[1:-1], rtol=1e-9, atol=1e-12)


def test_a_dipole_in_the_centre_makes_three_cosines() -> None:
    field = lead_field(ELECTRODES, np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(field[:, 0], 3 * UNIT * ELECTRODES[:, 2], rtol=1e-9, atol=1e-15)


def test_turning_the_head_with_its_dipoles_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    dipoles, moments = 0.4 * rng.standard_normal((5, 3)).clip(-1, 1), rng.standard_normal((5, 3))
    turn = Rotation.from_rotvec([0.3, -1.2, 0.7])
    turned = lead_field(turn.apply(ELECTRODES), turn.apply(dipoles), turn.apply(moments))
    np.testing.assert_allclose(turned, lead_field(ELECTRODES, dipoles, moments), rtol=1e-9, atol=1e-12)
    # A radial dipole keeps its field when the electrodes turn about its axis.
    place = np.array([[0.3, 0.4, 0.2]])
    about = Rotation.from_rotvec(place[0] / np.linalg.norm(place) * 1.1)
    np.testing.assert_allclose(
        lead_field(about.apply(ELECTRODES), place, place), lead_field(ELECTRODES, place, place), rtol=1e-9, atol=1e-12
    )


def test_the_potential_has_no_mean_over_the_sphere() -> None:
    z, weight = np.polynomial.legendre.leggauss(60)
    around = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    r = np.sqrt(1 - z**2)
    grid = np.stack([np.outer(r, np.cos(around)), np.outer(r, np.sin(around)), np.outer(z, np.ones(120))], axis=-1)
    field = lead_field(grid.reshape(-1, 3), np.array([[0.2, -0.3, 0.5]]), np.array([[1.0, 2.0, -0.5]])).reshape(60, 120)
    assert (weight @ field).mean() == pytest.approx(0.0, abs=1e-9 * np.abs(field).max())


def test_dipoles_outside_the_head_are_refused() -> None:
    with pytest.raises(ValueError, match="inside the head"):
        lead_field(ELECTRODES, np.array([[0.0, 0.0, 1.0]]), np.ones((1, 3)))


# --- sources


def test_imagery_takes_power_from_the_other_side() -> None:
    """The envelope is 1 at rest and falls to what the subject's desynchronisation leaves."""
    for subject in (1, 2):
        who, run = person(SMALL, subject), truth(SMALL, subject, 1)
        assert who.contralateral > who.ipsilateral
        for cue, hand in zip(SMALL.cues, run.hands, strict=True):
            before, during = (run.envelope[:, round((cue + s) * SMALL.rate)] for s in (-0.1, 2.0))
            np.testing.assert_allclose(before, 1.0, atol=1e-12)
            opposite, same = 1 - who.contralateral, 1 - who.ipsilateral
            # left_mu, right_mu, left_beta, right_beta
            left_side, right_side = (same, opposite) if hand == 0 else (opposite, same)
            np.testing.assert_allclose(during, [left_side, right_side] * 2, atol=1e-12)


def test_the_sources_have_the_power_and_the_frequency_they_should() -> None:
    study = Study(trials=150, seed=1)
    who, run = person(study, 1), truth(study, 1, 1)
    resting = run.sources.copy()
    resting[:4] /= np.sqrt(run.envelope)
    kept = [i for i, name in enumerate(SOURCES) if name not in ("blinks", "glances")]
    # The slowest part of the background has few independent swings in 800 s.
    np.testing.assert_allclose((resting.std(1) / who.strength)[kept], 1.0, atol=0.1)
    f, power = welch(resting[:RHYTHMS], study.rate, nperseg=640)
    np.testing.assert_allclose((power @ f) / power.sum(1), who.frequency, atol=0.3)
    # Pink: the density at 20-40 Hz is a tenth of that at 2-4 Hz.
    f, power = welch(resting[kept[-1]], study.rate, nperseg=640)
    dense = [power[(f >= low) & (f < high)].mean() for low, high in ((2, 4), (20, 40))]
    assert dense[0] / dense[1] == pytest.approx(10, rel=0.15)


def test_the_signal_is_the_lead_field_times_the_sources_plus_mains_and_noise() -> None:
    run, who = truth(SMALL, 1, 1), person(SMALL, 1)
    np.testing.assert_allclose(run.signal, who.gain * who.field @ run.sources, atol=1e-9)
    rest = recordings(SMALL)[0].signals["eeg"] - run.signal
    t = np.arange(SMALL.samples) / SMALL.rate
    mains = np.stack([np.sin(2 * np.pi * 60 * t), np.cos(2 * np.pi * 60 * t)])
    weights = np.linalg.lstsq(mains.T, rest.T, rcond=None)[0]
    assert np.linalg.norm(weights, axis=0).mean() == pytest.approx(SMALL.line, rel=0.15)
    noise = rest - weights.T @ mains
    assert noise.std() == pytest.approx(SMALL.noise, rel=0.01)
    # White, and each electrode's own.
    assert np.abs(np.corrcoef(noise) - np.eye(64)).max() < 0.1


def test_blinks_show_at_the_forehead() -> None:
    study, who = Study(trials=12), person(Study(), 1)
    blinks = truth(study, 1, 1).sources[SOURCES.index("blinks")]
    assert blinks.max() > 500
    seen = np.abs(who.field[:, SOURCES.index("blinks")])
    assert CHANNELS[int(seen.argmax())] in ("Fp1", "Fpz", "Fp2")


def test_the_gaze_tells_the_hand_only_if_asked_to() -> None:
    for gaze in (0.0, 1.0):
        study = Study(trials=60, gaze=gaze)
        run = truth(study, 1, 1)
        glances = run.sources[SOURCES.index("glances")]
        seen = np.array([glances[round((cue + 0.5) * study.rate)] for cue in study.cues])
        agree = (np.sign(seen) == 2 * run.hands - 1).mean()
        # Spontaneous glances may stand against the one to the target.
        assert agree > 0.8 if gaze else agree < 0.4


# --- recordings


def mu_power(eeg: Array, study: Study) -> Array:
    """(channel, trial) log power at 8-13 Hz from 1 to 4 s after each cue."""
    band = sosfiltfilt(butter(4, [8, 13], "bandpass", fs=study.rate, output="sos"), eeg.astype(float))
    first = [round((cue + 1.0) * study.rate) for cue in study.cues]
    return np.stack([np.log((band[:, a : a + 480] ** 2).mean(1)) for a in first], axis=1)


def test_mu_power_drops_at_c3_for_the_right_hand_and_at_c4_for_the_left() -> None:
    study = Study(subjects=3, runs=1, trials=40)
    for subject, recording in enumerate(recordings(study), 1):
        power = mu_power(recording.signals["eeg"][[C3, C4]], study)
        hands = truth(study, subject, 1).hands
        right_less_left = power[:, hands == 1].mean(1) - power[:, hands == 0].mean(1)
        assert right_less_left[0] < 0 < right_less_left[1]
        # At the source the drop is log((1 - contralateral) / (1 - ipsilateral)); noise in the band dilutes it.
        who = person(study, subject)
        at_source = np.log((1 - who.contralateral) / (1 - who.ipsilateral))
        assert at_source * 1.3 < right_less_left[0] < at_source * 0.1
        assert at_source * 1.3 < -right_less_left[1] < at_source * 0.1


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_subjects_and_runs() -> None:
    first = recordings(SMALL)
    larger = {r.name: r for r in recordings(replace(SMALL, subjects=3, runs=2))}
    other = recordings(replace(SMALL, seed=4))
    for recording, changed in zip(first, other, strict=True):
        signal = recording.signals["eeg"]
        assert signal.tobytes() == larger[recording.name].signals["eeg"].tobytes() != changed.signals["eeg"].tobytes()
    assert [r.name for r in first] == ["1-run1", "2-run1"]


def test_the_card_reads_as_it_counts(windows: Windows) -> None:
    card = windows.card
    assert card.synthetic
    assert "SYNTHETIC" in card.title
    assert windows.sensors["eeg"].channels == CHANNELS == read_card("eegmmidb").sensors[0].channels
    assert len(windows) == card.counts.windows == 360
    assert [len(part) for part in split(windows)] == [180, 72, 108]
    assert set(windows.sessions.tolist()) == {"run1", "run2", "run3"}
    assert torch.bincount(windows.labels).tolist() == [180, 180]


def test_four_electrodes_are_rows_of_the_sixty_four(windows: Windows) -> None:
    signals = windows.gather(torch.tensor([0, 77, 359]))
    for montage, rows in (("headband", [33, 7, 13, 57]), ("headphone", list(range(7, 14)))):
        sees = Sees.parse(f"eeg[{montage}]", windows.sensors, windows.lengths)
        assert torch.equal(sees(signals), signals["eeg"][:, rows])
    assert Sees.parse("eeg[bci22]", windows.sensors, windows.lengths).width == 22


def test_there_is_no_folder_to_read(tmp_path: object) -> None:
    with pytest.raises(DataError, match="reads no files"):
        load("synthetic_imagery", str(tmp_path))


def test_the_hand_is_read_from_the_motor_cortex_and_not_from_the_forehead(windows: Windows) -> None:
    """Band power and LDA over unseen subjects: all electrodes and the headphone well above chance, the forehead at chance."""
    x = windows.gather(torch.arange(len(windows)))["eeg"].numpy().astype(float)
    sos = butter(4, [8, 30], "bandpass", fs=160, output="sos")
    power = np.log((sosfiltfilt(sos, x)[..., 80:] ** 2).mean(2))
    forehead = [CHANNELS.index(name) for name in ("Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8")]
    score = {}
    for name, rows in (("all", list(range(64))), ("headphone", list(range(7, 14))), ("forehead", forehead)):
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        folds = GroupKFold(5).split(power, windows.labels, windows.subjects)
        score[name] = cross_val_score(model, power[:, rows], windows.labels.numpy(), cv=list(folds)).mean()
    # The standard error of a share of 360 windows is 0.026 at chance.
    assert min(score["all"], score["headphone"]) > 0.65
    assert 0.4 < score["forehead"] < 0.6
