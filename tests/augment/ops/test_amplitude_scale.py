"""`ChannelGain` with the range and the sharing of EEG."""

from __future__ import annotations

import torch
from scipy.stats import kstest

from harkd.augment import Draws, Spec
from harkd.augment.eeg import AmplitudeScale


def test_gains_are_uniform_on_a_logarithmic_scale_from_a_half_to_2(bench):
    windows = bench.windows((bench.eeg(4),), n=2000)
    x, moved = windows.gather(torch.arange(len(windows)))["cap"], bench.augment("amplitude_scale(2)", windows).x["cap"]
    gain = (moved / x)[:, 0, 0].log2()
    assert kstest(gain.numpy(), "uniform", (-1, 2)).pvalue > 0.01


def test_one_gain_for_a_sensor_or_one_for_each_channel(bench):
    windows = bench.windows((bench.eeg(4), bench.acc))
    x = windows.gather(torch.arange(len(windows)))
    for share, gains in (("sensor", 1), ("channel", 4)):
        moved = bench.augment(f"amplitude_scale(2, share={share})", windows).x
        ratio = moved["cap"] / x["cap"]
        torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio))
        assert len(ratio[0, :, 0].log2().mul(1000).round().unique()) == gains
        assert not torch.equal(ratio[:, 0, 0], (moved["wrist_acc"] / x["wrist_acc"])[:, 0, 0])


def test_the_ends_are_the_factor_and_the_middle_is_1(bench):
    spec = Spec.of(bench.windows((bench.eeg(1),)))
    words = torch.tensor([[0], [-(2**63)], [-1]])  # uniforms 0, 1/2 and just below 1
    gains = AmplitudeScale(3.0).sample(Draws(words), spec)["cap"][:, 0]
    torch.testing.assert_close(gains, torch.tensor([1 / 3, 1.0, 3.0]), rtol=1e-6, atol=0)
