"""PartialMixup: how many windows are mixed, and how."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.mixing import Mixup, PartialMixup

P = 0.001
N = 200_000


@pytest.mark.parametrize("share", [0.1, 0.41, 1.0])
def test_the_share_of_mixed_windows(bench, share):
    """Each window by itself: how many of 200 are mixed follows the binomial law, not a fixed count."""
    kept = bench.draw(PartialMixup(share), Spec.of(bench.windows((bench.acc,))), N)["share"]
    mixed = kept < 1
    # Beta(1, 1) in 65,536 quantiles, folded: about one in 65,536 is so close to 1 that it is 1.
    assert abs(int(mixed.sum()) - N * share) < 4 * (N * share * (1 - share)) ** 0.5 + 10
    if share < 1:
        counts = mixed.view(-1, 200).sum(1).double()
        assert float(counts.var()) == pytest.approx(200 * share * (1 - share), rel=0.2)


def test_mixed_windows_are_mixed_as_by_mixup(bench):
    spec = Spec.of(bench.windows((bench.acc,)))
    some = bench.draw(PartialMixup(0.5, alpha=0.4), spec, N)["share"]
    all_of_them = bench.draw(Mixup(0.4), spec, N, seed=1)["share"]
    assert stats.ks_2samp(some[some < 1].numpy(), all_of_them[all_of_them < 1].numpy()).pvalue > P


def test_whether_and_how_much_are_independent(bench):
    """With a share twice as large the windows that were mixed are mixed as before."""
    spec = Spec.of(bench.windows((bench.acc,)))
    few, more = (bench.draw(PartialMixup(share), spec, N)["share"] for share in (0.25, 0.5))
    assert torch.equal(few[few < 1], more[few < 1])
    assert float(few[few < 1].mean()) == pytest.approx(0.75, abs=0.003)


def test_windows_that_are_not_mixed_are_left_alone(bench):
    windows = bench.windows(n=300)
    batch, clean = bench.augment("none|partial_mixup(0.1, partner=other_class)", windows), windows.gather(torch.arange(300))
    hard = batch.targets["activity"].max(1).values == 1
    assert 240 < int(hard.sum()) < 295
    for name, x in batch.x.items():
        same = (x == clean[name]).flatten(1).all(1)
        assert torch.equal(same, hard)
