"""Noise on joints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.skeleton import JointJitter


def test_noise_has_its_spread_in_metres(bench, tetrahedron):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill, n=240)
    clean = windows.gather(torch.arange(len(windows)))
    moved = bench.augment("joint_jitter(0.008)", windows).x
    noise = (moved["four"] - clean["four"]).double()
    assert float(noise.std()) == pytest.approx(0.008, rel=0.02)
    assert abs(float(noise.mean())) < 4 * 0.008 / noise.numel() ** 0.5
    followed = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert abs(float(followed)) < 4 / noise.numel() ** 0.5
    assert torch.equal(moved["wrist_acc"], clean["wrist_acc"])


def test_a_share_of_the_bodys_height(bench, tetrahedron):
    """The tetrahedron is 2 m high: a share of 0.01 is what 0.02 m are."""
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill)
    x, spec, op = windows.gather(torch.arange(len(windows))), Spec.of(windows), JointJitter(0.01)
    relative = replace(op, relative=True).apply(x, bench.draw(op, spec, len(windows)), spec)["four"]
    metres = op.apply(x, bench.draw(JointJitter(0.02), spec, len(windows)), spec)["four"]
    torch.testing.assert_close(relative, metres, rtol=0, atol=1e-6)
