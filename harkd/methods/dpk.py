"""Dynamic prior knowledge: the student completes the teacher's features from its own and some of the teacher's, ever fewer.

    L = CE(y, s) + weight * T^2 KL(softmax(t / T) || softmax(s / T)) + prior_weight * sum over stages L_DPK
    L_DPK = mean of (conv(decode(h)) - norm(f_t))^2,   h = M h_t + (1 - M) h_s
    h_s = encode(conv(norm(f_s))),   h_t = encode'(conv'(norm(f_t))),   M = 1 at a moment where u >= r, u uniform
    after each batch:   r <- momentum * r + (1 - momentum) * CKA(h_s, h_t)

A share 1 - r of the moments comes from the teacher. The more alike the features of a batch already are, by centred kernel
alignment, the less help there is, and the harder the task. Encoders and decoder are small attention blocks of the student's
width, dropped at export. The student's maps are first pooled or interpolated to the teacher's length; norm is over the channels
at each moment. In batches of fewer than 16 windows the alignment says little, and r stays.

Take it where the gap is large: a strong teacher helps at first, and less as the student catches up. The attention blocks make a
step slower than those of other methods. The history tells r of each stage.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from harkd.datasets import Windows
from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, taught
from harkd.nets.patchformer import Block, positions
from harkd.objectives import Context, Pairs, Terms
from harkd.options import DPK
from harkd.relations import cka, map_distance

ENOUGH = 16
"""Windows from which on the alignment of a batch is believed."""


class Encode(nn.Module):
    """(batch, channel, time) to (batch, width, time): a convolution of kernel 1, then attention between moments."""

    def __init__(self, inputs: int, width: int, options: DPK) -> None:
        super().__init__()
        self.conv, self.blocks = nn.Conv1d(inputs, width, 1), _attention(width, options)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        place = positions(x.shape[1] + x.shape[1] % 2, x.shape[2], x.device)[:, : x.shape[1]]
        encoded: Tensor = self.blocks(x + place.T)
        return encoded


class Prior(Pairs):
    """Term `prior`, and r of every pair of stages as `ratio 1`, `ratio 2` ..."""

    def __init__(self, options: DPK) -> None:
        super().__init__(options.student_stages, options.teacher_stages, default=2, width=False)
        self.options = options

    def bind(self, context: Context, train: Windows) -> None:
        super().bind(context, train)
        widths = [(mine.shape[1], told.shape[1]) for mine, told in self.maps(context)]
        self.encode = nn.ModuleList([Encode(mine, mine, self.options) for mine, _ in widths])
        self.encode_teacher = nn.ModuleList([Encode(told, mine, self.options) for mine, told in widths])
        self.decode = nn.ModuleList(
            [nn.Sequential(_attention(mine, self.options), nn.Conv1d(mine, told, 1)) for mine, told in widths]
        )
        self.register_buffer("ratio", torch.full((len(widths),), self.options.ratio))

    def forward(self, context: Context) -> Terms:
        losses, ratio = [], self.get_buffer("ratio").clone()
        for place, (mine, told) in enumerate(self.aligned(context)):
            target = _normal(told.detach())
            h_s, h_t = self.encode[place](_normal(mine)), self.encode_teacher[place](target)
            hybrid = torch.where(self.from_teacher(h_t.shape[2], ratio[place], context.rng), h_t, h_s)
            losses.append(map_distance(target, self.decode[place](hybrid)))
            if self.options.dynamic:
                self.follow(place, *(context.seen(h.detach(), self.student, self.teacher) for h in (h_t, h_s)))
        told_ratios = {f"ratio {place}": each for place, each in enumerate(ratio, 1)}
        return {"prior": context.known(torch.stack(losses).sum(0), self.student, self.teacher), **told_ratios}

    def from_teacher(self, time: int, ratio: Tensor, rng: torch.Generator) -> Tensor:
        """(time,) the moments of all windows that the teacher fills."""
        drawn = torch.rand(math.ceil(time / self.options.span), generator=rng).repeat_interleave(self.options.span)[:time]
        return drawn.to(ratio.device) >= ratio

    @torch.no_grad()
    def follow(self, place: int, told: Tensor, mine: Tensor) -> None:
        """Move r towards the alignment of two encoded maps, (window, width, time) each."""
        if len(mine) >= ENOUGH:
            self.get_buffer("ratio")[place].lerp_(cka(told.flatten(1), mine.flatten(1)), 1 - self.options.momentum)


def _attention(width: int, options: DPK) -> nn.Sequential:
    blocks = [Block(width, math.gcd(width, options.heads), last=False) for _ in range(options.blocks)]
    for block in blocks:
        block.dropout = nn.Dropout(0.0)  # the mask is noise enough
    return nn.Sequential(*blocks)


def _normal(maps: Tensor) -> Tensor:
    """Maps (batch, channel, time) with mean 0 and variance 1 over the channels at every moment."""
    return layer_norm(maps.transpose(1, 2), maps.shape[1:2]).transpose(1, 2)


def recipe(players: Players, options: DPK, plan: Plan) -> list[Phase]:
    """The phase of plain distillation with one term more."""
    weights = {"ce": 1.0, "kl": options.weight, "prior": options.prior_weight}
    return [taught(players, options, plan, Prior(options), weights=weights)]


METHOD = Method(
    key="dpk",
    title="the teacher's features stand in for the student's",
    recipe=recipe,
    options=DPK,
    source="Z. Qiu, X. Ma, K. Yang, C. Liu, J. Hou, S. Yi, W. Ouyang: Better teacher better student: dynamic prior knowledge for "
    "knowledge distillation, ICLR 2023, arXiv 2206.06067",
    evidence="no code was released: equations after a reimplementation, without its auxiliary heads; alignment by batch as the "
    "authors told reviewers; stages, blocks, weights, positions, norm and --span are our design",
    bankable=False,
)
