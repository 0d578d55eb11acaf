"""The pool that a mixing op takes its partners from: the training windows, drawn by key and never from the batch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from harkd.augment.keys import below
from harkd.datasets import Windows

Partner = Literal["any", "same_class", "other_class", "same_subject", "other_subject"]


class Pool:
    """Training windows, ready to be drawn from by class or by subject."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self._groups: dict[str, _Groups] = {}

    def partners(self, words: Tensor, index: Tensor, who: Partner = "any") -> Tensor:
        """Positions (batch,) of partners in the pool's windows.

        Args:
            words: (batch,) random words.
            index: (batch,) positions, in the pool's windows, of those that ask. They may draw themselves.

        Where no window fits (a class of the only subject, say) any window may be drawn.
        """
        if who == "any":
            return below(words, len(self.windows))
        side, kind = who.split("_")
        return self._group(kind).draw(words, index, same=side == "same")

    def _group(self, kind: str) -> _Groups:
        if kind not in self._groups:
            if kind == "class":
                codes = self.windows.labels
            else:
                numbers = np.unique(self.windows.subjects, return_inverse=True)[1]
                codes = torch.as_tensor(numbers, device=self.windows.device)
            self._groups[kind] = _Groups(codes)
        return self._groups[kind]


class _Groups:
    def __init__(self, codes: Tensor) -> None:
        self.codes = codes
        self.order = torch.argsort(codes, stable=True)
        self.count = torch.bincount(codes)
        self.first = self.count.cumsum(0) - self.count

    def draw(self, words: Tensor, index: Tensor, same: bool) -> Tensor:
        code = self.codes[index]
        count, total = self.count[code], len(self.codes)
        if same:
            return self.order[self.first[code] + below(words, count)]
        # All windows but the group's own stand, cyclically, after its end.
        others = total - count
        step = below(words, torch.where(others > 0, others, total))
        return self.order[(self.first[code] + count + step) % total]
