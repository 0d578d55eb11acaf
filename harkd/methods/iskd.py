"""Instance-level sequence learning: the student's own snapshots say which windows come first, easy ones before hard ones.

    d_i = CE(y_i, snapshot(x_i)), of the clean window
    L   = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)), over the easiest windows

After a warm-up with all windows in random order, each stage begins with a snapshot of the student, which ranks the windows. A
stage shows the easiest ones only, group by group; its share of the windows grows until the last stage shows all. As early epochs
are shorter, there are fewer updates than in plain distillation with as many epochs.

`--curriculum iskd` does the same for any other method, with the default of every option here. Take it where labels are noisy or
some windows are hopeless at first. With one stage this is plain distillation.
"""

from dataclasses import replace

from harkd.curricula import Ranked, Stretch, disagreement, stretches, student_doubt, student_loss
from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.options import ISKD

DIFFICULTIES = {"loss": student_loss, "doubt": student_doubt, "disagreement": disagreement}


def ranked(options: ISKD, plan: Plan) -> Ranked:
    """The curriculum of some options; with fewer epochs than stages, the last stages are left out."""
    stages = min(options.stages, plan.epochs)
    warm_up = min(max(1, int(plan.epochs * options.warm_up + 1e-9)), plan.epochs - stages + 1)
    parts = stretches(plan.epochs, stages - 1, options.first_share, warm_up) if stages > 1 else [Stretch(plan.epochs)]
    batch, draws, measure = plan.curriculum.batch, plan.curriculum.draws, DIFFICULTIES[options.difficulty]
    return Ranked(batch, draws, parts, measure, groups=options.groups, stratify=options.stratify)


def recipe(players: Players, options: ISKD, plan: Plan) -> list[Phase]:
    """The phase of plain distillation, with windows in the order of the student's snapshots."""
    return [taught(players, options, replace(plan, curriculum=ranked(options, plan)))]


METHOD = Method(
    key="iskd",
    title="a curriculum from the student's own snapshots",
    recipe=recipe,
    options=ISKD,
    orders=True,
    source="H. Zhao et al.: Knowledge distillation via instance-level sequence learning, 2021, arXiv 2106.10885",
    evidence="after the abstract: a snapshot of the student orders the windows of its next stage; measure, shares, groups, "
    "ranking within classes and the warm-up are our design",
)
