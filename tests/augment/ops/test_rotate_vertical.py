"""Cameras that stand elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.skeleton import RotateVertical
from harkd.errors import UsageError


def test_a_turn_keeps_height_distances_and_the_centre(bench, tetrahedron):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill, n=60)
    moved = tetrahedron.places(bench.augment("rotate_vertical(40, tilt=0)", windows).x)
    n, corners, centre = len(windows), tetrahedron.corners, tetrahedron.centre
    torch.testing.assert_close(moved[:, :, 1], (corners[:, 1] + 0.25)[None, :, None].expand(n, 4, 32))
    torch.testing.assert_close(moved.mean(1), centre[:, None].expand(n, 3, 32))
    torch.testing.assert_close((moved[:, 0] - moved[:, 1]).norm(dim=1), torch.full((n, 32), 8**0.5))
    first = moved[:, 0, :, 0] - centre
    degrees = torch.rad2deg(torch.atan2(first[:, 0], first[:, 2])) - 45  # (1, 1): half way between z and x
    assert degrees.abs().max() <= 40.001
    assert degrees.max() > 30
    assert degrees.min() < -30
    assert abs(float(degrees.mean())) < 4 * 80 / math.sqrt(12 * n)


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_the_vertical_can_be_any_axis(bench, tetrahedron, up, axis):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill)
    moved = tetrahedron.places(bench.augment(f"rotate_vertical(90, tilt=0, up={up})", windows).x)
    clean = tetrahedron.places(windows.gather(torch.arange(len(windows))))
    for number in range(3):
        assert torch.allclose(moved[:, :, number], clean[:, :, number], atol=1e-5) == (number == axis)


@pytest.mark.parametrize(("angle", "tilt", "largest"), [(20, 6, 6), (3, 6, 3), (20, 0, 0)])
def test_a_tilt_is_small_and_never_beyond_the_turn(bench, tetrahedron, angle, tilt, largest):
    windows = bench.windows((bench.acc, tetrahedron.sensor), fill=tetrahedron.fill, n=240)
    turn = bench.draw(RotateVertical(float(angle), float(tilt)), Spec.of(windows), len(windows))["turn"]
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).expand_as(turn), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(len(windows)))
    leaning = torch.rad2deg(torch.acos(turn[:, 1, 1].clamp(-1, 1)))
    assert float(leaning.max()) <= largest * 2**0.5 + 0.03
    assert float(leaning.max()) >= 0.9 * largest


def test_all_bodies_of_a_window_turn_alike(bench, tetrahedron):
    windows = bench.windows((tetrahedron.sensor, replace(tetrahedron.sensor, name="other")), fill=tetrahedron.fill)
    x = bench.augment("rotate_vertical(20)", windows).x
    assert torch.equal(x["four"], x["other"])


@pytest.mark.parametrize("tilt", [-1.0, 181.0, float("nan")])
def test_a_tilt_that_means_nothing_is_refused(tilt):
    with pytest.raises(UsageError, match=f"RotateVertical: tilt is an angle from 0 to 180; got {tilt}"):
        RotateVertical(tilt=tilt)
