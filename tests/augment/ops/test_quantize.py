"""quantize: how many levels are left, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from harkd.augment import Spec
from harkd.augment.quantize import Quantize, kmeans_levels, quantile_levels, uniform_levels
from harkd.errors import UsageError

HOW = ["uniform", "quantile", "kmeans"]


def quantized(bench, op, length=64, n=24, **more):
    windows = bench.windows((bench.acc, bench.gyro), length, n=n, **more)
    x, spec = windows.gather(torch.arange(n)), Spec.of(windows)
    return op.apply(x, bench.draw(op, spec, n), spec), x


def row(values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, -1)


def levels(*counts):
    return torch.tensor(counts).view(-1, 1, 1)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("count", [1, 2, 8, 10, 50])
def test_at_most_so_many_values_are_left_and_order_is_kept(bench, how, count):
    moved, x = quantized(bench, Quantize(count, how))
    for name, coarse in moved.items():
        order = x[name].argsort(2)
        assert bool((coarse.gather(2, order).diff(dim=2) >= -1e-6).all())
        assert max(len(values.unique()) for values in coarse.flatten(0, 1)) <= count


@pytest.mark.parametrize("count", [1, 2, 10, 4095])
def test_uniform_levels_are_off_by_half_a_cell_at_most_and_not_biased(bench, count):
    moved, x = quantized(bench, Quantize(count), n=240)
    for name, coarse in moved.items():
        cell = (x[name].amax(2, keepdim=True) - x[name].amin(2, keepdim=True)) / count
        error = (coarse - x[name]) / cell
        assert float(error.abs().max()) <= 0.5 + 1e-6 * count
        if count == 10:
            assert abs(float(error.mean())) < 0.01
    if count == 10:  # tsaug's lie half a level too high on average, but for the top level
        moved, x = quantized(bench, Quantize(10, compat=True), n=240)
        cell = (x["wrist_acc"].amax(2, keepdim=True) - x["wrist_acc"].amin(2, keepdim=True)) / 10
        assert float(((moved["wrist_acc"] - x["wrist_acc"]) / cell).mean()) > 0.4


def test_uniform_by_hand():
    x = row([0.0, 1.0, 2.0, 3.9, 4.1, 7.9, 8.0])
    assert uniform_levels(x, levels(4)).flatten().tolist() == [1, 1, 3, 3, 5, 7, 7]
    assert uniform_levels(x, levels(4), compat=True).flatten().tolist() == [1, 1, 3, 5, 5, 7, 7]
    assert uniform_levels(row([3.0, 3.0]), levels(4)).flatten().tolist() == [3, 3]
    assert uniform_levels(row([3.0, 3.0]), levels(4), compat=True).flatten().tolist() == [3.125, 3.125]


def test_quantile_by_hand():
    """Eight samples in four cells: two in each, at the quantiles 1/8, 3/8, 5/8 and 7/8."""
    x = row([70.0, 0.0, 10.0, 20.0, 60.0, 50.0, 30.0, 40.0])
    assert quantile_levels(x, levels(4)).flatten().tolist() == [61.25, 8.75, 8.75, 26.25, 61.25, 43.75, 26.25, 43.75]
    assert quantile_levels(row([1.0, 5.0, 5.0, 5.0, 5.0]), levels(2)).flatten().tolist() == [5, 5, 5, 5, 5]
    assert quantile_levels(row([1.0, 1.0, 1.0, 1.0, 5.0]), levels(2)).flatten().tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_quantiles_equal_numpys(bench, count):
    moved, x = quantized(bench, Quantize(count, "quantile"), length=65)
    for values, coarse in zip(x["wrist_acc"].flatten(0, 1).double().numpy(), moved["wrist_acc"].flatten(0, 1), strict=True):
        cuts = np.quantile(values, np.arange(1, count) / count)
        # A sample that is a cut up to rounding may fall to either side of it.
        sure = np.abs(values[:, None] - cuts).min(1) > 1e-9
        middles = np.quantile(values, (np.arange(count) + 0.5) / count)
        np.testing.assert_allclose(coarse[sure], middles[np.digitize(values, cuts)][sure], rtol=1e-5, atol=1e-6)
        assert sure.mean() > 0.3


def test_equal_samples_stay_equal():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 6, (20, 3, 50))).float()
    for function in (uniform_levels, quantile_levels, kmeans_levels):
        coarse = function(x, levels(*[4] * 20))
        for before, after in zip(x.flatten(0, 1), coarse.flatten(0, 1), strict=True):
            for value in before.unique():
                assert len(after[before == value].unique()) == 1


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_k_means_equals_scikit_learns_from_the_same_start(count):
    x = torch.from_numpy(np.random.default_rng(count).normal(size=(6, 2, 60)) ** 3)
    got = kmeans_levels(x, levels(*[count] * 6)).flatten(0, 1)
    for values, coarse in zip(x.flatten(0, 1).numpy(), got, strict=True):
        start = np.sort(values)[(2 * np.arange(count) + 1) * 59 // (2 * count)]
        model = KMeans(count, init=start[:, None], n_init=1, max_iter=25, tol=0, algorithm="lloyd").fit(values[:, None])
        np.testing.assert_allclose(coarse, model.cluster_centers_[model.labels_, 0], atol=1e-6)


def test_k_means_finds_clusters_that_lie_apart():
    x = row([0.0, 0.1, 0.2, 10.0, 10.1, 10.2, 50.0, 50.1, 50.2])
    torch.testing.assert_close(kmeans_levels(x, levels(3)), row([0.1] * 3 + [10.1] * 3 + [50.1] * 3))


def test_k_means_with_as_many_levels_as_samples_changes_nothing(bench):
    moved, x = quantized(bench, Quantize(64, "kmeans"))
    assert all(torch.equal(moved[name], x[name]) for name in x)


@pytest.mark.parametrize("how", HOW)
def test_windows_of_a_batch_may_have_different_levels(how):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 2, 40))).float()
    function = {"uniform": uniform_levels, "quantile": quantile_levels, "kmeans": kmeans_levels}[how]
    mixed = function(x, levels(2, 30, 9))
    for i, count in enumerate((2, 30, 9)):
        assert torch.equal(mixed[i], function(x[i : i + 1], levels(count))[0])


def test_magnitudes_are_ratios_of_levels():
    assert [Quantize().at(m).levels for m in (0.0, 1 / 3, 2 / 3, 1.0)] == [4096, 512, 64, 8]
    assert Quantize(4096).idle


def test_more_levels_than_sensors_have_are_refused():
    with pytest.raises(UsageError, match="Quantize: levels is a finite number from 1 to 4096; got 4097"):
        Quantize(4097)


def test_tsaugs_k_means_cannot_be_had():
    with pytest.raises(UsageError, match="tsaug's k-means passes scikit-learn an argument that it no longer has"):
        Quantize(how="kmeans", compat=True)
