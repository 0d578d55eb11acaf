"""drift: a smooth random walk whose peak is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import CubicSpline

from harkd.augment import Spec
from harkd.augment.drift import Drift, drift_basis
from harkd.errors import UsageError


def drifted(bench, op, length=64, n=200, **more):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), length, n=n, **more)
    x, spec = windows.gather(torch.arange(len(windows))), Spec.of(windows)
    params = bench.draw(op, spec, len(windows))
    moved = op.apply(x, params, spec)
    return {name: moved[name] - x[name] for name in x}, x, params


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("length", [2, 3, 7, 64, 513])
def test_it_starts_at_zero_and_peaks_at_its_maximum(bench, per_channel, length):
    drift, x, _ = drifted(bench, Drift(0.3, per_channel=per_channel), length, 24)
    for name, signal in x.items():
        extent = signal.amax(2) - signal.amin(2)
        assert float((drift[name][..., 0] / extent.clamp_min(1e-9)).abs().max()) < 1e-5
        torch.testing.assert_close(drift[name].abs().amax(2), 0.3 * extent, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("points", [1, 2, 3, 10])
@pytest.mark.parametrize("time", [2, 7, 64, 513])
def test_the_curve_equals_scipys_spline_through_a_random_walk(points, time):
    steps = np.random.default_rng(points).normal(size=(5, points + 2))
    walk = CubicSpline(np.linspace(0, time, points + 2), steps.cumsum(1), axis=1)(np.arange(time))
    basis = drift_basis(points, time, torch.device("cpu")).double().numpy()
    np.testing.assert_allclose(steps[:, 1:] @ basis, walk - walk[:, :1], atol=1e-5)


def test_a_window_without_a_course_stays(bench):
    """tsaug divides by a peak of 0 here."""
    drift, _, _ = drifted(bench, Drift(0.5), 1, 12)
    assert all(bool((d == 0).all()) for d in drift.values())


def test_units_are_the_training_spread_or_the_sample_if_asked_for(bench):
    drift, _, params = drifted(bench, Drift(0.3, normalize=False))
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), 64, n=200)
    peak = 0.3 * Spec.of(windows).statistics.std["wrist_acc"]
    torch.testing.assert_close(drift["wrist_acc"].abs().amax(2), peak.expand(len(params["max_drift"]), -1), rtol=1e-4, atol=0)
    drift, x, _ = drifted(bench, Drift(0.3, kind="multiplicative"), fill=lambda s, total, label: np.full((3, total), 2.0))
    torch.testing.assert_close(drift["wrist_acc"].abs().amax(2), 0.3 * x["wrist_acc"][..., 0], rtol=1e-4, atol=0)


def test_channels_share_their_curve_if_asked_to(bench):
    flat = {"fill": lambda s, total, label: np.full((3, total), 2.0)}
    shared, _, _ = drifted(bench, Drift(0.3, kind="multiplicative", per_channel=False), **flat)
    assert torch.equal(shared["wrist_acc"][:, 0], shared["wrist_acc"][:, 1])
    assert torch.equal(shared["wrist_acc"], shared["wrist_gyro"])
    # 50 Hz and 25 Hz: one curve over the window, which reaches its peak on the samples of each.
    half = shared["wrist_acc"][..., ::2]
    torch.testing.assert_close(half * (0.6 / half.abs().amax(2, keepdim=True)), shared["ankle_acc"], rtol=0, atol=1e-5)
    own, _, _ = drifted(bench, Drift(0.3, kind="multiplicative"), **flat)
    rows = torch.cat([d[..., 40:41] for d in (own["wrist_acc"], own["wrist_gyro"])], 1)[..., 0].T
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 4.5 / rows.shape[1] ** 0.5


def test_it_drifts_up_as_often_as_down(bench):
    drift, _, _ = drifted(bench, Drift(0.3), n=600)
    ups = int((drift["wrist_acc"][..., -1] > 0).sum())
    assert stats.binomtest(ups, drift["wrist_acc"][..., -1].numel()).pvalue > 1e-3


def test_points_count_from_one():
    with pytest.raises(UsageError, match="Drift: points counts the points between the two ends, so it is at least 1; got 0"):
        Drift(points=0)
