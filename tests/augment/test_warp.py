"""Shifts and smooth curves, against NumPy's roll and SciPy's splines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import CubicSpline

from harkd.augment import Spec
from harkd.augment.warp import Cropping, MagnitudeWarp, Shifting, TimeWarp, spline, warp_gather
from harkd.datasets import Sensor
from harkd.errors import UsageError

P = 0.001
CPU = torch.device("cpu")
KNOTS = [0, 1, 2, 4, 8]


def ramp(sensor, total, label):
    """Every window runs from 0 to its last sample number."""
    length = round(64 * sensor.rate / 50.0)
    return np.tile(np.arange(total) % length, (len(sensor.channels), 1))


# Shifting


def test_shifting_rolls_the_window(bench):
    windows = bench.windows((bench.acc, bench.gyro), 64, n=240)
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment("shifting(0.5)", windows).x
    steps = []
    for before, after in zip(clean["wrist_acc"], moved["wrist_acc"], strict=True):
        assert torch.equal(after.sort(1).values, before.sort(1).values)  # every channel keeps its values
        step = int((before[0] == after[0, 0]).nonzero())
        assert torch.equal(after.roll(step, 1), before)
        steps.append(-step % 64)
    gyro = zip(clean["wrist_gyro"], moved["wrist_gyro"], steps, strict=True)
    assert all(torch.equal(after, before.roll(step, 1)) for before, after, step in gyro)
    assert 0 < sum(step > 32 for step in steps) < sum(step > 0 for step in steps)  # both directions


@pytest.mark.parametrize(("share", "time"), [(0.5, 64), (0.25, 50), (1.0, 9)])
def test_shifts_are_uniform_in_both_directions(bench, share, time):
    op = Shifting(share)
    at = op.positions(bench.draw(op, Spec.of(bench.windows()), 60_000), time)
    longest = int(share * time)
    step = -at[:, 0] % time
    wide = torch.where(step > time // 2, step - time, step) if share <= 0.5 else step
    if share == 0.5:  # half a window forward is half a window backward
        wide = wide.abs()
        expected = torch.cat([torch.ones(1), torch.ones(longest)]) / (longest + 1)
    elif share < 0.5:
        wide = wide + longest
        expected = torch.full((2 * longest + 1,), 0.5 / (longest + 1))
        expected[longest] *= 2
    else:  # a roll by 0 or by the whole window, or by k forward or time - k backward
        expected = torch.full((time,), 1 / (time + 1))
        expected[0] *= 2
    counts = torch.bincount(wide)
    assert len(counts) == len(expected)
    assert stats.chisquare(counts, expected.double() / expected.double().sum() * 60_000).pvalue > P
    assert 0.48 < float(bench.draw(op, Spec.of(bench.windows()), 60_000)["backward"].float().mean()) < 0.52


# Splines


@pytest.mark.parametrize("knots", [k + 2 for k in KNOTS])
@pytest.mark.parametrize("time", [2, 3, 7, 64, 513])
def test_spline_equals_scipy(knots, time):
    values = torch.randn(20, knots, generator=torch.Generator().manual_seed(knots)).double()
    reference = CubicSpline(np.linspace(0, time - 1, knots), values, axis=1, bc_type="not-a-knot")(np.arange(time))
    np.testing.assert_allclose(spline(values, time), reference, atol=2e-5)
    np.testing.assert_allclose(spline(values.float(), time), reference, atol=2e-5)


def test_spline_known_answers():
    """It goes through its knots, reproduces a cubic, and is a straight line through two."""
    knots = torch.tensor([[1.0, -2.0, 5.0, 0.0, 3.0]])
    torch.testing.assert_close(spline(knots, 9)[:, ::2], knots, rtol=0, atol=1e-6)
    cubic = torch.linspace(-1, 1, 61)[None] ** 3
    torch.testing.assert_close(spline(torch.linspace(-1, 1, 6)[None] ** 3, 61), cubic, rtol=0, atol=1e-6)
    torch.testing.assert_close(spline(torch.tensor([[1.0, 3.0]]), 5), torch.tensor([[1.0, 1.5, 2.0, 2.5, 3.0]]))
    assert torch.equal(spline(torch.tensor([[7.0, 8.0]]), 1), torch.tensor([[7.0]]))


@pytest.mark.parametrize("knots", KNOTS)
def test_magnitude_warp_equals_scipy(bench, knots):
    windows = bench.windows((bench.acc, bench.ankle), 64, fill=lambda s, total, label: np.full((3, total), 2.0))
    op, spec = MagnitudeWarp(0.2, knots), Spec.of(windows)
    n = len(windows)
    params = bench.draw(op, spec, n)
    for name, x in op.apply(windows.gather(torch.arange(n)), params, spec).items():
        drawn = 1 + params[name].double()
        assert drawn.shape == (n, 3, knots + 2)
        time = x.shape[-1]
        reference = CubicSpline(np.linspace(0, time - 1, knots + 2), drawn, axis=2)(np.arange(time))
        np.testing.assert_allclose(x / 2, reference, atol=2e-6)


def test_magnitude_knots_are_normal_and_each_channel_has_its_own(bench):
    params = bench.draw(MagnitudeWarp(0.2), Spec.of(bench.windows()), 3000)
    values = torch.cat([params["wrist_acc"], params["wrist_gyro"]], 1)
    assert stats.kstest(values.flatten().double(), "norm", (0, 0.2)).pvalue > P
    rows = values.transpose(0, 1).flatten(1)
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 4.5 / rows.shape[1] ** 0.5


# Time warp


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


@pytest.mark.parametrize("knots", KNOTS)
@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_the_map_equals_scipy(bench, knots, sigma):
    params, at = maps(bench, TimeWarp(sigma, knots), 128)
    drawn = params["speed"].double()
    assert stats.kstest(drawn.flatten(), "norm", (0, sigma)).pvalue > P
    speed = np.maximum(1 + CubicSpline(np.linspace(0, 127, knots + 2), drawn, axis=1)(np.arange(128)), 0.1)
    travelled = cumulative_trapezoid(speed, axis=1, initial=0)
    np.testing.assert_allclose(at, travelled * (127 / travelled[:, -1:]), atol=1e-3)


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
    labels = torch.arange(64).expand(20, -1)
    assert torch.equal(op.apply_dense(labels, params), at.round().long())
    shift = Shifting(0.5)
    params, at = maps(bench, shift, 64, 20)
    assert torch.equal(shift.apply_dense(labels, params), at)


def test_warp_gather_known_answers():
    x = torch.tensor([[[0.0, 10.0, 20.0, 40.0], [1.0, 1.0, -1.0, 3.0]]])
    at = torch.tensor([[0.0, 0.5, 2.25, 3.0, 5.0, -1.0]])
    expected = torch.tensor([[[0.0, 5.0, 25.0, 40.0, 40.0, 0.0], [1.0, 1.0, 0.0, 3.0, 3.0, 1.0]]])
    torch.testing.assert_close(warp_gather(x, at), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(warp_gather(x.double(), at), expected.double(), rtol=0, atol=1e-6)


def test_warp_gather_equals_numpy():
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=(5, 3, 100)), rng.uniform(0, 99, (5, 40))
    expected = [[np.interp(places, np.arange(100), row) for row in rows] for rows, places in zip(x, at, strict=True)]
    np.testing.assert_allclose(warp_gather(torch.from_numpy(x), torch.from_numpy(at)), expected, atol=1e-9)


@pytest.mark.parametrize("op", [TimeWarp, MagnitudeWarp])
def test_knots_count_from_zero(op):
    with pytest.raises(UsageError, match="knots counts the values between the two ends, so it is at least 0; got -1"):
        op(knots=-1)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("time", [2, 33, 128])
def test_a_crop_is_a_straight_line_inside_the_window(bench, share, time):
    params, at = maps(bench, Cropping(share), time)
    assert float(at.min()) >= 0
    assert float(at.max()) <= time - 1 + 1e-4
    kept = (at[:, -1] - at[:, 0]) / (time - 1)
    torch.testing.assert_close(kept, 1 - params["cut"][:, 0], rtol=0, atol=1e-5)
    line = at[:, :1] + torch.linspace(0, 1, time) * (at[:, -1:] - at[:, :1])
    torch.testing.assert_close(at, line, rtol=0, atol=1e-4)
    assert stats.kstest((1 - kept).numpy() / share, "uniform").pvalue > 1e-3
    room = (1 - kept) * (time - 1)
    assert stats.kstest((at[:, 0] / room)[room > 1e-3].numpy(), "uniform").pvalue > 1e-3


def test_a_crop_by_hand(bench):
    params = {"cut": torch.tensor([[0.5], [0.5], [0.0]]), "place": torch.tensor([[0.0], [1.0], [0.7]])}
    at = Cropping(0.5).positions(params, 5)
    assert at.tolist() == [[0, 0.5, 1, 1.5, 2], [2, 2.5, 3, 3.5, 4], [0, 1, 2, 3, 4]]


def test_a_crop_is_the_same_stretch_of_time_for_a_fast_and_a_slow_sensor(bench):
    params, at = maps(bench, Cropping(0.5), 101)
    torch.testing.assert_close(Cropping(0.5).positions(params, 51) / 50, at[:, ::2] / 100, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("share", "assumed"), [(0.0, set()), (0.2, set()), (0.21, {"pace"}), (1.0, {"pace"})])
def test_a_hard_crop_assumes_that_pace_is_free(share, assumed):
    assert Cropping(share).assumes == assumed


@pytest.mark.parametrize("op", [Shifting, TimeWarp])
def test_only_a_warp_assumes_that_pace_is_free(op):
    assert op().assumes == ({"pace"} if op is TimeWarp else set())
