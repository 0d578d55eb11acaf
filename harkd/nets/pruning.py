"""Which channels of a stage are the strongest: those that structured pruning would leave."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from harkd.nets.net import Flat

PER_CHANNEL = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._MaxPoolNd,
    nn.ReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.LeakyReLU,
    nn.Dropout,
    nn.Identity,
)
"""Layers that do not mix channels."""


def strongest(stage: nn.Module, maps: Tensor, number: int) -> Tensor:
    """Positions, in order, of so many channels of a stage that gave `maps` (batch, channel, time)."""
    writer = written_by(stage)
    strength = maps.abs().mean((0, 2)) if writer is None else writer.weight.detach().abs().flatten(1).sum(1)
    return strength.argsort(descending=True, stable=True)[:number].sort().values


def written_by(stage: nn.Module) -> nn.Conv1d | nn.Conv2d | None:
    """The layer whose filters make the channels of a stage's map, if there is one."""
    for layer in reversed(list(layers(stage))):
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            return layer
        if not isinstance(layer, PER_CHANNEL):
            break
    return None


def layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a plain chain, in order; anything else counts as one layer."""
    inner = module.body if isinstance(module, Flat) else module
    if isinstance(inner, nn.Sequential):
        for each in inner:
            yield from layers(each)
    else:
        yield inner
