"""Alignment of feature maps: torch's own pooling and interpolation, a gradient, and what is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harkd.align import Align, resampling

CPU = torch.device("cpu")


@pytest.mark.parametrize(("time", "wanted"), [(8, 4), (7, 3), (32, 1), (5, 4), (100, 7)])
def test_a_longer_map_is_pooled(time: int, wanted: int) -> None:
    x = torch.randn(2, 3, time)
    torch.testing.assert_close(Align(3, 3)(x, torch.zeros(2, 3, wanted)), F.adaptive_avg_pool1d(x, wanted))


@pytest.mark.parametrize(("time", "wanted"), [(4, 8), (3, 7), (1, 32), (4, 5), (7, 100)])
def test_a_shorter_map_is_interpolated(time: int, wanted: int) -> None:
    x = torch.randn(2, 3, time)
    torch.testing.assert_close(Align(3, 3)(x, torch.zeros(2, 3, wanted)), F.interpolate(x, wanted, mode="linear"))


def test_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]])
    assert Align(1, 1)(x, torch.zeros(1, 1, 2)).tolist() == [[[1.5, 4.5]]]
    assert Align(1, 1)(x[..., :2], torch.zeros(1, 1, 4)).tolist() == [[[1.0, 1.25, 1.75, 2.0]]]


@pytest.mark.parametrize(("time", "wanted"), [(8, 3), (3, 8), (1, 4), (9, 1)])
def test_a_constant_map_keeps_its_level(time: int, wanted: int) -> None:
    torch.testing.assert_close(resampling(time, wanted, CPU).sum(0), torch.ones(wanted))


def test_equal_maps_pass_unless_a_projection_is_asked_for() -> None:
    x = torch.randn(2, 3, 5)
    same = Align(3, 3)
    assert same(x, x) is x
    assert not list(same.parameters())
    assert sum(p.numel() for p in Align(3, 3, project=True).parameters()) == 9 + 6
    assert sum(p.numel() for p in Align(3, 4).parameters()) == 12 + 8
    assert sum(p.numel() for p in Align(3, 4, norm=False).parameters()) == 12 + 4


def test_widths_are_projected_and_normalised() -> None:
    align = Align(3, 5)
    out = align(torch.randn(16, 3, 20), torch.zeros(16, 5, 10))
    assert out.shape == (16, 5, 10)
    torch.testing.assert_close(out.mean((0, 2)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var((0, 2), correction=0), torch.ones(5), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("time", "wanted"), [(8, 3), (3, 8), (4, 4)])
def test_gradients_reach_the_map(time: int, wanted: int) -> None:
    align = Align(2, 3).double().eval()
    x = torch.randn(2, 2, time, dtype=torch.float64, requires_grad=True)
    like = torch.zeros(2, 3, wanted, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: align(x, like), (x,))
    assert isinstance(align.project, nn.Sequential)
