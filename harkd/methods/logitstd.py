"""Logit standardisation: answers are compared after mean and spread were taken out, window by window.

    z' = (z - mean(z)) / (std(z) + 1e-7)
    L  = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t' / T) || softmax(s' / T))

A shared temperature asks the student to match the size of the teacher's logits, which a small net cannot. Without their mean and
spread only the order and the proportions of the classes are left to learn. The labels still see the logits as they are.

Take it when student and teacher differ much in size.
"""

from torch import Tensor

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Distillation
from harkd.options import LogitStd


def standardised(logits: Tensor) -> Tensor:
    """(..., class) with mean 0 and standard deviation 1 over the classes; equal logits become 0."""
    logits = logits.float()
    return (logits - logits.mean(-1, keepdim=True)) / (logits.std(-1, keepdim=True) + 1e-7)


class Standardised(Distillation):
    """Term `kl`: tempered divergence of standardised answers."""

    def compare(self, told: Tensor, mine: Tensor, temperature: float) -> Tensor:
        return super().compare(standardised(told), standardised(mine), temperature)


def recipe(players: Players, options: LogitStd, plan: Plan) -> list[Phase]:
    """The phase of plain distillation, with standardised answers."""
    return [taught(players, options, plan, answers=Standardised)]


METHOD = Method(
    key="logitstd",
    title="distillation of standardised logits",
    recipe=recipe,
    options=LogitStd,
    source="S. Sun, W. Ren, J. Li, R. Wang, X. Cao: Logit standardization in knowledge distillation, CVPR 2024, arXiv 2403.01427",
    evidence="follows the released code, temperature 2 too; its weights, 9 beside 0.1 for the labels, are weight = 0.989 here",
)
