"""Curricula: which windows come when, how much they count, and in which draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harkd.augment import Batch
from harkd.augment.keys import GOLDEN, mix, signed, stream


@dataclass(frozen=True)
class Drawn:
    """A batch before it is gathered: positions and draw numbers (batch,), and per-sample weights (batch,) for all terms, by
    term, or None."""

    index: Tensor
    draw: Tensor
    weight: Tensor | Mapping[str, Tensor | None] | None = None


class Examiner(Protocol):
    """Whom a curriculum may ask at the start of an epoch."""

    @property
    def labels(self) -> Tensor:
        """(n,) classes of all training windows."""

    @property
    def teacher(self) -> str | None:
        """Who teaches; None: nobody."""

    def logits(self, name: str) -> Tensor:
        """(n, class) a player's answers to all training windows, clean, in eval mode."""


class Curriculum(nn.Module):
    """Base of all curricula. State lives in buffers, so that it is saved with the run."""

    batch: int
    draws: int

    def begin(self, length: int, seed: int, device: torch.device) -> None:
        """Called once before the first epoch, with the number of training windows."""
        raise NotImplementedError

    def steps(self, epoch: int) -> int:
        """Steps of an epoch."""
        raise NotImplementedError

    def start(self, epoch: int, examiner: Examiner) -> None:
        """Called before every epoch, and again when a run goes on in the middle of one."""

    def take(self, step: int) -> Drawn:
        """The batch of a step, counted over all epochs."""
        raise NotImplementedError

    def draws_of(self, epoch: int) -> list[int]:
        """The draw numbers that an epoch may ask for: what the bank must hold."""
        raise NotImplementedError

    def present(self, batch: Batch) -> Batch:
        """The form in which windows are shown; mining and erasing change it."""
        return batch

    def told(self) -> dict[str, Any]:
        """What was taught in this epoch, for the history."""
        return {}


class Shuffle(Curriculum):
    """Every window once per pass, in a new order each pass.

    Batches walk on from one permutation into the next, so all have the same size and no window is shown more often than
    another. A window's draw number counts its visits, modulo `draws` if that is not 0.
    """

    def __init__(self, batch: int = 64, draws: int = 0) -> None:
        super().__init__()
        self.batch, self.draws = batch, draws

    def begin(self, length: int, seed: int, device: torch.device) -> None:
        self.length, self.seed, self.device = length, seed, device
        self._order: dict[int, Tensor] = {}

    def steps(self, epoch: int) -> int:
        return -(-self.length // self.batch)

    def take(self, step: int) -> Drawn:
        start = step * self.batch
        stop = start + self.batch
        index, draw = [], []
        for turn in range(start // self.length, (stop - 1) // self.length + 1):
            begin = turn * self.length
            part = self._pass(turn)[max(start - begin, 0) : stop - begin]
            index.append(part)
            draw.append(torch.full_like(part, self._draw(turn)))
        return Drawn(torch.cat(index), torch.cat(draw))

    def draws_of(self, epoch: int) -> list[int]:
        samples = self.steps(epoch) * self.batch
        first, last = epoch * samples // self.length, ((epoch + 1) * samples - 1) // self.length
        return sorted({self._draw(turn) for turn in range(first, last + 1)})

    def _draw(self, turn: int) -> int:
        return turn % self.draws if self.draws else turn

    def _pass(self, turn: int) -> Tensor:
        if turn not in self._order:
            self._order = {t: order for t, order in self._order.items() if t >= turn - 1}
            self._order[turn] = shuffled(self.length, self.seed, turn, self.device)
        return self._order[turn]


def shuffled(length: int, seed: int, turn: int, device: torch.device) -> Tensor:
    """(length,) all windows in the random order of a pass."""
    key = torch.tensor(signed(stream(seed, "order", turn)), device=device)
    numbers = torch.arange(length, device=device, dtype=torch.int64)
    return torch.argsort(mix(key + numbers * signed(GOLDEN)))
