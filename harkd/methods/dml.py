"""Deep mutual learning: nets that begin together, and learn from the labels and from each other's answers.

    L_i = CE(y, z_i) + peer_weight * mean over j != i of T^2 KL(softmax(z_j / T) || softmax(z_i / T))

There is no teacher: what one net has learnt sooner than the others, they learn from it. Every net learns from what the others
said before they moved; whoever lacks a sensor in a window is left out of its mean.

Take it where no larger net helps. Peers may be other nets and see other sensors (`--peer`, `--peer-sees`), and cost as much as so
many students.
"""

import torch

from harkd.engine import Phase, Step
from harkd.losses import kl
from harkd.methods.method import Method, Plan, Players, named
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import DML
from harkd.teachers import answers, mean_of, seeing


class Mutual(Objective):
    """Terms `kl` of the student and `kl NAME` of each peer: its mean divergence from the others."""

    def __init__(self, players: tuple[str, ...], temperature: float) -> None:
        super().__init__()
        self.players, self.temperature = players, temperature

    def forward(self, context: Context) -> Terms:
        terms: Terms = {}
        for name in self.players:
            others = [other for other in self.players if other != name]
            told, mine = answers(context, others).detach(), context.outputs[name].logits.float()
            loss = mean_of(torch.stack([kl(each, mine, self.temperature) for each in told]), seeing(context, others))
            terms["kl" if name == "student" else f"kl {name}"] = context.known(loss, name)
        return terms


def recipe(players: Players, options: DML, plan: Plan) -> list[Phase]:
    """One phase in which all move at once."""
    names = ("student", *named(players, "peer"))
    objective = Together(*(CrossEntropy(name, options.smoothing) for name in names), Mutual(names, options.temperature))
    weights = {"ce": 1.0, "kl": options.peer_weight}
    for peer in names[1:]:
        weights |= {f"ce {peer}": 1.0, f"kl {peer}": options.peer_weight}
    cast = {name: players[name] for name in names}
    step = Step(weights, names)
    return [Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="together")]


METHOD = Method(
    key="dml",
    title="deep mutual learning",
    recipe=recipe,
    options=DML,
    source="Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu: Deep mutual learning, CVPR 2018, arXiv 1706.00384",
    evidence="follows the released code; that all move at once, instead of in turn, and that more than one peer gives a mean, "
    "instead of a sum, are our design",
    teachers=(0, 0),
    peers=(1, None),
    cost="student and each peer, all trained",
)
