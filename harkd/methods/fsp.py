"""Flow of the solution procedure: how each stage of the teacher turns into the next, as the products of their channels.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + flow_weight * sum over k L_FSP
    L_FSP = mean over channels i, j of (G_ij(g_k, g_k+1) - G_ij(f_k, f_k+1))^2,   g = align(f_s),   f of the teacher
    G_ij(a, b) = mean over time of a_i b_j

Not the features themselves are copied, but which of them go together from one stage to the next. Maps of two stages are averaged
to the shorter length. The student's are first given the teacher's widths and lengths (`harkd.align`), where they differ. With
`--standardise` channels have mean 0 and spread 1 over time, and a flow is a correlation.

Take it where both nets are of one family and differ in depth. Where a net has one feature map only, as a fused teacher has, the
flow is that of the map into itself.
"""

from itertools import pairwise

import torch

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Context, Pairs, Terms
from harkd.options import FSP
from harkd.relations import fsp


class Flow(Pairs):
    """Term `flow`: mean squared difference of the flows from each compared stage to the next, summed over them."""

    def __init__(self, options: FSP) -> None:
        super().__init__(options.student_stages, options.teacher_stages)
        self.standardise = options.standardise

    def forward(self, context: Context) -> Terms:
        maps = self.aligned(context)
        losses = []
        for before, after in pairwise(maps) if len(maps) > 1 else [(maps[0], maps[0])]:
            mine, told = (fsp(one, other, self.standardise) for one, other in zip(before, after, strict=True))
            losses.append((mine - told).square().mean((-2, -1)))
        return {"flow": context.known(torch.stack(losses).sum(0), self.student, self.teacher)}


def recipe(players: Players, options: FSP, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    return [taught(players, options, plan, Flow(options), weights={"flow": options.flow_weight})]


METHOD = Method(
    key="fsp",
    title="flow from stage to stage",
    recipe=recipe,
    options=FSP,
    source="J. Yim, D. Joo, J. Bae, J. Kim: A gift from knowledge distillation: fast optimization, network minimization and "
    "transfer learning, CVPR 2017",
    evidence="matrices and squared difference recalled from the paper, which learns them in a phase of their own; one phase, its "
    "weight, the alignment and --standardise are our design",
    bankable=False,
)
