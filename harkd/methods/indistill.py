"""InDistill: stage after stage the student copies the strongest channels of the teacher, then another method takes over.

    warm-up, turn k:   L = mean of (f_s,k - f_t,k[kept_k])^2
    then, as pkt:      L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + pkt_weight * L_PKT
                       (base = "kd": without L_PKT)

Of each stage of the teacher as many channels are kept as the student has: those whose filters have the largest L1 norm, which is
what pruning that layer would leave. Nothing is projected, so that the student can use what it copies. Where branches are added
up, no single filter makes a channel, and its mean absolute activation on training windows decides. A student that is wider is
projected, and where lengths differ it is pooled or interpolated (`harkd.align`).

Deeper stages are harder and get longer turns: 3, 4, 5 epochs. In each turn one stage is copied, and what lies behind it gets no
gradient. The turns take half of the plan's epochs at most. The best epoch is one of the second phase.

Take it where the student is a narrow form of its teacher, with as many stages. If the gap is extreme, put one assistant between
them (`--assistants`): a wider net of the student's family.
"""

from functools import partial

import torch

from harkd.align import Align
from harkd.datasets import Signals, Windows
from harkd.engine import Phase, Step
from harkd.errors import UsageError
from harkd.methods.method import Method, Plan, Players, in_turn, named, taught
from harkd.nets.pruning import strongest
from harkd.objectives import Context, Pairs, Relation, Terms
from harkd.options import InDistill
from harkd.player import CHUNK, Player
from harkd.relations import map_distance, pkt, separability
from harkd.schedule import Progress, Turns


class Copied(Pairs):
    """Terms `stage 1`, `stage 2` ... of the pairs of stages; it knows whose turn it is."""

    def __init__(self, options: InDistill, turns: Turns, players: Players) -> None:
        super().__init__(options.student_stages, options.teacher_stages)
        self.players, self.measures = players, options.turns_by == "separability"
        self.register_buffer("turns", torch.tensor(turns.lengths))

    def align(self, mine: int, told: int) -> Align:
        return Align(mine, min(mine, told))

    def bind(self, context: Context, train: Windows) -> None:
        super().bind(context, train)
        stages, teacher = self.stages(context, self.teacher), self.players[self.teacher]
        told = teacher.answer(from_everywhere(train.having(teacher.sees.sensors))).features
        for place, (stage, (mine, _)) in enumerate(zip(stages, self.maps(context), strict=True)):
            self.register_buffer(f"kept_{place}", strongest(teacher.net.stages[stage], told[stage], mine.shape[1]))
        if self.measures:
            mine_apart, told_apart = (separable(self.players[name], train) for name in (self.student, self.teacher))
            pairs = zip(self.stages(context, self.student), stages, strict=True)
            gaps = [max(0, round(1e6 * (told_apart[other] - mine_apart[one]))) for one, other in pairs]
            turns = self.get_buffer("turns")
            if any(gaps):
                turns.copy_(torch.tensor(Turns(tuple(gaps)).within(int(turns.sum())).lengths))

    def turn(self, place: int, progress: Progress) -> float:
        """Weight of a pair of stages: 1 in its turn, else 0."""
        return float(Turns(tuple(self.get_buffer("turns").tolist()))(progress) == place)

    def forward(self, context: Context) -> Terms:
        terms = {}
        for place, (mine, told) in enumerate(self.aligned(context)):
            kept = told.index_select(1, self.get_buffer(f"kept_{place}"))
            terms[f"stage {place + 1}"] = context.known(map_distance(kept, mine), self.student, self.teacher)
        return terms


def from_everywhere(train: Windows, number: int = 16 * CHUNK) -> Signals:
    """At most so many windows, evenly spaced: the first ones are one person's, who may be lying down in all of them."""
    return train.gather(torch.arange(0, len(train), -(-len(train) // number) or 1, device=train.device))


def separable(player: Player, train: Windows) -> list[float]:
    """For every stage of a player, the separability of the means over time of its maps."""
    seen = train.having(player.sees.sensors)
    parts = [
        [maps.mean(2) for maps in player.answer(seen.gather(index)).features]
        for index in torch.arange(len(seen), device=seen.device).split(16 * CHUNK)
    ]
    return [float(separability(torch.cat(stage), seen.labels)) for stage in zip(*parts, strict=True)]


def recipe(players: Players, options: InDistill, plan: Plan) -> list[Phase]:
    """A warm-up of turns, then plain distillation, by default with the term of pkt."""
    source = [*named(players, "teacher"), *named(players, "assistant")][-1]
    cast = {"student": players["student"], "teacher": players[source]}
    more = [Relation("pkt", pkt)] if options.base == "pkt" else []
    distil = taught(cast, options, plan, *more, weights={"pkt": options.pkt_weight} if more else {})
    pairs = len(options.student_stages) or min(len(player.net.stages) for player in cast.values())
    if len(options.turns or range(pairs)) != pairs:
        raise UsageError(f"indistill needs turns for {pairs} pairs of stages, got {len(options.turns)}")
    turns = Turns(options.turns or tuple(range(3, 3 + pairs))).within(plan.epochs // 2)
    if not (first := sum(turns.lengths)):
        return [distil]
    copied = Copied(options, turns, distil.players)
    step = Step({f"stage {place + 1}": partial(copied.turn, place) for place in range(pairs)})
    warm_up = Phase(first, distil.players, copied, [step], plan.curriculum, plan.optimiser, name="warm-up")
    distil.epochs, distil.at = plan.epochs - first, []
    return in_turn([warm_up, distil], plan, judged=["distil"])


METHOD = Method(
    key="indistill",
    title="stages copied one after the other, then another method",
    recipe=recipe,
    options=InDistill,
    source="I. Sarridis, C. Koutlis, G. Kordopatis-Zilos, I. Kompatsiaris, S. Papadopoulos: InDistill: information "
    "flow-preserving knowledge distillation for model compression, WACV 2025, arXiv 2205.10003",
    evidence="turns, kept filters and direct transfer follow the released code, without its batch norm that loses statistics and "
    "its new optimiser in every epoch; labels and answers beside pkt, sums of branches, wider students, separability: our design",
    assistants=(0, 1),
    assistants_learn="pkt",
    phases="2, and 1 for the assistant",
    bankable=False,
)
