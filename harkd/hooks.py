"""Hooks for phases: the best epoch on validation subjects, and snapshots."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from harkd.engine import At, Moment
from harkd.errors import UsageError
from harkd.phase import Hook


class BestOnValidation(nn.Module):
    """Remembers a player's weights of the epoch with the best score on validation windows, and stops the phase when `patience`
    epochs brought nothing better (0: never). The player itself goes on; `weights()` are the best ones.

    Equal accuracies are told apart by the negative log-likelihood; equal scores keep the earlier epoch.
    """

    def __init__(self, player: str, like: nn.Module, metric: Literal["accuracy", "nll"] = "nll", patience: int = 0) -> None:
        super().__init__()
        self.player, self.metric, self.patience = player, metric, patience
        self.best = copy.deepcopy(like)
        self.register_buffer("_score", torch.tensor([-1.0, float("-inf")], dtype=torch.float64))
        self.register_buffer("_epoch", torch.tensor(-1))

    @property
    def epoch(self) -> int:
        """The best epoch so far, counted from 0; -1 before the first."""
        return int(self.get_buffer("_epoch"))

    def weights(self) -> dict[str, Tensor]:
        """State of the best epoch's net."""
        return self.best.state_dict()

    def forward(self, moment: Moment) -> None:
        if self.player not in moment.scores:
            raise UsageError("keeping the best epoch needs validation windows; give a split with validation subjects")
        scores = moment.scores[self.player]
        found = (scores["accuracy"] if self.metric == "accuracy" else 0.0, -scores["nll"])
        if found > tuple(self.get_buffer("_score").tolist()):
            self.get_buffer("_score").copy_(torch.tensor(found, dtype=torch.float64))
            self.get_buffer("_epoch").fill_(moment.progress.epoch)
            self.best.load_state_dict(moment.phase.players[self.player].net.state_dict())
        elif self.patience and moment.progress.epoch - self.epoch >= self.patience:
            moment.stop()

    def at(self) -> At:
        """This hook, after every epoch."""
        return At("epoch", self)


class Counting(nn.Module):
    """A hook of several phases that is told the epoch of all of them together.

    Args:
        first: by phase name, how many epochs there are before it.
    """

    def __init__(self, hook: Hook, first: Mapping[str, int], epochs: int) -> None:
        super().__init__()
        self.hook, self.first, self.epochs = hook, dict(first), epochs

    def forward(self, moment: Moment) -> None:
        epoch = moment.progress.epoch + self.first[moment.phase.name]
        told = replace(moment, progress=replace(moment.progress, epoch=epoch, epochs=self.epochs))
        self.hook(told)
        moment.stopped |= told.stopped


class Snapshots(nn.Module):
    """Keeps a player's weights after the given epochs (counted from 1), for students that learn from teachers in the making."""

    def __init__(self, player: str, like: nn.Module, epochs: Sequence[int]) -> None:
        super().__init__()
        self.player = player
        self.kept = nn.ModuleDict({str(epoch): copy.deepcopy(like) for epoch in epochs})

    def forward(self, moment: Moment) -> None:
        number = str(moment.progress.epoch + 1)
        if number in self.kept:
            self.kept[number].load_state_dict(moment.phase.players[self.player].net.state_dict())

    def at(self) -> At:
        """This hook, after every epoch."""
        return At("epoch", self)
