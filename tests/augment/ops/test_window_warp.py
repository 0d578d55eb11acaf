"""Window warp: a map of three straight pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.segments import WindowWarp
from harkd.errors import UsageError


@pytest.mark.parametrize(("factor", "ratio"), [(2.0, 0.1), (2.0, 1.0), (4.0, 0.3), (1.0, 0.1)])
@pytest.mark.parametrize("time", [2, 33, 128])
def test_the_map_equals_numpy(bench, factor, ratio, time):
    """What is played lasts 1 + ratio (f - 1) windows; the corners of the map are the ends of the stretch, before and after."""
    op = WindowWarp(factor, ratio)
    params = bench.draw(op, Spec.of(bench.windows()), 100)
    at = op.positions(params, time)
    for place, f, positions in zip(params["place"].double(), params["factor"].double(), at, strict=True):
        start, whole = float(place) * (1 - ratio), 1 + ratio * (float(f) - 1)
        corners = [0, start, start + ratio * float(f), whole], [0, start, start + ratio, 1]
        expected = np.interp(np.linspace(0, whole, time), *corners) * (time - 1)
        np.testing.assert_allclose(positions, expected, atol=2e-6 * time)


def test_it_agrees_with_the_published_idiom_up_to_whole_samples(bench):
    """Iwana and Uchida cut the window into three, resample the middle by its factor, and resample the whole."""
    op, time = WindowWarp(2.0, 0.1), np.arange(1000)
    params = bench.draw(op, Spec.of(bench.windows()), 40)
    signal = np.sin(2 * np.pi * time / 200)
    moved = op.apply({"s": torch.from_numpy(signal).float().expand(40, 1, -1)}, params, None)["s"][:, 0]
    for place, factor, window in zip(params["place"], params["factor"], moved, strict=True):
        start = round(float(place) * 900)
        middle = np.interp(np.linspace(0, 99, int(100 * float(factor))), np.arange(100), signal[start : start + 100])
        whole = np.concatenate([signal[:start], middle, signal[start + 100 :]])
        expected = np.interp(time, np.linspace(0, 999, len(whole)), whole)
        np.testing.assert_allclose(window, expected, atol=0.06)


def test_places_are_uniform_and_half_of_the_stretches_are_faster(bench):
    params = bench.draw(WindowWarp(2.0), Spec.of(bench.windows()), 20_000)
    assert stats.kstest(params["place"][:, 0].double(), "uniform").pvalue > 0.001
    slower = int((params["factor"] == 2.0).sum())
    assert slower + int((params["factor"] == 0.5).sum()) == 20_000
    assert stats.binomtest(slower, 20_000).pvalue > 0.001


@pytest.mark.parametrize(("factor", "assumed"), [(1.0, set()), (2.0, set()), (2.1, {"pace"})])
def test_a_strong_warp_assumes_that_pace_is_free(factor, assumed):
    assert WindowWarp(factor).assumes == assumed


@pytest.mark.parametrize("ratio", [0.0, 1.1, float("nan")])
def test_the_stretch_is_a_share_of_the_window(ratio):
    with pytest.raises(UsageError, match="WindowWarp: ratio is a share of the window, more than 0 and at most 1; got"):
        WindowWarp(2.0, ratio)
