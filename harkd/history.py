"""The history of a run, and the tally of an epoch that it is written from."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harkd.errors import TrainingError

History = list[dict[str, Any]]
"""One record per epoch: phase, epoch, step, rate, mean of every term, scores of the watched players."""

LOOK = 20
"""Losses are read back from the device every so many steps: a read-back waits for everything before it."""


class Tally:
    """Sums and counts of the terms over an epoch, read back from the device now and then, and guarded against NaN."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, int]] = {}
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        self._waiting.append((step, values))
        if len(self._waiting) >= LOOK:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        # Steps need not have the same names: a batch in which nothing moves has no gradient norm.
        named = [(step, name, value) for step, values in self._waiting for name, value in values.items()]
        numbers = torch.stack([value.double() for _, _, value in named]).tolist()
        for (step, name, _), number in zip(named, numbers, strict=True):
            if not math.isfinite(number):
                raise TrainingError(
                    f"{name} became {number} at step {step}: lower the learning rate or the clip norm, or look for extreme "
                    "values in the recordings; nothing after this step is kept"
                )
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + number, count + 1)
        self._waiting.clear()

    def means(self) -> dict[str, float]:
        """Mean of every term over the steps that had it; the tally starts anew."""
        self.flush()
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means
