"""CutMix: one block of the partner, and a label that says exactly how much of the window it is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.cutmix import CutMix

P = 0.001
N = 100_000


def zeros_and_ones(windows, n):
    """Windows of zeros, and partners of ones: what is taken can be counted."""
    x = windows.gather(torch.zeros(n, dtype=torch.int64))
    return {k: torch.zeros_like(v) for k, v in x.items()}, {k: torch.ones_like(v) for k, v in x.items()}


def test_a_block_by_hand(bench):
    """0.26 of 10 samples are 3, rounded up; there are 8 places for them, and the middle of [0, 1) is the fifth."""
    windows = bench.windows((bench.acc,), 10)
    own, theirs = zeros_and_ones(windows, 1)
    params = {"cut": torch.tensor([[0.26]]), "place": torch.tensor([[0.5]])}
    mixed, share = CutMix().mix(own, [theirs], params, Spec.of(windows))
    assert mixed["wrist_acc"][0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 0, 0, 0]] * 3
    assert share.tolist() == [pytest.approx(0.7, abs=1e-7)]


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65, 513])
def test_the_label_weight_is_the_measured_share_exactly(bench, length):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle, bench.body), length)
    spec = Spec.of(windows)
    own, theirs = zeros_and_ones(windows, 200)
    mixed, share = CutMix(1.0).mix(own, [theirs], bench.draw(CutMix(1.0), spec, 200), spec)
    values = torch.cat([x.flatten(1) for x in mixed.values()], 1)
    assert torch.equal(share, (values == 0).sum(1) / values.shape[1])
    assert share.dtype == torch.float32
    for x in mixed.values():
        assert torch.equal(x, x[:, :1].expand_as(x))  # all channels alike
        edges = (x[:, 0].diff(dim=1) != 0).sum(1) + x[:, 0, 0] + x[:, 0, -1]
        assert bool((edges <= 2).all())  # one block


@pytest.mark.parametrize("alpha", [0.4, 1.0, 2.0])
def test_the_length_of_the_block_follows_the_beta_law(bench, alpha):
    """ceil(cut * L), cut from Beta(alpha, alpha); at the share of 1 half of the window is kept in the mean."""
    time = 64
    op = CutMix(1.0, alpha)
    params = bench.draw(op, Spec.of(bench.windows((bench.acc,), time)), N)
    _, length = op.block(params, time)
    law = stats.beta(alpha, alpha)
    chance = torch.from_numpy(law.cdf([(k + 1) / time for k in range(time)]) - law.cdf([k / time for k in range(time)]))
    counts = torch.bincount(length[:, 0], minlength=time + 1)
    counts[1] += counts[0]  # cuts too small for float32
    assert stats.chisquare(counts[1:], chance / chance.sum() * N).pvalue > P
    assert float(params["cut"].mean()) == pytest.approx(0.5, abs=4 * law.std() / N**0.5)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_at_most_the_share_is_cut(bench, share):
    op = CutMix(share)
    _, length = op.block(bench.draw(op, Spec.of(bench.windows((bench.acc,), 64)), N), 64)
    assert int(length.max()) == 64 * share


def test_every_place_is_equally_likely(bench):
    op = CutMix()
    spec = Spec.of(bench.windows((bench.acc,), 20))
    start, length = op.block({**bench.draw(op, spec, N), "cut": torch.full((N, 1), 0.25)}, 20)
    assert length.unique().tolist() == [5]
    assert stats.chisquare(torch.bincount(start[:, 0], minlength=16)).pvalue > P


def test_sensors_of_any_rate_lose_the_same_stretch(bench):
    """On [0, 1] the blocks of two rates begin and end within a sample of the slower one of each other."""
    windows = bench.windows((bench.acc, bench.ankle), 100)
    params = bench.draw(CutMix(1.0), Spec.of(windows), 10_000)
    (start, length), (slow_start, slow_length) = (CutMix().block(params, time) for time in (100, 50))
    assert bool((slow_start / 50 - start / 100).abs().le(1 / 50 + 1e-6).all())
    assert bool(((slow_start + slow_length) / 50 - (start + length) / 100).abs().le(1 / 50 + 1e-6).all())


@pytest.mark.parametrize("time", [1, 3, 100, 512])
def test_whole_shares_are_whole_numbers_of_samples(time):
    """A cut of k / L is k samples, whatever float32 makes of it."""
    cut = torch.arange(time + 1)[:, None] / time
    _, length = CutMix().block({"cut": cut, "place": torch.zeros_like(cut)}, time)
    assert length[:, 0].tolist() == [math.ceil(k) for k in range(time + 1)]


def test_values_are_taken_as_they_are(bench):
    windows = bench.windows(n=60)
    spec, index = Spec.of(windows), torch.arange(60)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    params = bench.draw(CutMix(), spec, 60)
    mixed, _ = CutMix().mix(x, [other], params, spec)
    same, share = replace(CutMix(), alpha=2.0).mix(x, [x], params, spec)
    for name, moved in mixed.items():
        assert bool(((moved == x[name]) | (moved == other[name])).all())
        assert torch.equal(same[name], x[name])
    assert 0.6 < float(share.mean()) < 0.85
