"""Smooth time mask, against braindecode's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit

from harkd.augment import Spec
from harkd.augment.mask import SmoothTimeMask


@pytest.mark.parametrize(("share", "time"), [(0.1, 1000), (0.1, 64), (0.5, 513), (1.0, 33)])
def test_it_equals_braindecode(bench, share, time):
    """Its mask: sigmoid(-s (t - start)) + sigmoid(s (t - start - length)), s = 1000 / T, from 1 to 0 and back."""
    op, spec = SmoothTimeMask(share, fill="zero"), Spec.of(bench.windows())
    params = bench.draw(op, spec, 50)
    t, start = np.arange(time), params["start"].double().numpy() * time
    expected = expit(-1000 / time * (t - start)) + expit(1000 / time * (t - start - share * time))
    x = torch.randn(50, 3, time, generator=torch.Generator().manual_seed(0))
    moved = op.apply({"wrist_acc": x}, params, spec)["wrist_acc"]
    np.testing.assert_allclose(moved, x.numpy() * expected[:, None], atol=5e-4)


def test_the_middle_is_the_mean_and_the_rest_untouched(bench):
    windows = bench.windows((bench.acc,), 1000, n=24)
    op, spec, n = SmoothTimeMask(0.2), Spec.of(windows), len(windows)
    x, params = windows.gather(torch.arange(n)), bench.draw(op, spec, n)
    moved, clean = op.apply(x, params, spec)["wrist_acc"], x["wrist_acc"]
    since = torch.arange(1000) / 1000 - params["start"]
    untouched = ((since < -0.03) | (since > 0.23))[:, None].expand_as(clean)
    gone = ((since > 0.03) & (since < 0.17))[:, None].expand_as(clean)
    assert torch.equal(moved[untouched], clean[untouched])
    torch.testing.assert_close(moved[gone], spec.mean("wrist_acc", clean).expand_as(clean)[gone], rtol=1e-5, atol=0)


def test_places_are_uniform(bench):
    start = bench.draw(SmoothTimeMask(0.3), Spec.of(bench.windows()), 20_000)["start"]
    assert stats.kstest(start[:, 0].double(), "uniform", (0, 0.7)).pvalue > 0.001
