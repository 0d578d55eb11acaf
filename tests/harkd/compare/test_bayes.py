"""The Bayesian signed-rank test: worked by hand, and beside the authors' own program."""

import math

import baycomp
import numpy as np
import pytest

from harkd.compare.bayes import signed_rank
from harkd.errors import UsageError

SHIFTED = np.random.default_rng(3).normal(0.012, 0.02, 20)


@pytest.mark.parametrize(("difference", "known"), [(0.05, math.sqrt(math.sqrt(0.5))), (0.015, math.sqrt(1 - math.sqrt(0.5)))])
def test_one_subject_by_hand(difference: float, known: float) -> None:
    """The prior's weight w is Beta(1/2, 1), P(w < x) = sqrt(x). A difference of more than twice the region takes every pair but
    the prior with itself, so it wins where w^2 < 1/2; a smaller one takes only the pair with itself, (1 - w)^2 > 1/2."""
    worse, equivalent, better = signed_rank(np.array([difference]), 0.01)
    assert better == pytest.approx(known, abs=0.01)
    assert (worse, equivalent) == (0.0, pytest.approx(1 - better, abs=1e-12))


@pytest.mark.parametrize(
    "differences", [SHIFTED, -SHIFTED, SHIFTED[:7], np.linspace(-0.05, 0.061, 12), np.repeat([0.0, 0.03], 6)]
)
@pytest.mark.parametrize("rope", [0.01, 0.0])
def test_the_authors_program_agrees(differences: np.ndarray, rope: float) -> None:
    sample = baycomp.SignedRankTest.sample(np.zeros(len(differences)), differences, rope, nsamples=6000, random_state=1)
    known = baycomp.multiple.Posterior(sample).probs()
    assert signed_rank(differences, rope) == pytest.approx(known, abs=0.02)


def test_certain_cases() -> None:
    assert signed_rank(np.zeros(10), 0.01) == (0.0, 1.0, 0.0)
    assert signed_rank(np.zeros(10), 0.0) == (0.5, 0.0, 0.5)
    assert signed_rank(np.full(20, 0.3), 0.01)[2] > 0.999
    assert signed_rank(np.full(20, -0.3), 0.01)[0] > 0.999


def test_a_pair_on_the_border_counts_for_both() -> None:
    """0.03 - 0.02 is 0.009999999999999998: the border must not depend on that. Ten such pairs give half to each side, so that
    the prior, with its pairs in the region, makes it the region that wins."""
    assert signed_rank(np.full(10, 0.03 - 0.02), 0.01) == (0.0, 1.0, 0.0)
    assert signed_rank(np.full(10, 0.01), 0.01) == (0.0, 1.0, 0.0)


def test_order_and_seed() -> None:
    shuffled = np.random.default_rng(0).permutation(SHIFTED)
    assert signed_rank(shuffled, 0.01, seed=4) == signed_rank(SHIFTED, 0.01, seed=4) != signed_rank(SHIFTED, 0.01, seed=5)
    turned = signed_rank(-SHIFTED, 0.01)[::-1]
    assert turned == pytest.approx(signed_rank(SHIFTED, 0.01), abs=0.01)


def test_a_negative_region_is_refused() -> None:
    with pytest.raises(UsageError, match=r"region of practical equivalence of -0\.01"):
        signed_rank(SHIFTED, -0.01)
