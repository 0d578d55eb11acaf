"""Friedman and Nemenyi: worked by hand, Demšar's tables, and the bars that scikit-posthocs draws."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scikit_posthocs import critical_difference_diagram, posthoc_nemenyi_friedman
from scipy.stats import friedmanchisquare

from harkd.compare.omnibus import critical_difference, omnibus
from harkd.compare.scores import Scores

NAMES = tuple("abcdefgh")


def scores(values: np.ndarray) -> Scores:
    subjects, levels = values.shape
    return Scores("accuracy", NAMES[:levels], tuple(f"s{i}" for i in range(subjects)), values, "a")


def made_up(seed: int, subjects: int = 15, levels: int = 6, gap: float = 0.06) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0.5 + gap * rng.permutation(levels), 0.1, (subjects, levels)), 0, 1)


def test_by_hand() -> None:
    """Six subjects that rank three levels alike: chi-squared is n (k - 1) = 12 and p is exp(-12 / 2)."""
    found = omnibus(scores(np.array([0.5, 0.9, 0.7]) + np.arange(6)[:, None] / 100))
    assert found.ranks == {"a": 3.0, "b": 1.0, "c": 2.0}
    assert found.statistic == pytest.approx(12)
    assert found.p == pytest.approx(math.exp(-6))
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / 36), abs=5e-4)
    assert found.groups == (("b", "c"), ("c", "a"))
    assert (found.subjects, found.refused) == (6, "")


@pytest.mark.parametrize(
    ("levels", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (10, 3.164)]
)
def test_critical_values_of_demsar(levels: int, quantile: float) -> None:
    assert critical_difference(levels, 20) / math.sqrt(levels * (levels + 1) / 120) == pytest.approx(
        quantile, abs=1.1e-3
    )  # printed to three digits


def test_scipy_and_scikit_posthocs_agree() -> None:
    values = made_up(0)
    found = omnibus(scores(values))
    assert (found.statistic, found.p) == pytest.approx(tuple(friedmanchisquare(*values.T)), rel=1e-12)
    np.testing.assert_allclose(np.array(found.nemenyi), posthoc_nemenyi_friedman(values), rtol=1e-9, atol=1e-12)


def test_the_critical_difference_is_where_nemenyi_reaches_alpha() -> None:
    found = omnibus(scores(made_up(1)))
    assert found.nemenyi is not None
    assert found.critical_difference is not None
    ranks = list(found.ranks.values())
    apart = np.abs(np.subtract.outer(ranks, ranks)) >= found.critical_difference
    assert 0 < apart.sum() < apart.size - len(ranks)
    np.testing.assert_array_equal(np.array(found.nemenyi) <= 0.05, apart)


@pytest.mark.parametrize("seed", range(8))
def test_bars_are_those_of_the_scikit_posthocs_diagram(seed: int) -> None:
    """Its bars are drawn through the ranks of their levels, by which they are known."""
    values = made_up(seed, gap=0.01 * (1 + seed))
    found = omnibus(scores(values))
    matrix = pd.DataFrame(np.array(found.nemenyi), NAMES[:6], NAMES[:6])
    figure: Figure = plt.figure()
    drawn = critical_difference_diagram(found.ranks, matrix, ax=figure.add_subplot())["crossbars"]
    plt.close(figure)
    known = sorted(sorted(line.get_xdata()) for (line,) in drawn)
    assert [[found.ranks[level] for level in group] for group in found.groups] == known


def test_no_difference_anywhere_is_one_bar() -> None:
    found = omnibus(scores(np.tile(np.linspace(0.2, 0.9, 8)[:, None], 4)))
    assert (found.statistic, found.p) == (0.0, 1.0)
    assert found.ranks == dict.fromkeys("abcd", 2.5)
    assert found.groups == (("a", "b", "c", "d"),)


def test_rounding_errors_are_ties() -> None:
    """0.1 + 0.2 and 0.3 are one score."""
    values = np.tile([0.1 + 0.2, 0.3, 0.4], (6, 1))
    assert omnibus(scores(values)).ranks == {"a": 2.5, "b": 2.5, "c": 1.0}


def test_order_and_constants_change_nothing() -> None:
    values = made_up(2) / 2
    found, rng = omnibus(scores(values)), np.random.default_rng(0)
    assert omnibus(scores(rng.permutation(values))) == found
    assert omnibus(scores(values + rng.uniform(0, 0.4, (len(values), 1)))) == found
    order = rng.permutation(6)
    turned = omnibus(Scores("accuracy", tuple(NAMES[i] for i in order), tuple(map(str, range(15))), values[:, order], "a"))
    assert (turned.ranks, turned.groups, turned.subjects) == (found.ranks, found.groups, found.subjects)
    assert turned.p == pytest.approx(found.p, rel=1e-9)


def test_only_whole_subjects_take_part() -> None:
    values = made_up(3)
    gaps = values.copy()
    gaps[[0, 4], [1, 5]] = np.nan
    assert omnibus(scores(gaps)) == omnibus(scores(np.delete(values, [0, 4], axis=0)))


def test_refusals() -> None:
    two = omnibus(scores(made_up(4, levels=2)))
    assert "three levels" in two.refused
    assert set(two.ranks) == {"a", "b"}
    few = made_up(4, subjects=8)
    few[:3, 2] = np.nan
    found = omnibus(scores(few))
    assert found.refused == "Friedman's test is left out: 5 subjects of 8 with all levels, and at least 6 are needed."
    assert (found.p, found.statistic, found.nemenyi, found.critical_difference, found.groups) == (None, None, None, None, ())
    assert sum(found.ranks.values()) == pytest.approx(21)
    assert omnibus(scores(np.full((7, 3), np.nan))).ranks == {}
