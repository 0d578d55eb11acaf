"""Which of several experts teaches which window, by its difficulty (see `ceskd`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harkd.datasets import IGNORE, Windows, class_means
from harkd.engine import Moment
from harkd.losses import difficulty, jensen_shannon
from harkd.options import CESKD
from harkd.player import Player, predict
from harkd.teachers import latest, numbers


class Routing(nn.Module):
    """What is known of the training windows, and the choice that follows from it.

    Args:
        experts: from the smallest on.
        epochs: of the phase.
    """

    difficulty: Tensor
    rank: Tensor
    instead: Tensor
    epoch: Tensor

    def __init__(self, experts: Sequence[Player], options: CESKD, epochs: int) -> None:
        super().__init__()
        self.experts, self.options, self.epochs = tuple(experts), options, epochs

    def begin(self, train: Windows) -> None:
        """Judge all windows for the first time."""
        self.labels, self.recordings = train.labels, numbers(train.recordings)
        self.register_buffer("difficulty", self._first(train))
        self.register_buffer("rank", self._ranks())
        places = torch.arange(len(self.experts), device=train.device)
        self.register_buffer("instead", places[:, None].repeat(1, len(train.classes)))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        if self.options.guard:
            self.right = torch.stack([by_class(self.labels, predict(player, train)) for player in self.experts])

    def _first(self, train: Windows) -> Tensor:
        """(n,) difficulty by the experts' answers to the windows as recorded."""
        if self.options.difficulty in ("ladder", "disagreement"):
            told = torch.stack([predict(player, train).double() for player in self.experts])
            return ladder(self.labels, told, self.options.margin) if self.options.difficulty == "ladder" else jensen_shannon(told)
        asked = self.experts[0 if self.options.difficulty == "student_loss" else -1]
        return difficulty(self.labels, predict(asked, train).double())

    def _ranks(self) -> Tensor:
        """(n,) places of all windows from easy to hard, as they are now."""
        if not self.options.by_recording:
            return ranks(self.difficulty)
        return ranks(mean_by(self.recordings, self.difficulty.cpu()).to(self.difficulty.device))

    @property
    def in_use(self) -> int:
        """How many experts teach in this epoch."""
        paced = (len(self.experts) - 1) * (int(self.epoch) + 1) / (self.options.pace * self.epochs)
        return min(len(self.experts), 1 + int(paced + 1e-9))

    def choose(self, index: Tensor) -> Tensor:
        """(batch,) numbers of the experts, from 0, for windows at `index`."""
        chosen, label = self.rank[index] * self.in_use // len(self.rank), self.labels[index]
        return torch.where(label < 0, chosen, self.instead[chosen, label.clamp_min(0)])

    def heard(self, index: Tensor, loss: Tensor) -> None:
        """The student's loss (batch,) for windows at `index`."""
        if self.options.difficulty == "student_loss":
            kept = self.options.momentum * self.difficulty[index]
            self.difficulty[index] = (kept + (1 - self.options.momentum) * loss.double())[latest(index)]

    def refresh(self, moment: Moment) -> None:
        """After an epoch: the ranks anew, and who is passed over for which class."""
        self.epoch += 1
        self.rank.copy_(self._ranks())
        if self.options.guard:
            worse = self.right < by_class(self.labels, predict(moment.phase.players["student"], moment.train))
            for number in reversed(range(len(self.experts) - 1)):
                own = torch.full_like(self.instead[number], number)
                self.instead[number] = torch.where(worse[number], self.instead[number + 1], own)


def ranks(difficulty: Tensor) -> Tensor:
    """(n,) places from easy to hard, from 0; equal ones in the order of the windows."""
    order = torch.argsort(difficulty, stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def ladder(labels: Tensor, logits: Tensor, margin: float) -> Tensor:
    """(n,) number of the first expert, or the last, whose probability of the true class exceeds all others by more than a margin.

    Windows of one expert are told apart by what the last one leaves to other classes.

    Args:
        labels: (n,) class numbers; where they are `IGNORE`, the last expert's decision counts.
        logits: (expert, n, class).
    """
    shares = logits.softmax(2)
    own = torch.where(labels == IGNORE, logits[-1].argmax(1), labels).expand(len(logits), -1)[..., None]
    mine, best = shares.gather(2, own)[..., 0], shares.scatter(2, own, 0).amax(2)
    right = mine - best > margin
    first = torch.where(right.any(0), right.int().argmax(0), len(logits) - 1)
    return first + (1 - mine[-1])


def mean_by(group: Tensor, values: Tensor) -> Tensor:
    """(n,) mean of the values (n,) in each one's group (n,)."""
    return (group.bincount(values) / group.bincount())[group]


def by_class(labels: Tensor, logits: Tensor) -> Tensor:
    """(class,) share of windows (n,) that logits (n, class) are right about; zero for a class without windows."""
    return class_means(labels, (logits.argmax(1) == labels).double(), logits.shape[1])
