"""What `simkd` and `atsc` share: the student learns to make its teachers' last features, and answers with their heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from harkd.align import resampling
from harkd.nets.reused import take_over
from harkd.objectives import Context, Objective, Terms
from harkd.player import Player


class FixedHead(Player):
    """A player of whom all trains but the head."""

    def trainable(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in super().trainable().items() if not name.startswith("head.")}


def with_fixed_heads(student: Player, teachers: Sequence[Player]) -> Player:
    """The student with copies of its teachers' heads, which never get a gradient."""
    take_over(student.net, [teacher.net for teacher in teachers])
    return FixedHead(**{f.name: getattr(student, f.name) for f in fields(student)})


class ProjectedHint(Objective):
    """Term `hint`: a student's projected maps against its teachers' last ones: mean squared error, mean over the teachers.

    The longer of two maps is averaged to the length of the shorter one. A teacher that trains comes towards the student.
    """

    needs = frozenset({"features"})

    def __init__(self, teachers: tuple[str, ...]) -> None:
        super().__init__()
        self.teachers = teachers

    def forward(self, context: Context) -> Terms:
        told = [context.outputs[name].features[-1].float() for name in self.teachers]
        mine = context.outputs["student"].features[-1].float().split([maps.shape[1] for maps in told], 1)
        losses = [
            context.known((shortened(a, b) - shortened(b, a)).square().flatten(1).mean(1), "student", name)
            for name, a, b in zip(self.teachers, mine, told, strict=True)
        ]
        return {"hint": torch.stack(losses).mean(0)}


def shortened(maps: Tensor, like: Tensor) -> Tensor:
    """(batch, channel, time) averaged to the length of `like`, if that is the shorter one."""
    return maps @ resampling(maps.shape[2], like.shape[2], maps.device) if maps.shape[2] > like.shape[2] else maps
