"""Mirrored skeletons: the mechanics of the synthetic body is the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Augmenter, Spec
from harkd.augment.joints import MirrorBody
from harkd.errors import UsageError


def seen(motion):
    """(1, 60, time) joints in room coordinates."""
    return torch.from_numpy(motion.joints()).flatten(0, 1).transpose(0, 1)


def centre(x):
    return x.unflatten(1, (-1, 3))[:, :, 0, 0].mean()


def test_it_is_the_movement_of_the_mirrored_person(bench, kinect, motions):
    """The mirrored person comes from mirrored joint angles and stands where the mirror image of the room is."""
    x, wanted = (seen(motion) for motion in motions)
    moved = MirrorBody().apply({"body": x}, {}, Spec.of(bench.windows((kinect,))))["body"]
    torch.testing.assert_close(centre(moved), centre(x))
    sideways = torch.tensor([1.0, 0.0, 0.0], dtype=x.dtype).repeat(20)[:, None]
    torch.testing.assert_close(moved, wanted + 2 * centre(x) * sideways, rtol=0, atol=1e-9)
    assert (x - wanted).abs().max() > 0.1


@pytest.mark.parametrize("axis", ["x", "z"])
def test_twice_is_the_identity_and_other_axes_only_change_sides(bench, kinect, axis):
    windows = bench.windows((kinect,))
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    once = MirrorBody(axis).apply(x, {}, spec)
    torch.testing.assert_close(MirrorBody(axis).apply(once, {}, spec)["body"], x["body"], rtol=0, atol=1e-4)
    channels = kinect.channels
    for there in "xyz":
        left, right = channels.index(f"left_knee_{there}"), channels.index(f"right_knee_{there}")
        assert torch.equal(once["body"][:, left], x["body"][:, right]) == (there != axis)


def test_people_who_face_each_other_change_sides_too(bench, kinect):
    """One mirror for all bodies: what was on the left of the picture comes to its right."""
    windows = bench.windows((kinect, replace(kinect, name="other")))
    x = windows.gather(torch.arange(len(windows)))
    x["other"] = x["body"] + torch.tensor([2.0, 0.0, 0.0]).repeat(20)[:, None]
    moved = MirrorBody().apply(x, {}, Spec.of(windows))
    apart = torch.tensor([-2.0, 0.0, 0.0]).repeat(20)[:, None].expand_as(x["body"])
    torch.testing.assert_close(moved["other"] - moved["body"], apart, rtol=0, atol=1e-4)


def test_bodies_without_sides_are_refused(bench, kinect, tetrahedron):
    assert MirrorBody().assumes == {"mirror"}
    with pytest.raises(UsageError, match="joints called left and right; of a, b, c, d, none has a side"):
        Augmenter(MirrorBody(), bench.windows((tetrahedron.sensor,)))
    fewer = replace(kinect, channels=kinect.channels[:33])
    with pytest.raises(UsageError, match="right_elbow, right_wrist, left_hand has no like on the other side"):
        Augmenter(MirrorBody(), bench.windows((fewer,)))
    with pytest.raises(UsageError, match="skeleton 'body': channels a, b, c are not <joint>_x, <joint>_y, <joint>_z of one"):
        Augmenter(MirrorBody(), bench.windows((bench.body,)))
