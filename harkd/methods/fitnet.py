"""FitNet hints: the student first learns to make a feature map of the teacher from its own, then from labels and answers.

    hint phase:    mean squared error of align(f_s) and f_t, at chosen stages
    then, as kd:   L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T))

In the hint phase only the student up to its hinted stage, and the regressor, get gradients. The regressor is a convolution of
kernel 1 with batch norm, after pooling or interpolation over time (`harkd.align`). In one phase the hint is one more term of
`kd`.

Both phases together take the plan's epochs, so that the student moves as often as in any other method; each has the plan's
learning rate from its start to its end. The plan's hooks count the epochs of both; the best epoch is one of the second, as
before it nobody has taught the head anything.
"""

from dataclasses import replace

from torch import nn

from harkd.engine import At, Moment, Phase, Step
from harkd.errors import UsageError
from harkd.hooks import BestOnValidation
from harkd.methods import kd
from harkd.methods.method import Method, Plan, Players
from harkd.objectives import Hint, Together
from harkd.options import FitNet
from harkd.phase import Hook


class _Counting(nn.Module):
    """A hook that is told the epoch of both phases together."""

    def __init__(self, hook: Hook, first: int, epochs: int) -> None:
        super().__init__()
        self.hook, self.first, self.epochs = hook, first, epochs

    def forward(self, moment: Moment) -> None:
        epoch = moment.progress.epoch + (0 if moment.phase.name == "hint" else self.first)
        told = replace(moment, progress=replace(moment.progress, epoch=epoch, epochs=self.epochs))
        self.hook(told)
        moment.stopped |= told.stopped


def recipe(players: Players, options: FitNet, plan: Plan) -> list[Phase]:
    """A hint phase and the phase of `kd`, or the phase of `kd` with one term more."""
    hint = Hint(options.student_stages, options.teacher_stages)
    (distil,) = kd.recipe(players, options, plan)
    if options.phases == "one":
        distil.objective = Together(distil.objective, hint)
        distil.steps = [Step({**step.weights, "hint": options.hint_weight}) for step in distil.steps]
        return [distil]
    if not options.hint_share:
        return [distil]
    if plan.epochs < 2:
        raise UsageError(f"fitnet in two phases needs at least 2 epochs, got {plan.epochs}; or take phases one")
    first = min(max(1, round(options.hint_share * plan.epochs)), plan.epochs - 1)
    distil.epochs = plan.epochs - first
    distil.at = [At("epoch", _Counting(at.do, first, plan.epochs)) if at.when == "epoch" else at for at in plan.at]
    early = [at for at in distil.at if isinstance(at.do, _Counting) and not isinstance(at.do.hook, BestOnValidation)]
    guided = Phase(first, distil.players, hint, [Step({"hint": 1.0})], plan.curriculum, plan.optimiser, at=early, name="hint")
    return [guided, distil]


METHOD = Method(
    key="fitnet",
    title="FitNet hints, then knowledge distillation",
    recipe=recipe,
    options=FitNet,
    source="A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio: FitNets: hints for thin deep nets, ICLR 2015",
    evidence="both stages and the regressor recalled from the paper; its batch norm, the alignment in time, the share of epochs "
    "and the one-phase form are our design",
)
