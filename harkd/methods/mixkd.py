"""MIX-KD: a few windows are mixed with others, labels alike, and answers are divided by their spread instead of a temperature.

    x = a x_i + (1 - a) x_j, y alike, for a share 1 - clean_share of the windows; a is the greater part of Beta(alpha, alpha)
    s' = s / std(s), t' = t / std(t), over the classes of each window
    L  = (1 - weight) CE(y, s') + weight * KL(softmax(t') || softmax(s'))

Mixing smooths the teacher's answers already, and a temperature would smooth them twice. A tenth of the windows mixed gives most
of the gain. The teacher sees the same mixtures, and should have been trained without any.

The windows are mixed by the augmentation `partial_mixup`, window by window: the share holds in the mean, partners come from all
training windows, and answers can be kept. Take it where windows are few, and mixtures of two movements still mean something.

The loss leaves the scale of the logits open. So that the student's own answers are probabilities too, its last layer is divided
after each epoch by the mean spread of its logits for training windows; no decision changes.
"""

from dataclasses import replace

import torch
from torch import Tensor

from harkd.augment import Compose, Transform
from harkd.augment.mixing import PartialMixup
from harkd.engine import At, Moment, Phase, Step
from harkd.errors import UsageError
from harkd.methods.method import Method, Plan, Players, frozen
from harkd.nets import Outputs, PooledHead
from harkd.objectives import Context, CrossEntropy, Distillation, Objective, Terms, Together
from harkd.options import MixKD
from harkd.player import predict

WINDOWS, SMALLEST = 1024, 1e-6
"""No spread is taken for less: a net may answer the same for all classes."""


def scaled(logits: Tensor) -> Tensor:
    """(..., class) divided by the standard deviation over the classes; the gradient passes through both."""
    logits = logits.float()
    return logits / logits.std(-1, keepdim=True).clamp_min(SMALLEST)


class Scaled(Objective):
    """The terms of another objective, of scaled answers."""

    def __init__(self, inner: Objective) -> None:
        super().__init__()
        self.inner, self.needs = inner, inner.needs

    def forward(self, context: Context) -> Terms:
        def of(told: Outputs) -> Outputs:
            return replace(told, logits=scaled(told.logits), heads=tuple(map(scaled, told.heads)))

        terms: Terms = self.inner(replace(context, outputs={name: of(told) for name, told in context.outputs.items()}))
        return terms


def to_unit_spread(moment: Moment) -> None:
    """Divide the student's last layer so that std(s) is 1 in the mean over training windows, at most 1,024 of them."""
    player, train = moment.phase.players["student"], moment.train
    some = train.subset(torch.arange(0, len(train), -(-len(train) // WINDOWS), device=train.device))
    spread = predict(player, some).std(1).mean().clamp_min(SMALLEST)
    with torch.no_grad():
        for head in player.net.head.modules():
            if isinstance(head, PooledHead):  # nets that were not made here may answer otherwise, and stay as they are
                for parameter in head.linear.parameters():
                    parameter.div_(spread)


def mixes(options: MixKD, batch: int) -> PartialMixup:
    """The op that mixes as many windows as the options say, in the mean."""
    clean = options.clean_share
    share = (1 - 1 / batch) ** int(batch * clean) if options.pmu_replacement else 1 - clean
    return PartialMixup(share=round(share, 6), alpha=options.alpha, partner=options.partner)


def recipe(players: Players, options: MixKD, plan: Plan) -> list[Phase]:
    """One phase; what the student's strategy makes of a window is mixed at last.

    Raises:
        UsageError: the teacher would not see the mixtures.
    """
    cast = frozen(players, "teacher")
    student, teacher = cast["student"], cast["teacher"]
    if teacher.augment != "same":
        raise UsageError("mixkd: the teacher has to see the mixtures that the student sees; leave teacher_augment at 'same'")
    before = student.augment if isinstance(student.augment, Transform) else Compose()
    cast["student"] = replace(student, augment=Compose((before, mixes(options, plan.curriculum.batch))))
    objective = Scaled(Together(CrossEntropy(), Distillation(temperature=1.0)))
    step = Step({"ce": 1 - options.weight, "kl": options.weight})
    at = [At("epoch", to_unit_spread), *plan.at]
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=at, name="distil")]


METHOD = Method(
    key="mixkd",
    title="partial mixup, and answers divided by their spread",
    recipe=recipe,
    options=MixKD,
    source="H. Choi, E. S. Jeon, A. Shukla, P. Turaga: Understanding the role of mixup in knowledge distillation, WACV 2023, "
    "arXiv 2211.03946",
    evidence="the loss follows the released code, which also divides the logits when it evaluates; that the last layer is "
    "divided instead, and that each window is drawn on its own, not a fixed number of each batch, are our design",
)
