"""crop: a part of whole samples, stretched."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.speed import Crop, crop_to
from harkd.errors import UsageError


def maps(bench, op, time, n=600):
    return op.positions(bench.draw(op, Spec.of(bench.windows()), n), time)


@pytest.mark.parametrize("size", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("time", [1, 2, 3, 64, 101])
def test_a_part_is_a_straight_line_between_two_samples_of_the_window(bench, size, time):
    at = maps(bench, Crop(size), time)
    kept = max(int(size * time + 1e-4), 1)
    assert bool((at[:, 0] == at[:, 0].round()).all())
    assert float(at.min()) >= 0
    assert float(at.max()) <= time - 1 + 1e-4
    torch.testing.assert_close(at[:, -1] - at[:, 0], torch.full((600,), kept - 1.0), rtol=0, atol=1e-4)
    line = at[:, :1] + torch.linspace(0, 1, time) * (kept - 1)
    torch.testing.assert_close(at, line, rtol=0, atol=1e-4)


def test_all_places_have_the_same_chance(bench):
    starts = maps(bench, Crop(0.9), 100, 11_000)[:, 0].long()
    counts = torch.bincount(starts)
    assert len(counts) == 11
    assert stats.chisquare(counts).pvalue > 1e-3


def test_fast_and_slow_sensors_are_cut_at_the_same_place_to_within_a_sample(bench):
    op, spec = Crop(0.7), Spec.of(bench.windows())
    params = bench.draw(op, spec, 300)
    fast, slow = op.positions(params, 100)[:, 0] / 100, op.positions(params, 50)[:, 0] / 50
    assert float((fast - slow).abs().max()) <= 1 / 50
    assert float((fast - slow).abs().max()) > 0


@pytest.mark.parametrize(("size", "assumed"), [(1.0, set()), (0.8, set()), (0.79, {"pace"}), (0.1, {"pace"})])
def test_a_hard_crop_assumes_that_pace_is_free(size, assumed):
    assert Crop(size).assumes == assumed


def test_crop_to_by_hand():
    x = torch.arange(12.0).view(2, 1, 6)
    assert crop_to(x, torch.tensor([0, 3]), 3).tolist() == [[[0, 1, 2]], [[9, 10, 11]]]
    for size in (0, 7):
        with pytest.raises(UsageError, match=f"a part of a window of 6 samples has 1 to 6 of them; got {size}"):
            crop_to(x, torch.tensor([0, 0]), size)
