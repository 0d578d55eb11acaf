"""Axes with gains of their own."""

from __future__ import annotations

import torch
from scipy.stats import kstest

from harkd.augment import Spec
from harkd.augment.hardware import GainError


def test_gains_are_uniform_and_differ_from_axis_to_axis(bench):
    drawn = bench.draw(GainError(0.05), Spec.of(bench.windows()), 3000)
    more = torch.cat([drawn["wrist_acc"], drawn["wrist_gyro"]], 1).double()
    for axis in more.T:
        assert kstest(axis.numpy(), "uniform", (-0.05, 0.1)).pvalue > 0.001
    assert torch.corrcoef(more.T).fill_diagonal_(0).abs().max() < 4 / 3000**0.5


def test_axes_are_multiplied(bench):
    spec = Spec.of(bench.windows((bench.acc, bench.eeg(2))))
    x = {"wrist_acc": torch.full((1, 3, 2), 2.0), "cap": torch.ones(1, 2, 2)}
    moved = GainError().apply(x, {"wrist_acc": torch.tensor([[0.5, 0.0, -0.25]])}, spec)
    assert moved["wrist_acc"][0, :, 0].tolist() == [3, 2, 1.5]
    assert moved["cap"] is x["cap"]


def test_large_errors_assume_that_amplitude_does_not_matter():
    assert GainError(0.2).assumes == frozenset()
    assert GainError(0.21).assumes == {"amplitude"}
