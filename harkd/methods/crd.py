"""Contrast of representations: a window's embedding comes nearer to the teacher's of the same window than to those of others.

    L = label_weight CE(y, s) + kl_weight T^2 KL(softmax(t / T) || softmax(s / T)) + contrast_weight L_crd
    L_crd = -log(h(i, i) / (h(i, i) + m / N)) - sum over negatives j of log((m / N) / (h(i, j) + m / N))
    h(i, j) = exp(<a_i, b_j> / tau) / Z

a and b are embeddings of student and teacher after a linear map and with length 1. Each is an anchor against a memory of what the
other said of all N training windows when it last saw them. The m negatives are windows of other classes; none overlaps the window
in time. Z is the mean of the first batch, times N. Where windows are few, the batch can stand in for the memory:
`negatives_from = batch` makes L_crd the cross-entropy of finding i among i and its negatives in the batch, by <a, b> / tau.

Take it when the teacher sees other sensors: it compares what two nets say of windows with each other, not maps or classes. All
windows of a batch take their negatives in one random order of the training windows, so that a batch is a few matrix products.
"""

from functools import partial

import torch
from torch import nn

from harkd.contrast import InBatch, Memories, Negatives
from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import CRD
from harkd.teachers import Weighted, embedding, mean_of, seeing


class Contrast(Objective):
    """Term `crd`: mean over the teachers of the contrast with each."""

    needs = frozenset({"logits", "embedding"})

    def __init__(self, teachers: tuple[str, ...], options: CRD) -> None:
        super().__init__()
        self.teachers, self.options = teachers, options

    def bind(self, context: Context, train: Windows) -> None:
        self.negatives = Negatives(train, self.options)
        mine, told = embedding(context, "student").shape[1], {n: embedding(context, n).shape[1] for n in self.teachers}
        make = partial(Memories, len(train)) if self.options.negatives_from == "memory" else InBatch
        self.contrasts = nn.ModuleDict({name: make(mine, width, self.options) for name, width in told.items()})

    def forward(self, context: Context) -> Terms:
        index, mine = context.batch.index, embedding(context, "student")
        others, among = self.negatives.draw(index, context.rng)
        sees, mine_too = seeing(context, self.teachers), seeing(context, ["student"])[0]
        losses = [
            contrast((mine, embedding(context, name)), index, others, among, known)
            for (name, contrast), known in zip(self.contrasts.items(), sees & mine_too, strict=True)
        ]
        return {"crd": context.known(mean_of(torch.stack(losses), sees), "student")}


def recipe(players: Players, options: CRD, plan: Plan) -> list[Phase]:
    """One phase with all teachers."""
    teachers = named(players, "teacher")
    answers = [Weighted(teachers, options)] if options.kl_weight else []
    objective = Together(CrossEntropy(smoothing=options.smoothing), *answers, Contrast(teachers, options))
    weights = {"ce": options.label_weight, "crd": options.contrast_weight} | ({"kl": options.kl_weight} if answers else {})
    cast = frozen(players, "teacher")
    return [Phase(plan.epochs, cast, objective, [Step(weights)], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="crd",
    title="contrast of embeddings with a memory",
    recipe=recipe,
    options=CRD,
    source="Y. Tian, D. Krishnan, P. Isola: Contrastive representation distillation, ICLR 2020, arXiv 1910.10699",
    evidence="equations and constants follow the released code; fewer negatives in one order for a batch, none that overlaps the "
    "window, negatives of other people or of the batch, and several teachers are our design",
    teachers=(1, None),
    cost="student, each teacher",
)
