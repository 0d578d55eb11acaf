"""Objectives: from everybody's Outputs to named per-sample losses. What they remember, they hold as buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from harkd.augment import Batch
from harkd.augment.keys import stream
from harkd.datasets import Windows
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.nets import Net, Outputs
from harkd.schedule import Progress, Schedule, value

Terms = dict[str, Tensor]


@dataclass
class Context:
    """What an objective may look at: one batch, and everybody's account of it.

    Attributes:
        target: name of the class target.
        seed: the run's seed; `rng` is the objective's own stream for this step.
    """

    batch: Batch
    outputs: Mapping[str, Outputs]
    nets: Mapping[str, Net]
    progress: Progress
    target: str
    seed: int = 0
    _rng: torch.Generator | None = field(default=None, repr=False)

    @property
    def y(self) -> Tensor:
        """The class target: (batch,) numbers or (batch, class) shares."""
        return self.batch.targets[self.target]

    @property
    def rng(self) -> torch.Generator:
        """A generator on the CPU that depends on seed and step only."""
        if self._rng is None:
            self._rng = torch.Generator().manual_seed(stream(self.seed, "objective", self.progress.step) >> 1)
        return self._rng


class Objective(nn.Module):
    """Base of all objectives.

    `needs` says which Outputs of frozen players it reads: `logits` and `embedding` can come from the draw bank, anything else
    makes the engine ask the teacher itself.
    """

    needs: frozenset[str] = frozenset({"logits"})

    def bind(self, context: Context, train: Windows) -> None:
        """Called once with a dry-run batch, before the first step: the place to make projections and memories."""

    def forward(self, context: Context) -> Terms:
        """Named losses, (batch,) each, or a scalar where samples are compared with each other."""
        raise NotImplementedError


class CrossEntropy(Objective):
    """Term `ce`: cross-entropy of a player with the labels, hard or mixed."""

    def __init__(self, player: str = "student", smoothing: float = 0.0) -> None:
        super().__init__()
        self.player, self.smoothing = player, smoothing

    def forward(self, context: Context) -> Terms:
        return {"ce": cross_entropy(context.y, context.outputs[self.player].logits.float(), self.smoothing)}


class Distillation(Objective):
    """Term `kl`: tempered KL divergence of a student from a teacher, target first.

    `reduction="mean"` also divides by the number of classes, as `torch.nn.KLDivLoss()` does by default and several published
    codes with it: their distillation weight is that much smaller than their formula says.
    """

    def __init__(
        self,
        student: str = "student",
        teacher: str = "teacher",
        temperature: Schedule = 4.0,
        reduction: Literal["batchmean", "mean"] = "batchmean",
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.temperature, self.reduction = student, teacher, temperature, reduction

    def forward(self, context: Context) -> Terms:
        told = context.outputs[self.teacher].logits.float()
        loss = kl(told, context.outputs[self.student].logits.float(), value(self.temperature, context.progress))
        return {"kl": loss / told.shape[-1] if self.reduction == "mean" else loss}


class Together(Objective):
    """Several objectives, their terms side by side."""

    def __init__(self, *objectives: Objective) -> None:
        super().__init__()
        self.objectives = nn.ModuleList(objectives)
        self.needs = frozenset[str]().union(*(objective.needs for objective in objectives))

    def bind(self, context: Context, train: Windows) -> None:
        for objective in self.objectives:
            objective.bind(context, train)  # type: ignore[operator]

    def forward(self, context: Context) -> Terms:
        terms: Terms = {}
        for objective in self.objectives:
            more = objective(context)
            if terms.keys() & more.keys():
                raise UsageError(f"two objectives give a term {min(terms.keys() & more.keys())!r}; each needs a name of its own")
            terms |= more
        return terms
