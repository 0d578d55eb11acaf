"""Several teachers, weighted by how sure they are: the larger the entropy of an answer, the less it counts.

    L = (1 - weight) CE(y, s) + weight * sum over m of w_m T^2 KL(softmax(t_m / T) || softmax(s / T))
    w_m = (1 - H_m / sum of all H) / (M - 1),   H_m the entropy of softmax(t_m), for each window

No label is asked for the weights, so it also works where labels are wrong. Take it where teachers see different sensors, and the
unsure ones are those who see too little; a teacher who is sure and wrong counts as much as one who is right (see `camkd`).
"""

from torch import Tensor

from harkd.engine import Phase, Step
from harkd.losses import entropy
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import Context, CrossEntropy, Together
from harkd.options import EBKD
from harkd.teachers import Weighted, trust


class ByEntropy(Weighted):
    """Weights 1 - share of the entropy."""

    def weigh(self, context: Context, told: Tensor, sees: Tensor) -> Tensor:
        doubt = entropy(told) * sees
        return trust(doubt / doubt.sum(0).clamp_min(1e-12), sees)


def recipe(players: Players, options: EBKD, plan: Plan) -> list[Phase]:
    """One phase with all teachers."""
    cast, weighted = frozen(players, "teacher"), ByEntropy(named(players, "teacher"), options)
    objective = Together(CrossEntropy(smoothing=options.smoothing), weighted)
    step = Step({"ce": 1 - options.weight, "kl": options.weight})
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="ebkd",
    title="several teachers, weighted by their entropy",
    recipe=recipe,
    options=EBKD,
    source="K. Kwon, H. Na, H. Lee, N. S. Kim: Adaptive knowledge distillation based on entropy, ICASSP 2020",
    evidence="weights of untempered answers as in the released code of CA-MKD, where they are divided by the number of teachers; "
    "that they sum to 1, and the share of the labels, are our design",
    teachers=(2, None),
    cost="student, each teacher",
)
