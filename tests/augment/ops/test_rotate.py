"""Rotations: real ones, uniform ones, and the same for everything on one body segment."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Spec, parse
from harkd.augment.rotate import Rotate, capped_angle, rotation_matrix
from harkd.datasets import Sensor
from harkd.errors import UsageError

P = 0.001
N = 20_000


@pytest.fixture(scope="module")
def turns(bench):
    """(20000, 3, 3) rotations of one segment, by the largest angle."""
    spec = Spec.of(bench.windows((bench.acc,)))
    return {cap: bench.draw(Rotate(cap), spec, N)["turn"][:, 0].double() for cap in (15.0, 90.0, 180.0)}


def angle_of(turn):
    """Rotation angles, accurate near 0 as well."""
    skew = turn - turn.transpose(1, 2)
    sin = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1).norm(dim=1) / 2
    return torch.atan2(sin, (turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)


@pytest.mark.parametrize("cap", [15.0, 90.0, 180.0])
def test_rotations_are_orthogonal_without_reflection(turns, cap):
    turn = turns[cap]
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).double().expand(N, 3, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(N).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cap", [15.0, 90.0, 180.0])
def test_angles_follow_the_uniform_density_up_to_the_cap(turns, cap):
    """The density of the angle of a uniform rotation is (1 - cos) / pi; here it is cut at the cap."""
    angle, end = angle_of(turns[cap]), math.radians(cap)
    assert end * 0.99 < float(angle.max()) <= end + 1e-6
    assert stats.kstest(angle, lambda a: (a - torch.sin(torch.as_tensor(a)).numpy()) / (end - math.sin(end))).pvalue > P


@pytest.mark.parametrize("cap", [15.0, 180.0])
def test_axes_are_uniform_on_the_sphere(turns, cap):
    turn = turns[cap]
    skew = turn - turn.transpose(1, 2)
    axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1)
    axis /= axis.norm(dim=1, keepdim=True)
    for k in range(3):
        assert stats.kstest(axis[:, k], "uniform", (-1, 2)).pvalue > P
    assert stats.kstest(torch.atan2(axis[:, 1], axis[:, 0]), "uniform", (-math.pi, 2 * math.pi)).pvalue > P


@pytest.mark.parametrize("vector", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
def test_at_180_degrees_a_turned_vector_is_uniform(turns, vector):
    turned = turns[180.0] @ torch.tensor(vector).double()
    for k in range(3):
        assert stats.kstest(turned[:, k], "uniform", (-1, 2)).pvalue > P
    assert stats.kstest(torch.atan2(turned[:, 1], turned[:, 0]), "uniform", (-math.pi, 2 * math.pi)).pvalue > P


def test_sensors_of_one_segment_turn_together(bench):
    """acc and gyro hold the same signal, so they come out equal; the ankle turns by itself; a skeleton stays."""

    def same(sensor, total, label):
        rows = torch.sin(torch.arange(3)[:, None] + 0.1 * torch.arange(total) + label)
        return rows.repeat(len(sensor.channels) // 3, 1).numpy()

    ankle = Sensor("ankle_acc", "acc", "g", 50.0, segment="ankle")
    free = Sensor("free_acc", "acc", "g", 50.0)
    body = Sensor("body", "skeleton", "m", 50.0, channels=tuple("abcdef"))
    windows = bench.windows((bench.acc, bench.gyro, ankle, free, body), 64, fill=same)
    clean = windows.gather(torch.arange(len(windows)))
    moved = bench.augment("rotate(90)", windows).x
    assert torch.equal(moved["wrist_acc"], moved["wrist_gyro"])
    assert torch.equal(moved["body"], clean["body"])
    for a, b in [("wrist_acc", "ankle_acc"), ("wrist_acc", "free_acc"), ("ankle_acc", "free_acc")]:
        assert bool(((moved[a] - moved[b]).abs().flatten(1).max(1).values > 1e-3).all())
    for name in ("wrist_acc", "ankle_acc", "free_acc"):
        torch.testing.assert_close(moved[name].norm(dim=1), clean[name].norm(dim=1), rtol=1e-5, atol=1e-6)


def test_every_triple_of_a_sensor_is_turned_by_the_drawn_matrix(bench):
    two = Sensor("pair", "acc", "g", 50.0, channels=("ax", "ay", "az", "bx", "by", "bz"))
    windows = bench.windows((two,))
    op, spec = Rotate(180.0), Spec.of(windows)
    params = bench.draw(op, spec, len(windows))
    x = windows.gather(torch.arange(len(windows)))["pair"]
    turn = params["turn"][:, 0]
    expected = torch.cat([torch.einsum("bij,bjt->bit", turn, part) for part in x.split(3, 1)], 1)
    torch.testing.assert_close(op.apply({"pair": x}, params, spec)["pair"], expected, rtol=1e-5, atol=1e-5)


def test_gravity_turns_by_no_more_than_the_cap(bench):
    """Physical units: the turned gravity vector keeps 1 g and tilts by at most 15 degrees."""

    def gravity(sensor, total, label):
        return torch.tensor([0.0, 0.0, 1.0])[:, None].expand(3, total).numpy()

    windows = bench.windows((bench.acc,), n=600, fill=gravity)
    moved = bench.augment("rotate(15)", windows).x["wrist_acc"]
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(len(windows), 64))
    tilt = torch.rad2deg(torch.acos(moved[:, 2, 0].clamp(-1, 1)))
    assert 10 < float(tilt.max()) <= 15.001


@pytest.mark.parametrize(
    ("axis", "degrees", "vector", "expected"),
    [
        ((0, 0, 1), 90, (1, 0, 0), (0, 1, 0)),
        ((1, 0, 0), 90, (0, 1, 0), (0, 0, 1)),
        ((0, 1, 0), 90, (0, 0, 1), (1, 0, 0)),
        ((0, 0, 1), 180, (1, 2, 3), (-1, -2, 3)),
        ((3**-0.5,) * 3, 120, (1, 2, 3), (3, 1, 2)),
    ],
)
def test_rotation_matrix_known_answers(axis, degrees, vector, expected):
    turn = rotation_matrix(torch.tensor(axis).double(), torch.tensor(math.radians(degrees)).double())
    torch.testing.assert_close(turn @ torch.tensor(vector).double(), torch.tensor(expected).double())


@pytest.mark.parametrize("degrees", [0.001, 1, 15, 90, 179, 180])
def test_capped_angle_inverts_its_distribution(degrees):
    cap = math.radians(degrees)
    u = torch.linspace(0, 1, 1001).double()[:-1]
    angle = capped_angle(u, torch.tensor(cap, dtype=torch.float64))
    assert float(angle[0]) == 0
    if degrees >= 1:
        torch.testing.assert_close((angle - angle.sin()) / (cap - math.sin(cap)), u, rtol=0, atol=1e-9)
    else:  # for small angles the distribution is the cube
        torch.testing.assert_close(angle, cap * u ** (1 / 3), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("angle", "assumed"), [(0, set()), (15, set()), (15.1, {"rotation"}), (180, {"rotation"})])
def test_beyond_a_shifted_strap_it_assumes_the_invariance(angle, assumed):
    assert Rotate(float(angle)).assumes == assumed


# About gravity


def drifting(sensor, total, label):
    """Gravity leans to a side that depends on the class, with a movement of mean 0 over every window of 64; a gyro moves too."""
    time = 2 * math.pi * torch.arange(total) / 64
    move = torch.stack([torch.sin(time), torch.sin(2 * time), torch.cos(3 * time)])
    lean = torch.tensor([0.5 + label, -0.3, 0.8])[:, None]
    return (0.4 * move + (lean / lean.norm() if sensor.kind == "acc" else 0)).numpy()


def test_about_gravity_the_mean_acc_stays_and_the_rest_turns_by_the_angle(bench):
    windows = bench.windows((bench.acc, bench.gyro), n=600, fill=drifting)
    op, spec, n = Rotate(90.0, about="gravity"), Spec.of(windows), len(windows)
    x, params = windows.gather(torch.arange(n)), bench.draw(op, spec, n)
    moved = op.apply(x, params, spec)
    down = x["wrist_acc"].mean(2)
    torch.testing.assert_close(moved["wrist_acc"].mean(2), down, rtol=0, atol=1e-5)
    turn = rotation_matrix(down / down.norm(dim=1, keepdim=True), params["angle"][:, 0])
    for name, signal in x.items():
        torch.testing.assert_close(moved[name], turn @ signal, rtol=0, atol=1e-5)
    assert stats.kstest(params["angle"][:, 0].double(), "uniform", (-math.pi / 2, math.pi)).pvalue > P


def test_a_posture_is_the_same_about_gravity(bench):
    """Lying, sitting, standing: a still acc does not change at all, whatever the angle."""

    def still(sensor, total, label):
        return torch.eye(3)[:, label : label + 1].expand(3, total).numpy()

    windows = bench.windows((bench.acc,), n=60, fill=still)
    clean = windows.gather(torch.arange(len(windows)))["wrist_acc"]
    moved = bench.augment("rotate(180, about=gravity)", windows).x["wrist_acc"]
    torch.testing.assert_close(moved, clean, rtol=0, atol=1e-6)
    assert Rotate(180.0, about="gravity").assumes == frozenset()


def test_about_gravity_a_segment_without_acc_or_without_gravity_stays(bench):
    lone = Sensor("ankle_gyro", "gyro", "rad/s", 50.0, segment="ankle")
    windows = bench.windows((bench.acc, bench.gyro, lone), n=24)
    clean = windows.gather(torch.arange(len(windows)))
    moved = bench.augment("rotate(180, about=gravity)", windows).x
    assert torch.equal(moved["ankle_gyro"], clean["ankle_gyro"])
    assert not torch.equal(moved["wrist_gyro"], clean["wrist_gyro"])
    op, spec = Rotate(180.0, about="gravity"), Spec.of(windows)
    weightless = {"wrist_acc": torch.zeros(5, 3, 64), "wrist_gyro": clean["wrist_gyro"][:5]}
    assert torch.equal(op.apply(weightless, bench.draw(op, spec, 5), spec)["wrist_gyro"], clean["wrist_gyro"][:5])


def test_about_gravity_needs_an_accelerometer(bench):
    found = r"about=gravity finds the vertical from sensors of kind acc; these windows have wrist_gyro \(gyro\); use about=any"
    with pytest.raises(UsageError, match=found):
        Augmenter(parse("rotate(15, about=gravity)"), bench.windows((bench.gyro,)))
