"""Progressive distillation across sensors: teachers join one by one, and for each window the best of them or the label counts.

    m* = the teacher with the largest c_m = softmax(t_m)[y];   chosen if it is right and c_m* >= max(confidence, softmax(s)[y])
    L = weight (T^2 KL(softmax(t_m* / T) || softmax(s / T)) + semantic_weight (1 - cos(e_m*, A_m* e_s))) + (1 - weight) CE(y, s)
    L = CE(y, s)    where no teacher is chosen

e are embeddings, and A_m is a linear map for each teacher, trained with the student. The first stage has one teacher, the next
one two, and so on; each begins with the learning rate of the start.

Take it when teachers see other sensors than the student, such as a skeleton: give the one that is nearest to the student first
(its own sensor), then a fused one, then the one that sees the other sensor alone. A window that a teacher cannot see is left to
the others.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, one_hot

from harkd.datasets import Windows
from harkd.engine import At, Moment, Phase, Round, Step
from harkd.losses import cross_entropy
from harkd.methods.method import Method, Plan, Players, frozen, in_turn, named, split_epochs
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Objective, Terms
from harkd.options import PSKD
from harkd.teachers import answers, distance, embedding, gaps, seeing, shares_told


class Chosen(Objective):
    """Terms `ce`, `kl` and `semantic` of windows with a teacher, `ce alone` of the others; `share NAME` says who was followed.

    The teachers of a stage are those who answer in it.
    """

    needs = frozenset({"logits", "embedding"})
    order: Tensor

    def __init__(self, teachers: tuple[str, ...], options: PSKD) -> None:
        super().__init__()
        self.teachers, self.options = teachers, options
        self.labels = CrossEntropy(smoothing=options.smoothing)
        self.register_buffer("order", torch.arange(len(teachers)))

    def bind(self, context: Context, train: Windows) -> None:
        mine = embedding(context, "student").shape[1]
        self.adapters = nn.ModuleDict({name: nn.Linear(mine, embedding(context, name).shape[1]) for name in self.teachers})

    def outputs(self, stage: int, game: Round) -> dict[str, Outputs]:
        """Asks the student and the teachers of a stage, which is their number."""
        asked = ["student", *(self.teachers[place] for place in self.order[:stage].tolist())]
        return {name: game.look(name) for name in asked}

    def join(self, stage: int, moment: Moment) -> None:
        """After a stage: the next teacher to join is the one whose answers are nearest to the student's."""
        waiting = self.order[stage:]
        far = gaps(moment, [self.teachers[place] for place in waiting.tolist()], self.options.temperature)
        self.order[stage:] = waiting[far.argsort(stable=True)]

    def choose(self, right: Tensor, knows: Tensor, mine: Tensor, sees: Tensor) -> Tensor:
        """(teacher, batch) shares of the teachers; what is left to 1 is the label's.

        Args:
            right, knows: (teacher, batch) whether the true class is the likeliest, and its probability.
            mine: (batch,) the student's probability of the true class.
            sees: (teacher, batch) bool.
        """
        if self.options.soft:
            label = torch.full_like(mine, self.options.confidence)[None]
            return torch.cat([knows.masked_fill(~sees, -torch.inf), label]).softmax(0)[:-1]
        known, best = knows.masked_fill(~sees, -1).max(0)
        follows = right.gather(0, best[None])[0] & (known >= mine.clamp_min(self.options.confidence))
        return (one_hot(best, len(knows)).T * follows).to(knows.dtype)

    def forward(self, context: Context) -> Terms:
        names = [name for name in self.teachers if name in context.outputs]
        told, mine, y = answers(context, names), context.outputs["student"].logits.float(), context.y
        right = told.argmax(2) == (y.argmax(1) if y.is_floating_point() else y)
        knows = (-cross_entropy(y.expand(len(told), *y.shape), told)).exp()
        share = self.choose(right, knows, (-cross_entropy(y, mine.detach())).exp(), seeing(context, names))
        own = embedding(context, "student")
        alike = [cosine_similarity(embedding(context, name), self.adapters[name](own), dim=1) for name in names]
        labels, followed = self.labels(context)["ce"], share.sum(0)
        return {
            "ce": followed * labels,
            "ce alone": (1 - followed) * labels,
            "kl": context.known((share * distance(told, mine, self.options)).sum(0), "student"),
            "semantic": context.known((share * (1 - torch.stack(alike))).sum(0), "student"),
            **shares_told(torch.cat([share, 1 - followed[None]]), [*names, "labels"]),
        }


def recipe(players: Players, options: PSKD, plan: Plan) -> list[Phase]:
    """A phase for each number of teachers."""
    teachers, cast = named(players, "teacher"), frozen(players, "teacher")
    weight, chosen = options.weight, Chosen(teachers, options)
    step = Step({"ce": 1 - weight, "ce alone": 1.0, "kl": weight, "semantic": weight * options.semantic_weight})
    early, share = len(teachers) - 1, min(options.stage_share, 1 / len(teachers))
    phases = []
    for stage, epochs in enumerate(split_epochs(plan, *[share] * early, 1 - share * early), 1):
        asked = partial(chosen.outputs, stage)
        at = [At("end", partial(chosen.join, stage))] if options.order == "gap" and stage <= early else []
        phases.append(Phase(epochs, cast, chosen, [step], plan.curriculum, plan.optimiser, asked, at, f"stage {stage}"))
    return in_turn(phases, plan)


METHOD = Method(
    key="pskd",
    title="progressive distillation from teachers of other sensors",
    recipe=recipe,
    options=PSKD,
    source="J. Ni, A. H. H. Ngu, Y. Yan: Progressive cross-modal knowledge distillation for human action recognition, ACM "
    "Multimedia 2022, arXiv 2208.08090",
    evidence="names and roles after the abstract (teachers of both modalities, progressive, a choice of teacher or label for "
    "each sample); every equation and constant is our design",
    teachers=(1, None),
    phases="1 for each teacher",
    cost="student, each teacher that has joined",
)
