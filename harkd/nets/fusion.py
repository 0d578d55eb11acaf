"""Late fusion: one net per group of sensors, their answers multiplied (summed as log-softmax, equal weights).

A teacher that sees everything: on UTD-MHAD a skeleton net with 96.7 % and an inertial one with 91.9 %, trained apart, gave 98.8 %
together (measured before harkd was built), and equal weights needed no tuning. Here the branches train side by side. Each learns
the labels by itself: its logits are `Outputs.heads`, whose cross-entropies the objective `CrossEntropy` adds to its term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from harkd.errors import UsageError
from harkd.nets.net import Inputs, Net, Outputs, PooledHead


class Branch(nn.Module):
    """A net up to its embedding, on its own channels of the input."""

    def __init__(self, net: Net, places: Sequence[int]) -> None:
        super().__init__()
        assert isinstance(net.head, PooledHead)
        self.stem, self.stages, self.pool = net.stem, net.stages, net.head.pool
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.index_select(1, self.get_buffer("places")))
        for stage in self.stages:
            x = stage(x)
        embedding: Tensor = self.pool(x)
        return embedding


class Branches(nn.Module):
    """All embeddings side by side: (batch, channel, time) to (batch, width, 1)."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        super().__init__()
        self.each = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.each], 1).unsqueeze(2)


class SumHead(nn.Module):
    """Every branch classifies its part of the embedding; the answer is the sum of their log-softmax."""

    def __init__(self, heads: Sequence[PooledHead]) -> None:
        super().__init__()
        self.widths = [head.linear.in_features for head in heads]
        for head in heads:
            head.pool = nn.Identity()
        self.each = nn.ModuleList(heads)

    def answers(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, width, 1) to the logits of each branch."""
        return tuple(head(part)[0] for head, part in zip(self.each, x.squeeze(2).split(self.widths, 1), strict=True))

    def fuse(self, answers: Sequence[Tensor]) -> Tensor:
        """The logits of all branches to those of the fused net."""
        return torch.stack([logits.log_softmax(1) for logits in answers]).sum(0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.fuse(self.answers(x)), x.squeeze(2)


class Fusion(Net):
    """Branches that meet in their logits, so its one feature map is the joint embedding, (batch, width, 1)."""

    def forward(self, x: Tensor) -> Outputs:
        """(batch, channel, time) in physical units to Outputs with the logits of each branch as heads."""
        joint = self.stem(self.scaler(x))
        assert isinstance(self.head, SumHead)
        answers = self.head.answers(joint)
        return Outputs(self.head.fuse(answers), (joint,), joint.squeeze(2), heads=answers)


def fusion(
    branches: Sequence[tuple[str, frozenset[str]]], inputs: Inputs, classes: int, build: Callable[[str, Inputs, int], Net]
) -> Fusion:
    """fusion-NET+NET...: a net that is meant for certain kinds of sensors gets those, the one that is not gets all others.

    Args:
        branches: name of each net, and the kinds of sensors that it is meant for; none: any.

    Raises:
        UsageError: a sensor has no net, or a net no sensor of its own.
    """
    text = f"fusion-{'+'.join(name for name, _ in branches)}"
    if not inputs.sensors:
        raise UsageError(f"{text} needs to know its sensors; it was told of {inputs}")
    left = {sensor.name: sensor.kind for sensor in inputs.sensors}
    dealt: dict[int, list[str]] = {}
    for number, (name, kinds) in sorted(enumerate(branches), key=lambda item: not item[1][1]):
        mine = [sensor for sensor, kind in left.items() if not kinds or kind in kinds]
        if not mine:
            wanted = f"a sensor of kind {' or '.join(sorted(kinds))}" if kinds else "a sensor of its own"
            raise UsageError(f"{text}: {name} needs {wanted}; this player sees {inputs}, each for one net")
        left = {sensor: kind for sensor, kind in left.items() if sensor not in mine}
        dealt[number] = mine
    if left:
        raise UsageError(f"{text}: none of its nets is meant for {', '.join(left)}")
    picks = [inputs.pick(dealt[number]) for number in range(len(branches))]
    nets = [build(name, told, classes) for (name, _), (told, _) in zip(branches, picks, strict=True)]
    heads = [net.head for net in nets if isinstance(net.head, PooledHead)]
    if len(heads) < len(nets):
        raise UsageError(f"{text}: a fused net cannot be a branch of another")
    stem = Branches([Branch(net, places) for net, (_, places) in zip(nets, picks, strict=True)])
    fused = Fusion(stem, [nn.Identity()], SumHead(heads))
    fused.physical = tuple(places[i] for net, (_, places) in zip(nets, picks, strict=True) for i in net.physical)
    return fused
