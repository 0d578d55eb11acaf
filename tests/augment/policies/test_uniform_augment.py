"""N different ops, each with probability one half, at any magnitude."""

from __future__ import annotations

import torch
from scipy import stats

from .conftest import POOL


def test_the_number_of_ops_is_binomial_and_none_comes_twice(bench, many, seen):
    bench.augment(f"uniform_augment({POOL}, n=3)", many)
    met = seen.counts(len(many))
    total = torch.bincount(sum(met.values()), minlength=4).double()
    assert max(int(count.max()) for count in met.values()) == 1
    assert stats.chisquare(total, len(many) * torch.tensor([1.0, 3.0, 3.0, 1.0]).double() / 8).pvalue > 0.001


def test_magnitudes_are_uniform(bench, many, seen):
    bench.augment(f"uniform_augment({POOL})", many)
    assert stats.kstest(seen.magnitudes().double(), "uniform").pvalue > 0.001
