"""Another rate than the one that is written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from harkd.augment import Spec
from harkd.augment.clock import SampleRateChange


def test_speeds_are_uniform_between_the_factor_and_its_inverse(bench):
    drawn = bench.draw(SampleRateChange(1.25), Spec.of(bench.windows()), 3000)
    assert kstest(drawn["speed"][:, 0].double().numpy(), "uniform", (0.8, 0.45)).pvalue > 0.01


@pytest.mark.parametrize(("speed", "place", "first", "last"), [(0.5, 0.0, 0, 50), (0.5, 1.0, 50, 100), (0.5, 0.5, 25, 75)])
def test_slower_shows_a_part(speed, place, first, last):
    at = SampleRateChange().positions({"speed": torch.tensor([[speed]]), "place": torch.tensor([[place]])}, 101)
    torch.testing.assert_close(at[0], torch.linspace(first, last, 101))


def test_faster_ends_early_and_holds_its_ends():
    params = {"speed": torch.full((3, 1), 2.0), "place": torch.tensor([[0.0], [0.5], [1.0]])}
    at = SampleRateChange().positions(params, 101)
    ramp = torch.linspace(0, 200, 101)
    for row, offset in zip(at, (0, 50, 100), strict=True):
        torch.testing.assert_close(row, (ramp - offset).clamp(0, 100))


@pytest.mark.parametrize(("rate", "length"), [(50.0, 128), (25.0, 64)])
def test_a_tone_changes_its_frequency_alike_at_every_rate(bench, rate, length):
    """Read at another speed s, a tone of f becomes one of f s: the interpolated samples are those of that tone."""
    spec = Spec.of(bench.windows((bench.acc,), length))
    params = bench.draw(SampleRateChange(1.25), spec, 20)
    seconds = (length - 1) / rate
    tone = np.sin(2 * np.pi * 0.5 * np.arange(length) / rate)
    moved = SampleRateChange().apply({"wrist_acc": torch.from_numpy(tone).expand(20, 3, -1)}, params, spec)["wrist_acc"]
    speed, place = (params[name].double().numpy() for name in ("speed", "place"))
    at = np.clip(speed * np.arange(length) / rate + (1 - speed) * place * seconds, 0, seconds)
    np.testing.assert_allclose(moved[:, 0].numpy(), np.sin(2 * np.pi * 0.5 * at), atol=3e-3)


def test_dense_labels_move_along(bench):
    windows = bench.windows(dense=lambda total: np.arange(total) % 64 // 22)
    whole = SampleRateChange(1.5)
    params = {"speed": torch.full((4, 1), 0.5), "place": torch.zeros(4, 1)}
    labels = windows.targets["phase"].values[:4]
    assert torch.equal(whole.apply_dense(labels, params), labels[:, torch.arange(64).div(2).round().long()])


def test_it_assumes_the_pace():
    assert SampleRateChange().assumes == {"pace"}
