"""Confidence-aware multi-teacher distillation: for each window a teacher counts the more, the better it knows the label.

    L = label_weight CE(y, s) + kl_weight sum over m of w_m T^2 KL(softmax(t_m / T) || softmax(s / T))
        + feature_weight sum over m of v_m mean |A_m(f_s) - f_m|^2
    w_m = (1 - softmax over m of CE(y, t_m)) / (M - 1),   v_m alike, of the answers of teacher m's own head to A_m(f_s)

Maps are the last ones of both nets; A_m leads from the student's to teacher m's, and is trained with the student. The maps count
from the second epoch on.

Take it where some teachers are wrong for some people or movements: who errs about a window teaches little there. With wrong
labels it trusts the wrong teachers (see `ebkd`, which asks no label).
"""

import torch
from torch import Tensor, nn

from harkd.align import Align
from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.losses import cross_entropy
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import CAMKD
from harkd.relations import map_distance
from harkd.schedule import Progress, Schedule
from harkd.teachers import Weighted, seeing, share_of_loss, trust


def confidence(loss: Tensor, sees: Tensor) -> Tensor:
    """(teacher, batch) weights that sum to 1, of a loss (teacher, batch): 1 - softmax over one less than their number."""
    return trust(share_of_loss(loss, sees), sees)


class ByLoss(Weighted):
    """Weights by each teacher's cross-entropy with the label."""

    def weigh(self, context: Context, told: Tensor, sees: Tensor) -> Tensor:
        return confidence(cross_entropy(context.y.expand(len(told), *context.y.shape), told), sees)


class Maps(Objective):
    """Term `maps`: mean squared error of the student's adapted map from each teacher's, weighted by what its head makes of it."""

    needs = frozenset({"features"})

    def __init__(self, teachers: tuple[str, ...], options: CAMKD) -> None:
        super().__init__()
        self.teachers, self.options = teachers, options
        self.adapters = nn.ModuleList()

    def bind(self, context: Context, train: Windows) -> None:
        width = context.outputs["student"].features[-1].shape[1]
        self.resize = Align(width, width)  # in time alone
        wanted = [context.outputs[name].features[-1].shape[1] for name in self.teachers]
        self.adapters = nn.ModuleList([_adapter(width, told, self.options) for told in wanted])

    def forward(self, context: Context) -> Terms:
        maps, errors, losses = context.outputs["student"].features[-1].float(), [], []
        for name, adapter in zip(self.teachers, self.adapters, strict=True):
            told = context.outputs[name].features[-1].float()
            resized = self.resize(maps, told)
            guess = adapter(resized)
            errors.append(map_distance(told, guess))
            if self.options.as_released:
                maps, judged = resized, guess
            else:
                judged = guess.detach()
            losses.append(cross_entropy(context.y, context.nets[name].head(judged)[0].float()))
        weight = confidence(torch.stack(losses), seeing(context, self.teachers))
        return {"maps": context.known((weight * torch.stack(errors)).sum(0), "student")}


def _adapter(width: int, wanted: int, options: CAMKD) -> nn.Module:
    """(batch, width, time) to (batch, wanted, time); a bottleneck is half as wide as the student's map."""
    half = max(1, width // 2)
    sizes = [(width, wanted, 1)] if options.adapter == "conv" else [(width, half, 1), (half, half, 3), (half, wanted, 1)]
    layers = [
        (nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())
        for inputs, outputs, kernel in sizes
    ]
    return nn.Sequential(*(part for layer in layers for part in layer))


def recipe(players: Players, options: CAMKD, plan: Plan) -> list[Phase]:
    """One phase with all teachers."""
    teachers = named(players, "teacher")
    share = 1 / len(teachers) if options.as_released else 1.0

    def from_the_second_epoch(progress: Progress) -> float:
        return share * options.feature_weight if progress.epoch else 0.0

    objectives: list[Objective] = [CrossEntropy(smoothing=options.smoothing), ByLoss(teachers, options)]
    weights: dict[str, Schedule] = {"ce": options.label_weight, "kl": share * options.kl_weight}
    if options.feature_weight:
        objectives.append(Maps(teachers, options))
        weights["maps"] = from_the_second_epoch
    cast = frozen(players, "teacher")
    return [
        Phase(
            plan.epochs, cast, Together(*objectives), [Step(weights)], plan.curriculum, plan.optimiser, at=plan.at, name="distil"
        )
    ]


METHOD = Method(
    key="camkd",
    title="several teachers, weighted by their loss",
    recipe=recipe,
    options=CAMKD,
    source="H. Zhang, D. Chen, C. Wang: Confidence-aware multi-teacher knowledge distillation, ICASSP 2022, arXiv 2201.00007",
    evidence="equations and constants follow the released code; that weighted means are not divided by the number of teachers, "
    "that adapters are independent and that no gradient passes through the weights is our design (as_released undoes it)",
    teachers=(2, None),
    cost="student, each teacher, each teacher's head",
    bankable=False,
)
