"""One op, any magnitude."""

from __future__ import annotations

import torch
from scipy import stats

from .conftest import POOL


def test_one_op_each_with_equal_chances(bench, many, seen):
    bench.augment(f"trivial({POOL})", many)
    met = seen.counts(len(many))
    assert torch.equal(sum(met.values()), torch.ones(len(many), dtype=torch.int64))
    assert stats.chisquare([int(count.sum()) for count in met.values()]).pvalue > 0.001


def test_magnitudes_are_uniform_whatever_the_op(bench, many, seen):
    bench.augment(f"trivial({POOL})", many)
    for name in ("jitter", "rotate"):
        assert stats.kstest(seen.magnitudes(name).double(), "uniform").pvalue > 0.001


def test_p_leaves_windows_out(bench, many, seen):
    bench.augment(f"trivial({POOL}, p=0.25)", many)
    assert abs(sum(int(c.sum()) for c in seen.counts(len(many)).values()) / len(many) - 0.25) < 0.03


def test_an_op_that_is_done_or_not_done_is_done_more_often_at_a_greater_magnitude(bench, many):
    """Mixed magnitudes: half of all draws of reverse are done on average."""
    x = bench.augment("trivial(reverse())", many).x["wrist_acc"]
    clean = many.gather(torch.arange(len(many)))["wrist_acc"]
    reversed_ = (x == clean.flip(2)).flatten(1).all(1)
    assert bool((reversed_ | (x == clean).flatten(1).all(1)).all())
    assert abs(float(reversed_.float().mean()) - 0.5) < 0.03
