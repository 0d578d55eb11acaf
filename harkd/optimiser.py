"""How parameters move: a frozen description that builds torch's optimisers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from harkd.schedule import OneCycle, Schedule


@dataclass(frozen=True)
class Optimiser:
    """An optimiser with its learning rate over a phase.

    Attributes:
        rate: schedule of the learning rate.
        weight_decay: on weight matrices and kernels; biases and batch norm are left alone.
        clip: largest norm of the gradient of all parameters together; 0 does not clip.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    rate: Schedule = field(default_factory=lambda: OneCycle(3e-3))
    weight_decay: float = 0.01
    momentum: float = 0.9
    clip: float = 5.0

    def build(self, parameters: Iterable[nn.Parameter], undecayed: Iterable[nn.Parameter] = ()) -> torch.optim.Optimizer:
        """The torch optimiser; its learning rate is set before every step."""
        every, spared = list(parameters), set(map(id, undecayed))
        groups = [
            {"params": [p for p in every if p.dim() > 1 and id(p) not in spared], "weight_decay": self.weight_decay},
            {"params": [p for p in every if p.dim() <= 1 or id(p) in spared], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=0.0, momentum=self.momentum)
        return torch.optim.AdamW(groups, lr=0.0, fused=True)
