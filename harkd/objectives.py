"""Objectives: from everybody's Outputs to named per-sample losses. What they remember, they hold as buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from harkd.align import Align
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
        masks: (batch,) bool for every player who has no answer for some windows, since a sensor that it sees is missing there.
        seed: the run's seed; `rng` is the objective's own stream for this step.
    """

    batch: Batch
    outputs: Mapping[str, Outputs]
    nets: Mapping[str, Net]
    progress: Progress
    target: str
    seed: int = 0
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    _rng: torch.Generator | None = field(default=None, repr=False)

    @property
    def y(self) -> Tensor:
        """The class target: (batch,) numbers or (batch, class) shares."""
        return self.batch.targets[self.target]

    def known(self, loss: Tensor, *players: str) -> Tensor:
        """Per-sample losses (batch,), zero where one of the players has no answer."""
        for name in players:
            if name in self.masks:
                loss = torch.where(self.masks[name], loss, torch.zeros_like(loss))
        return loss

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
    """Term `ce`: cross-entropy of a player with the labels, hard or mixed.

    A net with auxiliary heads, such as the branches of a fused net, learns the labels with each of them: `heads` times the sum of
    their cross-entropies is added. A branch then learns as it would alone, whatever the others already know.
    """

    def __init__(self, player: str = "student", smoothing: float = 0.0, heads: float = 1.0) -> None:
        super().__init__()
        self.player, self.smoothing, self.heads = player, smoothing, heads

    def forward(self, context: Context) -> Terms:
        told = context.outputs[self.player]
        loss = cross_entropy(context.y, told.logits.float(), self.smoothing)
        for logits in told.heads if self.heads else ():
            loss = loss + self.heads * cross_entropy(context.y, logits.float(), self.smoothing)
        return {"ce": context.known(loss, self.player)}


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
        loss = loss / told.shape[-1] if self.reduction == "mean" else loss
        return {"kl": context.known(loss, self.student, self.teacher)}


class Hint(Objective):
    """Term `hint`: a student's features, aligned, against a teacher's: mean squared error, summed over pairs of stages.

    Romero et al.: FitNets: hints for thin deep nets, ICLR 2015. The regressors (`harkd.align`) are made from the dry-run shapes,
    train with the student, and are dropped at export.

    Args:
        student_stages, teacher_stages: pairs of stages, counted from 0, or from the end with -1; none: the middle one.
    """

    needs = frozenset({"features"})

    def __init__(
        self,
        student_stages: Sequence[int] = (),
        teacher_stages: Sequence[int] = (),
        student: str = "student",
        teacher: str = "teacher",
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher
        self.stages = {student: tuple(student_stages), teacher: tuple(teacher_stages)}
        numbers = {len(stages) for stages in self.stages.values() if stages}
        if len(numbers) > 1:
            raise UsageError(
                f"hints go from stage to stage: {len(teacher_stages)} stages of {teacher!r} cannot guide {len(student_stages)} "
                f"of {student!r}"
            )
        self.pairs = max(numbers, default=1)
        self.aligns = nn.ModuleList()

    def _features(self, context: Context, name: str) -> list[Tensor]:
        """The chosen maps of a player, in float32."""
        features = context.outputs[name].features
        stages = self.stages[name] or (len(features) // 2,) * self.pairs
        for stage in stages:
            if not -len(features) <= stage < len(features):
                raise UsageError(f"a hint needs stage {stage} of {name!r}, whose net has {len(features)} stages with features")
        return [features[stage].float() for stage in stages]

    def bind(self, context: Context, train: Windows) -> None:
        pairs = zip(self._features(context, self.student), self._features(context, self.teacher), strict=True)
        self.aligns = nn.ModuleList([Align(mine.shape[1], told.shape[1], project=True) for mine, told in pairs])

    def forward(self, context: Context) -> Terms:
        maps = zip(self.aligns, self._features(context, self.student), self._features(context, self.teacher), strict=True)
        losses = [(align(mine, told) - told).square().flatten(1).mean(1) for align, mine, told in maps]
        return {"hint": context.known(torch.stack(losses).sum(0), self.student, self.teacher)}


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
