"""The cap that slips: spherical splines against their definition, and what a turn must do to known potentials."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre

from harkd.augment import Spec
from harkd.augment.cap import SensorsRotation, electrodes, spline_kernel, turn, turn_matrices, window_products
from harkd.datasets import Sensor
from harkd.datasets.synthetic.head import CHANNELS
from harkd.errors import UsageError

PLACES = electrodes(CHANNELS)
# Each quarter of the head like the next: two rings and the vertex.
SYMMETRIC = ("Fpz", "T8", "Oz", "T7", "Fz", "C4", "Pz", "C3", "Cz")


def legendre_sum(cosine):
    """Perrin et al. 1989, written out."""
    n = range(1, 51)
    return sum((2 * k + 1) / (k * (k + 1)) ** 4 * eval_legendre(k, cosine) for k in n) / (4 * np.pi)


def spline_at(wanted, known, potential):
    """Equations (1) and (2) of Perrin et al. 1989, with 1e-5 on the diagonal."""
    n = len(known)
    system = np.block([[legendre_sum(known @ known.T) + 1e-5 * np.eye(n), np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    weights = np.linalg.lstsq(system, np.append(potential, 0.0), rcond=None)[0]
    return legendre_sum(wanted @ known.T) @ weights[:-1] + weights[-1]


def test_the_kernel_is_the_legendre_sum():
    cosine = np.linspace(-1, 1, 201)
    np.testing.assert_allclose(spline_kernel(cosine), legendre_sum(cosine), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("axis", "angle"), [(0, 12.0), (1, -7.5), (2, 30.0)])
def test_a_turned_cap_reads_the_spline_of_the_potentials_elsewhere(axis, angle):
    potential = np.random.default_rng(0).normal(size=64)
    (matrix,) = turn_matrices(PLACES, axis, np.array([angle]))
    unexplained = potential - spline_at(PLACES, PLACES, potential)
    expected = spline_at(PLACES @ turn(axis, angle).T, PLACES, potential) + unexplained
    np.testing.assert_allclose(matrix @ potential, expected, rtol=0, atol=1e-8)


def test_turning_by_0_is_the_identity():
    assert np.array_equal(turn_matrices(PLACES, 2, np.zeros(1))[0], np.eye(64))


def test_what_is_the_same_everywhere_stays():
    for axis in range(3):
        np.testing.assert_allclose(turn_matrices(PLACES, axis, np.linspace(-180, 180, 9)).sum(2), 1.0, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("axis", "error"), [(0, 3.5e-3), (1, 3.5e-3), (2, 5e-4)])
def test_a_potential_that_is_linear_in_space_turns_with_the_cap(axis, error):
    """Turned about x or y, a part of the cap leaves the head that it knows."""
    (matrix,) = turn_matrices(PLACES, axis, np.array([15.0]))
    np.testing.assert_allclose(matrix @ PLACES, PLACES @ turn(axis, 15.0).T, rtol=0, atol=error)


def test_a_quarter_turn_of_a_symmetric_montage_exchanges_its_electrodes():
    places = electrodes(SYMMETRIC)
    (matrix,) = turn_matrices(places, 2, np.array([90.0]), regularisation=1e-12)
    # From the right ear to the nose, from there to the left ear and so on.
    reads = {"T8": "Fpz", "Fpz": "T7", "T7": "Oz", "Oz": "T8", "C4": "Fz", "Fz": "C3", "C3": "Pz", "Pz": "C4", "Cz": "Cz"}
    expected = np.eye(9)[[SYMMETRIC.index(reads[name]) for name in SYMMETRIC]]
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-6)


def test_a_dense_cap_keeps_what_a_regularised_spline_would_smooth_away():
    """Uncorrelated potentials at 64 electrodes: of their power, MNE's spline keeps a quarter. Ours turns by 15 degrees and keeps
    all."""
    noise = np.random.default_rng(0).normal(size=(64, 4000))
    (matrix,) = turn_matrices(PLACES, 2, np.array([15.0]))
    smoothed = np.stack([spline_at(PLACES, PLACES, column) for column in noise[:, :50].T], 1)
    assert np.mean(smoothed**2) == pytest.approx(0.25, abs=0.05)
    assert np.mean((matrix @ noise) ** 2) == pytest.approx(1.0, abs=0.2)


def cap(names=CHANNELS):
    return Sensor("cap", "eeg", "uV", 160.0, channels=tuple(names))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_every_window_turns_by_its_own_angle_and_other_sensors_do_not(bench, axis):
    windows = bench.windows((cap(SYMMETRIC), bench.acc), n=12)
    spec, op = Spec.of(windows), SensorsRotation(20.0, axis=axis)
    params, x = bench.draw(op, spec, 12), windows.gather(torch.arange(12))
    moved = op.apply(x, params, spec)
    angles = params["step"].double().numpy() / 2
    matrices = turn_matrices(electrodes(SYMMETRIC), "xyz".index(axis), angles)
    assert len(set(angles)) > 8
    expected = torch.from_numpy(matrices) @ x["cap"].double()
    torch.testing.assert_close(moved["cap"].double(), expected, rtol=0, atol=1e-4)
    assert moved["wrist_acc"] is x["wrist_acc"]


def test_angles_are_uniform_up_to_the_largest(bench):
    spec = Spec.of(bench.windows((cap(SYMMETRIC),)))
    steps = bench.draw(SensorsRotation(4.0), spec, 40_000)["step"]
    assert (int(steps.min()), int(steps.max())) == (-8, 8)
    # The two ends are rounded to from one side only.
    share = torch.bincount(steps + 8) / len(steps)
    expected = torch.full((17,), 1 / 16)
    expected[[0, -1]] /= 2
    torch.testing.assert_close(share, expected, rtol=0, atol=5e-3)


def test_old_and_new_names_of_an_electrode_are_one_place():
    assert np.array_equal(electrodes(("T3", "T4", "t5", "T6")), electrodes(("T7", "T8", "P7", "P8")))


def test_channels_that_are_no_electrodes_are_refused(bench):
    spec = Spec.of(bench.windows((cap(("C3", "e1")),)))
    with pytest.raises(UsageError, match=r"sensor 'cap': unknown electrode 'e1'"):
        SensorsRotation().check(spec)


def test_it_assumes_the_layout_once_electrodes_reach_their_neighbours():
    assert SensorsRotation(18.0).assumes == frozenset()
    assert SensorsRotation(18.5).assumes == {"layout"}


@pytest.mark.parametrize("channels", [1, 2, 7, 22, 64])
@pytest.mark.parametrize("time", [1, 2, 33, 160])
def test_products_are_the_same_to_the_bit_in_any_batch(channels, time):
    generator = torch.Generator().manual_seed(0)
    n = 1200 if channels * time < 2000 else 70
    matrices = torch.randn(n, channels, channels, generator=generator)
    rows = torch.randn(n, channels, time, generator=generator)
    together = window_products(matrices, rows)
    torch.testing.assert_close(together.double(), matrices.double() @ rows.double(), rtol=0, atol=1e-4)
    for start, stop in ((0, 1), (5, 6), (3, 7), (1, n), (n - 1, n), (2, 66)):
        assert torch.equal(window_products(matrices[start:stop], rows[start:stop]), together[start:stop])
    order = torch.randperm(n, generator=generator)
    assert torch.equal(window_products(matrices[order], rows[order]), together[order])
