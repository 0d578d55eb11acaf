"""Knowledge distillation: the student learns from labels and from the tempered answers of one teacher.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T))

Teacher and student see the same augmented window ("consistent teaching"), unless the teacher's player says otherwise.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.options import KD


def recipe(players: Players, options: KD, plan: Plan) -> list[Phase]:
    """One phase with a frozen teacher."""
    return [taught(players, options, plan)]


METHOD = Method(
    key="kd",
    title="knowledge distillation from one teacher",
    recipe=recipe,
    options=KD,
    source="G. Hinton, O. Vinyals, J. Dean: Distilling the knowledge in a neural network, 2015",
    evidence="equation as published",
)
