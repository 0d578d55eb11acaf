"""Random sampling: samples are lost, and straight lines drawn between the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.segments import RandomSampling


@pytest.mark.parametrize("share", [0.0, 0.28, 0.9, 1.0])
@pytest.mark.parametrize("time", [1, 2, 7, 128])
def test_it_equals_the_published_idiom(bench, share, time):
    """Um et al.: np.interp between the samples that are kept, of which the first and the last are two."""
    op, spec = RandomSampling(share), Spec.of(bench.windows())
    params = bench.draw(op, spec, 50)
    x = torch.randn(50, 3, time, generator=torch.Generator().manual_seed(0)).double()
    moved = op.apply({"wrist_acc": x}, params, spec)["wrist_acc"]
    before, after = op.neighbours(params, time)
    each = np.arange(time)
    for i in range(50):
        kept = np.flatnonzero(before[i].numpy() == each)
        assert {0, time - 1} <= set(kept.tolist())
        assert np.array_equal(kept, np.flatnonzero(after[i].numpy() == each))
        expected = [np.interp(each, kept, row[kept]) for row in x[i].numpy()]
        np.testing.assert_allclose(moved[i], expected, atol=1e-6)
        np.testing.assert_array_equal(moved[i][:, kept], x[i][:, kept])


def test_the_share_is_kept_and_every_sample_has_the_same_chance(bench):
    op, spec = RandomSampling(0.28), Spec.of(bench.windows())
    before, _ = op.neighbours(bench.draw(op, spec, 20_000), 102)
    kept = (before == torch.arange(102))[:, 1:-1].double()
    assert stats.binomtest(int(kept.sum()), kept.numel(), 0.28).pvalue > 0.001
    assert stats.chisquare(kept.sum(0)).pvalue > 0.001
    pairs = np.corrcoef(kept.T) - np.eye(100)
    assert np.abs(pairs).max() < 5 / 20_000**0.5


def test_sensors_of_one_length_keep_the_same_samples(bench):
    op, spec = RandomSampling(0.28), Spec.of(bench.windows())
    x = torch.randn(30, 3, 64, generator=torch.Generator().manual_seed(0))
    moved = op.apply({"wrist_acc": x, "wrist_gyro": 2 * x}, bench.draw(op, spec, 30), spec)
    torch.testing.assert_close(moved["wrist_gyro"], 2 * moved["wrist_acc"])
    assert not torch.equal(moved["wrist_acc"], x)
