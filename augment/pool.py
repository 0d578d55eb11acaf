"""The pool that a mixing op takes its partners from: the training windows, drawn by key and never from the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from harkd.augment.keys import below, distinct
from harkd.datasets import IGNORE, Windows

Partner = Literal["any", "same_class", "other_class", "same_subject", "other_subject"]


class Pool:
    """Training windows, ready to be drawn from by class or by subject."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self._groups: dict[str, _Groups] = {}

    def partners(self, words: Tensor, index: Tensor, who: Sequence[Partner]) -> Tensor:
        """Positions (batch, n) of n partners in the pool's windows.

        Args:
            words: (batch, n) random words.
            index: (batch,) positions, in the pool's windows, of those that ask.
            who: what each partner has to be. `any` may be the window itself. Partners of the same class or subject are other
                windows and differ from each other, as far as there are enough; who has no companion is given itself. Those of
                another class or subject differ from each other too; where there is no other any window may be drawn.
                A window without a label is a class of its own.
                Partners of different kinds may coincide.
        """
        each, columns = words.unbind(1), dict[int, Tensor]()
        for kind in dict.fromkeys(who):
            places = [place for place, wanted in enumerate(who) if wanted == kind]
            drawn = self._draw(torch.stack([each[place] for place in places], 1), index, kind)
            columns |= dict(zip(places, drawn.unbind(1), strict=True))
        return torch.stack([columns[place] for place in range(len(who))], 1)

    def _draw(self, words: Tensor, index: Tensor, who: Partner) -> Tensor:
        if who == "any":
            return below(words, len(self.windows))
        side, kind = who.split("_")
        return self._group(kind).draw(words, index, same=side == "same")

    def _group(self, kind: str) -> _Groups:
        if kind not in self._groups:
            if kind == "class":
                labels, unknown = self.windows.labels, self.windows.labels == IGNORE
                codes = torch.where(unknown, len(self.windows.classes) + unknown.cumsum(0), labels)
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
        self.rank = torch.empty_like(self.order)
        self.rank[self.order] = torch.arange(len(codes), device=codes.device) - self.first[codes[self.order]]

    def draw(self, words: Tensor, index: Tensor, same: bool) -> Tensor:
        code = self.codes[index][:, None]
        count, total = self.count[code], len(self.codes)
        if same:
            place = distinct(words, count - 1)
            own = self.rank[index][:, None]
            place = torch.where(count > 1, place + (place >= own), own)
            return self.order[self.first[code] + place]
        # All windows but the group's own stand, cyclically, after its end.
        others = total - count
        step = distinct(words, torch.where(others > 0, others, total))
        return self.order[(self.first[code] + count + step) % total]
