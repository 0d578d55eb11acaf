"""speed_warp: a monotone map whose speeds have a known ratio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import PchipInterpolator

from harkd.augment import Spec
from harkd.augment.speed import SpeedWarp, rising_curve
from harkd.errors import UsageError


def maps(bench, op, time, n=300):
    params = bench.draw(op, Spec.of(bench.windows()), n)
    return params["speeds"], op.positions(params, time)


@pytest.mark.parametrize("pieces", [2, 3, 4, 10])
@pytest.mark.parametrize("time", [1, 2, 3, 64, 513])
def test_the_curve_equals_scipys_pchip(pieces, time):
    rises = np.random.default_rng(pieces).uniform(0.05, 1, (40, pieces))
    knots = np.concatenate([np.zeros((40, 1)), rises.cumsum(1)], 1)
    reference = PchipInterpolator(np.linspace(0, 1, pieces + 1), knots, axis=1)(np.arange(time) / max(time - 1, 1))
    np.testing.assert_allclose(rising_curve(torch.from_numpy(rises), time), reference, atol=1e-6)
    np.testing.assert_allclose(rising_curve(torch.from_numpy(rises).float(), time), reference, atol=1e-5)


@pytest.mark.parametrize("ratio", [1.2, 3.0, 10.0])
@pytest.mark.parametrize("changes", [1, 3, 9])
def test_time_runs_forward_from_end_to_end_at_speeds_of_the_ratio(bench, ratio, changes):
    speeds, at = maps(bench, SpeedWarp(ratio, changes), 40 * (changes + 1) + 1)
    assert bool((at.diff(dim=1) > 0).all())
    assert bool((at[:, 0] == 0).all())
    torch.testing.assert_close(at[:, -1], torch.full((300,), at.shape[1] - 1.0), rtol=1e-6, atol=0)
    travelled = at[:, ::40].diff(dim=1)  # at the places where the speed changes
    torch.testing.assert_close(travelled.amax(1) / travelled.amin(1), torch.full((300,), ratio), rtol=1e-4, atol=0)
    torch.testing.assert_close(travelled / travelled.sum(1, keepdim=True), speeds / speeds.sum(1, keepdim=True))


def test_a_ratio_of_one_is_the_identity(bench):
    _, at = maps(bench, SpeedWarp(1.0), 128)
    torch.testing.assert_close(at, torch.arange(128.0).expand_as(at), rtol=0, atol=1e-4)


def test_speeds_between_the_extremes_are_uniform(bench):
    """The middle one of three, measured from the slowest: the middle of three uniforms between the other two is uniform."""
    speeds, _ = maps(bench, SpeedWarp(3.0, changes=2), 64, 4000)
    middle = speeds.sort(1).values[:, 1]
    assert stats.kstest(middle.numpy(), stats.uniform(1, 2).cdf).pvalue > 1e-3
    slowest = torch.bincount(speeds.argmin(1))
    assert stats.chisquare(slowest).pvalue > 1e-3


def test_all_sensors_share_one_map(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65, n=48, fill=lambda s, total, label: np.tile(np.arange(total), (3, 1)))
    op, spec = SpeedWarp(4.0), Spec.of(windows)
    params = bench.draw(op, spec, 48)
    fast, slow = op.positions(params, 65), op.positions(params, 33)
    torch.testing.assert_close(fast[:, ::2] / 64, slow / 32, rtol=0, atol=1e-5)
    moved = op.apply(windows.gather(torch.arange(48)), params, spec)["wrist_acc"]
    start = windows.gather(torch.arange(48))["wrist_acc"][..., :1]
    torch.testing.assert_close(moved - start, fast[:, None].expand(-1, 3, -1), rtol=0, atol=1e-2)


def test_it_assumes_that_pace_is_free():
    assert SpeedWarp().assumes == {"pace"}


def test_changes_count_from_one():
    with pytest.raises(UsageError, match="SpeedWarp: changes counts the changes of speed, so it is at least 1; got 0"):
        SpeedWarp(changes=0)
