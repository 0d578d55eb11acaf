"""Attention transfer: the student is active when the teacher is active.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + attention_weight * sum over stages L_AT
    L_AT = mean over time of (Q(f_s) - Q(f_t))^2,   Q(f) = q / |q|,   q = mean over channels of f^2

An attention map says how strong a feature map is at each moment of the window, whatever its channels mean; so nothing is
projected, and widths may differ. The student's map is pooled or interpolated to the teacher's length before it is normalised.

Take it where the moment matters: gestures, falls, single steps. Both nets must see the same stretch of time. A map of length 1,
as a fused teacher has, knows no moments: where there are no others the run says that nothing but plain distillation is left.
"""

from harkd.datasets import Windows
from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Alike, Context
from harkd.options import AT
from harkd.relations import attention_distance


class Attention(Alike):
    """Term `attention`: when a student is active and when its teacher is, summed over pairs of stages."""

    def __init__(self, student_stages: tuple[int, ...], teacher_stages: tuple[int, ...]) -> None:
        super().__init__("attention", attention_distance, student_stages, teacher_stages, width=False, length=False)
        self.moments = True

    def bind(self, context: Context, train: Windows) -> None:
        super().bind(context, train)
        self.moments = any(told.shape[2] > 1 for _, told in self.maps(context))

    def remarks(self) -> list[str]:
        teaches_nothing = (
            f"the maps of {self.teacher!r} that are compared have length 1 and know no moments: `at` is plain distillation here. "
            "Take fitnet, or a teacher whose maps have a time, which a fused net has not"
        )
        return [] if self.moments else [teaches_nothing]


def recipe(players: Players, options: AT, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    attention = Attention(options.student_stages, options.teacher_stages)
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
