"""Adaptive multi-teacher, multi-level distillation: whom to follow is learned for each window, from what the student sees.

    L = (1 - weight) CE(y, s) + 2 weight T^2 KL(q || softmax(s / T)) + relation_weight (L_distance + L_angle) + hint_weight L_hint
    q = sum over m of p_m softmax(t_m / T),   p = softmax over m of <w, v_m * h>,   h = largest value over time of f_s
    L_hint = sum over m of |W_m norm(f_s) - norm(f_m)|^2,   norm along the channels

Each teacher has a vector v_m, and all share w; both are learned first, together with the student, then they stay and the student
learns on. L_distance and L_angle compare how windows lie to each other in softmax(s / T) and in q (see `rkd`). Each teacher
guides one stage of the student with its last map.

Take it where teachers are good at different things, as those are that see different sensors: the student's own window decides.
What is easy to follow gains weight, so a teacher who is wrong in a regular way may win over one who is right.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from harkd.align import Align
from harkd.datasets import Windows
from harkd.engine import Phase, Step
from harkd.errors import UsageError
from harkd.methods.method import Method, Plan, Players, frozen, in_turn, named, split_epochs
from harkd.objectives import Alike, Context, CrossEntropy, Objective, Terms, Together
from harkd.options import AMTML
from harkd.relations import map_distance, rkd_angle, rkd_distance
from harkd.teachers import Adapter, Settled, answers, seeing, shares_told


class Mixture(Objective):
    """Terms `kl`, `distance` and `angle` of the student from the mixed answer, and `ridge` of the adapter."""

    adapter: Adapter

    def __init__(self, teachers: tuple[str, ...], options: AMTML) -> None:
        super().__init__()
        self.teachers, self.options = teachers, options

    def bind(self, context: Context, train: Windows) -> None:
        self.adapter = Adapter(len(self.teachers), context.outputs["student"].features[-1].shape[1])

    def forward(self, context: Context) -> Terms:
        student, heat, sees = context.outputs["student"], self.options.temperature, seeing(context, self.teachers)
        counts = self.adapter(student.features[-1].float().amax(2), sees)
        target = (counts.unsqueeze(2) + log_softmax(answers(context, self.teachers) / heat, 2)).logsumexp(0)
        mine = log_softmax(student.logits.float() / heat, 1)
        loss = (heat**2 * target.exp() * (target - mine)).sum(1)
        loss = loss / mine.shape[1] if self.options.reduction == "mean" else loss
        both = context.known(sees.any(0), "student")  # who has an answer that can be compared
        terms = {"kl": torch.where(both, loss, torch.zeros_like(loss)), "ridge": self.adapter.ridge()}
        if self.options.relation_weight:
            rows = both if context.masks else slice(None)
            pair = target[rows].exp(), mine[rows].exp()
            terms |= {"distance": rkd_distance(*pair), "angle": rkd_angle(*pair)}
        return terms | shares_told(counts.exp(), self.teachers)


class Guide(Alike):
    """Term `hint NAME`: a stage of the student against the teacher's last map, both with length 1 along the channels."""

    def __init__(self, teacher: str, stage: int) -> None:
        super().__init__(f"hint {teacher}", map_distance, (stage,), (-1,), teacher=teacher)

    def maps(self, context: Context) -> list[tuple[Tensor, Tensor]]:
        return [(normalize(mine, dim=1, eps=1e-6), normalize(told, dim=1, eps=1e-6)) for mine, told in super().maps(context)]

    def align(self, mine: int, told: int) -> Align:
        align = Align(mine, told)
        align.project = nn.Conv1d(mine, told, 1, bias=False)
        return align


def guides(players: Players, options: AMTML) -> list[Guide]:
    """A guide for each teacher; the last teachers guide the last stages."""
    teachers, depth = named(players, "teacher"), len(players["student"].net.stages)
    stages = options.student_stages or [max(-depth, place - len(teachers)) for place in range(len(teachers))]
    if len(stages) != len(teachers):
        raise UsageError(f"amtml: {len(teachers)} teachers guide a stage of the student each; got {len(stages)} student_stages")
    return [Guide(name, stage) for name, stage in zip(teachers, stages, strict=True)]


def recipe(players: Players, options: AMTML, plan: Plan) -> list[Phase]:
    """A phase in which adapter and student learn, and one in which the student learns on."""
    learned, hints = Mixture(named(players, "teacher"), options), guides(players, options) if options.hint_weight else []
    shared = [CrossEntropy(smoothing=options.smoothing), *hints]
    weights = {"ce": 1 - options.weight, "kl": 2 * options.weight, **{hint.term: options.hint_weight for hint in hints}}
    if options.relation_weight:
        weights |= dict.fromkeys(("distance", "angle"), options.relation_weight)
    cast, settled = frozen(players, "teacher"), Settled(learned, "adapter")

    def phase(name: str, epochs: int, mixture: Objective, **more: float) -> Phase:
        step = Step({**weights, **more})
        return Phase(epochs, cast, Together(mixture, *shared), [step], plan.curriculum, plan.optimiser, name=name)

    if not options.adapter_share:
        return in_turn([phase("distil", plan.epochs, settled)], plan)
    first, rest = split_epochs(plan, options.adapter_share, 1 - options.adapter_share)
    return in_turn([phase("adapt", first, learned, ridge=options.ridge), phase("distil", rest, settled)], plan)


METHOD = Method(
    key="amtml",
    title="adaptive multi-teacher, multi-level",
    recipe=recipe,
    options=AMTML,
    source="Y. Liu, W. Zhang, J. Wang: Adaptive multi-teacher multi-level knowledge distillation, Neurocomputing 415, 2020, "
    "arXiv 2103.04062",
    evidence="equations follow the released notebooks, but for the division by the number of classes (reduction = 'mean'); "
    "relations of probabilities, stages of the hints, equal weights at first and the share of epochs are our design",
    teachers=(2, None),
    phases="2: weights of the teachers learned, then fixed",
    cost="student, each teacher",
    bankable=False,
)
