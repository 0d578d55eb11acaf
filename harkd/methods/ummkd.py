"""UMMKD: one net learns from domains that are not paired, each through normalisation of its own, and answers to them alike.

    L = sum over domains m of CE(y, F(x; W, N_m)) + domain_weight * mean over pairs (a, b) of D(a, b)
    D(a, b) = 1/K sum over classes c in both batches of (KL(q_a || q_b) + KL(q_b || q_a)) / 2
    q_m     = softmax(mean over windows of class c of z / T)

Domains are other sensors of the same people, or another data set with some of the same classes. The kernels W are shared, the
normalisation layers N_m and their statistics are not. No window needs a partner: what has to agree is the mean answer to a class.
A class that lacks in one of the two batches counts zero.

Take it when there are few windows of the student's own sensors and many of others (`--domains`). Nothing is left of the other
domains in what is deployed.
"""

from itertools import combinations

import torch
from torch import Tensor

from harkd.datasets import class_shares
from harkd.engine import Phase, Step
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, named
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import UMMKD


class DomainLabels(CrossEntropy):
    """Terms `ce` and `ce NAME`; that of another domain is a mean over its batch: the curriculum does not know its windows."""

    def __init__(self, player: str, options: UMMKD) -> None:
        super().__init__(player, options.smoothing)
        self.weighs = options.class_weights

    def forward(self, context: Context) -> Terms:
        ((term, loss),) = super().forward(context).items()
        if self.weighs:
            mine = class_shares(context.y_of(self.player), context.outputs[self.player].logits.shape[-1])
            weight = mine @ (1 - mine.sum(0) / mine.sum().clamp_min(1))
            loss = loss * weight / weight.mean().clamp_min(1e-6)
        return {term: loss if self.player == "student" else loss.mean()}


class ClassMeans(Objective):
    """Term `kl`: how far the mean answers to a class are apart, over all pairs of domains."""

    def __init__(self, domains: tuple[str, ...], temperature: float) -> None:
        super().__init__()
        self.domains, self.temperature = domains, temperature

    def means(self, context: Context, name: str) -> tuple[Tensor, Tensor]:
        """(class, class) mean logits of the windows of each class, tempered, and (class,) whether there are any."""
        logits = context.seen(context.outputs[name].logits.float(), name)
        mine = class_shares(context.seen(context.y_of(name), name), logits.shape[-1])
        count = mine.sum(0)
        return mine.T @ logits / count.clamp_min(1e-6)[:, None] / self.temperature, count > 0

    def forward(self, context: Context) -> Terms:
        every = [self.means(context, name) for name in self.domains]
        apart = [between(*one, *other) for one, other in combinations(every, 2)]
        return {"kl": torch.stack(apart).mean()}


def between(a: Tensor, in_a: Tensor, b: Tensor, in_b: Tensor) -> Tensor:
    """Half the Jeffreys divergence of two domains' mean answers (class, class), mean over all classes."""
    apart = (kl(a, b) + kl(b, a)) / 2
    return torch.where(in_a & in_b, apart, torch.zeros_like(apart)).mean()


def recipe(players: Players, options: UMMKD, plan: Plan) -> list[Phase]:
    """One phase; without other domains it is cross-entropy."""
    names = ("student", *named(players, "domain"))
    terms: list[Objective] = [DomainLabels(name, options) for name in names]
    weights = {"ce": 1.0} | {f"ce {name}": 1.0 for name in names[1:]}
    if len(names) > 1:
        terms.append(ClassMeans(names, options.temperature))
        weights["kl"] = options.domain_weight
    cast = {name: players[name] for name in names}
    phase = Phase(plan.epochs, cast, Together(*terms), [Step(weights, names)], plan.curriculum, plan.optimiser, at=plan.at)
    phase.domains, phase.watched = plan.domains, ("student",)
    return [phase]


METHOD = Method(
    key="ummkd",
    title="unpaired domains, shared kernels, normalisation apart",
    recipe=recipe,
    options=UMMKD,
    source="Q. Dou, Q. Liu, P. A. Heng, B. Glocker: Unpaired multi-modal segmentation via knowledge distillation, IEEE Trans. "
    "Medical Imaging 39(7), 2020, arXiv 2001.03111",
    evidence="follows the released code for kernels, normalisation and losses, with windows in place of pixels, without Dice, "
    "and with class weights if asked for; that classes which lack count zero, stems for other widths, more than two domains and "
    "the level of the class weights are our design",
    teachers=(0, 0),
    domains=(1, None),
    cost="student, once for each domain",
)
