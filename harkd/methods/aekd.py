"""Several teachers, weighted so that the student moves towards all of them, and towards none at the cost of another.

    L = (1 - weight) CE(y, s) + weight * sum over m of w_m T^2 KL(softmax(t_m / T) || softmax(s / T))
    w = argmin |sum of w_m g_m|^2,   sum of w_m = 1,   0 <= w_m <= tolerance

g_m is the gradient of teacher m's term with respect to the student's logits, of the whole batch: T / B (softmax(s / T) -
softmax(t_m / T)). The shortest vector in the hull of the gradients points away from none of them; `tolerance` limits how much one
teacher may decide. Take it where teachers contradict each other and none is known to be the better one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import Context, CrossEntropy, Together
from harkd.options import AEKD
from harkd.teachers import Weighted


def shortest(products: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """(m,) weights from 0 to `most` that sum to 1 and make the mixture of m vectors shortest, from their products (m, m).

    This is the dual of a support vector machine with one class and kernel `products`.
    """
    from sklearn.svm import OneClassSVM  # it takes a second to load, and other methods do without

    number, scale = len(products), products.trace()
    if most * number <= 1 or scale <= 0:  # no choice, or nothing to choose between
        return np.full(number, 1 / number)
    machine = OneClassSVM(kernel="precomputed", nu=1 / (most * number), tol=1e-9).fit(products / scale)
    weight = np.zeros(number)
    weight[machine.support_] = machine.dual_coef_[0]
    return weight / weight.sum()


class ByGradient(Weighted):
    """One weight for each teacher and batch."""

    def __init__(self, teachers: Sequence[str], options: AEKD) -> None:
        super().__init__(teachers, options)
        self.tolerance = options.tolerance

    def weigh(self, context: Context, told: Tensor, sees: Tensor) -> Tensor:
        mine = (context.outputs["student"].logits.detach().float() / self.options.temperature).softmax(1)
        away = ((mine - (told / self.options.temperature).softmax(2)) * sees[..., None]).flatten(1).double()
        found = shortest((away @ away.T).cpu().numpy(), self.tolerance)
        return torch.from_numpy(found).to(mine)[:, None] * sees


def recipe(players: Players, options: AEKD, plan: Plan) -> list[Phase]:
    """One phase with all teachers."""
    cast, weighted = frozen(players, "teacher"), ByGradient(named(players, "teacher"), options)
    objective = Together(CrossEntropy(smoothing=options.smoothing), weighted)
    step = Step({"ce": 1 - options.weight, "kl": options.weight})
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="aekd",
    title="several teachers, weighted by agreement of their gradients",
    recipe=recipe,
    options=AEKD,
    source="S. Du et al.: Agree to disagree: adaptive ensemble knowledge distillation in gradient space, NeurIPS 2020",
    evidence="as in the released code of CA-MKD gradients of the logits are weighed by a support vector machine, C = 0.6; there "
    "they are first averaged over the batch, here they are compared window by window; the share of the labels is our design",
    teachers=(2, None),
    cost="student, each teacher",
)
