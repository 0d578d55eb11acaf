"""Statistics: every channel of the student's maps gets the mean and the spread over time that it has in the teacher's.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + stats_weight * sum over stages L_stat
    L_stat = mean over channels of (mean(g) - mean(f_t))^2 + (std(g) - std(f_t))^2,   g = align(f_s)

Where something happens in a window does not count, so the two nets may see windows of other lengths and rates. Where their widths
differ, a convolution of kernel 1 with batch norm comes first (`harkd.align`). It is the plain form of `adain`, which asks the
teacher what the student's statistics mean; take that one, and this one to see what the asking adds.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Alike
from harkd.options import Stats
from harkd.relations import statistics_distance


def recipe(players: Players, options: Stats, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    stages = options.student_stages, options.teacher_stages
    statistics = Alike("stats", statistics_distance, *stages, default="inner", length=False)
    return [taught(players, options, plan, statistics, weights={"stats": options.stats_weight})]


METHOD = Method(
    key="stats",
    title="mean and spread of every channel",
    recipe=recipe,
    options=Stats,
    source="the baseline of J. Yang, B. Martinez, A. Bulat, G. Tzimiropoulos: Knowledge distillation via adaptive instance "
    "normalization, arXiv 2003.04289",
    evidence="named in the abstract; stages, weights, the alignment and the population's variance are our design",
    bankable=False,
)
