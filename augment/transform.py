"""The contract of every augmentation, and how augmentations are put together.

A transform is a frozen dataclass. It draws (`sample`) apart from applying (`apply`); both are pure and batched. All
random words of a batch, for all ops of a strategy, come from one call (`Augmenter.draw_words`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from harkd.augment import keys
from harkd.augment.pool import Pool
from harkd.datasets import Sensor, Signals, Statistics, Windows
from harkd.datasets.card import Invariance
from harkd.errors import UsageError
from harkd.schema import STRICT_KEYS

Params = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """What a transform may know of the windows it works on.

    Attributes:
        lengths: per sensor the samples of a window.
        statistics: of the training windows. Noise levels and fills are meant on standardised signals, and use them.
        pool: the training windows that a mixing op takes its partners from.
    """

    sensors: Mapping[str, Sensor]
    lengths: Mapping[str, int]
    statistics: Statistics
    pool: Pool | None = None

    @classmethod
    def of(cls, train: Windows, statistics: Statistics | None = None) -> Spec:
        """The spec of some training windows."""
        return cls(train.sensors, train.lengths, statistics or Statistics.of(train), Pool(train))

    def mean(self, sensor: str, like: Tensor) -> Tensor:
        """(channel, 1) training mean."""
        return self.statistics.mean[sensor].to(like)[:, None]

    def std(self, sensor: str, like: Tensor) -> Tensor:
        """(channel, 1) training standard deviation."""
        return self.statistics.std[sensor].to(like)[:, None]

    @property
    def segments(self) -> dict[str, int]:
        """Number of each body segment; a sensor without one is a segment of its own."""
        return {name: i for i, name in enumerate(dict.fromkeys(s.segment or s.name for s in self.sensors.values()))}

    def segment(self, sensor: str) -> int:
        """The number of the body segment that a sensor sits on."""
        return self.segments[self.sensors[sensor].segment or sensor]


class Draws:
    """The random words (batch, slots) of one op, taken from left to right."""

    def __init__(self, words: Tensor) -> None:
        self._words = words
        self._next = 0

    def words(self, n: int) -> Tensor:
        """The next (batch, n) raw words."""
        if self._next + n > self._words.shape[1]:
            raise UsageError(f"an op drew {self._next + n} random words but declared {self._words.shape[1]} slots")
        taken = self._words[:, self._next : self._next + n]
        self._next += n
        return taken

    def uniform(self, n: int) -> Tensor:
        """The next (batch, n) uniforms in [0, 1)."""
        return keys.uniform(self.words(n))

    def normal(self, n: int) -> Tensor:
        """The next (batch, n) standard normals."""
        return keys.normal(self.words(n))

    def below(self, n: int) -> Tensor:
        """The next (batch,) integers in [0, n)."""
        return keys.below(self.words(1)[:, 0], n)


@dataclass(frozen=True)
class Transform:
    """Base of all augmentations.

    A subclass sets its parameters as dataclass fields, says how many random words it takes (`slots`), and writes `sample`
    and `apply`. `p` is the share of windows that it is applied to.
    """

    __pydantic_config__ = STRICT_KEYS

    p: float = field(default=1.0, kw_only=True)

    STRENGTH: ClassVar[tuple[str, float]] = ("", 0.0)
    """The field that says how strong the op is, and its strongest sensible value (magnitude 1)."""
    MOST: ClassVar[float] = sys.float_info.max
    """The largest value of that field that has a meaning; the smallest is 0."""
    VERSION: ClassVar[int] = 1
    """Raised when an op starts to use its random words in another way: it is part of every key and cache."""
    MIXES: ClassVar[bool] = False
    """Whether it mixes a window, and its label, with a partner from the pool."""

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise UsageError(f"p is a share of windows, from 0 to 1; got {self.p}")
        name, _ = self.STRENGTH
        if name and not 0 <= getattr(self, name) <= self.MOST:
            limit = "up" if sys.float_info.max == self.MOST else f"to {self.MOST:g}"
            raise UsageError(f"{type(self).__name__}: {name} is a finite number from 0 {limit}; got {getattr(self, name)}")

    @property
    def assumes(self) -> frozenset[Invariance]:
        """What must leave the label alone for this op to be harmless; the card says for which classes it does."""
        return frozenset()

    def slots(self, spec: Spec) -> int:
        """How many random words a window takes."""
        raise NotImplementedError

    def sample(self, draws: Draws, spec: Spec) -> Params:
        """Parameters of a batch from its random words: tensors (batch, ...)."""
        raise NotImplementedError

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        """New signals, per sensor (batch, channel, time); the input is never written to."""
        raise NotImplementedError

    def apply_dense(self, labels: Tensor, params: Params) -> Tensor:
        """Dense labels (batch, time) moved along with the signals; unchanged unless the op moves time."""
        return labels

    def at(self, magnitude: float) -> Self:
        """This op at a strength from 0 (exactly the identity) to 1 (the strongest sensible).

        Raises:
            UsageError: the magnitude is not in [0, 1].
        """
        if not 0 <= magnitude <= 1:
            raise UsageError(f"a magnitude goes from 0 to 1, got {magnitude}")
        name, strongest = self.STRENGTH
        if not name:
            raise UsageError(f"{type(self).__name__} has no strength to set")
        return replace(self, **{name: magnitude * strongest})

    def __add__(self, other: Transform) -> Compose:
        return Compose((*_ops(self), *_ops(other)))


@dataclass(frozen=True)
class Compose(Transform):
    """One op after the other; sequences inside it are laid flat. An empty one is the identity."""

    ops: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p != 1.0:
            raise UsageError("a sequence takes no p of its own; give it to its ops")
        object.__setattr__(self, "ops", tuple(inner for op in self.ops for inner in _ops(op)))

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset().union(*(op.assumes for op in self.ops))

    def at(self, magnitude: float) -> Self:
        return replace(self, ops=tuple(op.at(magnitude) for op in self.ops))


@dataclass(frozen=True)
class OneOf(Transform):
    """One of several branches per window, each with the same chance."""

    branches: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.branches:
            raise UsageError("one_of needs at least one branch")
        if any(op.MIXES for branch in self.branches for op in leaves(branch)):
            raise UsageError("a mixing op cannot stand inside one_of: put it at the end, after '|'")
        # A sequence of one op is that op: one strategy, one text.
        branches = (b.ops[0] if isinstance(b, Compose) and len(b.ops) == 1 else b for b in self.branches)
        object.__setattr__(self, "branches", tuple(branches))

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset().union(*(branch.assumes for branch in self.branches))

    def at(self, magnitude: float) -> Self:
        return replace(self, branches=tuple(branch.at(magnitude) for branch in self.branches))

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"choice": draws.below(len(self.branches))}


def _ops(transform: Transform) -> tuple[Transform, ...]:
    return transform.ops if isinstance(transform, Compose) else (transform,)


def nodes(transform: Transform) -> Iterator[Transform]:
    """The ops and the choices of a strategy, from left to right, a choice before its branches.

    Their number in this order is their position in the key.
    """
    if isinstance(transform, Compose):
        for op in transform.ops:
            yield from nodes(op)
        return
    yield transform
    if isinstance(transform, OneOf):
        for branch in transform.branches:
            yield from nodes(branch)


def leaves(transform: Transform) -> Iterator[Transform]:
    """The ops of a strategy that do the work, from left to right."""
    return (node for node in nodes(transform) if not isinstance(node, OneOf))


def always(transform: Transform) -> Transform:
    """The strategy with every p at 1."""
    if isinstance(transform, Compose):
        return Compose(tuple(always(op) for op in transform.ops))
    if isinstance(transform, OneOf):
        return OneOf(tuple(always(branch) for branch in transform.branches))
    return replace(transform, p=1.0)


def pick(mask: Tensor, yes: Signals, no: Signals) -> Signals:
    """Per window (batch,) the signals of `yes` or of `no`."""
    return {name: torch.where(mask[:, None, None], x, no[name]) for name, x in yes.items()}


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """The matrix product of (..., m, k) and (..., k, time), for small k.

    Summed in a fixed order: kernels for matrices round differently for another batch size, and in TF32 far more coarsely.
    """
    total = weights[..., :1] * rows[..., :1, :]
    for k in range(1, rows.shape[-2]):
        total.addcmul_(weights[..., k : k + 1], rows[..., k : k + 1, :])
    return total
