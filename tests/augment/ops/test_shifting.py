"""Shifting, against NumPy's roll."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.warp import Shifting

P = 0.001


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
    params = bench.draw(op, Spec.of(bench.windows()), 60_000)
    longest = int(share * time)
    step = -op.positions(params, time)[:, 0] % time
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
    assert 0.48 < float(params["backward"].float().mean()) < 0.52


def test_dense_labels_are_rolled_too(bench):
    op = Shifting(0.5)
    params = bench.draw(op, Spec.of(bench.windows()), 20)
    assert torch.equal(op.apply_dense(torch.arange(64).expand(20, -1), params), op.positions(params, 64))
    assert op.assumes == frozenset()
