"""Several teachers at once: who has an answer for a window, and how much each of them counts, by a rule or as it is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from harkd.datasets import Windows
from harkd.engine import Moment
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.objectives import Context, Objective, Terms
from harkd.options import KD
from harkd.options.methods.several import Added
from harkd.player import predict


def answers(context: Context, teachers: Sequence[str]) -> Tensor:
    """(teacher, batch, class) logits of some players."""
    return torch.stack([context.outputs[name].logits.float() for name in teachers])


def seeing(context: Context, teachers: Sequence[str]) -> Tensor:
    """(teacher, batch) bool: who has an answer for which windows."""
    every = torch.ones(len(context.batch.index), dtype=torch.bool, device=context.batch.index.device)
    return torch.stack([context.masks.get(name, every) for name in teachers])


def distance(told: Tensor, logits: Tensor, options: KD | Added) -> Tensor:
    """(...,) tempered divergence of logits (..., class) from what teachers told (..., class), reduced as the options say."""
    loss = kl(told, logits, options.temperature)
    return loss / logits.shape[-1] if options.reduction == "mean" else loss


def mean_of(loss: Tensor, sees: Tensor) -> Tensor:
    """(batch,) mean of losses (teacher, batch) over those who see a window (teacher, batch); zero where nobody does."""
    return (sees * loss).sum(0) / sees.sum(0).clamp_min(1)


def gaps(moment: Moment, teachers: Sequence[str], temperature: float) -> Tensor:
    """(teacher,) how far the student's answers are from those of some players, on validation windows if there are any."""
    windows = moment.validation or moment.train
    told = torch.stack([predict(moment.phase.players[name], windows) for name in teachers])
    return kl(told, predict(moment.phase.players["student"], windows), temperature).mean(1)


def embedding(context: Context, name: str) -> Tensor:
    """(batch, width) the embedding of a player.

    Raises:
        UsageError: its net has none.
    """
    found = context.outputs[name].embedding
    if found is None:
        raise UsageError(f"this method compares embeddings, and the head of {name!r} gives logits alone, not (logits, embedding)")
    return found.float()


def latest(index: Tensor) -> Tensor:
    """(batch,) the last place of each window in a batch, where it may stand twice: what is remembered of it comes from there."""
    places = torch.arange(len(index), device=index.device)
    return ((index[:, None] == index) * places).amax(1)


def numbers(names: NDArray[np.str_]) -> Tensor:
    """(n,) names as numbers, equal ones as equal."""
    return torch.from_numpy(np.unique(names, return_inverse=True)[1])


def equally(sees: Tensor) -> Tensor:
    """(teacher, batch) weights that sum to 1, equal for those who see a window (teacher, batch)."""
    return sees / sees.sum(0).clamp_min(1)


def trust(blame: Tensor, sees: Tensor) -> Tensor:
    """(teacher, batch) weights that sum to 1: 1 - blame over one less than the number of teachers.

    Args:
        blame: (teacher, batch) shares of those who see a window; they sum to 1, or are all zero.
        sees: (teacher, batch) bool.
    """
    weight = (1 - blame) * sees
    total = weight.sum(0)
    return torch.where(total > 0, weight / total.clamp_min(torch.finfo(total.dtype).tiny), equally(sees))


def share_of_loss(loss: Tensor, sees: Tensor) -> Tensor:
    """(teacher, batch) softmax over the teachers who see a window, of a loss (teacher, batch)."""
    # The lowest number, not infinity, which gives NaN where nobody sees the window.
    return loss.masked_fill(~sees, torch.finfo(loss.dtype).min).softmax(0)


def shares_told(weight: Tensor, teachers: Sequence[str]) -> Terms:
    """How much each teacher counted, for the history: means over the batch of weights (teacher, batch)."""
    return {f"share {name}": mean for name, mean in zip(teachers, weight.detach().mean(1), strict=True)}


class Weighted(Objective):
    """Term `kl`: distances from the teachers to the student, each times a weight; `share NAME` says how much each counted.

    This base weighs all who see a window equally.
    """

    def __init__(self, teachers: Sequence[str], options: KD | Added) -> None:
        super().__init__()
        self.teachers, self.options = tuple(teachers), options

    def weigh(self, context: Context, told: Tensor, sees: Tensor) -> Tensor:
        """(teacher, batch) weights that sum to 1, of the teachers' logits (teacher, batch, class)."""
        return equally(sees)

    def forward(self, context: Context) -> Terms:
        told, logits = answers(context, self.teachers), context.outputs["student"].logits.float()
        weight = self.weigh(context, told, seeing(context, self.teachers))
        loss = (weight * distance(told, logits, self.options)).sum(0)
        return {"kl": context.known(loss, "student"), **shares_told(weight, self.teachers)}


class Adapter(nn.Module):
    """How much each teacher counts for a window, as it is learned: (batch, channel) to (teacher, batch), as logarithms."""

    def __init__(self, teachers: int, channels: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.randn(channels) / math.sqrt(channels))
        self.latents = nn.Parameter(torch.zeros(teachers, channels))  # at first all teachers count equally

    def forward(self, x: Tensor, sees: Tensor) -> Tensor:
        scores = (self.vector * self.latents) @ x.T
        return log_softmax(scores.masked_fill(~sees, torch.finfo(scores.dtype).min), 0)

    def ridge(self) -> Tensor:
        """Sum of the squares of all parameters."""
        return self.vector.square().sum() + self.latents.square().sum()


class Settled(Objective):
    """An objective one of whose parts has learnt enough: from here on no optimiser gets to see it."""

    def __init__(self, learned: Objective, part: str) -> None:
        super().__init__()
        self.learned, self.part, self.needs = learned, part, learned.needs

    def bind(self, context: Context, train: Windows) -> None:
        self.learned.ready(context, train)
        self.learned.get_submodule(self.part).requires_grad_(False)

    def forward(self, context: Context) -> Terms:
        terms: Terms = self.learned(context)
        return terms
