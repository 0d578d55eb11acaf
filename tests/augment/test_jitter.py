"""Noise and gain on designed signals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.jitter import Jitter, NoiseInjection, Scaling
from harkd.augment.keys import exact_noise, white_noise
from harkd.datasets import Statistics

N = 1_000_000
STD = {"wrist_acc": torch.tensor([0.5, 1.0, 4.0]), "wrist_gyro": torch.tensor([10.0, 0.1, 2.0])}


@pytest.fixture
def spec(bench) -> Spec:
    sensors = {"wrist_acc": bench.acc, "wrist_gyro": bench.gyro}
    return Spec(sensors, {"wrist_acc": 64, "wrist_gyro": 64}, Statistics({n: torch.zeros(3) for n in STD}, STD))


def zeros(batch: int, time: int) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(batch, 3, time) for name in STD}


@pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])
def test_the_level_is_what_was_drawn(bench, spec, exact):
    """Sample standard deviation within 1 % of sigma_i, in units of each channel's spread, over a million values."""
    op = NoiseInjection(0.2, exact)
    params = bench.draw(op, spec, 3)
    moved = op.apply(zeros(3, N // 3), params, spec)
    for name, x in moved.items():
        standard = (x / STD[name][:, None]).double()
        np.testing.assert_allclose(standard.flatten(1).std(1), params["sigma"][:, 0], rtol=0.01)
        np.testing.assert_allclose(standard.std(2), params["sigma"].expand(-1, 3), rtol=0.01)
        assert float(standard.mean().abs()) < 4 * 0.2 / N**0.5


@pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])
def test_jitter_has_the_level_that_it_says(bench, spec, exact):
    op = Jitter(0.05, exact)
    for name, x in op.apply(zeros(1, N // 3), bench.draw(op, spec, 1), spec).items():
        assert float((x / STD[name][:, None]).double().std()) == pytest.approx(0.05, rel=0.01)


def test_noise_is_added_to_the_signal(bench, spec):
    op = Jitter(0.05)
    params = bench.draw(op, spec, 4)
    noise = op.apply(zeros(4, 64), params, spec)
    x = {name: torch.randn(4, 3, 64, generator=torch.Generator().manual_seed(1)) for name in STD}
    for name, moved in op.apply(x, params, spec).items():
        torch.testing.assert_close(moved, x[name] + noise[name], rtol=1e-6, atol=1e-6)


def test_levels_are_uniform(bench, spec):
    sigma = bench.draw(NoiseInjection(0.2), spec, 20_000)["sigma"][:, 0]
    assert stats.kstest(sigma.double(), "uniform", (0, 0.2)).pvalue > 0.001


@pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])
def test_channels_sensors_and_windows_have_noise_of_their_own(bench, spec, exact):
    op = Jitter(1.0, exact)
    moved = op.apply(zeros(4, 4096), bench.draw(op, spec, 4), spec)
    rows = torch.cat([moved["wrist_acc"], moved["wrist_gyro"]], 1).flatten(0, 1)
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() * 4096**0.5 < 4.5


def test_exact_noise_and_the_bank_differ_but_share_their_levels(bench, spec):
    bank, exact = NoiseInjection(0.2), NoiseInjection(0.2, exact=True)
    a, b = bench.draw(bank, spec, 5), bench.draw(exact, spec, 5)
    assert torch.equal(a["sigma"], b["sigma"])
    moved = bank.apply(zeros(5, 64), a, spec), exact.apply(zeros(5, 64), b, spec)
    assert not torch.equal(moved[0]["wrist_acc"], moved[1]["wrist_acc"])


@pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])
def test_each_sensor_has_a_word_for_its_noise(bench, spec, exact):
    """The k-th word is that of the k-th sensor; its noise runs through the channels, one after the other."""
    op = Jitter(0.1, exact)
    params = bench.draw(op, spec, 3)
    for k, (name, x) in enumerate(op.apply(zeros(3, 64), params, spec).items()):
        rows = (exact_noise if exact else white_noise)(params["words"][:, k], 3 * 64)
        torch.testing.assert_close(x, 0.1 * STD[name][:, None] * rows.view(3, 3, 64))


def test_a_sensor_keeps_its_noise_when_seen_alone(bench, spec):
    op = Jitter(0.1)
    params = bench.draw(op, spec, 3)
    both, alone = op.apply(zeros(3, 64), params, spec), op.apply({"wrist_gyro": torch.zeros(3, 3, 64)}, params, spec)
    assert torch.equal(both["wrist_gyro"], alone["wrist_gyro"])


def test_gain_is_constant_over_time_and_differs_between_channels(bench):
    windows = bench.windows()
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment("scaling(0.1)", windows).x
    for name, x in moved.items():
        gain = x / clean[name]
        torch.testing.assert_close(gain, gain[..., :1].expand_as(gain), rtol=1e-5, atol=0)
        assert len(gain[..., 0].unique()) == gain[..., 0].numel()


def test_gains_are_normal(bench, spec):
    gains = bench.draw(Scaling(0.1), spec, 5000)
    assert {name: tuple(g.shape) for name, g in gains.items()} == {"wrist_acc": (5000, 3), "wrist_gyro": (5000, 3)}
    for gain in gains.values():
        assert stats.kstest(gain.flatten().double(), "norm", (1, 0.1)).pvalue > 0.001


def test_a_shared_gain_keeps_the_direction(bench):
    """Sharing within a sensor: vectors keep their direction; the sensors' gains differ."""
    windows = bench.windows()
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment("scaling(0.1, share=sensor)", windows).x
    gains = {name: x.norm(dim=1) / clean[name].norm(dim=1) for name, x in moved.items()}
    for name, x in moved.items():
        torch.testing.assert_close(x, clean[name] * gains[name][:, None], rtol=1e-5, atol=1e-6)
    assert not bool((gains["wrist_acc"][:, 0] == gains["wrist_gyro"][:, 0]).any())
