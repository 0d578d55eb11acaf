"""What every net is: `stem -> stages -> head` over (batch, channel, time), answering with `Outputs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils import _pytree


@dataclass(frozen=True)
class Outputs:
    """One net's account of one batch. Features are returned, never hooked.

    Attributes:
        logits: (batch, class).
        features: after each stage, (batch, channel, time).
        embedding: (batch, width), what the last linear layer sees.
        heads: logits of auxiliary heads, (batch, class) each.
        attention: attention weights per layer, (batch, head, time, time).
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


class PooledHead(nn.Module):
    """Mean over time, then linear. The mean is a plain mean, which every watch runtime has."""

    def __init__(self, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding = x.mean(2)
        return self.linear(self.dropout(embedding)), embedding


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
    return Net(stem, stages, _ForeignHead(head), scaler)


class _ForeignHead(nn.Module):
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
