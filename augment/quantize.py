"""Fewer levels of value, as tsaug has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError

FINEST = 4096
"""This many levels (12 bits) are what sensors give: nothing is changed."""
ROUNDS = 25
"""Of k-means. Its starting points are quantiles, so few samples change their level after that."""


@dataclass(frozen=True)
class Quantize(Transform):
    """Leave `levels` different values in each channel of a window (as in tsaug's Quantize). Draws nothing.

    tsaug's levels lie half a level too high (uniform), or all within the lowest ten-thousandth of the samples and one cell
    too high (quantile); `compat` puts them where tsaug does.

    Args:
        how: the levels are equally far apart, have equally many samples, or are the centres of k-means. k-means starts from
            the quantiles and is run for 25 rounds, so it is deterministic; windows with no more samples than levels stay.
    """

    levels: int = 10
    how: Literal["uniform", "quantile", "kmeans"] = "uniform"
    compat: bool = False
    STRENGTH: ClassVar = Strength("levels", 8, identity=FINEST, least=1, most=FINEST, whole=True, geometric=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compat and self.how == "kmeans":
            raise UsageError(
                "Quantize: tsaug's k-means passes scikit-learn an argument that it no longer has, so there is nothing that "
                "compat could reproduce; leave compat out, or take how=uniform or how=quantile"
            )

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"levels": draws.level(self).long()}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        levels = params["levels"][:, :, None]
        moved = {}
        for name, signal in x.items():
            kept = levels >= FINEST
            if self.how == "uniform":
                coarse = uniform_levels(signal, levels, self.compat)
            elif self.how == "quantile":
                coarse = quantile_levels(signal, levels, self.compat)
            else:
                kept = kept | (levels >= signal.shape[2])
                coarse = kmeans_levels(signal, levels)
            moved[name] = torch.lerp(coarse, signal, kept.to(signal.dtype))  # exact at 0 and at 1, and faster than `where`
        return moved


def uniform_levels(x: Tensor, levels: Tensor, compat: bool = False) -> Tensor:
    """Each sample of x (batch, channel, time) in the middle of its cell; `levels` (batch, 1, 1) cells share the range.

    As tsaug: the cell is rounded and not cut off, so that samples move up by half a level on average, and the range of a
    constant channel is taken for 1.
    """
    low = x.amin(2, keepdim=True)
    n, extent = levels.to(x.dtype), x.amax(2, keepdim=True) - low
    if compat:
        extent = torch.where(extent == 0, 1, extent)
    cell = (x - low).mul_(n / extent.clamp_min(1e-30))
    cell = cell.round_() if compat else cell.floor_()
    cell = torch.minimum(cell, n - 1).add_(0.5)
    return torch.addcmul(low, cell, extent / n)


def quantile_levels(x: Tensor, levels: Tensor, compat: bool = False) -> Tensor:
    """Each sample of x (batch, channel, time) at the middle quantile of its cell; `levels` (batch, 1, 1) equally full cells.

    As tsaug, which hands shares divided by 100 to a function of percentages: cuts and middles are all within the lowest
    ten-thousandth of the samples. Cells are counted from 1.
    """
    order = _order(x)
    ordered = x.gather(2, order)
    last, squeeze = x.shape[2] - 1, 10_000 if compat else 1
    # Quantiles interpolate the sorted samples, so a sample's cell follows from its rank: in integers, without rounding.
    rank = torch.arange(x.shape[2], device=x.device)
    cell = torch.minimum(rank * levels * squeeze // max(last, 1) + compat, levels - 1)
    doubled = (2 * cell + 1) * last
    parts = 2 * levels * squeeze
    whole = (doubled // parts).expand_as(x)
    middle = torch.lerp(
        ordered.gather(2, whole), ordered.gather(2, (whole + 1).clamp_max(last)), (doubled % parts).to(x.dtype) / parts
    )
    # Equal samples share the level of the last of them.
    equal = torch.nn.functional.pad(ordered[..., 1:] == ordered[..., :-1], (0, 1))
    middle = middle.masked_fill_(equal, torch.inf).flip(2).cummin(2).values.flip(2)
    return torch.empty_like(x).scatter_(2, order, middle)


def kmeans_levels(x: Tensor, levels: Tensor) -> Tensor:
    """Each sample of x (batch, channel, time) at the nearest of `levels` (batch, 1, 1) centres of Lloyd's k-means.

    In one dimension clusters are runs of the sorted samples: their sums are differences of one cumulative sum.
    """
    time = x.shape[2]
    ordered = x.gather(2, _order(x)).double()
    summed = torch.nn.functional.pad(ordered.cumsum(2), (1, 0))
    levels = levels.clamp_max(time)
    # The only size that depends on what was drawn: as many centres as the finest window of the batch has.
    k = torch.arange(int(levels.max()), device=x.device)
    start = ((2 * k + 1) * (time - 1) // (2 * levels)).clamp_max(time - 1)
    centres = torch.where(k < levels, ordered.gather(2, start.expand(-1, x.shape[1], -1)), torch.inf)
    ends = torch.zeros_like(centres[..., :1], dtype=torch.int64)
    for _ in range(ROUNDS):
        cuts = (centres[..., 1:] + centres[..., :-1]) / 2
        edges = torch.cat([ends, torch.searchsorted(ordered, cuts, right=True), ends + time], 2)
        size = edges.diff(dim=2)
        centres = torch.where(size > 0, summed.gather(2, edges).diff(dim=2) / size, centres)
    cuts = (centres[..., 1:] + centres[..., :-1]) / 2
    return centres.gather(2, torch.searchsorted(cuts, x.double().contiguous())).to(x.dtype)


def _order(x: Tensor) -> Tensor:
    """(batch, channel, time) which sample is the smallest, the next, ...; among equal ones in any order."""
    # On a CPU NumPy's sort is ten times as fast as torch's.
    return torch.from_numpy(np.argsort(x.detach().numpy(), axis=2)) if x.device.type == "cpu" else x.argsort(2)
