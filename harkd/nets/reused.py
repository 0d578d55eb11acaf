"""A student that answers with the heads of its teachers: its own stages, a projector for each teacher, the teachers' heads.

Chen et al.: Knowledge distillation with the reused teacher classifier (SimKD), CVPR 2022; Jang et al.: Adaptive teaching with
shared classifier, arXiv 2406.08528. What is deployed is all of it; the name says which heads they are:

    dscnn-s~mean128            a head that takes the mean over time of 128 maps
    dscnn-s~meanmax192~mean64  two teachers, the first with mean and maximum
    dscnn-s~fused192+64        the head of a fused net, whose branches have embeddings of width 192 and 64
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from harkd.errors import UsageError
from harkd.nets.fusion import Fusion, SumHead
from harkd.nets.net import Flat, ForeignHead, Inputs, Mean, MeanMax, Net, Outputs, PooledHead, conv

POOLS: dict[str, tuple[type[nn.Module], int]] = {"mean": (Mean, 1), "meanmax": (MeanMax, 2)}
"""Pools by name, and how wide the embedding is for each map."""
HEAD = rf"(?:(?:{'|'.join(POOLS)})[1-9]\d*|fused[1-9]\d*(?:\+[1-9]\d*)+)"


class Projector(Flat):
    """(batch, channel, time) to as many maps as a teacher's last stage has.

    Three convolutions of kernels 1, 3 and 1 with batch norm and ReLU, half as wide inside as the teacher's maps.
    """

    def __init__(self, width: int, wanted: int) -> None:
        inner = max(1, wanted // 2)
        layers = [(conv(width, inner, 1), inner), (conv(inner, inner, 3), inner), (conv(inner, wanted, 1), wanted)]
        super().__init__(*(part for layer, maps in layers for part in (layer, nn.BatchNorm2d(maps), nn.ReLU())))
        self.maps = (wanted,)


class Projectors(nn.Module):
    """(batch, channel, time) to the maps of several projectors, one after the other."""

    def __init__(self, width: int, maps: Sequence[int]) -> None:
        super().__init__()
        self.maps = tuple(maps)
        self.each = nn.ModuleList([Projector(width, wanted) for wanted in maps])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([each(x) for each in self.each], 1)


class MeanOfHeads(nn.Module):
    """Each head answers for its own maps; the answer is the mean of their logits."""

    def __init__(self, heads: Sequence[nn.Module], maps: Sequence[int]) -> None:
        super().__init__()
        self.each, self.maps = nn.ModuleList(heads), tuple(maps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        told = [head(part) for head, part in zip(self.each, x.split(self.maps, 1), strict=True)]
        return torch.stack([logits for logits, _ in told]).mean(0), torch.cat([embedding for _, embedding in told], 1)


class OverTime(nn.Module):
    """The mean over time, then a head that takes maps of length 1."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, embedding = self.head(x.mean(2, keepdim=True))
        return logits, embedding


def reused(student: str, heads: str, inputs: Inputs, classes: int, build: Callable[[str, Inputs, int], Net]) -> Net:
    """STUDENT~HEAD~HEAD: the net of that name, with freshly made projectors and heads.

    Args:
        build: makes the student's own net.

    Raises:
        UsageError: the student has no last stage whose maps could be projected.
    """
    net = build(student, inputs, classes)
    if isinstance(net, Fusion):
        raise UsageError(f"{student} cannot take over a head: its branches meet in their answers, and it has no last stage")
    made = [_head(text, classes) for text in heads.split("~")]
    maps = [maps for maps, _ in made]
    shared = _joined([head for _, head in made], maps)
    width = _width(net, inputs)
    last = Projector(width, maps[0]) if len(maps) == 1 else Projectors(width, maps)
    whole = Net(net.stem, [*net.stages, last], shared, net.scaler)
    whole.physical = net.physical
    return whole


def take_over(student: Net, teachers: Sequence[Net], shared: bool = False) -> None:
    """Give a student the heads of its teachers: copies of them or, if `shared`, the same modules.

    Raises:
        UsageError: the student was not made for these heads.
    """
    heads = [_bare(teacher.head) for teacher in teachers]
    names = [head_name(head) for head in heads]
    maps = [_head(name, 1)[0] for name in names]
    last = student.stages[-1]
    if not isinstance(last, Projector | Projectors) or last.maps != tuple(maps):
        raise UsageError(f"a student that takes over its teachers' heads has a name that ends in ~{'~'.join(names)}")
    student.head = _joined(heads if shared else copy.deepcopy(heads), maps)


def head_name(head: nn.Module) -> str:
    """What a teacher's head is called in the name of a student that takes it over.

    Raises:
        UsageError: it is none that can be taken over.
    """
    head = _bare(head)
    if isinstance(head, PooledHead):
        for name, (pool, wide) in POOLS.items():
            if type(head.pool) is pool:
                return f"{name}{head.linear.in_features // wide}"
    if isinstance(head, SumHead):
        return f"fused{'+'.join(map(str, head.widths))}"
    raise UsageError(
        f"a student can take over a head that pools over time; this teacher's is a {type(head).__name__} of another kind"
    )


def _bare(head: nn.Module) -> nn.Module:
    """The head that a foreign net was given."""
    return head.inner if isinstance(head, ForeignHead) else head


def _joined(heads: Sequence[nn.Module], maps: Sequence[int]) -> nn.Module:
    """One head for the maps of all projectors."""
    each = [OverTime(head) if isinstance(head, SumHead) else head for head in heads]
    return each[0] if len(each) == 1 else MeanOfHeads(each, maps)


def _head(text: str, classes: int) -> tuple[int, nn.Module]:
    """Number of maps that a head takes, and such a head, freshly made."""
    found = re.fullmatch(r"([a-z]+)([\d+]+)", text)
    assert found
    if found[1] == "fused":
        widths = [int(width) for width in found[2].split("+")]
        return sum(widths), SumHead([PooledHead(width, classes) for width in widths])
    pool, wide = POOLS[found[1]]
    return int(found[2]), PooledHead(int(found[2]) * wide, classes, pool=pool())


def _width(net: Net, inputs: Inputs) -> int:
    """How many maps a net's last stage gives."""
    training = net.training
    with torch.no_grad():
        told: Outputs = net.eval()(torch.zeros(1, inputs.width, inputs.length or 64))
    net.train(training)
    return told.features[-1].shape[1]
