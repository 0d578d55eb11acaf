"""EEGNet-F1,D: temporal filters, a spatial filter for each, then a separable convolution.

Lawhern et al.: EEGNet: a compact convolutional network for EEG-based brain-computer interfaces, J. Neural Eng. 15, 2018.
Kernels have the paper's duration: half a second before and after the spatial filters (64 samples at 128 Hz, then 16 at 32 Hz).
Features are the activations after the spatial and after the separable convolution, before pooling, as similarity-keeping
distillation uses them (Huang, Chen, Wei, 2022). As in that work's code the max-norm constraints on the spatial filters and the
classifier are left out: a stored weight is the weight that is used, in a resumed run and in an export.
"""

from __future__ import annotations

from torch import Tensor, nn

from harkd.errors import UsageError
from harkd.nets.net import Inputs, Net, PooledHead


def _same(kernel: int) -> nn.Module:
    return nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2, 0, 0))


class AcrossElectrodes(nn.Conv2d):
    """A grouped convolution whose kernel covers all electrodes, written as the matrix product that it is: faster on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        filters = self.weight.squeeze(3).squeeze(1).unflatten(0, (self.groups, -1))  # (map, depth, electrode)
        return (filters @ x).flatten(1, 2).unsqueeze(2)


class Spatial(nn.Module):
    """(batch, electrode, time) to (batch, maps * depth, time): a bank of temporal filters, `depth` spatial filters for each."""

    def __init__(self, electrodes: int, maps: int, depth: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _same(kernel),
            nn.Conv2d(1, maps, (1, kernel), bias=False),
            nn.BatchNorm2d(maps),
            AcrossElectrodes(maps, maps * depth, (electrodes, 1), groups=maps, bias=False),
            nn.BatchNorm2d(maps * depth),
            nn.ELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.body(x.unsqueeze(1))
        return maps.squeeze(2)


class Separable(nn.Module):
    """Pool, dropout, then one filter per map and a mixture of maps; (batch, map, time) in and out."""

    def __init__(self, maps: int, kernel: int, pool: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.AvgPool2d((1, pool)),
            nn.Dropout(dropout),
            _same(kernel),
            nn.Conv2d(maps, maps, (1, kernel), groups=maps, bias=False),
            nn.Conv2d(maps, maps, 1, bias=False),
            nn.BatchNorm2d(maps),
            nn.ELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.body(x.unsqueeze(2))
        return maps.squeeze(2)


class Flatten(nn.Module):
    """Pool, then every map and time step on its own; refuses windows of another length than the net was built for."""

    def __init__(self, pool: int, steps: int) -> None:
        super().__init__()
        self.pool, self.steps = nn.AvgPool1d(pool), steps

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(x)
        if pooled.shape[2] != self.steps:
            raise UsageError(f"this eegnet was built for {self.steps} pooled time steps, and a window gave {pooled.shape[2]}")
        return pooled.flatten(1)


def eegnet(maps: int, depth: int, dropout: float, inputs: Inputs, classes: int) -> Net:
    """eegnet-MAPS-DEPTH for windows of a known length and rate.

    Args:
        dropout: 0.5 in the paper within a subject, 0.25 across subjects.
    """
    if not inputs.length or not inputs.rate:
        raise UsageError(f"eegnet needs to know length and rate of its windows; it was told of {inputs.width} channels only")
    if maps < 1 or depth < 1:
        raise UsageError(f"eegnet-{maps}-{depth}: at least 1 temporal filter, and at least 1 spatial filter for each")
    width = maps * depth
    early = min(4, inputs.length)
    late = min(8, inputs.length // early)
    steps = inputs.length // early // late
    stages = [
        Spatial(inputs.width, maps, depth, max(1, int(inputs.rate / 2))),
        Separable(width, max(1, int(inputs.rate / 8)), early, dropout),
    ]
    return Net(nn.Identity(), stages, PooledHead(width * steps, classes, dropout, Flatten(late, steps)))
