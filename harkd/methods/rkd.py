"""Relational distillation: distances of pairs and angles of triplets of windows become those that the teacher sees.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + distance_weight * L_D + angle_weight * L_A
    L_D = mean over windows i, j of huber(|e_i - e_j| / mean distance of the student, the same of the teacher)
    L_A = mean over windows i, j, k of huber(cos of the angle at i between j and k of the student, the same of the teacher)

Embeddings e are what the last linear layer sees. Distances are relative to their mean, so that size, place and direction of the
embedding are free; nothing is projected, and any two nets can be compared.

Take it where teacher and student have little in common but the task, as `pkt`. Angles take memory in the third power of the
batch: 64 windows need 1 MB for each matrix, 512 windows 512 MB.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Relation
from harkd.options import RKD
from harkd.relations import rkd_angle, rkd_distance


def recipe(players: Players, options: RKD, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with two terms more."""
    terms = Relation("distance", rkd_distance), Relation("angle", rkd_angle)
    weights = {"distance": options.distance_weight, "angle": options.angle_weight}
    return [taught(players, options, plan, *terms, weights=weights)]


METHOD = Method(
    key="rkd",
    title="relational distillation: distances and angles",
    recipe=recipe,
    options=RKD,
    source="W. Park, D. Kim, Y. Lu, M. Cho: Relational knowledge distillation, CVPR 2019",
    evidence="both losses and their weights recalled from the paper and its code; that plain distillation stands beside them is "
    "our design",
)
