"""Levels against the control: exact p-values, Holm, intervals, effect sizes, and what must not change them."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from scipy.stats import PermutationMethod, rankdata, ttest_1samp, wilcoxon

from harkd.compare.contrast import Contrast, contrasts, effect_dz, interval, rank_biserial, signed_rank_p
from harkd.compare.power import subjects_needed
from harkd.compare.scores import Scores


def scores(values: np.ndarray, control: str = "a") -> Scores:
    subjects, levels = values.shape
    return Scores("accuracy", tuple("abcdefgh"[:levels]), tuple(f"s{i}" for i in range(subjects)), values, control)


def made_up(seed: int, subjects: int = 20, levels: int = 4, windows: int = 40) -> np.ndarray:
    """Binomial scores, with ties, of levels that differ by 2 points each."""
    rng = np.random.default_rng(seed)
    shares = np.clip(0.6 + rng.normal(0, 0.08, (subjects, 1)) + 0.02 * np.arange(levels), 0, 1)
    return rng.binomial(windows, shares) / windows


def against(differences: list[float]) -> Contrast:
    """The contrast of one level with these differences from a control at 0.5."""
    d = np.array(differences)
    (found,) = contrasts(scores(np.stack([np.full(len(d), 0.5), 0.5 + d], axis=1)))
    return found


@pytest.mark.parametrize(
    ("differences", "known"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 64),
        ([1, 2, 3, -4], 14 / 16),  # rank sums of at most 4: none, 1, 2, 3, 4, 1+2, 1+3, on either side
        ([1, 1, 1, 1, -1], 12 / 32),  # all ranks are 3: the sign test, 0 or 1 of 5 on either side
        ([0, 0, 0, 1, 2], 2 / 4),
        ([0, 0, 0], 1.0),
        ([-1, 1], 1.0),
    ],
)
def test_p_by_hand(differences: list[float], known: float) -> None:
    assert signed_rank_p(np.array(differences, float)) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("subjects", [6, 13, 30, 60])
def test_p_without_ties_is_scipys_exact_one(subjects: int) -> None:
    d = np.random.default_rng(subjects).normal(0.3, 1, subjects)
    assert signed_rank_p(d) == pytest.approx(wilcoxon(d, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_p_with_ties_and_zeros_is_that_of_all_permutations(seed: int) -> None:
    d = np.random.default_rng(seed).integers(-2, 5, 11).astype(float)
    every = PermutationMethod(n_resamples=2**11)
    assert signed_rank_p(d) == pytest.approx(wilcoxon(d, zero_method="pratt", method=every).pvalue, rel=1e-9)


def test_p_counts_every_pattern_of_signs() -> None:
    d = np.array([0.1, 0.1, -0.1, 0.2, 0.2, 0.3, 0.0, 0.4])
    ranks = rankdata(np.abs(d))[d != 0]
    sums = [sum(r for r, plus in zip(ranks, signs, strict=True) if plus) for signs in product((True, False), repeat=7)]
    observed = ranks[d[d != 0] > 0].sum()
    tails = [np.mean([s <= observed for s in sums]), np.mean([s >= observed for s in sums])]
    assert signed_rank_p(d) == pytest.approx(2 * min(tails), rel=1e-12)


def test_more_gain_is_no_less_evidence() -> None:
    """Pratt's reason to rank the zeros: thirteen subjects of whom each improves by the same amount."""
    d = np.array([0, 2, 3, 4, 6, 7, 8, 9, 11, 14, 15, 17, -18.0])
    assert signed_rank_p(d + 0.5) < signed_rank_p(d) < 0.05


def test_rounding_errors_are_ties() -> None:
    """Differences of 0.1 made in different ways: all on one side and all the same size."""
    found = against([0.1] * 3 + [0.3 - 0.2] * 3)
    assert found.p == 2 / 64
    assert (found.low, found.high) == (found.difference, found.difference) == pytest.approx((0.1, 0.1))


def test_a_contrast_by_hand() -> None:
    found = against([0.01, 0.02, 0.03, -0.04, 0.0, 0.1])
    assert (found.wins, found.draws, found.losses, found.subjects) == (4, 1, 1, 6)
    assert found.difference == pytest.approx(0.02)
    assert found.effect_dz == pytest.approx(0.02 / 0.046043457732885, rel=1e-9)  # variance 0.0106 / 5
    assert found.rank_biserial == pytest.approx((2 + 3 + 4 + 6 - 5) / 20)
    assert found.p == found.p_holm == signed_rank_p(np.array([1, 2, 3, -4, 0, 10.0]))
    assert (found.smallest_p, found.smallest_p_holm, found.refused) == (2 / 64, 2 / 64, "")
    assert found.needed == subjects_needed(0.02 / 0.046043457732885)
    assert found.better + found.equivalent + found.worse == pytest.approx(1)


def test_effect_sizes_at_the_ends() -> None:
    assert rank_biserial(np.array([0.1, 0.2, 0.3])) == 1.0
    assert rank_biserial(np.array([-0.1, 0.1])) == 0.0
    assert rank_biserial(np.zeros(5)) is None
    assert effect_dz(np.full(5, 0.1)) is None
    assert effect_dz(np.array([0.1])) is None
    same = against([0.0] * 8)
    assert (same.p, same.low, same.high, same.needed, same.equivalent) == (1.0, 0.0, 0.0, None, 1.0)


