"""Erasing: a block of channels and time, and what is put there."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.erasing import Erasing

P = 0.001


def struck(bench, op, sensors, n=600, length=32):
    """Windows before and after, all sensors of one rate one below the other, and what changed."""
    windows = bench.windows(sensors, length, n=n)
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    moved = op.apply(x, bench.draw(op, spec, len(windows)), spec)
    clean, new = torch.cat([*x.values()], 1), torch.cat([*moved.values()], 1)
    return clean, new, new != clean, spec


@pytest.mark.parametrize("op", [Erasing(0.4), Erasing(1.0), Erasing(0.4, fill="mean")])
def test_one_block_is_replaced(bench, op):
    """Changed is a rectangle: a run of channels, which may cross sensors, times a run of samples."""
    _, _, gone, _ = struck(bench, op, (bench.acc, bench.gyro))
    rows, columns = gone.any(2), gone.any(1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None])
    for run in (rows, columns):
        assert int(((run[:, 1:] & ~run[:, :-1]).sum(1) + run[:, 0]).max()) == 1
    assert int(columns.sum(1).max()) == int(op.share * 32)
    assert int(rows.sum(1).max()) == 6
    assert bool((rows[:, 2] & rows[:, 3] & ~rows[:, 0]).any())  # from the middle of one sensor to the next


def test_sizes_and_places_are_uniform(bench):
    op, spec, n = Erasing(0.5), Spec.of(bench.windows()), 60_000
    params = bench.draw(op, spec, n)
    assert stats.chisquare(torch.bincount(params["wide"])[1:]).pvalue > P
    for wide in (1, 4, 6):
        first = torch.bincount(params["first"][params["wide"] == wide])
        assert len(first) == 7 - wide
        assert stats.chisquare(first).pvalue > P if wide < 6 else True
    assert stats.kstest(params["length"][:, 0].double(), "uniform").pvalue > P
    assert stats.kstest(params["place"][:, 0].double(), "uniform").pvalue > P


def test_the_noise_looks_like_the_training_windows(bench):
    clean, new, gone, spec = struck(bench, Erasing(1.0), (bench.acc, bench.gyro), n=1200, length=64)
    mean = torch.cat([spec.mean(name, new) for name in spec.sensors])
    std = torch.cat([spec.std(name, new) for name in spec.sensors])
    noise = ((new - mean) / std)[gone].double()
    assert stats.kstest(noise, "norm").pvalue > P
    assert abs(float(torch.corrcoef(torch.stack([noise, ((clean - mean) / std)[gone].double()]))[0, 1])) < 4 / len(noise) ** 0.5


def test_the_mean_is_put_in(bench):
    _, new, gone, spec = struck(bench, Erasing(0.4, fill="mean"), (bench.acc, bench.gyro))
    mean = torch.cat([spec.mean(name, new) for name in spec.sensors])
    assert torch.equal(new[gone], mean.expand_as(new)[gone])


def test_sensors_of_two_rates_lose_the_same_time(bench):
    windows = bench.windows((bench.acc, bench.ankle), 400, n=600)
    op, spec, n = Erasing(0.5, fill="mean"), Spec.of(windows), len(windows)
    x = windows.gather(torch.arange(n))
    moved = op.apply(x, bench.draw(op, spec, n), spec)
    fast, slow = ((moved[name] != x[name]).any(1) for name in x)
    both = fast.any(1) & slow.any(1)
    assert int(both.sum()) > 200
    starts = fast[both].float().argmax(1) / 400, slow[both].float().argmax(1) / 200
    assert float((starts[0] - starts[1]).abs().max()) <= 2 / 200
