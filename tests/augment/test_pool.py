"""Partners: in the pool, uniform, as restricted, and different from each other."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from scipy import stats

from harkd.augment import Pool
from harkd.augment.keys import bits

N = 10_000
P = 0.001
WHO = ["any", "same_class", "other_class", "same_subject", "other_subject"]
every = pytest.mark.parametrize("who", WHO)
restricted = pytest.mark.parametrize("who", WHO[1:])


@pytest.fixture(scope="module")
def pool(bench) -> Pool:
    """60 windows: 4 subjects, 3 classes, shuffled, and one class made rarer."""
    windows = bench.windows((bench.acc,), 16, n=60)
    order = torch.argsort(bits(torch.tensor(2), 60))
    return Pool(windows.subset(order[(windows.labels[order] != 2) | (order % 2 == 0)]))


@pytest.fixture(scope="module")
def small(bench) -> Pool:
    """10 windows: class 0 has 1, class 1 has 3, class 2 has 6."""
    windows = bench.windows((bench.acc,), 16, n=60)
    return Pool(windows.subset(torch.cat([(windows.labels == label).nonzero()[:n, 0] for label, n in enumerate((1, 3, 6))])))


def asked(pool: Pool, *who: str, seed: int = 7):
    """Who asks (N,), and whom each is given (N, partners)."""
    index = torch.arange(N) % len(pool.windows)
    return index, pool.partners(bits(bits(torch.tensor(seed), N), len(who)), index, who)


def codes(pool: Pool, who: str) -> torch.Tensor:
    if who.endswith("class"):
        return pool.windows.labels
    return torch.tensor([int(subject) for subject in pool.windows.subjects])


def allowed(pool: Pool, position: int, who: str) -> torch.Tensor:
    """Which windows a window may be given, as the restriction reads; it has companions."""
    if who == "any":
        return torch.ones(len(pool.windows), dtype=torch.bool)
    fits = (codes(pool, who) == codes(pool, who)[position]) == who.startswith("same")
    fits[position] = False
    return fits


@every
def test_restrictions_hold_in_ten_thousand_draws(pool, who):
    index, partner = asked(pool, who)
    assert partner.shape == (N, 1)
    may = torch.stack([allowed(pool, position, who) for position in range(len(pool.windows))])
    assert bool(may[index, partner[:, 0]].all())


@every
@pytest.mark.parametrize("position", [0, 17])
def test_partners_are_uniform_over_those_allowed(pool, who, position):
    partner = pool.partners(bits(torch.tensor(11), N)[:, None], torch.full((N,), position), [who])[:, 0]
    counts = torch.bincount(partner, minlength=len(pool.windows))
    may = allowed(pool, position, who)
    assert torch.equal(counts > 0, may)
    assert stats.chisquare(counts[may]).pvalue > P


# Several at once


@restricted
def test_several_partners_of_a_kind_differ(pool, who):
    index, partner = asked(pool, *[who] * 5)
    ordered = partner.sort(1).values
    assert bool((ordered[:, 1:] > ordered[:, :-1]).all())
    may = torch.stack([allowed(pool, position, who) for position in range(len(pool.windows))])
    assert bool(may[index[:, None], partner].all())


def test_all_orders_of_three_partners_come_equally_often(small):
    """Of the six windows of class 2 the first has five companions: 5 * 4 * 3 ordered choices, none of them favoured."""
    index = torch.full((60 * 400,), 4)
    partner = small.partners(bits(bits(torch.tensor(3), len(index)), 3), index, ["same_class"] * 3) - 5
    counts = torch.bincount(partner[:, 0] * 25 + partner[:, 1] * 5 + partner[:, 2], minlength=125)
    drawn = [a * 25 + b * 5 + c for a, b, c in permutations(range(5), 3)]
    assert int(counts[drawn].sum()) == len(index)
    assert stats.chisquare(counts[drawn]).pvalue > P


@pytest.mark.parametrize(("position", "companions"), [(0, {0}), (2, {1, 3}), (9, {4, 5, 6, 7, 8})])
def test_where_there_are_too_few_companions_all_are_given_and_some_come_again(small, position, companions):
    index = torch.full((500,), position)
    partner = small.partners(bits(bits(torch.tensor(9), 500), 7), index, ["same_class"] * 7)
    first, again = partner[:, : len(companions)], partner[:, len(companions) :]
    assert all(set(row) == companions for row in first.tolist())
    assert all(set(column) == companions for column in again.T.tolist())


def test_kinds_are_drawn_apart_and_come_back_in_their_places(pool):
    """A partner depends on its own word and on those of its kind before it."""
    who = ["other_class", "same_class", "any", "same_class", "other_subject"]
    index, together = asked(pool, *who)
    words = bits(bits(torch.tensor(7), N), len(who))
    for place in (0, 2, 4):
        assert torch.equal(together[:, place : place + 1], pool.partners(words[:, place : place + 1], index, [who[place]]))
    assert torch.equal(together[:, [1, 3]], pool.partners(words[:, [1, 3]], index, ["same_class", "same_class"]))


# Where nobody fits


@pytest.mark.parametrize("who", ["other_class", "other_subject"])
def test_where_no_window_fits_any_may_be_drawn(bench, who):
    single = Pool(bench.windows((bench.acc,), 16, n=12, classes=1, subjects=1))
    _, partner = asked(single, who)
    assert stats.chisquare(torch.bincount(partner[:, 0], minlength=12)).pvalue > P


@pytest.mark.parametrize("who", ["same_class", "same_subject"])
def test_a_pool_of_one_window_gives_that_window(bench, who):
    lonely = Pool(bench.windows((bench.acc,), 16, n=12).subset(torch.tensor([3])))
    assert not bool(asked(lonely, who, who, who)[1].any())


# A function of key and window


@every
def test_a_partner_is_a_function_of_its_words(pool, who):
    index, whole = asked(pool, who, who, who)
    words = bits(bits(torch.tensor(7), N), 3)
    assert torch.equal(pool.partners(words[40:43], index[40:43], [who] * 3), whole[40:43])
    before = words.clone()
    pool.partners(words, index, [who] * 3)
    assert torch.equal(words, before)
