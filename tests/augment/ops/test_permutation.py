"""Permutation: pieces of a window in another order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.segments import Permutation
from harkd.errors import UsageError

P = 0.001
VARIANTS = [
    Permutation(),
    Permutation(4, cuts="random"),
    Permutation(6, cuts="random", shortest=0.1),
    Permutation(4, random_number=True),
    Permutation(5, cuts="random", random_number=True),
]


def drawn(bench, op, n, seed=0):
    return bench.draw(op, Spec.of(bench.windows()), n, seed)


@pytest.mark.parametrize("op", VARIANTS)
@pytest.mark.parametrize("time", [1, 3, 64, 101])
def test_it_equals_the_published_idiom(bench, op, time):
    """Um et al. put x[cuts[k]:cuts[k + 1]] together in a random order of k."""
    params = drawn(bench, op, 200)
    for start, order, at in zip(params["starts"], params["order"], op.positions(params, time), strict=True):
        cuts = [*np.floor(start.double().numpy() * time + 1e-4).astype(int), time]
        parts = [np.arange(time)[cuts[k] : cuts[k + 1]] for k in order.tolist()]
        assert at.tolist() == np.concatenate(parts).tolist()


@pytest.mark.parametrize("op", VARIANTS)
def test_the_columns_stay_the_same_set_in_all_sensors(bench, op):
    windows = bench.windows((bench.acc, bench.ankle), 64, n=120)
    clean, spec = windows.gather(torch.arange(len(windows))), Spec.of(windows)
    moved = op.apply(clean, bench.draw(op, spec, len(windows)), spec)
    for name, x in moved.items():
        assert torch.equal(x.sort(2).values, clean[name].sort(2).values)
        first = [before[0].tolist().index(value) for before, value in zip(clean[name], x[:, 0, 0].tolist(), strict=True)]
        assert all(torch.equal(after[:, 0], before[:, i]) for after, before, i in zip(x, clean[name], first, strict=True))


def test_equal_pieces_are_equal(bench):
    starts = drawn(bench, Permutation(4), 10)["starts"]
    assert torch.equal(starts, torch.tensor([0, 0.25, 0.5, 0.75]).expand(10, 4))


def test_all_orders_are_equally_likely(bench):
    for op in (Permutation(4), Permutation(4, cuts="random")):
        numbers = {order: i for i, order in enumerate(permutations(range(4)))}
        found = [numbers[tuple(order)] for order in drawn(bench, op, 24_000)["order"].tolist()]
        assert stats.chisquare(np.bincount(found, minlength=24)).pvalue > P


def test_the_number_is_uniform_up_to_the_most(bench):
    for op in (Permutation(4, random_number=True), Permutation(4, cuts="random", random_number=True)):
        params = drawn(bench, op, 20_000)
        number = (params["starts"] < 1).sum(1)
        counts = torch.bincount(number)
        assert counts[0] == 0
        assert len(counts) == 5
        assert stats.chisquare(counts[1:]).pvalue > P
        for few in (2, 3):
            order = params["order"][number == few]
            assert torch.equal(order[:, few:], torch.arange(few, 4).expand(len(order), -1))
            assert stats.chisquare(torch.bincount(order[:, 0], minlength=few)).pvalue > P


@pytest.mark.parametrize("shortest", [0.0, 0.15])
def test_random_cuts_are_those_of_rejection_sampling(bench, shortest):
    """Um et al. draw cuts until no piece is too short."""
    cuts = drawn(bench, Permutation(4, cuts="random", shortest=shortest), 10_000)["starts"].double().numpy()
    assert np.diff(np.c_[cuts, np.ones(len(cuts))]).min() >= shortest - 1e-6
    tried = np.sort(np.random.default_rng(0).uniform(size=(200_000, 3)))
    pieces = np.diff(np.c_[np.zeros(len(tried)), tried, np.ones(len(tried))])
    kept = tried[pieces.min(1) >= shortest]
    for k in range(3):
        assert stats.ks_2samp(cuts[:, k + 1], kept[:, k]).pvalue > P


def test_sensors_of_two_rates_are_cut_at_the_same_time(bench):
    op = Permutation(4, cuts="random")
    params = drawn(bench, op, 100)
    fast, slow = op.positions(params, 1000), op.positions(params, 500)
    torch.testing.assert_close(slow[:, 0], fast[:, 0] // 2, rtol=0, atol=1)
    same = (fast[:, ::2] // 2 - slow).abs() <= 1
    assert float(same.float().mean()) > 0.97  # all but a few samples beside the cuts


def test_dense_labels_move_along(bench):
    op = Permutation(4)
    params = drawn(bench, op, 20)
    assert torch.equal(op.apply_dense(torch.arange(64).expand(20, -1), params), op.positions(params, 64))


@pytest.mark.parametrize("shortest", [-0.1, 0.26, float("nan")])
def test_pieces_have_room(shortest):
    with pytest.raises(
        UsageError, match=r"shortest is a share of the window that 4 segments have room for, from 0 to 0\.25; got"
    ):
        Permutation(4, cuts="random", shortest=shortest)


def test_the_order_is_assumed_not_to_matter():
    assert Permutation().assumes == {"order"}
