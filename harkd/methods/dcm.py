"""Dense cross-layer mutual distillation: two nets with classifiers on hidden stages, and all learn from those of the other net.

    L = sum over nets n and heads q of CE(y, z_nq)
        + peer_weight * sum over heads q of n and q' of the other net of T^2 KL(softmax(z_n'q' / T) || softmax(z_nq / T))

Every head, hidden or last, learns from every head of the other net, of its own depth and of all others. A hidden head reads a
stage through light layers of its own: separable convolutions that halve the time as often as the rest of the net does, a mean
over time, a linear layer. They are dropped at the end. Without branches this is mutual learning of two (`dml`).

Take it with a peer of about the student's size; it may be another kind of net, and see other sensors.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Objective, Terms
from harkd.options import DCM

PAIR = ("student", "peer-1")


class Branch(nn.Module):
    """(batch, channel, time) of a hidden stage to logits, through as many maps as the last stage has."""

    def __init__(self, hidden: Tensor, last: Tensor, classes: int) -> None:
        super().__init__()
        width, wanted, layers = hidden.shape[1], last.shape[1], list[nn.Module]()
        for _ in range(max(1, round(math.log2(hidden.shape[2] / last.shape[2])))):
            depthwise = nn.Conv1d(width, width, 3, 2, 1, groups=width, bias=False)
            layers += [depthwise, nn.BatchNorm1d(width), nn.ReLU()]
            layers += [nn.Conv1d(width, wanted, 1, bias=False), nn.BatchNorm1d(wanted), nn.ReLU()]
            width = wanted
        self.body, self.linear = nn.Sequential(*layers), nn.Linear(wanted, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.body(x).mean(2))
        return logits


class CrossLayer(Objective):
    """Terms `ce`, `kl`, `ce peer-1` and `kl peer-1`: sums over the heads of a net, and over pairs of heads of both nets."""

    needs = frozenset({"features"})

    def __init__(self, options: DCM) -> None:
        super().__init__()
        self.options = options
        self.labels = [CrossEntropy(name, options.smoothing) for name in PAIR]
        self.branches = nn.ModuleDict()

    def bind(self, context: Context, train: Windows) -> None:
        for name in PAIR:
            told = context.outputs[name]
            hidden = told.features[:-1][-self.options.branches :] if self.options.branches else ()
            made = [Branch(maps, told.features[-1], told.logits.shape[-1]) for maps in hidden]
            self.branches[name] = nn.ModuleList(made)

    def heads(self, context: Context, name: str) -> list[Tensor]:
        """Logits of a net's hidden heads and, at last, its own."""
        told = context.outputs[name]
        branches = list(self.branches[name])  # type: ignore[call-overload]
        hidden = told.features[:-1][len(told.features) - 1 - len(branches) :]
        read = [branch(maps.float()) for branch, maps in zip(branches, hidden, strict=True)]
        return [*read, told.logits.float()]

    def forward(self, context: Context) -> Terms:
        heads = {name: self.heads(context, name) for name in PAIR}
        terms: Terms = {}
        for labels, term, other in zip(self.labels, ("kl", "kl peer-1"), reversed(PAIR), strict=True):
            mine, told = heads[labels.player], [logits.detach() for logits in heads[other]]
            own = context.outputs[labels.player]
            with_branches = Outputs(mine[-1], heads=(*own.heads, *mine[:-1]))
            terms |= labels(replace(context, outputs={labels.player: with_branches}))
            losses = [kl(target, logits, self.options.temperature) for logits in mine for target in told]
            terms[term] = context.known(torch.stack(losses).sum(0), *PAIR)
        return terms


def recipe(players: Players, options: DCM, plan: Plan) -> list[Phase]:
    """One phase in which both nets and their branches move at once."""
    weight = options.peer_weight
    step = Step({"ce": 1.0, "ce peer-1": 1.0, "kl": weight, "kl peer-1": weight}, PAIR)
    cast = {name: players[name] for name in PAIR}
    return [Phase(plan.epochs, cast, CrossLayer(options), [step], plan.curriculum, plan.optimiser, at=plan.at, name="together")]


METHOD = Method(
    key="dcm",
    title="dense cross-layer mutual distillation of two nets",
    recipe=recipe,
    options=DCM,
    source="A. Yao, D. Sun: Knowledge transfer via dense cross-layer mutual-distillation, ECCV 2020, arXiv 2008.07816",
    evidence="follows the released code but for the branches, which repeat the rest of the net there; light ones are our design",
    teachers=(0, 0),
    peers=(1, 1),
    cost="student and one peer, both trained, with branches",
    bankable=False,
)
