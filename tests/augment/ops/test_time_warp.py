"""Time warp, against SciPy's splines and the published NumPy idiom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import CubicSpline

from harkd.augment import Spec
from harkd.augment.warp import TimeWarp
from harkd.datasets import Sensor
from harkd.errors import UsageError


def ramp(sensor, total, label):
    """Every window runs from 0 to its last sample number."""
    length = round(64 * sensor.rate / 50.0)
    return np.tile(np.arange(total) % length, (len(sensor.channels), 1))


def maps(bench, op, time, n=400):
    params = bench.draw(op, Spec.of(bench.windows()), n)
    return params, op.positions(params, time)


@pytest.mark.parametrize("sigma", [0.2, 0.3, 2.0])
@pytest.mark.parametrize("time", [2, 3, 7, 64, 513])
def test_time_runs_forward_from_end_to_end(bench, sigma, time):
    _, at = maps(bench, TimeWarp(sigma), time)
    assert bool((at.diff(dim=1) > 0).all())
    assert bool((at[:, 0] == 0).all())
    torch.testing.assert_close(at[:, -1], torch.full((400,), time - 1.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("knots", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_the_map_equals_scipy(bench, knots, sigma):
    params, at = maps(bench, TimeWarp(sigma, knots), 128)
    drawn = params["speed"].double()
    assert stats.kstest(drawn.flatten(), "norm", (0, sigma)).pvalue > 0.001
    speed = np.maximum(1 + CubicSpline(np.linspace(0, 127, knots + 2), drawn, axis=1)(np.arange(128)), 0.1)
    travelled = cumulative_trapezoid(speed, axis=1, initial=0)
    np.testing.assert_allclose(at, travelled * (127 / travelled[:, -1:]), atol=1e-3)


def test_it_undoes_the_published_idiom(bench):
    """Um et al. sum up a curve of speeds, scale it to end at T - 1, and put sample i there. Here sample i is read from there."""
    op, time = TimeWarp(0.2), np.arange(1000)
    params, at = maps(bench, op, 1000, 50)
    signal = torch.from_numpy(np.sin(2 * np.pi * time / 250)).float().expand(50, 1, -1)
    moved = op.apply({"wrist_acc": signal}, params, Spec.of(bench.windows()))["wrist_acc"][:, 0]
    for knots, positions, window in zip(params["speed"].double(), at, moved, strict=True):
        places = np.cumsum(CubicSpline(np.linspace(0, 999, 6), 1 + knots)(time))
        places *= 999 / places[-1]
        np.testing.assert_allclose(positions, places, atol=2.0)  # theirs begins with the first speed, not with 0
        np.testing.assert_allclose(np.interp(time, places, window), signal[0, 0], atol=0.06)
    assert float((moved - signal[:, 0]).abs().amax(1).mean()) > 0.5


def test_all_channels_and_sensors_share_one_map(bench):
    """The signals are ramps, so that the warped signal is the map itself."""
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle, bench.body), 64, n=48, fill=ramp)
    op, spec = TimeWarp(0.3), Spec.of(windows)
    params = bench.draw(op, spec, 48)
    moved = op.apply(windows.gather(torch.arange(48)), params, spec)
    for x in moved.values():
        at = op.positions(params, x.shape[-1])
        torch.testing.assert_close(x, at[:, None].expand_as(x), rtol=0, atol=1e-4)
    assert torch.equal(moved["wrist_acc"], moved["wrist_gyro"])
    # 50 Hz and 25 Hz: the same map on [0, 1], read at 64 and at 32 places.
    fast, slow = moved["wrist_acc"][:, 0] / 63, moved["ankle_acc"][:, 0] / 31
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(np.interp(np.linspace(0, 1, 32), np.linspace(0, 1, 64), a), b, atol=3e-3)
    assert float((fast - torch.linspace(0, 1, 64)).abs().max()) > 0.05  # it does warp


def test_a_changed_rate_warps_alike_in_a_whole_strategy(bench):
    quick = Sensor("quick", "acc", "g", 200.0)
    windows = bench.windows((bench.acc, quick), 64, n=24, fill=ramp)
    moved = bench.augment("time_warp(0.3)", windows).x
    for a, b in zip(moved["wrist_acc"][:, 0] / 63, moved["quick"][:, 0] / 255, strict=True):
        np.testing.assert_allclose(np.interp(np.linspace(0, 1, 64), np.linspace(0, 1, 256), b), a, atol=3e-3)


@pytest.mark.parametrize("strategy", ["time_warp(0.3)", "shifting(0.5)", "time_warp(0.2)+shifting(0.5, p=0.5)"])
def test_dense_labels_move_along(bench, strategy):
    """The signal is the label, a step function: away from a step, both agree after the warp."""

    def steps(total):
        return (np.arange(total) % 64) // 8 % 3

    windows = bench.windows((bench.acc,), 64, n=60, fill=lambda s, total, label: np.tile(steps(total), (3, 1)), dense=steps)
    batch = bench.augment(strategy, windows)
    x, labels = batch.x["wrist_acc"], batch.targets["phase"]
    assert bool(((x - labels[:, None]).abs() <= 1.0 + 1e-4).all())
    between = (x - x.round()).abs() > 1e-3
    assert float(between.float().mean()) < 0.15
    torch.testing.assert_close(x[~between], labels[:, None].expand_as(x)[~between].float(), rtol=0, atol=2e-3)
    assert not torch.equal(labels, windows.target("phase").values)
    assert torch.equal(batch.targets["activity"], windows.labels)


def test_dense_labels_take_the_nearest_sample(bench):
    op = TimeWarp(0.2)
    params, at = maps(bench, op, 64, 20)
    assert torch.equal(op.apply_dense(torch.arange(64).expand(20, -1), params), at.round().long())


def test_knots_count_from_zero_and_pace_is_assumed():
    with pytest.raises(UsageError, match="knots counts the values between the two ends, so it is at least 0; got -1"):
        TimeWarp(knots=-1)
    assert TimeWarp().assumes == {"pace"}
