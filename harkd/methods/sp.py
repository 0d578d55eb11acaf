"""Similarity-preserving distillation: the student learns which windows of a batch are alike to the teacher.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + similarity_weight * L_SP
    L_SP = mean over i, j of (G^t_ij - G^s_ij)^2
    G = F F^T with every row at length 1, where a row of F is the last feature map of a window

The matrices are of batch by batch, so that widths, lengths and sensors of the two nets may differ, and nothing is projected. Rows
of length 1 make the scale of features drop out.

Take it where teacher and student have little in common but the task. With weight = 0 it is the method alone. `skkd` compares the
channels of a map one by one, without offset and gain, and along time.
"""

from functools import partial

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import MapRelation
from harkd.options import SP
from harkd.relations import gram_distance, similarity_gram


def recipe(players: Players, options: SP, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    distance = partial(gram_distance, gram=similarity_gram)
    similarity = MapRelation("similarity", distance, options.student_stages, options.teacher_stages, default=1)
    return [taught(players, options, plan, similarity, weights={"similarity": options.similarity_weight})]


METHOD = Method(
    key="sp",
    title="similarity-preserving distillation",
    recipe=recipe,
    options=SP,
    source="F. Tung, G. Mori: Similarity-preserving knowledge distillation, ICCV 2019, arXiv 1907.09682",
    evidence="loss recalled from the paper; its weight, and the teacher's answers beside it, are our design",
    bankable=False,
)
