"""Numbers of subjects: worked by hand, beside statsmodels, and as simulated tests find them."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from harkd.compare.contrast import signed_rank_p
from harkd.compare.power import EFFICIENCY, smallest_p, subjects_for, subjects_needed


@pytest.mark.parametrize("subjects", [1, 6, 10, 30])
def test_the_smallest_p_is_the_one_the_test_gives_when_all_agree(subjects: int) -> None:
    assert smallest_p(subjects) == signed_rank_p(np.linspace(0.01, 0.2, subjects))


@pytest.mark.parametrize(
    ("alpha", "comparisons", "known"), [(0.05, 1, 6), (0.05, 2, 7), (0.05, 3, 7), (0.05, 4, 8), (0.05, 10, 9), (0.01, 1, 8)]
)
def test_fewest_subjects(alpha: float, comparisons: int, known: int) -> None:
    assert subjects_for(alpha, comparisons) == known
    assert comparisons * smallest_p(known) <= alpha
    assert known == 6 or comparisons * smallest_p(known - 1) > alpha


@pytest.mark.parametrize("dz", [0.05, 0.1, 0.3, 0.5, 0.77])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.0005])
def test_needed_is_the_t_test_over_the_efficiency(dz: float, alpha: float) -> None:
    t_test = TTestPower().solve_power(effect_size=dz, alpha=alpha, power=0.8)
    assert subjects_needed(dz, alpha) == subjects_needed(-dz, alpha) == max(math.ceil(t_test / EFFICIENCY), subjects_for(alpha))


def test_needed_at_the_ends() -> None:
    assert subjects_needed(0.0) is None
    assert subjects_needed(1e-4) is None
    # The t-test would be content with three subjects; the signed-rank test cannot answer with fewer than six.
    assert [subjects_needed(dz) for dz in (5.0, 100.0, 1e9)] == [6, 6, 6]
    assert subjects_needed(5.0, alpha=0.05 / 10) == 9


@pytest.mark.slow
@pytest.mark.parametrize("dz", [0.5, 0.8])
def test_the_predicted_power_is_what_the_exact_test_has(dz: float) -> None:
    subjects = subjects_needed(dz)
    assert subjects is not None
    samples = np.random.default_rng(7).normal(dz, 1, (4000, subjects))
    found = np.mean([signed_rank_p(d) <= 0.05 for d in samples])
    assert found == pytest.approx(0.8, abs=0.025)  # four standard errors
