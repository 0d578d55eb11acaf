"""Early-stopped distillation: a teacher stopped at its best validation epoch, and a student that may stop listening early.

    L = (1 - w(e)) CE(y, s) + w(e) * T^2 KL(softmax(t / T) || softmax(s / T)),   w(e) = weight until `stop`, then 0

Two different things are called "early-stopped" in the literature, and both are here. Jeon et al. distil from a teacher stopped
where validation peaks. Cho and Hariharan also switch the distillation term off before the end (`stop`, with a linear `decay`
before it).
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.options import ESKD
from harkd.schedule import Progress, Until


def recipe(players: Players, options: ESKD, plan: Plan) -> list[Phase]:
    """The phase of `kd`, with weights that follow the epoch."""
    listens = Until(options.weight, options.stop, options.decay)

    def labels(progress: Progress) -> float:
        return 1 - listens(progress)

    return [taught(players, options, plan, weights={"ce": labels, "kl": listens})]


METHOD = Method(
    key="eskd",
    title="early-stopped knowledge distillation",
    recipe=recipe,
    options=ESKD,
    source="J. H. Cho, B. Hariharan: On the efficacy of knowledge distillation, ICCV 2019; Jeon et al., IEEE IoT J. 9(14), 2022",
    evidence="teacher stop after published log-books; switching distillation off is recalled, its linear decay is our design",
    teacher_weights="best",
)
