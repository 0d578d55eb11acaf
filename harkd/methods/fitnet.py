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

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players, in_turn, split_epochs, taught
from harkd.objectives import Hint
from harkd.options import FitNet


def recipe(players: Players, options: FitNet, plan: Plan) -> list[Phase]:
    """A hint phase and the phase of `kd`, or the phase of `kd` with one term more."""
    hint = Hint(options.student_stages, options.teacher_stages)
    if options.phases == "one":
        return [taught(players, options, plan, hint, weights={"hint": options.hint_weight})]
    distil = taught(players, options, plan)
    if not options.hint_share:
        return [distil]
    first, distil.epochs = split_epochs(plan, options.hint_share, 1 - options.hint_share)
    distil.at = []
    step = Step({"hint": 1.0})
    guided = Phase(first, distil.players, hint, [step], plan.curriculum, plan.optimiser, name="hint")
    return in_turn([guided, distil], plan, judged=["distil"])


METHOD = Method(
    key="fitnet",
    title="FitNet hints, then knowledge distillation",
    recipe=recipe,
    options=FitNet,
    source="A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio: FitNets: hints for thin deep nets, ICLR 2015",
    evidence="both stages and the regressor recalled from the paper; its batch norm, the alignment in time, the share of epochs "
    "and the one-phase form are our design",
    phases="2, or 1",
    bankable=False,
)
