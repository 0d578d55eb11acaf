"""Joints that are elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.skeleton import JointOffset


def test_an_offset_is_constant_over_a_window_and_differs_from_joint_to_joint(bench, tetrahedron):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill, n=480)
    clean = windows.gather(torch.arange(len(windows)))
    moved = bench.augment("joint_offset(0.02)", windows).x
    offset = moved["four"] - clean["four"]
    torch.testing.assert_close(offset, offset[..., :1].expand_as(offset), rtol=0, atol=1e-6)
    each = offset[..., 0].double()
    assert float(each.std()) == pytest.approx(0.02, rel=0.05)
    assert torch.corrcoef(each.T).fill_diagonal_(0).abs().max() < 4 / len(each) ** 0.5
    assert torch.equal(moved["wrist_acc"], clean["wrist_acc"])


def test_a_share_of_the_bodys_height(bench, tetrahedron):
    """The tetrahedron is 2 m high: a share of 0.01 is what 0.02 m are."""
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill)
    x, spec, op = windows.gather(torch.arange(len(windows))), Spec.of(windows), JointOffset(0.01)
    relative = replace(op, relative=True).apply(x, bench.draw(op, spec, len(windows)), spec)["four"]
    metres = op.apply(x, bench.draw(JointOffset(0.02), spec, len(windows)), spec)["four"]
    torch.testing.assert_close(relative, metres, rtol=0, atol=1e-6)
