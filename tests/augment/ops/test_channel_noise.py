"""Bad channels."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.channel import ChannelNoise
from harkd.errors import UsageError


def test_bad_channels_get_noise_of_sigma_on_standardised_signals(bench):
    windows = bench.windows((bench.acc,), n=1200)
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))["wrist_acc"]
    noise = (bench.augment("channel_noise(0.3, sigma=2)", windows).x["wrist_acc"] - x) / spec.std("wrist_acc", x)
    bad = noise.ne(0).any(2)
    assert (bad.double().mean(0) - 0.3).abs().max() < 4 * (0.3 * 0.7 / len(x)) ** 0.5
    rows = noise[bad].double()
    assert bool((rows != 0).all())
    assert float(rows.std()) == pytest.approx(2, rel=0.02)
    assert abs(float(rows.mean())) < 4 * 2 / rows.numel() ** 0.5
    followed = (rows[:, 1:] * rows[:, :-1]).mean() / rows.square().mean()
    assert abs(float(followed)) < 4 / rows.numel() ** 0.5


def test_the_others_stay_as_they_are(bench):
    windows = bench.windows()
    x = windows.gather(torch.arange(len(windows)))
    moved = bench.augment("channel_noise(1, sigma=0)", windows).x
    assert all(torch.equal(moved[name], signal) for name, signal in x.items())


@pytest.mark.parametrize("sigma", [-0.1, float("inf"), float("nan")])
def test_a_sigma_that_means_nothing_is_refused(sigma):
    with pytest.raises(UsageError, match=f"ChannelNoise: sigma is a finite number from 0 up; got {sigma}"):
        ChannelNoise(sigma=sigma)
