"""Noise injection: white noise whose level is drawn for each window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.jitter import NoiseInjection

N = 1_000_000


@pytest.fixture
def spec(bench) -> Spec:
    return Spec.of(bench.windows())


@pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])
def test_the_level_is_what_was_drawn(bench, spec, exact):
    """Sample standard deviation within 1 % of sigma_i, in units of each channel's spread, over a million values."""
    op = NoiseInjection(0.2, exact)
    params = bench.draw(op, spec, 3)
    moved = op.apply({name: torch.zeros(3, 3, N // 3) for name in spec.sensors}, params, spec)
    for name, x in moved.items():
        standard = (x / spec.std(name, x)).double()
        np.testing.assert_allclose(standard.flatten(1).std(1), params["sigma"][:, 0], rtol=0.01)
        np.testing.assert_allclose(standard.std(2), params["sigma"].expand(-1, 3), rtol=0.01)
        assert float(standard.mean().abs()) < 4 * 0.2 / N**0.5


def test_levels_are_uniform(bench, spec):
    sigma = bench.draw(NoiseInjection(0.2), spec, 20_000)["sigma"][:, 0]
    assert stats.kstest(sigma.double(), "uniform", (0, 0.2)).pvalue > 0.001


def test_exact_noise_and_the_bank_differ_but_share_their_levels(bench, spec):
    bank, exact = NoiseInjection(0.2), NoiseInjection(0.2, exact=True)
    a, b = bench.draw(bank, spec, 5), bench.draw(exact, spec, 5)
    assert torch.equal(a["sigma"], b["sigma"])
    x = {name: torch.zeros(5, 3, 64) for name in spec.sensors}
    assert not torch.equal(bank.apply(x, a, spec)["wrist_acc"], exact.apply(x, b, spec)["wrist_acc"])
