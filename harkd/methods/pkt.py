"""Probabilistic knowledge transfer: windows of a batch become neighbours for the student as they are for the teacher.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + pkt_weight * L_PKT
    L_PKT = sum over kernels of the mean over windows i, j of (P_ij - Q_ij) (log P_ij - log Q_ij)
    P_ij = kernel(e_i, e_j) / sum over l of kernel(e_i, e_l),   of the teacher's embeddings e; Q_ij of the student's
    kernels: (1 + cos(e_i, e_j)) / 2   and   1 / (1 + |e_i - e_j|)

Embeddings are what the last linear layer sees. They are compared by matrices of batch by batch, so that any two nets can be
compared, of whatever family, width and sensors, and nothing is projected.

Take it where teacher and student have little in common but the task. The mean over all pairs falls with the size of the batch, as
in the released code: with another batch, try another weight.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Relation
from harkd.options import PKT
from harkd.relations import pkt


def recipe(players: Players, options: PKT, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    return [taught(players, options, plan, Relation("pkt", pkt), weights={"pkt": options.pkt_weight})]


METHOD = Method(
    key="pkt",
    title="probabilistic knowledge transfer: who resembles whom",
    recipe=recipe,
    options=PKT,
    source="N. Passalis, A. Tefas: Learning deep representations with probabilistic knowledge transfer, ECCV 2018",
    evidence="kernels, symmetric divergence and its mean follow the authors' later code (pkth); that it stands beside labels and "
    "answers, and its weight, are our design",
)
