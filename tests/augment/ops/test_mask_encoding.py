"""Mask encoding: several blocks of one length, which may overlap."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.mask import MaskEncoding
from harkd.errors import UsageError


@pytest.mark.parametrize(("ratio", "segments", "time"), [(0.1, 1, 64), (0.5, 4, 64), (0.3, 3, 10), (1.0, 2, 33)])
def test_the_blanked_samples_are_the_union_of_the_blocks(bench, ratio, segments, time):
    op, spec, n = MaskEncoding(ratio, segments, fill="zero"), Spec.of(bench.windows()), 300
    params = bench.draw(op, spec, n)
    moved = op.apply({"wrist_acc": torch.ones(n, 3, time)}, params, spec)["wrist_acc"]
    length = int(ratio * time / segments + 1e-6)
    for window, places in zip(moved, params["places"], strict=True):
        expected = torch.ones(time)
        for place in places:
            first = int(place * (time - length + 1))
            expected[first : first + length] = 0
        assert torch.equal(window, expected.expand(3, time))


def test_blocks_do_overlap_and_touch_every_place(bench):
    op, spec = MaskEncoding(0.5, 2, fill="zero"), Spec.of(bench.windows())
    moved = op.apply({"wrist_acc": torch.ones(20_000, 3, 16)}, bench.draw(op, spec, 20_000), spec)["wrist_acc"][:, 0]
    blanked = (1 - moved).sum(1)
    assert set(blanked.unique().tolist()) == {4, 5, 6, 7, 8}
    # Of two starts in 0..12, 13 pairs are equal and 2 * (12 + 11 + 10) overlap in part.
    assert stats.binomtest(int((blanked < 8).sum()), 20_000, (13 + 66) / 169).pvalue > 0.001


def test_the_mean_is_put_in(bench):
    windows = bench.windows(n=48)
    spec, clean = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    for name, x in bench.augment("mask_encoding(0.25)", windows).x.items():
        gone = x != clean[name]
        assert torch.equal(gone.sum((1, 2)), torch.full((len(x),), 3 * 16))
        assert torch.equal(x[gone], spec.mean(name, x).expand_as(x)[gone])


def test_there_is_at_least_one_block():
    with pytest.raises(UsageError, match="MaskEncoding: segments counts the blocks, so it is at least 1; got 0"):
        MaskEncoding(segments=0)
