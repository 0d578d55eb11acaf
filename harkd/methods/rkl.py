"""Reverse distillation: the divergence of the teacher's answers from the student's, instead of the other way round.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(s / T) || softmax(t / T))

The usual direction makes the student cover every class that the teacher thinks possible. This one makes it leave out what the
teacher thinks impossible: it settles on few classes and becomes more certain. `bdkd` mixes both directions, window by window.

Take it when a small student spreads its answers over too many classes.
"""

from torch import Tensor

from harkd.engine import Phase
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Distillation
from harkd.options import RKL


class Reverse(Distillation):
    """Term `kl`: the student's answers are the target, and carry the gradient."""

    def compare(self, told: Tensor, mine: Tensor, temperature: float) -> Tensor:
        return kl(mine, told, temperature)


def recipe(players: Players, options: RKL, plan: Plan) -> list[Phase]:
    """The phase of plain distillation, with the divergence turned round."""
    return [taught(players, options, plan, answers=Reverse)]


METHOD = Method(
    key="rkl",
    title="distillation with the reverse divergence",
    recipe=recipe,
    options=RKL,
    source="textbook; for distillation as in Y. Gu, L. Dong, F. Wei, M. Huang: MiniLLM, ICLR 2024, arXiv 2306.08543",
    evidence="textbook divergence; weight and temperature as in kd are our design",
)
