"""Similarity-keeping distillation: windows that are alike to the teacher become as alike to the student.

Two trials that look alike to a cap of many electrodes should look alike to a headband. So the student learns, beside labels and
answers, how all windows of a batch resemble each other in the teacher's last maps. These are matrices of batch by batch: teacher
and student may have other channels, rates, widths and lengths, and nothing is projected.

    L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + similarity_weight * sum over stages L_SK
    L_SK = mean over i, j of (G^t_ij - G^s_ij)^2
    G_ij = mean over channels c of the correlation along time of f_c(x_i) and f_c(x_j)

Offset and gain of a channel of the map do not count. The teacher answers in eval mode, as everywhere: nothing drops out, and its
statistics stay.

Take it when the student sees the same moment through fewer channels: EEG with few electrodes, or the wrist of a whole suit. The
features of `eegnet-*`, `sccnet` and `shallowconvnet` are the maps that the authors compare. A batch should hold several windows
of each class: where there are many classes, `--curriculum by-class` sees to it.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import MapRelation
from harkd.options import SKKD
from harkd.relations import correlation_gram, cosine_gram, gram_distance, similarity_gram

FORMS: dict[str, Callable[[Tensor], Tensor]] = {"maps": correlation_gram, "sp": similarity_gram, "cosine": cosine_gram}


def recipe(players: Players, options: SKKD, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    distance = partial(gram_distance, gram=FORMS[options.form])
    similarity = MapRelation("similarity", distance, options.student_stages, options.teacher_stages, default=2)
    return [taught(players, options, plan, similarity, weights={"similarity": options.similarity_weight})]


METHOD = Method(
    key="skkd",
    title="similarity-keeping distillation for few electrodes",
    recipe=recipe,
    options=SKKD,
    source="X.-Y. Huang, S.-Y. Chen, C.-S. Wei: Enhancing low-density EEG-based brain-computer interfacing with "
    "similarity-keeping knowledge distillation, IEEE TETCI 8(2), 2024, arXiv 2212.03329",
    evidence="loss, maps and weights follow the released code, but for its teacher in training mode; maps of other nets, those "
    "of length 1, and the other forms are our design",
    bankable=False,
)
