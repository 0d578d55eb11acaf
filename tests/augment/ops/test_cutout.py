"""Cutout: one block of a fixed length."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.mask import Cutout


@pytest.mark.parametrize("ratio", [0.1, 0.29, 0.5, 1.0])
def test_one_block_of_the_ratio_is_blanked(bench, ratio):
    windows = bench.windows((bench.acc, bench.ankle), 100, n=120)
    clean, op = windows.gather(torch.arange(len(windows))), Cutout(ratio)
    moved = op.apply(clean, bench.draw(op, Spec.of(windows), len(windows)), Spec.of(windows))
    for name, x in moved.items():
        gone = x != clean[name]
        assert torch.equal(gone.all(1), gone.any(1))
        assert torch.equal(gone[:, 0].sum(1), torch.full((len(x),), int(ratio * x.shape[-1] + 1e-6)))
        assert int((gone[:, 0, 1:] & ~gone[:, 0, :-1]).sum(1).max()) <= 1  # it begins once
        assert torch.equal(x[gone], Spec.of(windows).mean(name, x).expand_as(x)[gone])


def test_places_are_uniform(bench):
    op, spec = Cutout(0.5, fill="zero"), Spec.of(bench.windows())
    x = {"wrist_acc": torch.ones(20_000, 3, 16)}
    first = op.apply(x, bench.draw(op, spec, 20_000), spec)["wrist_acc"][:, 0].argmin(1)
    counts = torch.bincount(first)
    assert len(counts) == 9
    assert stats.chisquare(counts).pvalue > 0.001


def test_both_sensors_lose_the_same_tenth(bench):
    op, windows = Cutout(0.1, fill="zero"), bench.windows((bench.acc, bench.ankle), 400)
    x = {"wrist_acc": torch.ones(500, 3, 400), "ankle_acc": torch.ones(500, 3, 200)}
    moved = op.apply(x, bench.draw(op, Spec.of(windows), 500), Spec.of(windows))
    fast, slow = (moved[name][:, 0].argmin(1) / moved[name].shape[-1] for name in x)
    assert float((fast - slow).abs().max()) <= 1 / 200
