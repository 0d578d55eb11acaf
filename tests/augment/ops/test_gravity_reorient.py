"""Devices strapped on any way round."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import kstest

from harkd.augment import Augmenter, Spec
from harkd.augment.mounting import GravityReorient
from harkd.errors import UsageError


def down(x, name="wrist_acc"):
    mean = x[name].double().mean(2)
    return mean / mean.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("angle", [20, 180])
def test_gravity_is_uniform_over_directions_up_to_the_angle(bench, angle):
    windows = bench.windows(n=3000)
    x = windows.gather(torch.arange(len(windows)))
    moved = bench.augment(f"gravity_reorient({angle})", windows).x
    old, new = down(x), down(moved)
    height = (old * new).sum(1)
    lowest = math.cos(math.radians(angle))
    assert kstest(height.numpy(), "uniform", (lowest, 1 - lowest)).pvalue > 0.001
    # The azimuth about the old direction, from some direction at a right angle to it.
    first = torch.linalg.cross(old, torch.tensor([[1.0, 0.0, 0.0]]).double().expand_as(old))
    first = first / first.norm(dim=1, keepdim=True)
    azimuth = torch.atan2((new * torch.linalg.cross(old, first)).sum(1), (new * first).sum(1))
    assert kstest(azimuth.numpy(), "uniform", (-math.pi, 2 * math.pi)).pvalue > 0.001


def test_the_turn_is_the_smallest_and_the_same_for_the_segment(bench):
    ankle = replace(bench.ankle, name="ankle_gyro", kind="gyro", segment="ankle")
    windows = bench.windows((bench.gyro, bench.acc, ankle))
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("gravity_reorient()", windows).x
    assert torch.equal(moved["ankle_gyro"], x["ankle_gyro"])  # no acc there
    old, new = down(x), down(moved)
    axis = torch.linalg.cross(old, new)
    axis = axis / axis.norm(dim=1, keepdim=True)
    for name in ("wrist_acc", "wrist_gyro"):
        before, after = x[name].double(), moved[name].double()
        torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), rtol=1e-5, atol=0)
        along = [torch.einsum("bi,bit->bt", axis, signal) for signal in (before, after)]
        torch.testing.assert_close(along[1], along[0], rtol=0, atol=1e-4)
    products = [(y["wrist_acc"].double() * y["wrist_gyro"].double()).sum(1) for y in (x, moved)]
    torch.testing.assert_close(products[1], products[0], rtol=0, atol=1e-4)


def test_where_there_is_no_gravity_nothing_turns(bench):
    spec = Spec.of(bench.windows())
    x = {"wrist_acc": torch.zeros(6, 3, 64), "wrist_gyro": torch.randn(6, 3, 64)}
    moved = GravityReorient().apply(x, bench.draw(GravityReorient(), spec, 6), spec)
    torch.testing.assert_close(moved["wrist_gyro"], x["wrist_gyro"])


def test_what_it_assumes_and_refuses(bench):
    assert GravityReorient().assumes == {"rotation"}
    assert GravityReorient(15.0).assumes == frozenset()
    with pytest.raises(UsageError, match="GravityReorient finds gravity by an accelerometer; these windows have wrist_gyro"):
        Augmenter(GravityReorient(), bench.windows((bench.gyro,)))
