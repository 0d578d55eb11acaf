"""Self-distillation over generations: a net learns from the one before it, which is the same net with other first weights.

    generation 0:  L = CE(y, s)
    generation r:  L = (1 - weight) CE(y, s) + weight * T^2 KL(p || softmax(s / T)),   p = softmax(t / T)

`t` is generation r - 1, or the one before r that is best on validation subjects (`chain = best`), or p is the mean of all
generations before (`chain = ensemble`). That a student can be better than a teacher of its own kind says that answers teach more
than labels; two controls tell what of them does. `cwtm` puts labels in the teacher's place, each with the teacher's certainty as
its weight, p_max / mean of p_max over the batch. `dkpp` keeps p_max and shuffles what the teacher says of the other classes.

Take it when there is no larger teacher. With generations = 0 it is `ce`. `harkd evaluate RUN --beside RUN RUN` tells what the
generations have in common and how good the mean of their logits is, `--flatness` and `--plane` whether they settle in flat
places.
"""

from dataclasses import replace

import torch
from torch import Tensor

from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.errors import UsageError
from harkd.losses import cross_entropy
from harkd.methods.method import Method, Plan, Players, frozen, named
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Distillation, Objective, Terms, Together
from harkd.options import SelfKD
from harkd.player import predict


def shuffled_others(logits: Tensor, rng: torch.Generator) -> Tensor:
    """(batch, class) with all but the largest of each row in a random order."""
    classes = logits.shape[1]
    top = torch.nn.functional.one_hot(logits.argmax(1), classes)
    others = top.argsort(dim=1, stable=True)[:, :-1]  # the largest one is sorted last
    order = torch.rand(len(logits), classes - 1, generator=rng).argsort(1).to(logits.device)
    return logits.scatter(1, others, logits.gather(1, others.gather(1, order)))


class Generations(Distillation):
    """Term `kl`: tempered divergence from the mean answer of some generations, with its other classes shuffled or not."""

    def __init__(self, teachers: tuple[str, ...], options: SelfKD) -> None:
        super().__init__(teacher=teachers[-1], temperature=options.temperature, reduction=options.reduction)
        self.teachers, self.shuffles, self.level = teachers, options.control == "dkpp", options.temperature

    def forward(self, context: Context) -> Terms:
        told = context.outputs[self.teacher].logits.float()
        if len(self.teachers) > 1:
            each = torch.stack([context.outputs[name].logits.float() / self.level for name in self.teachers])
            told = self.level * each.log_softmax(-1).logsumexp(0)
        told = shuffled_others(told, context.rng) if self.shuffles else told
        return super().forward(replace(context, outputs={**context.outputs, self.teacher: Outputs(told)}))


class Certainty(Objective):
    """Term `kl`: cross-entropy with the labels, each weighted by how certain the teacher is, relative to the batch."""

    def __init__(self, teachers: tuple[str, ...]) -> None:
        super().__init__()
        self.teachers = teachers

    def forward(self, context: Context) -> Terms:
        each = torch.stack([context.outputs[name].logits.float() for name in self.teachers])
        most = each.softmax(-1).mean(0).amax(-1).detach()
        loss = most / most.mean() * cross_entropy(context.y, context.outputs["student"].logits.float())
        return {"kl": context.known(loss, "student", *self.teachers)}


def best(players: Players, windows: Windows | None) -> str:
    """Who is right about most of these windows; of equals the first.

    Raises:
        UsageError: there are no windows.
    """
    if windows is None:
        raise UsageError(
            "chain = best chooses a generation on validation subjects, and this split has none: take last or ensemble"
        )
    right = {name: int((predict(player, windows).argmax(1) == windows.labels).sum()) for name, player in players.items()}
    return max(right, key=right.__getitem__)


def recipe(players: Players, options: SelfKD, plan: Plan) -> list[Phase]:
    """One phase with the generations that teach, all frozen."""
    cast = frozen(players, "teacher", "assistant")
    before = (*named(cast, "teacher"), *named(cast, "assistant"))
    teachers = before if options.chain == "ensemble" else before[-1:]
    if options.chain == "best" and before:
        teachers = (best({name: cast[name] for name in before}, plan.validation),)
    cast = {name: player for name, player in cast.items() if name in ("student", *teachers)}
    labels, weights = CrossEntropy(smoothing=options.smoothing), {"ce": 1.0}
    objective: Objective = labels
    if teachers:
        objective = Together(labels, Certainty(teachers) if options.control == "cwtm" else Generations(teachers, options))
        weights = {"ce": 1 - options.weight, "kl": options.weight}
    return [Phase(plan.epochs, cast, objective, [Step(weights)], plan.curriculum, plan.optimiser, at=plan.at, name="distil")]


METHOD = Method(
    key="selfkd",
    title="self-distillation over generations",
    recipe=recipe,
    options=SelfKD,
    source="M. Pham, M. Cho, A. Joshi, C. Hegde: Revisiting self-distillation, 2022, arXiv 2206.08491; T. Furlanello et al.: "
    "Born-again neural networks, ICML 2018, arXiv 1805.04770",
    evidence="after both abstracts; the controls as in born-again networks, beside the labels instead of alone; number of "
    "generations and weights are our design",
    teachers=(0, 1),
    assistants=(0, None),
    own_teacher=True,
    phases="1, and 1 for each generation before",
    cost="student, generation before, or all of them",
)
