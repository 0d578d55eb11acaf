"""Densely guided distillation: every net of a chain learns from all larger ones at once, some of whom are left out at random.

    L_j = (1 - weight) CE(y, j) + weight * mean over i in R of T^2 KL(softmax(i / T) || softmax(j / T)),   R of {0 .. j-1}

Errors of one assistant do not pass down the chain when the net also hears all those above it. R changes with every batch, so that
nobody relies on one source. The assistants are runs of their own, trained the same way, once, and shared.

Take it where assistants help (see `takd`) and a long chain does not.
"""

import torch
from torch import Tensor

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import DGKD
from harkd.teachers import answers, distance, mean_of, seeing


class Dense(Objective):
    """Term `kl`: distance to those sources that are not left out of this batch."""

    def __init__(self, sources: tuple[str, ...], options: DGKD) -> None:
        super().__init__()
        self.sources, self.options = sources, options

    def kept(self, rng: torch.Generator) -> Tensor:
        """Positions of the sources that teach this batch, at least one."""
        number, options = len(self.sources), self.options
        order = torch.randperm(number, generator=rng)
        if options.drop == "count":
            return order[: max(1, number - options.drop_number)]
        stays = torch.rand(number, generator=rng) < options.survival
        stays[order[0]] |= not stays.any()
        return stays.nonzero()[:, 0]

    def forward(self, context: Context) -> Terms:
        names = [self.sources[place] for place in self.kept(context.rng).tolist()]
        mine, sees = context.outputs["student"].logits.float(), seeing(context, names)
        each = torch.stack([distance(told, mine, self.options) for told in answers(context, names)])
        loss = (sees * each).sum(0) if self.options.total == "sum" else mean_of(each, sees)
        return {"kl": context.known(loss, "student")}


def recipe(players: Players, options: DGKD, plan: Plan) -> list[Phase]:
    """One phase with teacher and assistants, all frozen."""
    cast = frozen(players, "teacher", "assistant")
    sources = (*named(cast, "teacher"), *named(cast, "assistant"))
    objective = Together(CrossEntropy(smoothing=options.smoothing), Dense(sources, options))
    step = Step({"ce": 1 - options.weight, "kl": options.weight})
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="dgkd",
    title="densely guided by a teacher and all assistants",
    recipe=recipe,
    options=DGKD,
    source="W. Son, J. Na, J. Choi, W. Hwang: Densely guided knowledge distillation using multiple teacher assistants, ICCV 2021",
    evidence="the student's phase follows the released code, those of assistants the abstract; means over the kept sources and "
    "labels beside them are our design (released: total = 'sum', weight = 1, temperature = 5, reduction = 'mean')",
    assistants=(0, None),
    assistants_learn="dgkd",
    phases="1, and 1 for each assistant",
    cost="student, teacher, each assistant",
)
