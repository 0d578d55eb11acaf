"""SimKD: the student learns to make the teacher's last features, and answers with the teacher's own head.

    L = mean (P(f_s) - f_t)^2

Much of what a teacher knows lies in its classifier, which need not be learnt again: it is copied, and never moves. A projector P,
three convolutions on the student's last stage, makes maps of the teacher's width. There is no other term, not even for labels.
What is deployed is the student with P and the head, so look at its size. The longer map is averaged to the shorter one's length.

Of several teachers each has a projector and a head of its own, and the answer is the mean of their logits. Take it when a teacher
is clearly better than the student, and a slightly larger student is no trouble; the teacher may see other sensors.
P ends in a ReLU: a teacher whose maps may be negative, like a patchformer, can be followed half-way only.
"""

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import CrossEntropy, Together
from harkd.options import SimKD
from harkd.reusing import ProjectedHint, with_fixed_heads


def recipe(players: Players, options: SimKD, plan: Plan) -> list[Phase]:
    """One phase with frozen teachers; the student's head is a copy of theirs."""
    cast = frozen(players, "teacher")
    teachers = named(cast, "teacher")
    cast["student"] = with_fixed_heads(cast["student"], [cast[name] for name in teachers])
    objective = Together(ProjectedHint(teachers), CrossEntropy())  # the labels are looked at, and teach nothing
    return [
        Phase(plan.epochs, cast, objective, [Step({"hint": 1.0})], plan.curriculum, plan.optimiser, at=plan.at, name="distil")
    ]


METHOD = Method(
    key="simkd",
    title="the teacher's classifier, reused",
    recipe=recipe,
    options=SimKD,
    source="D. Chen, J.-P. Mei, H. Zhang, C. Wang, Y. Feng, C. Chen: Knowledge distillation with the reused teacher classifier, "
    "CVPR 2022, arXiv 2203.14001",
    evidence="loss and projector follow released code (that of atsc, which holds it), with kernels over time; that a longer map "
    "is averaged behind the projector, and several teachers, are our design",
    teachers=(1, None),
    cost="student, each teacher",
    reuses_heads=True,
    bankable=False,
)
