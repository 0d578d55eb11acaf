"""How many subjects a question needs: the least that a test can answer with, and as many as find a difference of some size."""

from __future__ import annotations

import math

from scipy.stats import norm
from statsmodels.stats.power import TTestPower

from harkd.compare.scores import FEW

EFFICIENCY = 3 / math.pi
"""Of the Wilcoxon signed-rank test beside the t-test, asymptotically and for normal differences (Hodges and Lehmann, 1956)."""
MOST = 100_000
"""Subjects. A difference that needs more is none that a study could show."""


def smallest_p(subjects: int) -> float:
    """The smallest two-sided p-value that the signed-rank test can give: all subjects on one side, 2 of 2^n patterns of signs.

    >>> smallest_p(5), smallest_p(6), smallest_p(0)
    (0.0625, 0.03125, 1.0)
    """
    return min(1.0, 2.0 ** (1 - subjects))


def subjects_for(alpha: float, comparisons: int = 1) -> int:
    """The fewest subjects with which at least one of several comparisons can be significant after Holm's correction, but never
    fewer than six.

    >>> subjects_for(0.05), subjects_for(0.05, 10), subjects_for(0.5)
    (6, 9, 6)
    """
    # The smallest of the corrected p-values is the smallest p-value times the number of comparisons.
    return max(FEW, math.ceil(1 - math.log2(alpha / comparisons)))


def subjects_needed(dz: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Subjects with which a two-sided signed-rank test finds an effect of `dz` standard deviations with probability `power`.

    The subjects that the paired t-test needs (its exact power, noncentral t) over the efficiency 3 / pi, and at least as many as
    make a p-value of `alpha` possible. None where the effect is zero or so small that no study could show it.
    """
    # The normal distribution asks for fewer subjects than Student's t, by a handful, and is where the count begins.
    quantiles = norm.isf(alpha / 2) + norm.isf(1 - power)
    if abs(dz) < quantiles / math.sqrt(MOST):
        return None
    subjects = max(subjects_for(alpha), math.floor((quantiles / dz) ** 2 / EFFICIENCY))
    # Where a large effect makes the power 1, the noncentral t may be no number: that is enough.
    while TTestPower().power(abs(dz), subjects * EFFICIENCY, alpha) < power:
        subjects += 1
    return subjects
