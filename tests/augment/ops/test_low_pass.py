"""LowPass: what lies above a cut-off is gone."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.bands import LowPass


def test_the_edge_is_a_raised_cosine_of_1_hz():
    hertz = torch.tensor([0.0, 9.0, 10.0, 10.25, 10.5, 11.0, 25.0])
    gone = LowPass().removed({"above": torch.tensor([[10.0], [25.0]])}, hertz)
    steep = torch.tensor([0, 0, 0, math.sin(math.pi / 8) ** 2, 0.5, 1, 1])
    torch.testing.assert_close(gone, torch.stack([steep, torch.zeros(7)]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [250, 251])
def test_whole_periods_stay_or_go(bench, length):
    """Cosines of whole periods at 2, 5 and 12 Hz around an offset; the cut-off is at 6 Hz."""
    spec = Spec.of(bench.windows((bench.acc,), length))
    at = torch.arange(length, dtype=torch.float64) / length
    waves = [torch.cos(2 * math.pi * k * at).expand(1, 3, -1) for k in (0, 10, 25, 60)]
    kept = LowPass().apply({"wrist_acc": sum(waves)}, {"above": torch.tensor([[6.0]])}, spec)["wrist_acc"]
    torch.testing.assert_close(kept, waves[0] + waves[1] + waves[2], rtol=0, atol=1e-9)


def test_all_sensors_lose_the_same_frequencies(bench):
    windows = bench.windows((bench.acc, bench.ankle), 256, n=48)
    spec, op = Spec.of(windows), LowPass()
    x = windows.gather(torch.arange(len(windows)))
    params = bench.draw(op, spec, len(windows))
    y = op.apply(x, params, spec)
    for name, signal in y.items():
        hertz = torch.arange(signal.shape[-1] // 2 + 1) * spec.sensors[name].rate / signal.shape[-1]
        kept = torch.fft.rfft(signal).abs() / torch.fft.rfft(x[name]).abs()
        assert float((kept - 1).abs()[(hertz <= params["above"])[:, None].expand_as(kept)].max()) < 1e-3
        assert float(kept[(hertz >= params["above"] + 1)[:, None].expand_as(kept)].max()) < 1e-3


@pytest.mark.parametrize("cutoff", [0.25, 0.8])
def test_cut_offs_are_uniform(bench, cutoff):
    above = bench.draw(LowPass(cutoff), Spec.of(bench.windows((bench.ankle, bench.acc))), 5000)["above"][:, 0].double()
    assert stats.kstest(above, "uniform", (25 * cutoff, 25 * (1 - cutoff))).pvalue > 0.001
