"""Decoupled distillation: how certain the teacher is, and how it ranks the classes that it thinks wrong, learnt apart.

    p = softmax(t / T), q = softmax(s / T); p_y the share of the right class, p' and q' the shares among the others
    target:  T^2 KL((p_y, 1 - p_y) || (q_y, 1 - q_y))
    others:  T^2 KL(p' || q')
    L = CE(y, s) + rise * (target_weight * target + others_weight * others)

Plain distillation is target + (1 - p_y) others: where the teacher is certain, nearly nothing is left of what it knows about the
other classes. Here that part has a weight of its own. `rise` goes from 0 to 1 in the warm-up.

Take it when the teacher is nearly always right, and certain of it. Of a mixed label the greatest part is the right class.
"""

from functools import partial

import torch
from torch import Tensor

from harkd.datasets import IGNORE
from harkd.engine import Phase, Step
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, frozen
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import DKD
from harkd.schedule import Progress


def decoupled(target: Tensor, logits: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The two parts of `kl(target, logits, temperature)`, (...,) each, of logits (..., class) and right classes (...,).

    With the teacher's share p_y of the right class they make up the whole: first + (1 - p_y) second.
    """
    places = torch.arange(logits.shape[-1] - 1, device=logits.device)
    right = y.unsqueeze(-1)
    others = places + (places >= right).long()  # the numbers of all other classes
    both = []
    for z in (target, logits):
        wrong = (z.gather(-1, others) / temperature).logsumexp(-1, keepdim=True) * temperature
        both.append(torch.cat([z.gather(-1, right), wrong], -1))
    return kl(both[0], both[1], temperature), kl(target.gather(-1, others), logits.gather(-1, others), temperature)


class Decoupled(Objective):
    """Terms `kl target` and `kl others`, zero for windows without a label."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, context: Context) -> Terms:
        told, mine = (context.outputs[name].logits.float() for name in ("teacher", "student"))
        y = context.y.argmax(-1) if context.y.is_floating_point() else context.y
        losses = decoupled(told.detach(), mine, y.clamp_min(0), self.temperature)
        target, others = (torch.where(y == IGNORE, torch.zeros_like(loss), loss) for loss in losses)
        return {
            f"kl {name}": context.known(loss, "student", "teacher") for name, loss in (("target", target), ("others", others))
        }


def recipe(players: Players, options: DKD, plan: Plan) -> list[Phase]:
    """One phase with a frozen teacher."""
    rise = options.warm_up * plan.epochs

    def risen(level: float, progress: Progress) -> float:
        return level * min(1.0, (progress.epoch + 1) / max(1.0, rise))

    objective = Together(CrossEntropy(smoothing=options.smoothing), Decoupled(options.temperature))
    weights = {"kl target": partial(risen, options.target_weight), "kl others": partial(risen, options.others_weight)}
    step = Step({"ce": 1.0, **weights})
    cast = frozen(players, "teacher")
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="dkd",
    title="decoupled knowledge distillation",
    recipe=recipe,
    options=DKD,
    source="B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang: Decoupled knowledge distillation, CVPR 2022, arXiv 2203.08679",
    evidence="follows the released code; the warm-up, there 20 of 240 epochs, is a share of the epochs here",
)
