"""Reverse distillation: the divergence of the teacher's answers from the student's, instead of the other way round.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(s / T) || softmax(t / T))

The usual direction makes the student cover every class that the teacher thinks possible. This one makes it leave out what the
teacher thinks impossible: it settles on few classes and becomes more certain. `bdkd` mixes both directions, window by window.

Take it when a small student spreads its answers over too many classes.
"""

from dataclasses import replace

from harkd.engine import Phase
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Context, CrossEntropy, Distillation, Terms, Together
from harkd.options import RKL
from harkd.schedule import value


class Reverse(Distillation):
    """Term `kl`: the student's answers are the target, and carry the gradient."""

    def forward(self, context: Context) -> Terms:
        mine, told = (context.outputs[name].logits.float() for name in (self.student, self.teacher))
        loss = kl(mine, told.detach(), value(self.temperature, context.progress))
        loss = loss / told.shape[-1] if self.reduction == "mean" else loss
        return {self.term: context.known(loss, self.student, self.teacher)}


def recipe(players: Players, options: RKL, plan: Plan) -> list[Phase]:
    """The phase of plain distillation, with the divergence turned round."""
    reverse = Reverse(temperature=options.temperature, reduction=options.reduction)
    return [replace(taught(players, options, plan), objective=Together(CrossEntropy(smoothing=options.smoothing), reverse))]


METHOD = Method(
    key="rkl",
    title="distillation with the reverse divergence",
    recipe=recipe,
    options=RKL,
    source="textbook; for distillation as in Y. Gu, L. Dong, F. Wei, M. Huang: MiniLLM, ICLR 2024, arXiv 2306.08543",
    evidence="textbook divergence; weight and temperature as in kd are our design",
)
