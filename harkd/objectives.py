"""Objectives: from everybody's Outputs to named per-sample losses. What they remember, they hold as buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harkd.align import Align
from harkd.augment import Batch
from harkd.augment.keys import stream
from harkd.datasets import Windows
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.nets import Net, Outputs
from harkd.relations import map_distance
from harkd.schedule import Progress, Schedule, value

Terms = dict[str, Tensor]


@dataclass
class Context:
    """What an objective may look at: one batch, and everybody's account of it.

    Attributes:
        target: name of the class target.
        masks: (batch,) bool for every player who has no answer for some windows, since a sensor that it sees is missing there.
        elsewhere: the batches of players who see other windows than the training windows.
        seed: the run's seed; `rng` is the objective's own stream for this step.
    """

    batch: Batch
    outputs: Mapping[str, Outputs]
    nets: Mapping[str, Net]
    progress: Progress
    target: str
    seed: int = 0
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    elsewhere: Mapping[str, Batch] = field(default_factory=dict)
    _rng: torch.Generator | None = field(default=None, repr=False)

    @property
    def y(self) -> Tensor:
        """The class target: (batch,) numbers or (batch, class) shares."""
        return self.batch.targets[self.target]

    def y_of(self, player: str) -> Tensor:
        """The class target of the windows that a player sees."""
        return self.elsewhere.get(player, self.batch).targets[self.target]

    def known(self, loss: Tensor, *players: str) -> Tensor:
        """Per-sample losses (batch,), zero where one of the players has no answer."""
        for name in players:
            if name in self.masks:
                loss = torch.where(self.masks[name], loss, torch.zeros_like(loss))
        return loss

    def seen(self, rows: Tensor, *players: str) -> Tensor:
        """The rows of (batch, ...) that all of the players can see, for losses that compare windows with each other."""
        masks = [self.masks[name] for name in players if name in self.masks]
        return rows[torch.stack(masks).all(0)] if masks else rows

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
    _bound = False

    def ready(self, context: Context, train: Windows) -> None:
        """Bind once: an objective of several phases keeps what it has learnt."""
        if not self._bound:
            self.bind(context, train)
        self._bound = True

    def bind(self, context: Context, train: Windows) -> None:
        """Called once with a dry-run batch, before the first step: the place to make projections and memories."""

    def remarks(self) -> list[str]:
        """What a user should know before the first step, once this is bound."""
        return []

    def forward(self, context: Context) -> Terms:
        """Named losses, (batch,) each, or a scalar where samples are compared with each other."""
        raise NotImplementedError


class CrossEntropy(Objective):
    """Term `ce`, or for others than the student `ce NAME`: cross-entropy of a player with the labels, hard or mixed.

    A net with auxiliary heads, such as the branches of a fused net, learns the labels with each of them: `heads` times the sum of
    their cross-entropies is added. A branch then learns as it would alone, whatever the others already know.
    """

    def __init__(self, player: str = "student", smoothing: float = 0.0, heads: float = 1.0) -> None:
        super().__init__()
        self.player, self.smoothing, self.heads = player, smoothing, heads
        self.term = "ce" if player == "student" else f"ce {player}"

    def forward(self, context: Context) -> Terms:
        told = context.outputs[self.player]
        y = context.y_of(self.player)
        loss = cross_entropy(y, told.logits.float(), self.smoothing)
        for logits in told.heads if self.heads else ():
            loss = loss + self.heads * cross_entropy(y, logits.float(), self.smoothing)
        return {self.term: context.known(loss, self.player)}


class Distillation(Objective):
    """Term `kl`: tempered KL divergence of a student from a teacher, target first. With `term` it has another name.

    `reduction="mean"` also divides by the number of classes, as `torch.nn.KLDivLoss()` does by default and several published
    codes with it: their distillation weight is that much smaller than their formula says.
    """

    def __init__(
        self,
        student: str = "student",
        teacher: str = "teacher",
        temperature: Schedule = 4.0,
        reduction: Literal["batchmean", "mean"] = "batchmean",
        term: str = "kl",
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.temperature, self.reduction = student, teacher, temperature, reduction
        self.term = term

    def forward(self, context: Context) -> Terms:
        told = context.outputs[self.teacher].logits.float().detach()
        loss = self.compare(told, context.outputs[self.student].logits.float(), value(self.temperature, context.progress))
        loss = loss / told.shape[-1] if self.reduction == "mean" else loss
        return {self.term: context.known(loss, self.student, self.teacher)}

    def compare(self, told: Tensor, mine: Tensor, temperature: float) -> Tensor:
        """(batch,) the divergence of the student's logits (batch, class) from the teacher's."""
        return kl(told, mine, temperature)


class Pairs(Objective):
    """Maps of a student beside maps of a teacher, stage by stage: the base of all that compare them.

    A student's map is made like the teacher's first (`harkd.align`), by modules that are made from the dry-run shapes, train with
    the student, and are dropped at export.

    Args:
        student_stages, teacher_stages: pairs of stages, counted from 0, or from the end with -1; none: those of `default`.
        default: the middle stage of each net; or, counted from the end, as many as both have (`all`), the same without the last
            one (`inner`, at least one), or so many.
        width, length: what is made like the teacher's.
        project: whether channels are projected; by default where the widths differ.
    """

    needs = frozenset({"features"})

    def __init__(
        self,
        student_stages: Sequence[int] = (),
        teacher_stages: Sequence[int] = (),
        student: str = "student",
        teacher: str = "teacher",
        *,
        default: Literal["middle", "all", "inner"] | int = "all",
        width: bool = True,
        length: bool = True,
        project: bool | None = None,
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.default = student, teacher, default
        self.width, self.length, self.project = width, length, project
        self.given = {student: tuple(student_stages), teacher: tuple(teacher_stages)}
        numbers = {len(stages) for stages in self.given.values() if stages or default != "middle"}
        if len(numbers) > 1:
            raise UsageError(
                f"hints go from stage to stage: {len(teacher_stages)} stages of {teacher!r} cannot guide {len(student_stages)} "
                f"of {student!r}"
            )
        self.pairs = max(numbers, default=1)
        self.aligns = nn.ModuleList()

    def stages(self, context: Context, name: str) -> list[int]:
        """The chosen stages of a player, counted from 0."""
        depth = len(context.outputs[name].features)
        stages = self.given[name] or self._default(context, depth)
        for stage in stages:
            if not -depth <= stage < depth:
                raise UsageError(f"a hint needs stage {stage} of {name!r}, whose net has {depth} stages with features")
        return [stage % depth for stage in stages]

    def _default(self, context: Context, depth: int) -> Sequence[int]:
        if self.default == "middle":
            return (depth // 2,) * self.pairs
        shared = max(1, min(len(context.outputs[name].features) for name in self.given))
        if self.default == "inner":
            return range(-shared, -1) or (-1,)
        return range(-shared if self.default == "all" else -min(shared, self.default), 0)

    def maps(self, context: Context) -> list[tuple[Tensor, Tensor]]:
        """The student's and the teacher's map of every pair, in float32."""
        mine, told = (
            [context.outputs[name].features[stage].float() for stage in self.stages(context, name)]
            for name in (self.student, self.teacher)
        )
        return list(zip(mine, told, strict=True))

    def bind(self, context: Context, train: Windows) -> None:
        self.aligns = nn.ModuleList([self.align(mine.shape[1], told.shape[1]) for mine, told in self.maps(context)])

    def align(self, mine: int, told: int) -> Align:
        """What makes a student's map of one width like a teacher's of another."""
        return Align(mine, told if self.width else mine, project=self.project)

    def aligned(self, context: Context) -> list[tuple[Tensor, Tensor]]:
        """As `maps`, with the student's like the teacher's."""
        found = []
        for align, (mine, told) in zip(self.aligns, self.maps(context), strict=True):
            assert isinstance(align, Align)
            found.append((align(mine, told) if self.length else align.project(mine), told))
        return found


class Alike(Pairs):
    """One term: `compare(teacher's map, student's map)`, (batch,), summed over pairs of stages.

    Args:
        compare: gets maps (batch, channel, time); further arguments are those of `Pairs`.
    """

    def __init__(
        self,
        term: str,
        compare: Callable[[Tensor, Tensor], Tensor],
        student_stages: Sequence[int] = (),
        teacher_stages: Sequence[int] = (),
        **more: Any,
    ) -> None:
        super().__init__(student_stages, teacher_stages, **more)
        self.term, self.compare = term, compare

    def forward(self, context: Context) -> Terms:
        losses = [self.compare(told, mine) for mine, told in self.aligned(context)]
        return {self.term: context.known(torch.stack(losses).sum(0), self.student, self.teacher)}


class Hint(Alike):
    """Term `hint`: a student's features, aligned, against a teacher's: mean squared error, summed over pairs of stages.

    Romero et al.: FitNets: hints for thin deep nets, ICLR 2015.

    Args:
        student_stages, teacher_stages: pairs of stages, counted from 0, or from the end with -1; none: the middle one.
    """

    def __init__(
        self,
        student_stages: Sequence[int] = (),
        teacher_stages: Sequence[int] = (),
        student: str = "student",
        teacher: str = "teacher",
    ) -> None:
        names = {"student": student, "teacher": teacher}
        super().__init__("hint", map_distance, student_stages, teacher_stages, **names, default="middle", project=True)


class Relation(Objective):
    """One scalar term: how the windows of a batch lie to each other in two embeddings, `compare(teacher's, student's)`.

    Windows that one of the two cannot see are left out.

    Args:
        compare: gets embeddings (window, width) of different widths, and gives a scalar (see `harkd.relations`).
    """

    needs = frozenset({"logits", "embedding"})

    def __init__(
        self, term: str, compare: Callable[[Tensor, Tensor], Tensor], student: str = "student", teacher: str = "teacher"
    ) -> None:
        super().__init__()
        self.term, self.compare, self.student, self.teacher = term, compare, student, teacher

    def _embedding(self, context: Context, name: str) -> Tensor:
        embedding = context.outputs[name].embedding
        if embedding is None:
            raise UsageError(f"{self.term} needs an embedding, and the head of {name!r} gives logits alone")
        return context.seen(embedding.float(), self.student, self.teacher)

    def forward(self, context: Context) -> Terms:
        return {self.term: self.compare(self._embedding(context, self.teacher), self._embedding(context, self.student))}


class MapRelation(Alike):
    """As `Relation`, of maps: `compare(teacher's map, student's map)`, a scalar, summed over pairs of stages.

    Args:
        compare: gets maps (window, channel, time) of different widths and lengths.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, width=False, length=False, **more)

    def forward(self, context: Context) -> Terms:
        pairs = [[context.seen(each, self.student, self.teacher) for each in pair] for pair in self.maps(context)]
        return {self.term: torch.stack([self.compare(told, mine) for mine, told in pairs]).sum()}


class Together(Objective):
    """Several objectives, their terms side by side."""

    def __init__(self, *objectives: Objective) -> None:
        super().__init__()
        self.objectives = nn.ModuleList(objectives)
        self.needs = frozenset[str]().union(*(objective.needs for objective in objectives))

    def bind(self, context: Context, train: Windows) -> None:
        for objective in self.objectives:
            objective.ready(context, train)  # type: ignore[operator]

    def remarks(self) -> list[str]:
        return [line for objective in self.objectives for line in objective.remarks()]  # type: ignore[operator]

    def forward(self, context: Context) -> Terms:
        terms: Terms = {}
        for objective in self.objectives:
            more = objective(context)
            if terms.keys() & more.keys():
                raise UsageError(f"two objectives give a term {min(terms.keys() & more.keys())!r}; each needs a name of its own")
            terms |= more
        return terms
