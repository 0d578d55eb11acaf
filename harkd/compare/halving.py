"""Successive halving: configurations that do badly on validation subjects are not trained with all seeds.

After 1, 2, 4 ... seeds one of `keep` configurations stays, by the mean paired difference to the control over validation subjects.
The control always stays. Test subjects have no part in it. K. Jamieson, A. Talwalkar: Non-stochastic best arm identification and
hyperparameter optimization, AISTATS 2016; the paired differences are our design.
"""

from __future__ import annotations

import math

import numpy as np

from harkd.compare.results import Results
from harkd.errors import UsageError
from harkd.report.words import many


def rungs(seeds: int) -> list[int]:
    """Numbers of seeds after which is decided, and at last all of them.

    >>> rungs(6)
    [1, 2, 4, 6]
    """
    return [*(2**n for n in range(seeds.bit_length()) if 2**n < seeds), seeds]


def drop(results: Results, metric: str, keep: int) -> dict[str, str]:
    """The levels to leave out after a rung, and why.

    Args:
        results: of the levels that are still there, with the seeds so far.
        keep: one of so many stays (rounded up).

    Raises:
        UsageError: the folds have no validation subjects.
    """
    control = results.design.control
    if control not in results.levels:
        return {}  # its runs failed: there is nothing to go by
    if not results.by_subject(control, metric, "validation"):
        raise UsageError("halving is judged on validation subjects, and these folds have none: choose other --folds")
    scores = results.scores(metric, "validation")
    gains: dict[str, float] = {}
    for level in results.levels:
        if level != control:
            mine, other, subjects = scores.paired(level, control)
            gains[level] = float(np.mean(mine - other)) if len(subjects) else -math.inf
    # Equal gains: the level that was written first stays.
    order = sorted(gains, key=lambda level: -gains[level])
    stays = math.ceil(len(order) / keep)
    after = many(len(results.design.seeds), "seed")
    return {
        level: f"left out after {after}, place {place} of {len(order)} on validation subjects "
        f"({100 * gains[level]:+.1f} points against {control})"
        for place, level in enumerate(order, 1)
        if place > stays
    }
