"""All levels at once: do they differ at all (Friedman), and which of them cannot be told apart (Nemenyi)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from harkd.compare.scores import DIGITS, FEW, Scores
from harkd.report.words import many


@dataclass(frozen=True)
class Omnibus:
    """Ranks of the levels within each subject, averaged, and the tests on them.

    subjects              those that all levels have tested; the others take no part
    statistic, p          Friedman's chi-squared and its p-value
    ranks                 average rank of every level, 1 is the best; empty without a subject
    nemenyi               p-values (level, level), in the levels' order, corrected for all pairs
    critical_difference   of two average ranks, at `alpha`
    groups                maximal runs of levels, by rank, that Nemenyi does not tell apart: the bars of a diagram
    refused               why there is no test, or empty
    """

    subjects: int
    statistic: float | None
    p: float | None
    ranks: dict[str, float]
    nemenyi: tuple[tuple[float, ...], ...] | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...]
    refused: str
    alpha: float = 0.05


def omnibus(scores: Scores, alpha: float = 0.05) -> Omnibus:
    """Friedman's test and Nemenyi's, as in Demšar, Statistical comparisons of classifiers, JMLR 7 (2006)."""
    table = scores.complete
    values = np.round(table.values, DIGITS)
    subjects, levels = values.shape
    mean_ranks = rankdata(-values, axis=1).mean(axis=0) if subjects else []
    ranks = {level: float(rank) for level, rank in zip(scores.levels, mean_ranks, strict=bool(subjects))}
    if refused := _refused(subjects, levels, len(scores.subjects)):
        return Omnibus(subjects, None, None, ranks, None, None, (), refused, alpha)
    statistic, p = _friedman(values)
    # Far apart, the integral behind a p-value may miss zero by a rounding error.
    matrix = posthoc_nemenyi_friedman(values).to_numpy().clip(0, 1)
    nemenyi = tuple(tuple(float(p) for p in row) for row in matrix)
    return Omnibus(
        subjects,
        statistic,
        p,
        ranks,
        nemenyi,
        critical_difference(levels, subjects, alpha),
        bars(ranks, nemenyi, alpha),
        "",
        alpha,
    )


def critical_difference(levels: int, subjects: int, alpha: float = 0.05) -> float:
    """By how much two average ranks have to differ for Nemenyi's test to tell the levels apart.

    >>> round(critical_difference(4, 14), 2)  # Demšar's own example has 1.25 at 0.05
    1.25
    """
    quantile = float(studentized_range.ppf(1 - alpha, levels, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(levels * (levels + 1) / (6 * subjects))


def bars(ranks: Mapping[str, float], p_values: Sequence[Sequence[float]], alpha: float = 0.05) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of levels, two or more, best first, that p-values (level, level), in the order of `ranks`, do not tell apart.

    A p-value of Nemenyi's falls with the difference in rank alone, so a run whose ends are together is together throughout.
    """
    names = list(ranks)
    order = sorted(range(len(names)), key=lambda level: ranks[names[level]])
    found: list[tuple[str, ...]] = []
    reached = 0
    for start, first in enumerate(order):
        end = max(place for place in range(start, len(order)) if p_values[first][order[place]] > alpha)
        if end > max(start, reached):
            found.append(tuple(names[level] for level in order[start : end + 1]))
            reached = end
    return tuple(found)


def _refused(subjects: int, levels: int, tested: int) -> str:
    if levels < 3:
        return "Friedman's test is for three levels or more; with two the comparison with the control says it all."
    if subjects < FEW:
        whole = f" of {tested}" if subjects < tested else ""
        return f"Friedman's test is left out: {many(subjects, 'subject')}{whole} with all levels, and at least {FEW} are needed."
    return ""


def _friedman(values: NDArray[np.float64]) -> tuple[float, float]:
    """Friedman's chi-squared and p-value. Where every subject scores alike under all levels SciPy divides zero by zero."""
    if (values == values[:, :1]).all():
        return 0.0, 1.0
    statistic, p = friedmanchisquare(*values.T)
    return float(statistic), float(p)
