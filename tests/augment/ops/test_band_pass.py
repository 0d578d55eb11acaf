"""BandPass: a band and the offset stay."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.bands import BandPass
from harkd.errors import UsageError


def test_the_edges_are_worked_out():
    """2 to 10 Hz with edges of 1 Hz; 0.4 to 10 Hz, whose lower edge ends at the offset; all frequencies."""
    hertz = torch.tensor([0.0, 0.2, 0.4, 1.0, 1.5, 2.0, 10.0, 10.5, 11.0])
    params = {"below": torch.tensor([[2.0], [0.4], [0.0]]), "above": torch.tensor([[10.0], [10.0], [25.0]])}
    expected = torch.tensor([[0, 1, 1, 1, 0.5, 0, 0, 0.5, 1], [0, 0.5, 0, 0, 0, 0, 0, 0.5, 1], [0.0] * 9])
    torch.testing.assert_close(BandPass().removed(params, hertz), expected, rtol=0, atol=1e-6)


def test_the_band_and_gravity_stay(bench):
    """Cosines of whole periods at 0.4, 4 and 16 Hz around an offset; the band is 1.4 to 8 Hz."""
    spec = Spec.of(bench.windows((bench.acc,), 125))
    at = torch.arange(125, dtype=torch.float64) / 125
    waves = [torch.cos(2 * math.pi * k * at).expand(1, 3, -1) for k in (0, 1, 10, 40)]
    params = {"below": torch.tensor([[1.4]]), "above": torch.tensor([[8.0]])}
    kept = BandPass().apply({"wrist_acc": sum(waves)}, params, spec)["wrist_acc"]
    torch.testing.assert_close(kept, waves[0] + waves[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("cutoff", "low"), [(0.25, 1.0), (0.6, 4.0)])
def test_both_cut_offs_are_uniform_and_independent(bench, cutoff, low):
    params = bench.draw(BandPass(cutoff, low), Spec.of(bench.windows((bench.acc,))), 5000)
    above, below = params["above"][:, 0].double(), params["below"][:, 0].double()
    assert stats.kstest(above, "uniform", (25 * cutoff, 25 * (1 - cutoff))).pvalue > 0.001
    assert stats.kstest(below, "uniform", (0, low * (1 - cutoff))).pvalue > 0.001
    assert stats.spearmanr(above, below).pvalue > 0.001


@pytest.mark.parametrize("low", [-0.1, float("nan"), float("inf")])
def test_a_low_that_is_no_frequency_is_refused(low):
    with pytest.raises(UsageError, match=f"BandPass: low is a frequency in Hz, from 0 up; got {low}"):
        BandPass(low=low)
