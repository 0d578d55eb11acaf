"""FreqMask: random frequencies are gone."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.frequency import FreqMask


@pytest.mark.parametrize("length", [64, 65])
def test_the_drawn_frequencies_go_and_the_others_stay(bench, length):
    """In all channels of all sensors: bin k is the same frequency whatever the rate."""
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), length)
    spec, op = Spec.of(windows), FreqMask(0.5)
    x = windows.gather(torch.arange(len(windows)))
    params = bench.draw(op, spec, len(windows))
    for name, signal in op.apply(x, params, spec).items():
        before, after = torch.fft.rfft(x[name]), torch.fft.rfft(signal)
        bins = signal.shape[-1] // 2
        gone = torch.nn.functional.pad(params["gone"][:, :bins], (1, 0))[:, None].expand_as(before)
        assert gone.any()
        assert float(after[gone].abs().max()) < 1e-4
        torch.testing.assert_close(after[~gone], before[~gone], rtol=0, atol=1e-4)


def test_gravity_stays(bench):
    windows = bench.windows((bench.acc,))
    clean = windows.gather(torch.arange(len(windows)))["wrist_acc"].mean(-1)
    torch.testing.assert_close(bench.augment("freq_mask(1)", windows).x["wrist_acc"].mean(-1), clean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.5, 1.0, 0.1])
def test_a_fifth_of_the_share_up_to_the_share_goes(bench, share):
    """With very many bins, the share of a window is the one that was drawn."""
    spec = Spec.of(bench.windows((bench.acc,), 8192, n=4, classes=2, subjects=2))
    gone = bench.draw(FreqMask(share), spec, 800)["gone"].double().mean(1)
    assert stats.kstest(gone, "uniform", (share / 5, share * 0.8)).pvalue > 0.001


def test_frequencies_are_chosen_alike_and_one_by_one(bench):
    gone = bench.draw(FreqMask(0.5), Spec.of(bench.windows((bench.acc,), 64)), 20_000)["gone"].double()
    assert gone.shape[1] == 32
    torch.testing.assert_close(gone.mean(0), torch.full((32,), 0.3, dtype=torch.float64), rtol=0, atol=0.015)
