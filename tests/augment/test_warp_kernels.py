"""Kernels of the warps, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from harkd.augment.warp import spline, warp_gather


@pytest.mark.parametrize("knots", [2, 3, 4, 6, 10])
@pytest.mark.parametrize("time", [2, 3, 7, 64, 513])
def test_spline_equals_scipy(knots, time):
    values = torch.randn(20, knots, generator=torch.Generator().manual_seed(knots)).double()
    reference = CubicSpline(np.linspace(0, time - 1, knots), values, axis=1, bc_type="not-a-knot")(np.arange(time))
    np.testing.assert_allclose(spline(values, time), reference, atol=2e-5)
    np.testing.assert_allclose(spline(values.float(), time), reference, atol=2e-5)


def test_spline_known_answers():
    """It goes through its knots, reproduces a cubic, and is a straight line through two."""
    knots = torch.tensor([[1.0, -2.0, 5.0, 0.0, 3.0]])
    torch.testing.assert_close(spline(knots, 9)[:, ::2], knots, rtol=0, atol=1e-6)
    cubic = torch.linspace(-1, 1, 61)[None] ** 3
    torch.testing.assert_close(spline(torch.linspace(-1, 1, 6)[None] ** 3, 61), cubic, rtol=0, atol=1e-6)
    torch.testing.assert_close(spline(torch.tensor([[1.0, 3.0]]), 5), torch.tensor([[1.0, 1.5, 2.0, 2.5, 3.0]]))
    assert torch.equal(spline(torch.tensor([[7.0, 8.0]]), 1), torch.tensor([[7.0]]))


def test_warp_gather_known_answers():
    x = torch.tensor([[[0.0, 10.0, 20.0, 40.0], [1.0, 1.0, -1.0, 3.0]]])
    at = torch.tensor([[0.0, 0.5, 2.25, 3.0, 5.0, -1.0]])
    expected = torch.tensor([[[0.0, 5.0, 25.0, 40.0, 40.0, 0.0], [1.0, 1.0, 0.0, 3.0, 3.0, 1.0]]])
    torch.testing.assert_close(warp_gather(x, at), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(warp_gather(x.double(), at), expected.double(), rtol=0, atol=1e-6)


def test_warp_gather_equals_numpy():
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=(5, 3, 100)), rng.uniform(0, 99, (5, 40))
    expected = [[np.interp(places, np.arange(100), row) for row in rows] for rows, places in zip(x, at, strict=True)]
    np.testing.assert_allclose(warp_gather(torch.from_numpy(x), torch.from_numpy(at)), expected, atol=1e-9)
