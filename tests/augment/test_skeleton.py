"""Bodies: turns, stretches and displaced joints, and that nothing else is touched."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.skeleton import JointJitter, JointOffset, RotateVertical, Stretch
from harkd.datasets import Sensor
from harkd.errors import UsageError

TEXTS = ["rotate_vertical(20)", "stretch(0.1)", "joint_jitter(0.008)", "joint_offset(0.02)"]
FOUR = Sensor("four", "skeleton", "m", 25.0, channels=tuple(f"{joint}_{axis}" for joint in "abcd" for axis in "xyz"))
CORNERS = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
AWAY = np.array([0.5, 0.25, 2.0])


def tetrahedron(sensor: Sensor, total: int, label: int):
    """Four joints around (0.5, 0.25, 2) that stand still; other sensors stay at 1."""
    if sensor.kind != "skeleton":
        return np.ones((len(sensor.channels), total))
    return np.repeat((CORNERS + AWAY).reshape(12, 1), total, 1)


def places(x):
    return x["four"].unflatten(1, (4, 3))


@pytest.mark.parametrize("text", TEXTS)
def test_other_sensors_are_left_alone(bench, text):
    windows = bench.windows((bench.acc, bench.body, bench.ankle))
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment(text, windows).x
    for name in ("wrist_acc", "ankle_acc"):
        assert torch.equal(moved[name], clean[name])
    assert (moved["body"] != clean["body"]).flatten(1).any(1).all()


@pytest.mark.parametrize("text", TEXTS)
def test_data_without_a_body_pass(bench, text):
    windows = bench.windows()
    clean = windows.gather(torch.arange(len(windows)))
    assert all(torch.equal(x, clean[name]) for name, x in bench.augment(text, windows).x.items())


# Turns


def test_a_turn_keeps_height_distances_and_the_centre(bench):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron, n=60)
    moved = places(bench.augment("rotate_vertical(40, tilt=0)", windows).x)
    torch.testing.assert_close(
        moved[:, :, 1], torch.tensor(CORNERS[:, 1] + 0.25).float()[None, :, None].expand(len(windows), 4, 32)
    )
    torch.testing.assert_close(moved.mean(1), torch.tensor(AWAY).float()[:, None].expand(len(windows), 3, 32))
    torch.testing.assert_close((moved[:, 0] - moved[:, 1]).norm(dim=1), torch.full((len(windows), 32), 8**0.5))
    first = moved[:, 0, :, 0] - torch.tensor(AWAY).float()
    degrees = torch.rad2deg(torch.atan2(first[:, 0], first[:, 2])) - 45  # (1, 1): half way between z and x
    assert degrees.abs().max() <= 40.001
    assert degrees.max() > 30
    assert degrees.min() < -30
    assert abs(float(degrees.mean())) < 4 * 80 / math.sqrt(12 * len(windows))


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_the_vertical_can_be_any_axis(bench, up, axis):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron)
    moved, clean = places(bench.augment(f"rotate_vertical(90, tilt=0, up={up})", windows).x), torch.tensor(CORNERS + AWAY).float()
    for number in range(3):
        same = torch.allclose(moved[:, :, number], clean[None, :, number, None].expand(len(windows), 4, 32), atol=1e-5)
        assert same == (number == axis)


@pytest.mark.parametrize(("angle", "tilt", "largest"), [(20, 6, 6), (3, 6, 3), (20, 0, 0)])
def test_a_tilt_is_small_and_never_beyond_the_turn(bench, angle, tilt, largest):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron, n=240)
    spec = Spec.of(windows)
    turn = bench.draw(RotateVertical(float(angle), float(tilt)), spec, len(windows))["turn"]
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).expand_as(turn), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(len(windows)))
    leaning = torch.rad2deg(torch.acos(turn[:, 1, 1].clamp(-1, 1)))
    assert float(leaning.max()) <= largest * 2**0.5 + 0.03
    assert float(leaning.max()) >= 0.9 * largest


def test_all_bodies_of_a_window_turn_alike(bench):
    other = replace(FOUR, name="other")
    windows = bench.windows((bench.acc, FOUR, other), fill=tetrahedron)
    x = bench.augment("rotate_vertical(20)+stretch(0.2)", windows).x
    assert torch.equal(x["four"], x["other"])


@pytest.mark.parametrize("tilt", [-1.0, 181.0, float("nan")])
def test_a_tilt_that_means_nothing_is_refused(tilt):
    with pytest.raises(UsageError, match=f"RotateVertical: tilt is an angle from 0 to 180; got {tilt}"):
        RotateVertical(tilt=tilt)


# Stretches


def test_a_stretch_has_a_factor_for_each_axis(bench):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron, n=240)
    moved = places(bench.augment("stretch(0.1)", windows).x) - torch.tensor(AWAY).float()[:, None]
    factors = moved / torch.tensor(CORNERS).float()[None, :, :, None]
    torch.testing.assert_close(factors, factors[:, :1, :, :1].expand_as(factors), rtol=0, atol=1e-5)
    each = factors[:, 0, :, 0]
    assert float(each.min()) >= 0.9 - 1e-5
    assert float(each.max()) <= 1.1 + 1e-5
    assert (each.std(0) - 0.2 / math.sqrt(12)).abs().max() < 0.008
    assert torch.corrcoef(each.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(len(each))


# Joints


def test_joint_noise_has_its_spread_in_metres(bench):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron, n=240)
    clean = windows.gather(torch.arange(len(windows)))
    noise = (bench.augment("joint_jitter(0.008)", windows).x["four"] - clean["four"]).double()
    assert float(noise.std()) == pytest.approx(0.008, rel=0.02)
    assert abs(float(noise.mean())) < 4 * 0.008 / noise.numel() ** 0.5
    followed = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert abs(float(followed)) < 4 / noise.numel() ** 0.5


def test_an_offset_is_constant_over_a_window_and_differs_from_joint_to_joint(bench):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron, n=480)
    clean = windows.gather(torch.arange(len(windows)))
    offset = bench.augment("joint_offset(0.02)", windows).x["four"] - clean["four"]
    torch.testing.assert_close(offset, offset[..., :1].expand_as(offset), rtol=0, atol=1e-6)
    each = offset[..., 0].double()
    assert float(each.std()) == pytest.approx(0.02, rel=0.05)
    assert torch.corrcoef(each.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(len(each))


@pytest.mark.parametrize("op", [JointJitter(0.01), JointOffset(0.01)], ids=["jitter", "offset"])
def test_a_share_of_the_bodys_height(bench, op):
    """The tetrahedron is 2 m high: a share of 0.01 is what 0.02 m are."""
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron)
    x, spec = windows.gather(torch.arange(len(windows))), Spec.of(windows)
    params = bench.draw(op, spec, len(windows))
    relative = replace(op, relative=True).apply(x, params, spec)["four"]
    torch.testing.assert_close(relative, replace(op, sigma=0.02).apply(x, params, spec)["four"], rtol=0, atol=1e-6)


def test_a_stretch_by_hand(bench):
    windows = bench.windows((bench.acc, FOUR), fill=tetrahedron)
    params = {"more": torch.tensor([[0.5, 0.0, -0.5]])}
    x = {name: signal[:1] for name, signal in windows.gather(torch.arange(1)).items()}
    moved = places(Stretch(0.5).apply(x, params, Spec.of(windows)))[0, :, :, 0]
    wanted = torch.tensor(CORNERS * [1.5, 1.0, 0.5] + AWAY).float()
    torch.testing.assert_close(moved, wanted)
