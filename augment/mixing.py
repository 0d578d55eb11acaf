"""Mixing of two windows and of their labels, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import midpoints, table_index
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.augment.transform import Mixing, Params
from harkd.datasets import Signals
from harkd.errors import UsageError


@lru_cache
def _beta_quantiles(alpha: float, device: torch.device) -> Tensor:
    places = midpoints().numpy()
    # Towards alpha 0 the two ends are all that is left.
    values = betaincinv(alpha, alpha, places) if alpha else np.round(places)
    return torch.from_numpy(values).float().to(device)


def beta(words: Tensor, alpha: float) -> Tensor:
    """Random words to Beta(alpha, alpha) numbers, by a table of 65,536 quantiles; of alpha 0 they are 0 or 1."""
    return _beta_quantiles(alpha, words.device)[table_index(words)]


def greater_part(words: Tensor, alpha: float) -> Tensor:
    """Random words to Beta(alpha, alpha) shares, folded to at least one half.

    The window then stays the greater part; as the partner is random too, nothing is lost.
    """
    mixed = beta(words, alpha)
    return torch.maximum(mixed, 1 - mixed)


def check_alpha(op: Mixing, alpha: float) -> None:
    """Refuse an alpha that is no parameter of a Beta distribution."""
    if not 0 < alpha < float("inf"):
        raise UsageError(f"{type(op).__name__}: alpha is the parameter of Beta(alpha, alpha), above 0; got {alpha}")


class Pair(Mixing):
    """Base of the ops that take one partner. Its field `partner` says who may be drawn: any, same_class and so on."""

    partner: Partner

    @property
    def partners(self) -> tuple[Partner, ...]:
        return (self.partner,)


class Blend(Pair):
    """Base of the convex combinations: `share` of the window, the rest of the partner, values and labels alike."""

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        moved = {}
        for name, signal in x.items():
            share = params["share"].to(signal.dtype)[:, None, None]
            moved[name] = (share * signal).add_((1 - share) * others[0][name])
        return moved, params["share"]


@dataclass(frozen=True)
class Mixup(Blend):
    """Convex combination of a window and a partner with a share from Beta(`alpha`, `alpha`) (Zhang et al., ICLR 2018).

    The label is mixed with the same share. The partner comes from the training pool by the window's own key, never from
    the batch, and may be restricted: any, same_class, other_class, same_subject, other_subject. With `p` below 1, windows
    stay clean.
    """

    alpha: float = 0.2
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("alpha", 1.0)

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        # No policy weakens a mixing op window by window, so one table of quantiles serves all of them.
        return {"share": greater_part(draws.words(1)[:, 0], self.alpha)}


@dataclass(frozen=True)
class PartialMixup(Blend):
    """Mixup of a `share` of the windows, with Beta(`alpha`, `alpha`); the others stay clean.

    After MIX-KD (Choi et al., WACV 2023), who mix a tenth of each batch. Here every window is drawn on its own: what it
    becomes does not hang on its batch, and the share holds in the mean. Their code chooses the clean windows with replacement,
    so that 41 % are mixed where 10 % are meant: that is partial_mixup(0.41). Magnitudes move the share of the windows;
    mixup(alpha, p=share) is the same for one strength.
    """

    share: float = 0.1
    alpha: float = 1.0
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 1.0, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self, self.alpha)

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        mixed = draws.uniform(1) < draws.level(self)
        share = greater_part(draws.words(1)[:, 0], self.alpha)
        return {"share": torch.where(mixed[:, 0], share, torch.ones_like(share))}
