"""BD-KD: forward and reverse divergence, balanced window by window; teacher and student begin together and learn from each other.

    F = T^2 KL(p_t || p_s), R = T^2 KL(p_s || p_t), at temperature T; H the entropy of an answer, without temperature
    student:  (1 - weight) CE(y, s) + weight * (a F + b R),   a = delta if H_t > H_s else 1,   b = delta if H_s > H_t else 1
    teacher:  (1 - weight) CE(y, t) + weight * R
    soft:     b = 1 + (delta - 1) sigmoid(sharpness * (H_s - H_t)),   a the same with H_t - H_s

A student that is less certain than the teacher needs the reverse divergence, which sharpens its answers; one that is more certain
needs the forward one, which spreads them. Each learns from what the other said before it moved. With delta = 1 the student
minimises the Jeffreys divergence.

Take it where calibration counts as much as accuracy, or where no trained teacher is at hand. `mode = offline` keeps a trained
teacher as it is.
"""

from dataclasses import replace

import torch
from torch import Tensor

from harkd.engine import Phase, Step
from harkd.losses import entropy, kl
from harkd.methods.method import Method, Plan, Players, frozen
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import BDKD
from harkd.schedule import Progress, Schedule


class Balanced(Objective):
    """Terms `kl`, both divergences for the student, and `kl teacher`; in the history also the share of windows where it is the
    reverse one that is stressed."""

    def __init__(self, options: BDKD) -> None:
        super().__init__()
        self.options = options

    def weights(self, told: Tensor, mine: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (...,) of the forward and of the reverse divergence, without gradient, from logits (..., class)."""
        options = self.options
        doubt = (entropy(mine) - entropy(told)).detach()
        if options.balance == "soft":
            stressed = torch.sigmoid(options.sharpness * doubt)
            return 1 + (options.delta - 1) * (1 - stressed), 1 + (options.delta - 1) * stressed
        plain, stress = torch.ones_like(doubt), torch.full_like(doubt, options.delta)
        return torch.where(doubt < 0, stress, plain), torch.where(doubt > 0, stress, plain)

    def forward(self, context: Context) -> Terms:
        told, mine = (context.outputs[name].logits.float() for name in ("teacher", "student"))
        temperature = self.options.temperature
        spreads, sharpens = self.weights(told, mine)
        fixed = told.detach()
        terms = {
            "kl": spreads * kl(fixed, mine, temperature) + sharpens * kl(mine, fixed, temperature),
            "kl teacher": kl(mine.detach(), told, temperature),
        }
        divisor = told.shape[-1] if self.options.reduction == "mean" else 1
        known = {name: context.known(loss / divisor, "student", "teacher") for name, loss in terms.items()}
        return known | {"reverse": (sharpens > spreads).float()}


def recipe(players: Players, options: BDKD, plan: Plan) -> list[Phase]:
    """One phase; both move at once, or the student alone."""
    cast = frozen(players, "teacher")
    labels = [CrossEntropy(smoothing=options.smoothing)]
    rise = options.warm_up * plan.epochs

    def risen(progress: Progress) -> float:
        return options.weight * min(1.0, (progress.epoch + 1) / max(1.0, rise))

    weights: dict[str, Schedule] = {"ce": 1 - options.weight, "kl": risen}
    movers = ["student"]
    if options.mode == "online":
        cast["teacher"] = replace(cast["teacher"], mode="train")
        labels.append(CrossEntropy("teacher", smoothing=options.smoothing))
        weights |= {"ce teacher": 1 - options.weight, "kl teacher": risen}
        movers.append("teacher")
    step = Step(weights, tuple(movers))
    objective = Together(*labels, Balanced(options))
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="together")]


METHOD = Method(
    key="bdkd",
    title="balanced divergences, teacher and student online",
    recipe=recipe,
    options=BDKD,
    source="I. Amara, N. Sepahvand, B. H. Meyer, W. J. Gross, J. J. Clark: BD-KD: balancing the divergences for online knowledge "
    "distillation, 2022, arXiv 2212.12965",
    evidence="after the abstract; the hard weights as others implemented them, there with delta = 3; soft weights, delta = 2, "
    "warm-up, temperature and weight are our design",
    role="online",
    cost="student and teacher, both trained",
    bankable=False,
)
