"""Mixing of two windows and of their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from scipy.special import betaincinv
from torch import Tensor

from harkd.augment.keys import midpoints, table_index
from harkd.augment.pool import Partner
from harkd.augment.transform import Draws, Params, Spec, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError


@lru_cache
def _beta_quantiles(alpha: float, device: torch.device) -> Tensor:
    return torch.from_numpy(betaincinv(alpha, alpha, midpoints().numpy())).float().to(device)


def beta(words: Tensor, alpha: float) -> Tensor:
    """Random words to Beta(alpha, alpha) numbers, by a table of 65,536 quantiles."""
    return _beta_quantiles(alpha, words.device)[table_index(words)]


@dataclass(frozen=True)
class Mixup(Transform):
    """Convex combination of a window and a partner with a share from Beta(`alpha`, `alpha`) (Zhang et al., ICLR 2018).

    The label is mixed with the same share. The partner comes from the training pool by the window's own key, never from
    the batch, and may be restricted: any, same_class, other_class, same_subject, other_subject. With `p` below 1, windows
    stay clean.
    """

    alpha: float = 0.2
    partner: Partner = "any"
    STRENGTH: ClassVar = ("alpha", 1.0)
    MIXES: ClassVar = True

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        if spec.pool is None:
            raise UsageError("mixup needs a pool of training windows to draw partners from")
        word, share = draws.words(2).unbind(1)
        # Folded to at least one half, so that the window stays the greater part: the partner is random, nothing is lost.
        mixed = beta(share, self.alpha) if self.alpha > 0 else torch.ones_like(share, dtype=torch.float32)
        return {"word": word, "who": self.partner, "share": torch.maximum(mixed, 1 - mixed)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            share = params["share"].to(signal.dtype)[:, None, None]
            moved[name] = share * signal + (1 - share) * params["other"][name]
        return moved
