"""Attention transfer: the student is active when the teacher is active.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + attention_weight * sum over stages L_AT
    L_AT = mean over time of (Q(f_s) - Q(f_t))^2,   Q(f) = q / |q|,   q = mean over channels of f^2

An attention map says how strong a feature map is at each moment of the window, whatever its channels mean; so nothing is
projected, and widths may differ. The student's map is pooled or interpolated to the teacher's length before it is normalised.

Take it where the moment matters: gestures, falls, single steps. Both nets must see the same stretch of time. A map of length 1,
as a fused teacher has, knows no moments and teaches nothing here.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Alike
from harkd.options import AT
from harkd.relations import attention_distance


def recipe(players: Players, options: AT, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    stages = options.student_stages, options.teacher_stages
    attention = Alike("attention", attention_distance, *stages, width=False, length=False)
    return [taught(players, options, plan, attention, weights={"attention": options.attention_weight})]


METHOD = Method(
    key="at",
    title="attention transfer: when the nets are active",
    recipe=recipe,
    options=AT,
    source="S. Zagoruyko, N. Komodakis: Paying more attention to attention: improving the performance of convolutional neural "
    "networks via attention transfer, ICLR 2017",
    evidence="maps, mean squared difference and weight 1000 recalled from the paper; all stages, lengths that differ, and that "
    "plain distillation stands beside it are our design",
    bankable=False,
)
