"""Curricula that go with any method: easy windows first, or louder, or with a teacher sooner; or several of a class together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from harkd.curriculum import Curriculum, Drawn, Examiner, Shuffle, shuffled
from harkd.datasets import class_means
from harkd.errors import UsageError
from harkd.losses import difficulty, kl
from harkd.options import Curricula

Difficulty = Callable[[Examiner], Tensor]
"""(n,) how difficult every training window is; only the order counts."""


def student_loss(examiner: Examiner) -> Tensor:
    """Cross-entropy of the student with the labels; where there are none, with what the student itself decides."""
    return difficulty(examiner.labels, examiner.logits("student").double())


def student_doubt(examiner: Examiner) -> Tensor:
    """What the student leaves to other classes, 1 - p(y)."""
    return 1 - (-student_loss(examiner)).exp()


def teacher_loss(examiner: Examiner) -> Tensor:
    """Cross-entropy of the teacher with the labels; where there are none, with what the teacher itself decides."""
    return difficulty(examiner.labels, examiner.logits(_teacher(examiner)).double())


def disagreement(examiner: Examiner) -> Tensor:
    """KL divergence of the student from the teacher."""
    return kl(examiner.logits(_teacher(examiner)).double(), examiner.logits("student").double())


def _teacher(examiner: Examiner) -> str:
    if examiner.teacher is None:
        raise UsageError("this curriculum asks a teacher, and the method has none; iskd and self-paced need none")
    return examiner.teacher


@dataclass(frozen=True)
class Stretch:
    """So many epochs with the easiest `share` of the windows."""

    epochs: int
    share: float = 1.0


def stretches(epochs: int, number: int, first: float, warm_up: int = 0) -> list[Stretch]:
    """Stretches of equal length whose share grows linearly from `first` to 1, after a warm-up with all windows.

    >>> [stretch.share for stretch in stretches(9, 3, first=0.5)]
    [0.5, 0.75, 1.0]
    """
    left = epochs - warm_up
    if left < 1:
        return [Stretch(epochs)]
    number = min(number, left)
    ends = [round(left * place / number) for place in range(number + 1)]
    shares = [first + (1 - first) * place / (number - 1) if number > 1 else 1.0 for place in range(number)]
    grown = [Stretch(end - begin, share) for begin, end, share in zip(ends, ends[1:], shares, strict=False)]
    return [Stretch(warm_up), *grown] if warm_up else grown


class Ranked(Curriculum):
    """Stretches of epochs, each with the easiest windows as judged when it begins, from easy to hard groups in every pass.

    The first stretch shows all windows in random order, as `Shuffle` does, if it is a warm-up. Batches walk on from one pass
    into the next within a stretch. A window's draw number counts the passes, modulo `draws` if that is not 0.

    Args:
        groups: equal parts of the pool by rank; a pass goes through them in turn, each in random order.
        stratify: rank within each class, so that rare classes keep their share of the pool.
    """

    rank: Tensor
    judged: Tensor

    def __init__(
        self,
        batch: int,
        draws: int,
        plan: Sequence[Stretch],
        difficulty: Difficulty,
        *,
        groups: int = 5,
        stratify: bool = True,
        warm_up: bool = True,
    ) -> None:
        super().__init__()
        self.batch, self.draws, self.plan, self.difficulty = batch, draws, tuple(plan), difficulty
        self.groups, self.stratify, self.warm_up = groups, stratify, warm_up

    def begin(self, length: int, seed: int, device: torch.device) -> None:
        if hasattr(self, "length"):  # a later phase of the same run
            return
        self.length, self.seed, self.device = length, seed, device
        self.register_buffer("rank", torch.arange(length, device=device))
        self.register_buffer("judged", torch.tensor(0 if self.warm_up else -1, device=device))
        self.sizes = [math.ceil(stretch.share * length - 1e-9) for stretch in self.plan]
        self._order: dict[tuple[int, int], Tensor] = {}
        self._told: dict[str, Any] = {}

    def steps(self, epoch: int) -> int:
        return -(-self.sizes[self._stretch(epoch)] // self.batch)

    def start(self, epoch: int, examiner: Examiner) -> None:
        number = self._stretch(epoch)
        if int(self.judged) < number:  # in a run that goes on in the middle of an epoch, the order is there already
            self.rank.copy_(self._ranks(self.difficulty(examiner), examiner.labels))
            self.judged.fill_(number)
            self._order.clear()
        shown = (self.rank < self.sizes[number]).double()
        self._told = {"share": self.sizes[number] / self.length, "classes": _by_class(shown, examiner.labels)}

    def told(self) -> dict[str, Any]:
        return self._told

    def _ranks(self, difficulty: Tensor, labels: Tensor) -> Tensor:
        """(n,) positions from easy to hard, ties in the order of the windows; stratified, in turn from all classes."""
        order = torch.argsort(difficulty, stable=True)
        if self.stratify:
            sorted_labels = labels[order]
            share = torch.empty(len(order), dtype=torch.float64, device=order.device)
            for label in labels.unique():
                mine = sorted_labels == label
                share[mine] = (torch.arange(int(mine.sum()), device=order.device).double() + 0.5) / mine.sum()
            order = order[torch.argsort(share, stable=True)]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        return rank

    def take(self, step: int) -> Drawn:
        number = self._stretch_of_step(step)
        first_step, first_turn = self._before(number)
        size, start = self.sizes[number], (step - first_step) * self.batch
        index, draw = [], []
        for turn in range(start // size, (start + self.batch - 1) // size + 1):
            part = self._pass(number, first_turn + turn)[max(start - turn * size, 0) : start + self.batch - turn * size]
            index.append(part)
            draw.append(torch.full_like(part, self._draw(first_turn + turn)))
        return Drawn(torch.cat(index), torch.cat(draw))

    def draws_of(self, epoch: int) -> list[int]:
        number = self._stretch(epoch)
        first_step, first_turn = self._before(number)
        begin = (sum(map(self.steps, range(epoch))) - first_step) * self.batch
        turns = range(begin // self.sizes[number], (begin + self.steps(epoch) * self.batch - 1) // self.sizes[number] + 1)
        return sorted({self._draw(first_turn + turn) for turn in turns})

    def _draw(self, turn: int) -> int:
        return turn % self.draws if self.draws else turn

    def _stretch(self, epoch: int) -> int:
        """Which stretch an epoch belongs to; the last one goes on for ever."""
        for number, stretch in enumerate(self.plan):
            epoch -= stretch.epochs
            if epoch < 0:
                return number
        return len(self.plan) - 1

    def _stretch_of_step(self, step: int) -> int:
        later = [number for number in range(1, len(self.plan)) if self._before(number)[0] <= step]
        return later[-1] if later else 0

    def _before(self, number: int) -> tuple[int, int]:
        """Steps and begun passes before a stretch."""
        steps = turns = 0
        for stretch, size in zip(self.plan[:number], self.sizes, strict=False):
            mine = stretch.epochs * -(-size // self.batch)
            steps, turns = steps + mine, turns + -(-mine * self.batch // size)
        return steps, turns

    def _pass(self, number: int, turn: int) -> Tensor:
        if (number, turn) not in self._order:
            order = shuffled(self.length, self.seed, turn, self.device)
            if number or not self.warm_up:
                order = order[self.rank[order] < self.sizes[number]]
                order = order[torch.argsort(self.rank[order] * self.groups // self.sizes[number], stable=True)]
            self._order = {key: kept for key, kept in self._order.items() if key[1] >= turn - 1} | {(number, turn): order}
        return self._order[number, turn]


class ByClass(Shuffle):
    """Every window once per pass, in groups of one class: so a batch holds several windows of each class that it has.

    After the batches of P classes with K windows each of A. Hermans, L. Beyer, B. Leibe: In defense of the triplet loss for
    person re-identification, 2017. Theirs are drawn by class, and show windows of a rare class more often; that all windows come
    equally often, and that what is left of a class makes a smaller group at the end of the pass, is our design.

    Args:
        size: windows of a group.
    """

    def __init__(self, batch: int, draws: int, size: int = 4) -> None:
        super().__init__(batch, draws)
        self.size = size

    def start(self, epoch: int, examiner: Examiner) -> None:
        self.labels = examiner.labels

    def _pass(self, turn: int) -> Tensor:
        if turn not in self._order:
            self._order[turn] = self._grouped(super()._pass(turn), turn)
        return self._order[turn]

    def _grouped(self, order: Tensor, turn: int) -> Tensor:
        """Windows in this order as groups of a class, which come in random order, small ones last."""
        order = order[torch.argsort(self.labels[order], stable=True)]
        counts = self.labels[order].unique_consecutive(return_counts=True)[1]
        place = torch.cat([torch.arange(count, device=order.device) for count in counts.tolist()])
        group = torch.cumsum(place % self.size == 0, 0) - 1
        sizes = group.bincount()
        rank = torch.empty_like(sizes)
        rank[shuffled(len(sizes), self.seed, turn, order.device)] = torch.arange(len(sizes), device=order.device)
        rank += len(sizes) * (sizes < self.size)
        return order[torch.argsort(rank[group], stable=True)]


class Judged(Shuffle):
    """Base of curricula that show all windows equally often, and weigh them by what is known of their difficulty."""

    weight: Tensor
    judged: Tensor

    def __init__(self, batch: int, draws: int, epochs: int, first: float) -> None:
        super().__init__(batch, draws)
        self.epochs, self.first = epochs, first

    def begin(self, length: int, seed: int, device: torch.device) -> None:
        super().begin(length, seed, device)
        if not hasattr(self, "weight"):
            self.register_buffer("weight", torch.ones(length, device=device))
            self.register_buffer("judged", torch.tensor(-1, device=device))

    def share(self, epoch: int) -> float:
        """How many of the windows count in an epoch: linearly from `first` to all in the first half of the epochs."""
        return min(1.0, self.first + (1 - self.first) * epoch / max(1, self.epochs / 2))

    def start(self, epoch: int, examiner: Examiner) -> None:
        if int(self.judged) < epoch:
            self.weight.copy_(self.weigh(epoch, examiner))
            self.judged.fill_(epoch)
        self._told = {"share": float(self.weight.mean()), "classes": _by_class(self.weight.double(), examiner.labels)}

    def told(self) -> dict[str, Any]:
        return self._told

    def weigh(self, epoch: int, examiner: Examiner) -> Tensor:
        """(n,) weights for an epoch."""
        raise NotImplementedError


class SelfPaced(Judged):
    """Windows count by how easy the student finds them: its loss l against a threshold that rises until all are below it.

        hard: v = 1 if l < t, else 0;   soft: v = max(0, 1 - l / t);   log: v = (1 + exp(-t)) / (1 + exp(l - t))

    M. P. Kumar, B. Packer, D. Koller: Self-paced learning for latent variable models, NeurIPS 2010; `log` as in the released
    code of J. Li et al., 2022 (arXiv 2208.13648). That the threshold is a quantile of the losses is our design.
    """

    def __init__(
        self, batch: int, draws: int, epochs: int, first: float = 0.5, kind: Literal["hard", "soft", "log"] = "log"
    ) -> None:
        super().__init__(batch, draws, epochs, first)
        self.kind = kind

    def weigh(self, epoch: int, examiner: Examiner) -> Tensor:
        loss = student_loss(examiner)
        return self_paced(loss, float(loss.quantile(self.share(epoch))), self.kind)

    def take(self, step: int) -> Drawn:
        drawn = super().take(step)
        return Drawn(drawn.index, drawn.draw, self.weight[drawn.index])


def self_paced(loss: Tensor, level: float, kind: Literal["hard", "soft", "log"]) -> Tensor:
    """(n,) weights of windows with losses (n,)."""
    if kind == "hard":
        return (loss < level).to(loss.dtype)
    if kind == "soft":
        return (1 - loss / max(level, torch.finfo(loss.dtype).tiny)).clamp_min(0)  # at level 0 only what has no loss counts
    return (1 + math.exp(-level)) / (1 + (loss - level).exp())


class ListenLater(Judged):
    """Windows that the teacher finds difficult teach with their labels alone at first, and with its answers later.

    The pacing of CES-KD (I. Amara et al., arXiv 2209.07606, after the abstract; measure and pace are our design).
    """

    def __init__(self, batch: int, draws: int, epochs: int, first: float = 0.3) -> None:
        super().__init__(batch, draws, epochs, first)

    def begin(self, length: int, seed: int, device: torch.device) -> None:
        super().begin(length, seed, device)
        if not hasattr(self, "place"):
            self.register_buffer("place", torch.zeros(length, device=device))

    def weigh(self, epoch: int, examiner: Examiner) -> Tensor:
        place = self.get_buffer("place")
        if int(self.judged) < 0:
            order = torch.argsort(teacher_loss(examiner), stable=True)
            place[order] = torch.arange(1, self.length + 1, device=place.device) / self.length
        return (place <= self.share(epoch)).to(self.weight.dtype)

    def take(self, step: int) -> Drawn:
        drawn = super().take(step)
        return Drawn(drawn.index, drawn.draw, {"ce": None, "": self.weight[drawn.index]})


def _by_class(weight: Tensor, labels: Tensor) -> list[float]:
    """Mean weight (n,) of each class's windows (n,)."""
    classes = int(labels.max().clamp_min(-1)) + 1  # none of them may have a label
    return class_means(labels, weight, classes).tolist()


def curriculum(name: Curricula, batch: int, draws: int, epochs: int) -> Curriculum:
    """The curriculum of a name, for so many epochs."""
    if name == "shuffle":
        return Shuffle(batch, draws)
    if name == "by-class":
        return ByClass(batch, draws)
    if name == "self-paced":
        return SelfPaced(batch, draws, epochs)
    if name == "ces":
        return ListenLater(batch, draws, epochs)
    if name == "teacher-confidence":
        return Ranked(batch, draws, stretches(epochs, 4, first=0.5), teacher_loss, warm_up=False)
    return Ranked(batch, draws, stretches(epochs, 3, first=0.5, warm_up=max(1, epochs // 6)), student_loss)
