"""Gains that differ."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest

from harkd.augment import Spec
from harkd.augment.channel import ChannelGain


def gains(bench, op, n=3000):
    drawn = bench.draw(op, Spec.of(bench.windows((bench.acc, bench.gyro))), n)
    return torch.cat([drawn["wrist_acc"], drawn["wrist_gyro"]], 1).double()


def test_gains_are_log_uniform_between_the_factor_and_its_inverse(bench):
    logs = gains(bench, ChannelGain(1.25)).log() / math.log(1.25)
    assert logs.shape == (3000, 6)
    assert logs.abs().max() < 1 + 1e-5
    for channel in logs.T:
        assert kstest(channel.numpy(), "uniform", (-1, 2)).pvalue > 0.001
    assert torch.corrcoef(logs.T).fill_diagonal_(0).abs().max() < 4 / 3000**0.5


@pytest.mark.parametrize("share", ["channel", "sensor"])
def test_signals_are_multiplied(bench, share):
    windows = bench.windows()
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment(f"channel_gain(2, share={share})", windows).x
    for name, signal in x.items():
        gain = moved[name] / signal
        torch.testing.assert_close(gain, gain[:, :, :1].expand_as(gain))
        assert torch.allclose(gain, gain[:, :1].expand_as(gain)) == (share == "sensor")
        assert len(gain[:, 0, 0].unique()) == len(windows)


def test_strength_is_geometric():
    assert ChannelGain().at(0.5).factor == pytest.approx(2**0.5)
    assert ChannelGain(4.0).scaled(0.5).factor == pytest.approx(2.0)


def test_large_gains_assume_that_amplitude_does_not_matter():
    assert ChannelGain().assumes == ChannelGain(1.25).assumes == frozenset()
    assert ChannelGain(1.3).assumes == {"amplitude"}
