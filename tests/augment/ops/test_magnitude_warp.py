"""Magnitude warp, against SciPy's splines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import CubicSpline

from harkd.augment import Spec
from harkd.augment.warp import MagnitudeWarp
from harkd.errors import UsageError


@pytest.mark.parametrize("knots", [0, 1, 2, 4, 8])
def test_it_equals_scipy(bench, knots):
    windows = bench.windows((bench.acc, bench.ankle), 64, fill=lambda s, total, label: np.full((3, total), 2.0))
    op, spec, n = MagnitudeWarp(0.2, knots), Spec.of(windows), len(windows)
    params = bench.draw(op, spec, n)
    for name, x in op.apply(windows.gather(torch.arange(n)), params, spec).items():
        drawn = 1 + params[name].double()
        assert drawn.shape == (n, 3, knots + 2)
        time = x.shape[-1]
        reference = CubicSpline(np.linspace(0, time - 1, knots + 2), drawn, axis=2)(np.arange(time))
        np.testing.assert_allclose(x / 2, reference, atol=2e-6)


def test_knots_are_normal_and_each_channel_has_its_own(bench):
    params = bench.draw(MagnitudeWarp(0.2), Spec.of(bench.windows()), 3000)
    values = torch.cat([params["wrist_acc"], params["wrist_gyro"]], 1)
    assert stats.kstest(values.flatten().double(), "norm", (0, 0.2)).pvalue > 0.001
    rows = values.transpose(0, 1).flatten(1)
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 4.5 / rows.shape[1] ** 0.5


def test_knots_count_from_zero():
    with pytest.raises(UsageError, match="knots counts the values between the two ends, so it is at least 0; got -1"):
        MagnitudeWarp(knots=-1)
