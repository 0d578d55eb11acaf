"""Mirrored people: the mechanics of the synthetic body is the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from harkd.augment import Augmenter, Spec
from harkd.augment.mirror import AxisMirror, counterparts, other_side
from harkd.datasets import Sensor
from harkd.datasets.synthetic.imu import PLACES, ideal
from harkd.errors import UsageError


def pair(place: str, kind: str = "acc", units: str = "g") -> list[Sensor]:
    return [Sensor(f"{side}_{place}_{kind}", kind, units, 50.0, placement=f"{side}_{place}") for side in ("left", "right")]


def recorded(motion, sensors):
    """What perfect devices measure, (1, 3, time) each."""
    x = {}
    for sensor in sensors:
        acc, gyro = ideal(PLACES[sensor.placement].on(motion))
        x[sensor.name] = torch.from_numpy((acc if sensor.kind == "acc" else gyro).transpose(1, 0, 2))
    return x


def test_it_is_what_devices_on_the_mirrored_person_measure(bench, motions):
    """The mirrored movement comes from mirrored joint angles by forward kinematics, and is measured anew."""
    places = ("wrist", "thigh", "ankle", "upper_arm")
    sensors = [s for place in places for kind, units in (("acc", "g"), ("gyro", "rad/s")) for s in pair(place, kind, units)]
    spec = Spec.of(bench.windows(sensors))
    x, wanted = recorded(motions[0], sensors), recorded(motions[1], sensors)
    moved = AxisMirror().apply(x, {}, spec)
    for name in x:
        torch.testing.assert_close(moved[name], wanted[name], rtol=0, atol=1e-9)
        assert (x[name] - wanted[name]).abs().max() > 0.01


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_mirrored_rotation_turns_the_mirrored_gravity(bench, axis):
    """A turning device: gyro and acc stay consistent, whichever axis is mirrored. Gravity g in its axes follows g' = g x w."""
    step, turns = 1e-3, Rotation.from_euler("zyx", np.outer(np.linspace(0, 1, 1001), [1.0, 0.7, -0.4]))
    down = turns.inv().apply([0.0, 1.0, 0.0]).T
    spin = (turns[:-1].inv() * turns[1:]).as_rotvec().T / step
    spec = Spec.of(bench.windows((bench.acc, bench.gyro)))
    x = {"wrist_acc": torch.from_numpy(down[:, :-1])[None], "wrist_gyro": torch.from_numpy(spin)[None]}
    moved = AxisMirror(axis).apply(x, {}, spec)
    acc, gyro = (moved[name][0].numpy() for name in ("wrist_acc", "wrist_gyro"))
    middle = (acc[:, 1:] + acc[:, :-1]) / 2
    np.testing.assert_allclose(np.diff(acc) / step, np.cross(middle.T, gyro[:, :-1].T).T, atol=1e-6)


def test_signs_of_polar_and_axial_vectors(bench):
    mag = replace(bench.acc, name="mag", kind="mag", units="uT")
    sensors = (bench.acc, bench.gyro, mag, bench.eeg(2))
    spec, one = Spec.of(bench.windows(sensors)), torch.ones(1, 3, 4)
    x = {"wrist_acc": one, "wrist_gyro": one, "mag": one, "cap": one[:, :2]}
    moved = AxisMirror("y").apply(x, {}, spec)
    assert moved["wrist_acc"][0, :, 0].tolist() == [1, -1, 1]
    assert moved["wrist_gyro"][0, :, 0].tolist() == [-1, 1, -1]
    assert moved["mag"][0, :, 0].tolist() == [1, -1, 1]  # the earth's field is not mirrored
    assert moved["cap"] is x["cap"]


def test_twice_is_the_identity(bench):
    windows = bench.windows((*pair("wrist"), bench.ankle))
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("axis_mirror()+axis_mirror()", windows).x
    assert all(torch.equal(moved[name], signal) for name, signal in x.items())


def test_counterparts_are_alike_but_for_their_side(bench):
    odd = Sensor("left_hip_acc", "acc", "m/s^2", 50.0, placement="left_hip")
    even = Sensor("right_hip_acc", "acc", "g", 50.0, placement="right_hip")
    second = [replace(s, name=f"{s.name}_2") for s in pair("wrist")]
    by_name = [Sensor("left acc", "acc", "g", 50.0), Sensor("right acc", "acc", "g", 50.0)]
    spec = Spec.of(bench.windows((*pair("wrist"), odd, even, *second, *by_name, bench.ankle)))
    assert counterparts(spec) == {
        "left_wrist_acc": "right_wrist_acc",
        "right_wrist_acc": "left_wrist_acc",
        "left_wrist_acc_2": "right_wrist_acc_2",
        "right_wrist_acc_2": "left_wrist_acc_2",
        "left acc": "right acc",
        "right acc": "left acc",
    }


@pytest.mark.parametrize(
    ("name", "other"),
    [("left", "right"), ("wrist.right.2", "wrist.left.2"), ("lefty", "lefty"), ("left_leftover", "right_leftover")],
)
def test_only_whole_words_are_sides(name, other):
    assert other_side(name) == other


def test_it_assumes_the_mirror_and_needs_inertial_sensors(bench):
    assert AxisMirror().assumes == {"mirror"}
    with pytest.raises(UsageError, match="AxisMirror changes sensors of kind acc or gyro or mag only"):
        Augmenter(AxisMirror(), bench.windows((bench.eeg(2),)))
