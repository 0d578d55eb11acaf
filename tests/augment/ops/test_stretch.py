"""Larger and smaller bodies."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from harkd.augment import Spec
from harkd.augment.skeleton import Stretch


def test_there_is_a_factor_for_each_axis(bench, tetrahedron):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill, n=240)
    moved = tetrahedron.places(bench.augment("stretch(0.1)", windows).x) - tetrahedron.centre[:, None]
    factors = moved / tetrahedron.corners[None, :, :, None]
    torch.testing.assert_close(factors, factors[:, :1, :, :1].expand_as(factors), rtol=0, atol=1e-5)
    each = factors[:, 0, :, 0]
    assert float(each.min()) >= 0.9 - 1e-5
    assert float(each.max()) <= 1.1 + 1e-5
    assert (each.std(0) - 0.2 / math.sqrt(12)).abs().max() < 0.008
    assert torch.corrcoef(each.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(len(each))


def test_a_stretch_by_hand(bench, tetrahedron):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill)
    params = {"more": torch.tensor([[0.5, 0.0, -0.5]])}
    moved = tetrahedron.places(Stretch(0.5).apply(windows.gather(torch.arange(1)), params, Spec.of(windows)))[0, :, :, 0]
    torch.testing.assert_close(moved, tetrahedron.corners * torch.tensor([1.5, 1.0, 0.5]) + tetrahedron.centre)


def test_all_bodies_of_a_window_are_stretched_alike(bench, tetrahedron):
    windows = bench.windows((tetrahedron.sensor, replace(tetrahedron.sensor, name="other")), fill=tetrahedron.fill)
    x = bench.augment("stretch(0.2)", windows).x
    assert torch.equal(x["four"], x["other"])
