"""Cropping: a straight line inside the window, of a drawn length at a drawn place."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.warp import Cropping

P = 0.001


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("time", [2, 33, 128])
def test_a_crop_is_a_straight_line_inside_the_window(bench, share, time):
    op = Cropping(share)
    params = bench.draw(op, Spec.of(bench.windows()), 400)
    at = op.positions(params, time)
    assert float(at.min()) >= 0
    assert float(at.max()) <= time - 1 + 1e-4
    kept = (at[:, -1] - at[:, 0]) / (time - 1)
    torch.testing.assert_close(kept, 1 - params["cut"][:, 0], rtol=0, atol=1e-5)
    line = at[:, :1] + torch.linspace(0, 1, time) * (at[:, -1:] - at[:, :1])
    torch.testing.assert_close(at, line, rtol=0, atol=1e-4)
    assert stats.kstest((1 - kept).numpy() / share, "uniform").pvalue > P
    room = (1 - kept) * (time - 1)
    assert stats.kstest((at[:, 0] / room)[room > 1e-3].numpy(), "uniform").pvalue > P


def test_a_crop_by_hand():
    params = {"cut": torch.tensor([[0.5], [0.5], [0.0]]), "place": torch.tensor([[0.0], [1.0], [0.7]])}
    at = Cropping(0.5).positions(params, 5)
    assert at.tolist() == [[0, 0.5, 1, 1.5, 2], [2, 2.5, 3, 3.5, 4], [0, 1, 2, 3, 4]]


def test_a_crop_is_the_same_stretch_of_time_for_a_fast_and_a_slow_sensor(bench):
    op = Cropping(0.5)
    params = bench.draw(op, Spec.of(bench.windows()), 400)
    torch.testing.assert_close(op.positions(params, 51) / 50, op.positions(params, 101)[:, ::2] / 100, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("share", "assumed"), [(0.0, set()), (0.2, set()), (0.21, {"pace"}), (1.0, {"pace"})])
def test_a_hard_crop_assumes_that_pace_is_free(share, assumed):
    assert Cropping(share).assumes == assumed
