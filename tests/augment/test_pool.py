"""Partners: in the pool, uniform, and as restricted."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Pool
from harkd.augment.keys import bits

N = 10_000
P = 0.001


@pytest.fixture(scope="module")
def pool(bench) -> Pool:
    """60 windows: 4 subjects, 3 classes, shuffled, and one class made rarer."""
    windows = bench.windows((bench.acc,), 16, n=60)
    order = torch.argsort(bits(torch.tensor(2), 60))
    return Pool(windows.subset(order[(windows.labels[order] != 2) | (order % 2 == 0)]))


def asked(pool: Pool, who: str):
    index = torch.arange(N) % len(pool.windows)
    return index, pool.partners(bits(torch.tensor(7), N), index, who)


@pytest.mark.parametrize("who", ["any", "same_class", "other_class", "same_subject", "other_subject"])
def test_restrictions_hold_in_ten_thousand_draws(pool, who):
    index, partner = asked(pool, who)
    assert int(partner.min()) >= 0
    assert int(partner.max()) < len(pool.windows)
    labels, subjects = pool.windows.labels.numpy(), pool.windows.subjects
    same = {"class": labels[index] == labels[partner], "subject": subjects[index] == subjects[partner], "any": None}
    side, _, kind = who.partition("_")
    if side == "any":
        assert 0 < same["class"].mean() < 1
        assert 0 < same["subject"].mean() < 1
    else:
        assert same[kind].all() if side == "same" else not same[kind].any()
    free = "subject" if kind == "class" else "class"  # the other property is not restricted
    assert 0 < same[free].mean() < 1


@pytest.mark.parametrize("who", ["any", "same_class", "other_class", "same_subject", "other_subject"])
@pytest.mark.parametrize("position", [0, 17])
def test_partners_are_uniform_over_those_allowed(pool, who, position):
    words = bits(torch.tensor(11), N)
    partner = pool.partners(words, torch.full((N,), position), who)
    side, _, kind = who.partition("_")
    codes = {"class": pool.windows.labels.numpy(), "subject": pool.windows.subjects, "": None}[kind]
    n = len(pool.windows)
    allowed = (
        torch.ones(n, dtype=torch.bool) if side == "any" else torch.from_numpy((codes == codes[position]) == (side == "same"))
    )
    counts = torch.bincount(partner, minlength=n)
    assert torch.equal(counts > 0, allowed)
    assert stats.chisquare(counts[allowed]).pvalue > P


def test_where_no_window_fits_any_may_be_drawn(bench):
    single = Pool(bench.windows((bench.acc,), 16, n=12, classes=1, subjects=1))
    for who in ("other_class", "other_subject"):
        _, partner = asked(single, who)
        assert stats.chisquare(torch.bincount(partner, minlength=12)).pvalue > P


def test_a_class_of_one_window_is_its_own_partner(bench):
    windows = bench.windows((bench.acc,), 16, n=12)
    lonely = windows.subset(torch.tensor([0, *(windows.labels != 0).nonzero()[:, 0].tolist()]))
    assert bool((Pool(lonely).partners(bits(torch.tensor(1), 50), torch.zeros(50, dtype=torch.int64), "same_class") == 0).all())


def test_a_partner_is_a_function_of_its_word(pool):
    words, index = bits(torch.tensor(5), 100), torch.arange(100) % len(pool.windows)
    for who in ("any", "other_class"):
        whole = pool.partners(words, index, who)
        assert torch.equal(pool.partners(words[40:41], index[40:41], who), whole[40:41])
