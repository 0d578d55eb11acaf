"""Mixup: shares and mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.keys import bits
from harkd.augment.mixing import Mixup, beta

P = 0.001
N = 200_000


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.75, 1.0, 2.0])
def test_shares_come_from_the_beta_distribution(alpha):
    values = beta(bits(torch.tensor(1), N), alpha).double().numpy()
    law = stats.beta(alpha, alpha)
    # A small alpha puts many values so close to 1 that float32 makes them 1, so the law is tested in the lower half and in bins.
    lower = values[values < 0.5]
    assert stats.kstest(lower, lambda x: law.cdf(x) / 0.5).pvalue > P
    counts = np.histogram(values, law.ppf(np.linspace(0, 1, 17)))[0]
    assert stats.chisquare(counts).pvalue > P
    assert values.mean() == pytest.approx(0.5, abs=4 * law.std() / N**0.5)
    assert values.std() == pytest.approx(law.std(), rel=0.005)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 100.0, 1e6])
def test_extreme_alphas_give_shares(alpha):
    values = beta(bits(torch.tensor(1), 1000), alpha)
    assert bool(((values >= 0) & (values <= 1)).all())
    assert float(values.double().std()) == pytest.approx(stats.beta(alpha, alpha).std(), rel=0.1)


def test_of_alpha_0_only_the_ends_are_left():
    values = beta(bits(torch.tensor(1), N), 0.0)
    assert values.unique().tolist() == [0, 1]
    assert stats.binomtest(int(values.sum()), N).pvalue > P


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0])
def test_the_window_stays_the_greater_part(bench, alpha):
    share = bench.draw(Mixup(alpha), Spec.of(bench.windows((bench.acc,))), N)["share"].double()
    assert float(share.min()) >= 0.5
    assert float(share.max()) <= 1.0
    law = stats.beta(alpha, alpha)
    grid = (np.arange(200_000) + 0.5) / 200_000
    quantiles = law.ppf(grid)
    expected = np.maximum(quantiles, 1 - quantiles).mean()  # E max(l, 1 - l)
    assert float(share.mean()) == pytest.approx(expected, abs=4 * float(share.std()) / N**0.5)
    assert 0.5 < expected < 1
    if alpha == 1:
        assert expected == pytest.approx(0.75, abs=1e-6)


def test_a_mixture_by_hand(bench):
    spec = Spec.of(bench.windows((bench.acc,)))
    x, other = torch.full((3, 3, 4), 10.0), torch.full((3, 3, 4), 2.0)
    mixed, share = Mixup().mix({"wrist_acc": x}, [{"wrist_acc": other}], {"share": torch.tensor([1.0, 0.75, 0.5])}, spec)
    assert mixed["wrist_acc"][:, 0, 0].tolist() == [10, 8, 6]
    assert share.tolist() == [1, 0.75, 0.5]


def test_a_mixture_lies_between_window_and_partner(bench):
    windows = bench.windows(n=120)
    spec, index = Spec.of(windows), torch.arange(120)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    params = bench.draw(Mixup(1.0), spec, 120)
    mixed, share = Mixup(1.0).mix(x, [other], params, spec)
    assert torch.equal(share, params["share"])
    for name, moved in mixed.items():
        low, high = torch.minimum(x[name], other[name]), torch.maximum(x[name], other[name])
        assert bool(((moved >= low - 1e-6) & (moved <= high + 1e-6)).all())
        torch.testing.assert_close(moved - other[name], share[:, None, None] * (x[name] - other[name]), rtol=1e-5, atol=1e-5)