def test_holm_by_hand() -> None:
    found = contrasts(scores(made_up(1, subjects=40, levels=5)), samples=10)
    ordered = sorted(found, key=lambda c: c.p or 0)
    expected, last = {}, 0.0
    for place, contrast in enumerate(ordered):
        assert contrast.p is not None
        last = max(last, min(1.0, (len(ordered) - place) * contrast.p))
        expected[contrast.level] = last
    assert {c.level: c.p_holm for c in found} == pytest.approx(expected)
    assert [c.level for c in found] == ["b", "c", "d", "e"]
    assert {c.different for c in found} == {True, False}
    assert all(c.different == (expected[c.level] <= 0.05) for c in found)


def test_few_subjects_have_no_p_and_no_interval() -> None:
    found = against([0.1, 0.2, 0.3, 0.1, 0.2])
    assert (found.p, found.p_holm, found.low, found.high, found.needed, found.different) == (None, None, None, None, None, False)
    assert found.refused == "5 subjects are too few for a test; at least 6 are needed for 1 comparison"
    assert (found.wins, found.difference) == (5, pytest.approx(0.18))


def test_a_test_that_cannot_answer_is_refused() -> None:
    values = 0.5 + np.arange(1, 7)[:, None] * np.array([0.0, 0.01, 0.02])
    assert {c.p for c in contrasts(scores(values[:, :2]))} == {2 / 64}
    for found in contrasts(scores(values)):
        assert (found.p, found.smallest_p, found.smallest_p_holm) == (None, 2 / 64, 4 / 64)
        assert found.refused == (
            "with 6 subjects no corrected p-value is below 0.062, and 0.05 is asked for; at least 7 are needed for 2 comparisons"
        )
        assert found.low is not None
    assert all(not c.refused for c in contrasts(scores(values), alpha=0.1))


def test_a_level_with_missing_cells_uses_what_both_have() -> None:
    values = made_up(2)
    gaps = values.copy()
    gaps[:15, 1], gaps[:, 2], gaps[19, 0] = np.nan, np.nan, np.nan
    few, none, rest = contrasts(scores(gaps))
    assert (few.subjects, few.p, none.subjects, rest.subjects) == (4, None, 0, 19)
    assert np.isnan([none.difference, none.better, none.equivalent, none.worse]).all()
    # What could not be tested still counts: three comparisons.
    alone = contrasts(scores(values[:19, [0, 3]]))[0]
    assert (rest.p, rest.low, rest.better) == (alone.p, alone.low, alone.better)
    assert alone.p is not None
    assert rest.p_holm == pytest.approx(min(1, 3 * alone.p))


def test_order_constants_and_seed() -> None:
    values, rng = made_up(3), np.random.default_rng(0)
    found = contrasts(scores(values), seed=5)
    assert contrasts(scores(rng.permutation(values)), seed=5) == found
    assert contrasts(scores(values - rng.uniform(0, 0.1, (20, 1))), seed=5) == found
    turned = Scores("accuracy", ("d", "a", "c", "b"), tuple(map(str, range(20))), values[:, [3, 0, 2, 1]], "a")
    assert {c.level: c for c in contrasts(turned, seed=5)} == {c.level: c for c in found}
    other = contrasts(scores(values), seed=6)
    drawn = {"low", "high", "better", "equivalent", "worse"}
    changed = {
        name for one, two in zip(found, other, strict=True) for name in asdict(one) if asdict(one)[name] != asdict(two)[name]
    }
    assert {"low", "high"} <= changed <= drawn


def test_exchanging_level_and_control_turns_every_sign() -> None:
    values = made_up(4, levels=2)
    (one,), (two,) = contrasts(scores(values)), contrasts(scores(values, control="b"))
    assert (one.p, one.wins, one.draws, one.losses) == (two.p, two.losses, two.draws, two.wins)
    assert one.difference == pytest.approx(-two.difference)
    assert one.rank_biserial == pytest.approx(-(two.rank_biserial or 0))
    assert (one.low, one.high) == pytest.approx((-(two.high or 0), -(two.low or 0)), abs=0.002)
    assert (one.better, one.worse) == pytest.approx((two.worse, two.better), abs=0.01)


def test_the_interval_of_normal_differences_is_near_students() -> None:
    d = np.random.default_rng(0).normal(0.02, 0.05, 30)
    students = ttest_1samp(d, 0).confidence_interval(0.95)
    assert interval(d) == pytest.approx(tuple(students), abs=0.1 * float(np.ptp(students)))
    assert interval(d, seed=1) == interval(d, seed=1) != interval(d, seed=2)


def test_the_interval_stays_among_the_differences() -> None:
    low, high = interval(np.array([0.0] * 7 + [0.2]))
    assert 0 <= low < 0.025 < high <= 0.2


def test_only_the_control() -> None:
    assert contrasts(scores(made_up(5, levels=1))) == ()
