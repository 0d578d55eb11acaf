"""Window slice, against the published NumPy idiom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.segments import WindowSlice


def test_it_equals_the_published_idiom_but_for_its_last_step():
    """Iwana and Uchida stretch L samples to np.linspace(0, L, T), one step too far; ours ends at L - 1, the last of the slice."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 3, 101))
    for start in range(11):
        ratio, place = torch.tensor([[0.9], [start / 10]], dtype=torch.float64).split(1)
        moved = WindowSlice(0.9).apply({"s": torch.from_numpy(x)}, {"ratio": ratio, "place": place}, None)["s"]
        part = x[0, :, start : start + 91]
        expected = [np.interp(np.linspace(0, 90, 101), np.arange(91), row) for row in part]
        np.testing.assert_allclose(moved[0], expected, atol=1e-9)
        np.testing.assert_allclose(moved[0, :, [0, -1]], part[:, [0, -1]], atol=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_slices_have_one_length_and_any_place(bench, ratio):
    op = WindowSlice(ratio)
    at = op.positions(bench.draw(op, Spec.of(bench.windows()), 20_000), 101).double()
    torch.testing.assert_close(at[:, -1] - at[:, 0], torch.full((20_000,), 100 * ratio).double(), rtol=0, atol=1e-3)
    assert stats.kstest(at[:, 0], "uniform", (0, 100 * (1 - ratio))).pvalue > 0.001


@pytest.mark.parametrize(("ratio", "assumed"), [(1.0, set()), (0.8, set()), (0.79, {"pace"}), (0.0, {"pace"})])
def test_a_short_slice_assumes_that_pace_is_free(ratio, assumed):
    assert WindowSlice(ratio).assumes == assumed
