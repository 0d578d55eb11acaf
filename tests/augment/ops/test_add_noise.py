"""add_noise: noise in units of each window's own range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.drift import AddNoise
from harkd.errors import UsageError


def ramps(sensor, total, label):
    """From 0 to 63 in every window; the second channel is ten times the first, the third is constant."""
    return np.outer([1.0, 10.0, 0.0], np.arange(total) % 64) + np.array([[0.0], [0.0], [5.0]])


def added(bench, op, n=400, **more):
    windows = bench.windows((bench.acc, bench.gyro), 64, n=n, fill=ramps, **more)
    x, spec = windows.gather(torch.arange(len(windows))), Spec.of(windows)
    moved = op.apply(x, bench.draw(op, spec, len(windows)), spec)
    return {name: (moved[name] - x[name]).double() for name in x}, x, spec


@pytest.mark.parametrize("distr", ["gaussian", "laplace", "uniform"])
@pytest.mark.parametrize("loc", [0.0, 2.0])
def test_noise_has_the_distribution_asked_for(bench, distr, loc):
    noise, _, _ = added(bench, AddNoise(0.1, distr=distr, loc=loc), 1200)
    reference = {
        "gaussian": stats.norm(loc * 0.1, 0.1),
        "laplace": stats.laplace(loc * 0.1, 0.1 / 2**0.5),
        "uniform": stats.uniform(loc * 0.1 - 0.1 * 3**0.5, 0.2 * 3**0.5),
    }[distr]
    unit = noise["wrist_acc"][:, 0, ::7].flatten() / 63
    assert float(unit.std()) == pytest.approx(0.1, rel=0.03)
    assert stats.kstest(unit.numpy(), reference.cdf).pvalue > 1e-3


def test_noise_is_a_share_of_each_channels_range(bench):
    noise, _, _ = added(bench, AddNoise(0.2))
    spread = noise["wrist_acc"].std((0, 2))
    torch.testing.assert_close(spread, torch.tensor([63.0, 630.0, 0.0]).double() * 0.2, rtol=0.03, atol=0)


def test_noise_may_be_a_share_of_the_training_spread_or_of_the_sample(bench):
    noise, _, spec = added(bench, AddNoise(0.2, normalize=False))
    torch.testing.assert_close(noise["wrist_acc"].std((0, 2)).float(), 0.2 * spec.statistics.std["wrist_acc"], rtol=0.03, atol=0)
    noise, x, _ = added(bench, AddNoise(0.2, kind="multiplicative"))
    assert bool((noise["wrist_acc"][x["wrist_acc"] == 0] == 0).all())
    nonzero = x["wrist_acc"] != 0
    assert float((noise["wrist_acc"] / x["wrist_acc"])[nonzero].std()) == pytest.approx(0.2, rel=0.03)


def test_channels_share_their_noise_if_asked_to_and_sensors_never_do(bench):
    def correlation(per_channel):
        noise, _, _ = added(bench, AddNoise(0.1, per_channel=per_channel))
        rows = torch.stack([noise["wrist_acc"][:, 0], noise["wrist_acc"][:, 1], noise["wrist_gyro"][:, 0]]).flatten(1)
        return np.corrcoef(rows)

    own, shared = correlation(True), correlation(False)
    bound = 4.5 / 25_600**0.5
    assert np.abs(own - np.eye(3)).max() < bound
    assert shared[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.abs(shared[:2, 2]).max() < bound


def test_samples_are_independent(bench):
    noise, _, _ = added(bench, AddNoise(0.1))
    row = noise["wrist_acc"][:, 0]
    assert abs(np.corrcoef(row[:, 1:].flatten(), row[:, :-1].flatten())[0, 1]) < 4.5 / row.numel() ** 0.5


def test_a_mean_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match=r"AddNoise: loc is a finite number.*; got nan"):
        AddNoise(loc=float("nan"))
