"""StepMix: the start of one window and the end of another."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.cutmix import StepMix

P = 0.001
N = 50_000


def test_both_ways_by_hand(bench):
    windows = bench.windows((bench.acc,), 8)
    own = {"wrist_acc": torch.arange(8.0).expand(2, 3, 8)}
    theirs = {"wrist_acc": 10 + own["wrist_acc"]}
    params = {"cut": torch.full((2, 1), 0.375), "place": torch.tensor([[0.0], [1.0]])}
    mixed, share = StepMix().mix(own, [theirs], params, Spec.of(windows))
    assert mixed["wrist_acc"][:, 1].tolist() == [[10, 11, 12, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 15, 16, 17]]
    assert share.tolist() == [0.625, 0.625]


def test_the_partner_gives_either_end_and_at_most_its_share(bench):
    time, op = 64, StepMix(0.5)
    start, length = op.block(bench.draw(op, Spec.of(bench.windows((bench.acc,), time)), N), time)
    at_start = start == 0
    assert bool((at_start | (start + length == time)).all())
    assert stats.binomtest(int(at_start.sum()), N).pvalue > P
    counts = torch.bincount(length[:, 0], minlength=33)
    counts[1] += counts[0]
    assert stats.chisquare(counts[1:]).pvalue > P  # U(0, 1/2) of 64 samples, rounded up: 1 to 32


def test_of_a_whole_share_half_is_kept(bench):
    windows = bench.windows(n=12)
    spec = Spec.of(windows)
    x = windows.gather(torch.zeros(N // 50, dtype=torch.int64))
    _, share = StepMix(1.0).mix(x, [x], bench.draw(StepMix(1.0), spec, N // 50), spec)
    assert float(share.mean()) == pytest.approx(0.5, abs=4 * 12**-0.5 / (N // 50) ** 0.5 + 1 / 128)
