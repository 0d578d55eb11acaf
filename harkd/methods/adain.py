"""Adaptive instance normalisation: the teacher judges what the student's statistics would make of its own features.

A map of the teacher gets the mean and spread that the student's map has in every channel, and the rest of the teacher answers for
it. Where the statistics that the student has learnt matter, that answer is another one than the teacher's own.

    L = CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T))
        + sum over stages k of (adain_weight * L_ain + stats_weight * L_stat)
    L_ain = mean over classes of (t' - t)^2,   t' = tail_t(std(g) (f_t - mean(f_t)) / std(f_t) + mean(g), k),   g = align(f_s)
    L_stat = mean over channels of (mean(g) - mean(f_t))^2 + (std(g) - std(f_t))^2

Gradients pass through the frozen teacher, which stays as it is, and reach the student through mean and std alone. With verdict =
"kl" its two answers are compared as probabilities at temperature T. Statistics do not see time: lengths and rates of the two nets
may differ. Channels are aligned by a convolution of kernel 1 with batch norm where the widths differ.

Take it where student and teacher see windows of other lengths or rates. A teacher with layer norm (`patchformer-*`) undoes part
of what is put into it. A fused teacher has one map, of length 1 and without spread: its heads judge the student's means.
"""

import torch

from harkd.engine import Phase
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, taught
from harkd.objectives import Context, Pairs, Terms
from harkd.options import AdaIN
from harkd.relations import adain, statistics_distance


class Judged(Pairs):
    """Terms `adain` and `stats`, summed over pairs of stages."""

    def __init__(self, options: AdaIN) -> None:
        super().__init__(options.student_stages, options.teacher_stages, default="inner", length=False)
        self.options = options

    def forward(self, context: Context) -> Terms:
        logits, net = context.outputs[self.teacher].logits.float(), context.nets[self.teacher]
        judged, apart = [], []
        for stage, (mine, told) in zip(self.stages(context, self.teacher), self.aligned(context), strict=True):
            verdict = net.tail(adain(told, mine), stage)
            if self.options.verdict == "kl":
                judged.append(kl(logits, verdict, self.options.temperature))
            else:
                judged.append((verdict - logits).square().mean(-1))
            apart.append(statistics_distance(told, mine))
        terms = {"adain": torch.stack(judged).sum(0), "stats": torch.stack(apart).sum(0)}
        return {name: context.known(term, self.student, self.teacher) for name, term in terms.items()}


def recipe(players: Players, options: AdaIN, plan: Plan) -> list[Phase]:
    """One phase; the teacher is frozen, and gradients pass through it."""
    weights = {"ce": 1.0, "kl": options.weight, "adain": options.adain_weight, "stats": options.stats_weight}
    return [taught(players, options, plan, Judged(options), weights=weights)]


METHOD = Method(
    key="adain",
    title="the student's statistics, judged by the teacher",
    recipe=recipe,
    options=AdaIN,
    source="J. Yang, B. Martinez, A. Bulat, G. Tzimiropoulos: Knowledge distillation via adaptive instance normalization, 2020, "
    "arXiv 2003.04289",
    evidence="after the abstract; the normalisation and the squared error of logits follow the authors' later code (KD_SRRL); "
    "stages, weights and the population's variance are our design",
    cost="student, teacher, and the rest of the teacher after each compared stage",
    bankable=False,
)
