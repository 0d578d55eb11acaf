"""Slanted bodies."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.stats import kstest

from harkd.augment import Spec
from harkd.augment.skeleton import Shear


def test_a_shear_by_hand(bench, tetrahedron):
    windows = bench.windows((tetrahedron.sensor,), fill=tetrahedron.fill)
    more = torch.tensor([[[0.0, 0.5, -0.25], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    moved = tetrahedron.places(Shear().apply(windows.gather(torch.arange(1)), {"more": more}, Spec.of(windows)))[0, :, :, 0]
    x, y, z = tetrahedron.corners.unbind(1)
    wanted = torch.stack([x + 0.5 * y - 0.25 * z, y + x, z], 1)
    torch.testing.assert_close(moved, wanted + tetrahedron.centre)


def test_six_numbers_are_uniform_and_the_diagonal_stays(bench, tetrahedron):
    more = bench.draw(Shear(0.5), Spec.of(bench.windows((tetrahedron.sensor,))), 3000)["more"].double()
    assert not more.diagonal(dim1=1, dim2=2).any()
    each = more.flatten(1)[:, [1, 2, 3, 5, 6, 7]]
    for number in each.T:
        assert kstest(number.numpy(), "uniform", (-0.5, 1)).pvalue > 0.001
    assert torch.corrcoef(each.T).fill_diagonal_(0).abs().max() < 4 / 3000**0.5


def test_all_bodies_of_a_window_are_slanted_alike(bench, tetrahedron):
    windows = bench.windows((tetrahedron.sensor, replace(tetrahedron.sensor, name="other")), fill=tetrahedron.fill)
    x = bench.augment("shear()", windows).x
    assert torch.equal(x["four"], x["other"])
