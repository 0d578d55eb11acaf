"""Contexts by hand, and players who say what a test wants them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.augment import Batch
from harkd.nets import Outputs, staged
from harkd.objectives import Context
from harkd.player import Player
from harkd.schedule import Progress


def outputs_of(told: Outputs | Tensor | list[list[float]]) -> Outputs:
    """Outputs as they are; numbers are logits."""
    return told if isinstance(told, Outputs) else Outputs(torch.as_tensor(told))


@pytest.fixture
def context() -> Callable[..., Context]:
    """Makes a context from everybody's answers."""

    def make(
        outputs: dict[str, Any],
        y: Tensor | list[int] | None = None,
        *,
        index: Tensor | None = None,
        masks: dict[str, Tensor] | None = None,
        nets: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Context:
        told = {name: outputs_of(each) for name, each in outputs.items()}
        number = torch.arange(len(next(iter(told.values())).logits)) if index is None else index
        labels = torch.zeros(len(number), dtype=torch.int64) if y is None else torch.as_tensor(y)
        batch = Batch({}, {"y": labels}, number, number, torch.zeros_like(number))
        return Context(batch, told, nets or {}, Progress(0, 1, 0, 1), "y", seed, masks or {})

    return make


class Known(nn.Module):
    """A head that knows some windows by heart, and what to say of each."""

    def __init__(self, seen: Tensor, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("seen", seen.flatten(1))
        self.register_buffer("logits", logits)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.get_buffer("logits")[torch.cdist(x.flatten(1), self.get_buffer("seen")).argmin(1)]
        return found, found


@pytest.fixture
def saying(toy: Any) -> Callable[[Tensor], Player]:
    """Makes a player from the logits (n, class) that it answers to the training windows, as they were recorded."""

    def make(logits: Tensor) -> Player:
        player: Player = toy.player(staged(nn.Identity(), [nn.Identity()], nn.Identity()))
        windows = player.sees(toy.train.gather(torch.arange(len(toy.train))))
        player.net.head = Known(player.net.scaler(windows), logits)
        return player

    return make
