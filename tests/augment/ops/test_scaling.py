"""Scaling: one gain for a whole window, per channel or per sensor."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.jitter import Scaling


def test_gain_is_constant_over_time_and_differs_between_channels(bench):
    windows = bench.windows()
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment("scaling(0.1)", windows).x
    for name, x in moved.items():
        gain = x / clean[name]
        torch.testing.assert_close(gain, gain[..., :1].expand_as(gain), rtol=1e-5, atol=0)
        assert len(gain[..., 0].unique()) == gain[..., 0].numel()


def test_gains_are_normal(bench):
    gains = bench.draw(Scaling(0.1), Spec.of(bench.windows()), 5000)
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


def test_it_assumes_amplitude_where_one_gain_in_twenty_leaves_twenty_percent(bench):
    """At the largest sigma that assumes nothing, fewer than one gain in twenty is below 0.8 or above 1.2."""
    assert Scaling(0.1).assumes == frozenset()
    assert Scaling(0.11).assumes == {"amplitude"}
    drawn = bench.draw(Scaling(0.1, share="sensor"), Spec.of(bench.windows()), 50_000)["wrist_acc"]
    beyond = float(((drawn - 1).abs() > 0.2).float().mean())
    assert beyond == pytest.approx(2 * stats.norm.sf(2), abs=0.003)
    assert beyond < 0.05
