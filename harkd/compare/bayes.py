"""The Bayesian signed-rank test: how probable it is that a level is better, worse, or practically the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harkd.compare.scores import DIGITS
from harkd.errors import UsageError

PRIOR = 0.5
"""Weight of the prior, one made-up subject without a difference, beside the weight 1 of each real subject (the paper's)."""


def signed_rank(differences: NDArray[np.float64], rope: float, seed: int = 0, draws: int = 50_000) -> tuple[float, float, float]:
    """The probabilities that a level is worse by more than `rope`, equivalent, and better by more than `rope`.

    `differences` (subject,) are level - control, in the unit of `rope`. A Dirichlet process over the subjects and one made-up
    subject at zero: in every draw of their weights w the share of pairs i, j with (d_i + d_j) / 2 in each of the three
    regions is the sum of w_i w_j over these pairs, and the region with the largest share wins the draw. A pair on a border, and a
    draw without a single winner, count for both. The same seed gives the same answer, for subjects in any order.

    Source: Benavoli, Corani, Demšar and Zaffalon, Time for a change, JMLR 18 (2017), section 4.2.1. The authors' baycomp loops
    over the draws in Python, a thousand times slower, so it is only what the tests compare with.
    """
    if not rope >= 0:
        raise UsageError(f"a region of practical equivalence of {rope:g}: expected a share of at least 0, such as 0.01")
    d = np.append(0.0, np.sort(differences))
    means = np.round(np.add.outer(d, d) / 2, DIGITS)
    weights = np.random.default_rng(seed).dirichlet([PRIOR, *np.ones(len(differences))], size=draws)
    better, worse = (_share(weights, side) for side in (means - rope, -means - rope))
    shares = np.round(np.stack([worse, 1 - worse - better, better]), DIGITS)
    winners = shares == shares.max(axis=0)
    probabilities = (winners / winners.sum(axis=0)).mean(axis=1)
    return float(probabilities[0]), float(probabilities[1]), float(probabilities[2])


def _share(weights: NDArray[np.float64], excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """For every draw of the weights (draw, n), the weight of the pairs (n, n) with an excess above zero; at zero, half of it."""
    return np.einsum("di,di->d", weights @ np.heaviside(excess, 0.5), weights)
