"""Rotation by signed permutations: the 48 symmetries of a cube."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Spec, parse
from harkd.augment.rotate import RotationFlip, signed_permutations
from harkd.errors import UsageError

CPU = torch.device("cpu")


def test_there_are_48_of_which_half_are_mirrors():
    turns = signed_permutations(False, CPU)
    assert len({tuple(turn.flatten().tolist()) for turn in turns}) == 48
    assert torch.equal(turns.abs().sum(1), torch.ones(48, 3))
    assert torch.equal(turns.abs().sum(2), torch.ones(48, 3))
    determinant = torch.linalg.det(turns)
    assert int((determinant > 0).sum()) == 24
    torch.testing.assert_close(signed_permutations(True, CPU), turns * determinant[:, None, None])


def test_channels_are_exchanged_and_change_their_signs(bench):
    windows = bench.windows((bench.acc, bench.gyro), n=240)
    clean, moved = windows.gather(torch.arange(len(windows))), bench.augment("rotation_flip", windows).x
    for name, x in moved.items():
        same = (x[:, :, None].abs() == clean[name][:, None].abs()).all(3)  # new channel is old channel, but for the sign
        assert torch.equal(same.sum(1), torch.ones(len(x), 3, dtype=torch.int64))
        assert torch.equal(same.sum(2), torch.ones(len(x), 3, dtype=torch.int64))
        signs = x.sign() * (same.float() @ clean[name]).sign()
        assert torch.equal(signs, signs[:, :, :1].expand_as(signs))


def test_all_are_equally_likely_and_each_segment_has_its_own(bench):
    spec = Spec.of(bench.windows((bench.acc, bench.gyro, bench.ankle)))
    drawn = bench.draw(RotationFlip(), spec, 48_000)["turn"]
    assert drawn.shape == (48_000, 2)
    for segment in drawn.T:
        assert stats.chisquare(torch.bincount(segment, minlength=48)).pvalue > 0.001
    assert stats.chisquare(torch.bincount(drawn[:, 0] * 48 + drawn[:, 1], minlength=48**2)).pvalue > 0.001


def test_gyro_turns_as_the_cross_product_of_two_vectors_that_turn(bench):
    """Angular velocity is axial: turned, r x v is the cross product of turned r and turned v, in a mirror too."""
    generator = torch.Generator().manual_seed(0)
    r, v = (torch.randn(500, 3, 64, generator=generator) for _ in range(2))
    op, spec = RotationFlip(), Spec.of(bench.windows())
    params = bench.draw(op, spec, 500)
    turned_r, turned_v = (op.apply({"wrist_acc": vector}, params, spec)["wrist_acc"] for vector in (r, v))
    spin = op.apply({"wrist_gyro": torch.linalg.cross(r, v, dim=1)}, params, spec)["wrist_gyro"]
    torch.testing.assert_close(spin, torch.linalg.cross(turned_r, turned_v, dim=1), rtol=1e-5, atol=1e-5)


def test_what_has_no_direction_in_space_passes_or_is_refused(bench):
    windows = bench.windows((bench.acc, bench.body))
    moved, clean = bench.augment("rotation_flip", windows).x, windows.gather(torch.arange(len(windows)))
    assert torch.equal(moved["body"], clean["body"])
    with pytest.raises(UsageError, match="RotationFlip changes sensors of kind acc or gyro or mag only; these"):
        Augmenter(parse("rotation_flip"), bench.windows((bench.body,)))
    assert RotationFlip().assumes == {"rotation", "mirror"}
