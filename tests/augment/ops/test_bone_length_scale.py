"""Bones of other lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from harkd.augment import Augmenter, Spec
from harkd.augment.joints import BoneLengthScale, bones
from harkd.datasets.synthetic.motion import CHANNELS
from harkd.datasets.synthetic.skeleton import JOINTS
from harkd.errors import UsageError

NTU = (
    *("spine_base", "spine_mid", "neck", "head", "shoulder_left", "elbow_left", "wrist_left", "hand_left"),
    *("shoulder_right", "elbow_right", "wrist_right", "hand_right", "hip_left", "knee_left", "ankle_left", "foot_left"),
    *("hip_right", "knee_right", "ankle_right", "foot_right", "spine_shoulder"),
    *("hand_tip_left", "thumb_left", "hand_tip_right", "thumb_right"),
)


def test_each_bone_has_its_factor_and_directions_stay(bench, kinect, motions):
    x = torch.from_numpy(motions[0].joints()).flatten(0, 1).transpose(0, 1)
    spec = Spec.of(bench.windows((kinect,)))
    op = BoneLengthScale(0.1)
    drawn = bench.draw(op, spec, 1)
    moved = op.apply({"body": x}, drawn, spec)["body"]
    before, after = (y.unflatten(1, (-1, 3)) for y in (x, moved))
    tree = bones(JOINTS)
    for number, (start, end) in enumerate(tree):
        factor = 1 + float(drawn["body"][0, number])
        torch.testing.assert_close(after[:, end] - after[:, start], factor * (before[:, end] - before[:, start]))
    hips = JOINTS.index("hip_center")
    assert torch.equal(after[:, hips], before[:, hips])


def test_factors_are_uniform_and_independent(bench, kinect):
    more = bench.draw(BoneLengthScale(0.1), Spec.of(bench.windows((kinect,))), 3000)["body"].double()
    assert more.shape == (3000, 19)
    for bone in more.T:
        assert kstest(bone.numpy(), "uniform", (-0.1, 0.2)).pvalue > 0.0005
    assert torch.corrcoef(more.T).fill_diagonal_(0).abs().max() < 4.5 / 3000**0.5


@pytest.mark.parametrize("joints", [JOINTS, NTU], ids=["kinect v1", "kinect v2"])
def test_bones_make_a_tree_from_the_hips_outwards(joints):
    tree = bones(joints)
    assert sorted(end for _, end in tree) == sorted(set(range(len(joints))) - {tree[0][0]})
    assert joints[tree[0][0]] in ("hip_center", "spine_base")
    reached = {tree[0][0]}
    for start, end in tree:
        assert start in reached
        reached.add(end)
    names = {joints[end]: joints[start] for start, end in tree}
    left = {end: start for end, start in names.items() if "left" in end and "left" in start}
    assert all(names[end.replace("left", "right")] == start.replace("left", "right") for end, start in left.items())
    assert len(left) == (6 if joints is JOINTS else 8)


def test_bones_are_those_that_hold_together(motions):
    """In the synthetic body all of them are rigid: their lengths do not change as the person moves."""
    place = motions[0].joints()
    for start, end in bones(JOINTS):
        assert np.ptp(np.linalg.norm(place[end] - place[start], axis=0)) < 1e-9


def test_joints_that_are_not_known_are_refused(bench, tetrahedron, kinect):
    with pytest.raises(UsageError, match="ends in the joint 'a' of a, b, c, d; known are hip_center, spine_base, spine, "):
        Augmenter(BoneLengthScale(), bench.windows((tetrahedron.sensor,)))
    without = replace(kinect, channels=tuple(channel for channel in CHANNELS if "left_shoulder" not in channel))
    with pytest.raises(UsageError, match="no bone is known that ends in the joint 'left_elbow'"):
        Augmenter(BoneLengthScale(), bench.windows((without,)))
