"""The mean of several teachers: the student follows all of them equally.

    L = (1 - weight) CE(y, s) + weight * mean over m of T^2 KL(softmax(t_m / T) || softmax(s / T))

The gradient is that of one teacher who answers with the mean of their tempered probabilities. A teacher who lacks a sensor in a
window is left out of that window's mean. Take it as the control of every method that weighs its teachers.
"""

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import CrossEntropy, Together
from harkd.options import Average
from harkd.teachers import Weighted


def recipe(players: Players, options: Average, plan: Plan) -> list[Phase]:
    """One phase with all teachers."""
    cast, weighted = frozen(players, "teacher"), Weighted(named(players, "teacher"), options)
    objective = Together(CrossEntropy(smoothing=options.smoothing), weighted)
    step = Step({"ce": 1 - options.weight, "kl": options.weight})
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="average",
    title="the mean of several teachers",
    recipe=recipe,
    options=Average,
    source="S. You, C. Xu, C. Xu, D. Tao: Learning from multiple teacher networks, KDD 2017",
    evidence="the baseline of the released code of CA-MKD, mean of the teachers' losses; relations between windows "
    "are left out, and the share of the labels is our design",
    teachers=(2, None),
    cost="student, each teacher",
)
