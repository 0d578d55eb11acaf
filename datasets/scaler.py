"""Statistics of the training windows, and the scaler that is the first layer of every player's net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harkd.datasets.sees import Sees
from harkd.datasets.windows import Windows
from harkd.errors import DataError

_CHUNK = 4096
_STILL = 1e-12
"""A spread below this share of the mean is rounding: float32 samples that move at all spread by more."""


@dataclass(frozen=True)
class Statistics:
    """Per sensor the mean and the standard deviation of each channel, (channel,), in physical units."""

    mean: dict[str, Tensor]
    std: dict[str, Tensor]

    @classmethod
    def of(cls, windows: Windows) -> Statistics:
        """Over all samples of the given windows: pass the training windows and nothing else."""
        if not len(windows):
            raise DataError(f"statistics need windows, and none of {windows.card.name} are given")
        mean = {n: torch.zeros(len(s.channels), dtype=torch.float64) for n, s in windows.sensors.items()}
        variance = {name: zeros.clone() for name, zeros in mean.items()}
        seen = dict.fromkeys(mean, 0)
        for index in torch.arange(len(windows), device=windows.device).split(_CHUNK):
            for name, x in windows.gather(index).items():
                if name in windows.present:
                    x = x[windows.present[name][index]]
                if not len(x):
                    continue
                seen[name] += len(x)
                share = len(x) / seen[name]
                x = x.double().cpu()
                # Chunks are merged by their own means: a sum of squares about zero would lose the spread of an offset signal.
                step = x.mean((0, 2)) - mean[name]
                spread = x.var((0, 2), correction=0)
                variance[name] += share * (spread - variance[name]) + share * (1 - share) * step.square()
                mean[name] += share * step
        std = {name: v.sqrt() for name, v in variance.items()}
        return cls(
            mean={name: m.float() for name, m in mean.items()},
            # A channel that never moves keeps its unit: dividing by its spread would blow up the first sample that does.
            std={n: torch.where(s > _STILL * mean[n].abs(), s, torch.ones_like(s)).float() for n, s in std.items()},
        )


class Scaler(nn.Module):
    """Standardises what a player sees: (x - mean) / std per channel. Folded into the first convolution at export."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.reshape(-1, 1))
        self.register_buffer("std", std.reshape(-1, 1))

    @classmethod
    def fit(cls, statistics: Statistics, sees: Sees, physical: Sequence[int] = ()) -> Scaler:
        """The scaler of a player: the statistics of the channels it sees, in their order.

        Args:
            physical: positions among them of channels that stay in physical units (mean 0 and spread 1), because the net's
                first part works with lengths or angles and normalises by itself.
        """
        pick = [(name, list(channels)) for name, channels in zip(sees.sensors, sees.channels, strict=True)]
        mean = torch.cat([statistics.mean[name][at] for name, at in pick])
        std = torch.cat([statistics.std[name][at] for name, at in pick])
        at = torch.tensor(physical, dtype=torch.int64)
        return cls(mean.index_fill(0, at, 0.0), std.index_fill(0, at, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) in physical units to the same shape, standardised."""
        return (x - self.mean) / self.std
