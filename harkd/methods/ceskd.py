"""Curriculum of experts: each window is taught by one of a teacher and its assistants, hard windows by large ones.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(e / T) || softmax(s / T)),   e = expert 1 + floor(r u) of M
    u = 1 + floor((M - 1) min(1, (epoch + 1) / (pace * epochs)))

r is the window's rank by difficulty among all training windows, from 0 to below 1, and u the number of experts in use, from the
smallest on. Ranks are refreshed after every epoch. Only the chosen expert is asked, so a step costs about one teacher.

Take it where a large teacher is too much for easy windows, or too dear for all of them. Assistants are made as in `takd`. That
hard windows learn from labels alone at first can be had with every method (`--curriculum ces`), and so can that they are left
out at first (`--curriculum teacher-confidence`).
"""

from collections.abc import Mapping

import torch
from torch.nn.functional import one_hot

from harkd.datasets import Windows
from harkd.engine import At, Phase, Round, Step
from harkd.losses import difficulty
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import CESKD
from harkd.player import Player
from harkd.routing import Routing
from harkd.teachers import distance, seeing, shares_told


class Experts(Objective):
    """Term `kl`: distance from the expert that is chosen for each window; `share NAME` says how many windows each had.

    Args:
        experts: by name, from the smallest on.
        epochs: of the phase.
    """

    def __init__(self, experts: Mapping[str, Player], options: CESKD, epochs: int) -> None:
        super().__init__()
        self.names, self.options = tuple(experts), options
        self.routing = Routing(tuple(experts.values()), options, epochs)

    def bind(self, context: Context, train: Windows) -> None:
        self.routing.begin(train)

    def outputs(self, game: Round) -> dict[str, Outputs]:
        """Asks the student about all windows, and each expert about its own; together these are the answers of `teacher`."""
        told, chosen = game.look("student"), self.routing.choose(game.batch.index)
        logits = torch.zeros_like(told.logits, dtype=torch.float32)
        for number, name in enumerate(self.names):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                logits[rows] = game.look(name, rows=rows).logits.float()
        return {"student": told, "teacher": Outputs(logits)}

    def forward(self, context: Context) -> Terms:
        told, mine = (context.outputs[name].logits.float() for name in ("teacher", "student"))
        index, number = context.batch.index, len(self.names)
        share = one_hot(self.routing.choose(index), number).T
        loss = distance(told, mine, self.options)
        sees = (share * seeing(context, self.names)).sum(0) > 0
        self.routing.heard(index, difficulty(context.y, mine.detach()))
        loss = context.known(torch.where(sees, loss, torch.zeros_like(loss)), "student")
        return {"kl": loss, **shares_told(share.float(), self.names)}


def recipe(players: Players, options: CESKD, plan: Plan) -> list[Phase]:
    """One phase with the teacher and all assistants."""
    cast = frozen(players, "teacher", "assistant")
    names = [*reversed(named(cast, "assistant")), *named(cast, "teacher")]
    experts = Experts({name: cast[name] for name in names}, options, plan.epochs)
    objective = Together(CrossEntropy(smoothing=options.smoothing), experts)
    step, at = Step({"ce": 1 - options.weight, "kl": options.weight}), [At("epoch", experts.routing.refresh), *plan.at]
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, experts.outputs, at, name="distil")]


METHOD = Method(
    key="ceskd",
    title="one expert for each window, by a curriculum",
    recipe=recipe,
    options=CESKD,
    source="I. Amara, M. Ziaeefard, B. H. Meyer, W. Gross, J. J. Clark: CES-KD: curriculum-based expert selection for guided "
    "knowledge distillation, 2022, arXiv 2209.07606",
    evidence="after the abstract: one expert for each sample, easy ones from a small expert, by a curriculum; the measure of "
    "difficulty, the ranks, the pace and the guard are our design",
    assistants=(0, None),
    phases="1, and 1 for each assistant",
    cost="student, the chosen expert of each window",
)
