"""Jitter: white noise of a known level, one row of it for each sensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.jitter import Jitter
from harkd.augment.keys import exact_noise, white_noise
from harkd.datasets import Statistics

STD = {"wrist_acc": torch.tensor([0.5, 1.0, 4.0]), "wrist_gyro": torch.tensor([10.0, 0.1, 2.0])}

both = pytest.mark.parametrize("exact", [False, True], ids=["bank", "exact"])


@pytest.fixture
def spec(bench) -> Spec:
    sensors = {"wrist_acc": bench.acc, "wrist_gyro": bench.gyro}
    return Spec(sensors, {"wrist_acc": 64, "wrist_gyro": 64}, Statistics({n: torch.zeros(3) for n in STD}, STD))


def zeros(batch: int, time: int) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(batch, 3, time) for name in STD}


@both
def test_the_level_is_in_units_of_each_channels_spread(bench, spec, exact):
    op = Jitter(0.05, exact)
    for name, x in op.apply(zeros(1, 333_333), bench.draw(op, spec, 1), spec).items():
        standard = (x / STD[name][:, None]).double()
        np.testing.assert_allclose(standard.std(2), 0.05, rtol=0.01)
        assert float(standard.mean().abs()) < 4 * 0.05 / 1000


def test_noise_is_added_to_the_signal(bench, spec):
    op = Jitter(0.05)
    params = bench.draw(op, spec, 4)
    noise = op.apply(zeros(4, 64), params, spec)
    x = {name: torch.randn(4, 3, 64, generator=torch.Generator().manual_seed(1)) for name in STD}
    for name, moved in op.apply(x, params, spec).items():
        torch.testing.assert_close(moved, x[name] + noise[name], rtol=1e-6, atol=1e-6)


@both
def test_channels_sensors_and_windows_have_noise_of_their_own(bench, spec, exact):
    op = Jitter(1.0, exact)
    moved = op.apply(zeros(4, 4096), bench.draw(op, spec, 4), spec)
    rows = torch.cat([moved["wrist_acc"], moved["wrist_gyro"]], 1).flatten(0, 1)
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() * 4096**0.5 < 4.5


@both
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
