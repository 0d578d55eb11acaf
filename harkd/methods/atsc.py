"""ATSC: the teacher comes towards the student while it is held near its start, and both answer with the same head.

    step 1, student, P and the teacher's body:  hint_weight * mean (P(f_s) - f_t)^2 + anchor_weight * sum ||w - w_0||^2
    step 2, the head, everybody answers anew:   CE(y, head(f_t))

As in `simkd` a projector P makes maps of the teacher's width, and the student answers with head(P(f_s)). Here the trained teacher
moves too, towards features that the student can make; w are the weights of its body, w_0 what they were. The scales of its norms
are among them: held by its kernels alone its maps would shrink, for small maps are easy to make. The labels teach the head
alone, which student and teacher share.

Of several teachers each has a projector and a head of its own; hints and anchors are their means, and the answer is the mean of
their logits. What is deployed is the student with P and the head. Take it where `simkd` helps, and its student falls short.
"""

from dataclasses import replace

from torch import nn
from torch.func import functional_call

from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.nets import Outputs
from harkd.nets.reused import take_over
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import ATSC
from harkd.reusing import ProjectedHint, with_fixed_heads


class Anchor(Objective):
    """Term `anchor`: squared distance of the teachers' weights from where they began, mean over the teachers.

    Args:
        released: kernels and matrices are held, those of the heads too, as in the released code; else all of the bodies.
    """

    def __init__(self, teachers: tuple[str, ...], released: bool) -> None:
        super().__init__()
        self.teachers, self.released = teachers, released

    def weights(self, context: Context) -> list[nn.Parameter]:
        """What is held."""
        named = [entry for name in self.teachers for entry in context.nets[name].named_parameters()]
        return [weight for key, weight in named if (weight.dim() > 1 if self.released else not key.startswith("head."))]

    def bind(self, context: Context, train: Windows) -> None:
        for number, weight in enumerate(self.weights(context)):
            self.register_buffer(f"start{number}", weight.detach().clone())

    def forward(self, context: Context) -> Terms:
        moved = [(weight - self.get_buffer(f"start{i}")).square().sum() for i, weight in enumerate(self.weights(context))]
        return {"anchor": sum(moved[1:], moved[0]) / len(self.teachers)}


class BiasOnly(CrossEntropy):
    """Term `ce NAME`, whose gradient reaches the biases of the player's head and nothing else."""

    def forward(self, context: Context) -> Terms:
        head = context.nets[self.player].head
        kept = {key: p if key.endswith("bias") else p.detach() for key, p in head.named_parameters()}
        logits, _ = functional_call(head, kept, (context.outputs[self.player].features[-1].detach().float(),))
        return super().forward(replace(context, outputs={self.player: Outputs(logits)}))


def recipe(players: Players, options: ATSC, plan: Plan) -> list[Phase]:
    """One phase of two steps; the student's head is that of its teachers."""
    cast = frozen(players, "teacher")
    teachers = named(cast, "teacher")
    hint, labels, released = ProjectedHint(teachers), CrossEntropy(), options.head == "bias"
    if not options.adapt:
        cast["student"] = with_fixed_heads(cast["student"], [cast[name] for name in teachers])
        steps, objective = [Step({"hint": options.hint_weight})], Together(hint, labels)
        return [Phase(plan.epochs, cast, objective, steps, plan.curriculum, plan.optimiser, at=plan.at, name="distil")]
    take_over(cast["student"].net, [cast[name].net for name in teachers], shared=True)
    cast |= {name: replace(cast[name], mode="train") for name in teachers}
    taught = [BiasOnly(name) if released else CrossEntropy(name) for name in teachers]
    objective = Together(hint, labels, Anchor(teachers, released), *taught)
    movers = teachers if released else tuple(f"{name}.body" for name in teachers)
    nearer = Step({"hint": options.hint_weight, "anchor": options.anchor_weight}, ("student", *movers))
    heads = Step({each.term: 1.0 for each in taught}, tuple(f"{name}.head" for name in teachers), fresh=True)
    phase = Phase(plan.epochs, cast, objective, [nearer, heads], plan.curriculum, plan.optimiser, at=plan.at, name="together")
    phase.undecayed = () if released else teachers
    return [phase]


METHOD = Method(
    key="atsc",
    title="adaptive teaching with a shared classifier",
    recipe=recipe,
    options=ATSC,
    source="J. Jang, Y.-I. Kim, J. Lim, H. Lee: Adaptive teaching with shared classifier for knowledge distillation, 2024, arXiv "
    "2406.08528",
    evidence="follows the released code, which trains only the head's bias, anchors kernels and matrices and lets the teacher's "
    "weights decay, with head = 'bias'; that the whole head learns, the whole body is anchored and nothing of the teacher "
    "decays, and several teachers, are our design",
    teachers=(1, None),
    role="adapted",
    cost="student and each teacher, all trained, two answers",
    reuses_heads=True,
    bankable=False,
)
