"""What every net is: `stem -> stages -> head` over (batch, channel, time), answering with `Outputs`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from harkd.datasets import Sees


@dataclass(frozen=True)
class Seen:
    """One sensor as a net is told of it: its name, its kind, and the names of the channels that are seen."""

    name: str
    kind: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """What a net is told about its input (batch, width, length).

    Attributes:
        length: samples of a window; 0 where unknown.
        rate: in Hz; 0 where unknown.
        sensors: in the order of the channels; empty where unknown.
    """

    width: int
    length: int = 0
    rate: float = 0.0
    sensors: tuple[Seen, ...] = ()

    @classmethod
    def of(cls, sees: Sees) -> Inputs:
        """What a player sees."""
        sensors = zip(sees.sensors, sees.kinds, sees.names, strict=True)
        return cls(sees.width, sees.length, sees.rate, tuple(Seen(*sensor) for sensor in sensors))

    def pick(self, names: Collection[str]) -> tuple[Inputs, tuple[int, ...]]:
        """The inputs of some sensors, and the positions of their channels."""
        places: list[int] = []
        start = 0
        for sensor in self.sensors:
            stop = start + len(sensor.channels)
            if sensor.name in names:
                places += range(start, stop)
            start = stop
        sensors = tuple(sensor for sensor in self.sensors if sensor.name in names)
        return Inputs(len(places), self.length, self.rate, sensors), tuple(places)

    def __str__(self) -> str:
        return ", ".join(sensor.name for sensor in self.sensors) or f"{self.width} channels of unknown sensors"


@dataclass(frozen=True)
class Outputs:
    """One net's account of one batch. Features are returned, never hooked.

    Attributes:
        logits: (batch, class).
        features: after each stage, (batch, channel, time).
        embedding: (batch, width), what the last linear layer sees.
        heads: logits of auxiliary heads, (batch, class) each.
        attention: attention weights per layer, (batch, head, time, time), from nets that were asked for them.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    embedding: Tensor | None = None
    heads: tuple[Tensor, ...] = ()
    attention: tuple[Tensor, ...] = ()

    def map(self, fn: Callable[[Tensor], Tensor]) -> Outputs:
        """The same account with `fn` applied to every tensor."""
        return Outputs(
            fn(self.logits),
            tuple(map(fn, self.features)),
            None if self.embedding is None else fn(self.embedding),
            tuple(map(fn, self.heads)),
            tuple(map(fn, self.attention)),
        )

    def detach(self) -> Outputs:
        """Without gradients: the only stop-gradient that users write."""
        return self.map(Tensor.detach)


_pytree.register_dataclass(Outputs)  # so that vmap and compile can pass it through


class Net(nn.Module):
    """A net in stages. Subclasses and `staged` fill the parts in.

    Every part takes and gives (batch, channel, time); how a part lays its tensors out inside is its own affair. `head` takes
    the last features and gives (logits, embedding).
    """

    adapters: tuple[str, ...] = ()
    """Name prefixes of the parameters that train when a player is in adapter mode."""
    physical: tuple[int, ...] = ()
    """Positions of the input channels that the scaler leaves in physical units, because the net's first part needs them so."""

    def __init__(self, stem: nn.Module, stages: Sequence[nn.Module], head: nn.Module, scaler: nn.Module | None = None) -> None:
        super().__init__()
        self.scaler = scaler or nn.Identity()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head

    def forward(self, x: Tensor) -> Outputs:
        """(batch, channel, time) in physical units to Outputs."""
        x = self.stem(self.scaler(x))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        logits, embedding = self.head(x)
        return Outputs(logits, tuple(features), embedding)

    def tail(self, features: Tensor, k: int) -> Tensor:
        """Logits from the features after stage k (counted from 0): `net.tail(outputs.features[k], k)` equals `outputs.logits`."""
        for stage in self.stages[k + 1 :]:
            features = stage(features)
        logits: Tensor = self.head(features)[0]
        return logits

    @property
    def parameter_count(self) -> int:
        """Number of parameters; statistics of batch norm and the scaler do not count."""
        return sum(parameter.numel() for parameter in self.parameters())


class Mean(nn.Module):
    """Mean over time: (batch, channel, time) to (batch, channel)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2)


class MeanMax(nn.Module):
    """Mean and largest value over time, side by side: (batch, channel, time) to (batch, 2 channel)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(2), x.amax(2)], 1)


class PooledHead(nn.Module):
    """Time pooled away, then linear. By default a plain mean, which every watch runtime has.

    Args:
        width: of the embedding, which is what `pool` gives.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.0, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.pool = pool or Mean()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits from an embedding."""
        logits: Tensor = self.linear(self.dropout(embedding))
        return logits

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.pool(x)
        return self.classify(embedding), embedding


def staged(stem: nn.Module, stages: Sequence[nn.Module], head: nn.Module, scaler: nn.Module | None = None) -> Net:
    """Join a foreign network: its own submodules in order, as a Net.

    Args:
        head: takes the last features (batch, channel, time) and gives logits (batch, class).

    >>> import torch
    >>> from torch import nn
    >>> head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))
    >>> net = staged(nn.Conv1d(6, 8, 5), [nn.ReLU(), nn.Conv1d(8, 8, 3)], head)
    >>> [tuple(f.shape) for f in net(torch.zeros(2, 6, 32)).features]
    [(2, 8, 28), (2, 8, 26)]
    """
    return Net(stem, stages, ForeignHead(head), scaler)


class ForeignHead(nn.Module):
    """A head that gives logits alone, or (logits, embedding)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.inner = head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        answer = self.inner(x)
        return (answer, None) if isinstance(answer, Tensor) else answer


class Flat(nn.Module):
    """Runs a body of 2-D layers on (batch, channel, 1, time), channels last in memory.

    On CPUs this layout alone makes small convolutional nets 1.3 to 1.8 times faster (measured: see benchmarks). Outside, tensors
    stay (batch, channel, time) views.
    """

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last, in words that vmap understands.
        inner: Tensor = self.body(x.transpose(1, 2).contiguous().transpose(1, 2).unsqueeze(2))
        return inner.squeeze(2)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution over time, without bias, for the inside of `Flat`."""
    return nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), groups=groups, bias=False)
