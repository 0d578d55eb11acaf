"""The contract of every augmentation, and how augmentations are put together.

A transform is a frozen dataclass. It draws (`sample`) apart from applying (`apply`); both are pure and batched. All
random words of a batch, for all ops of a strategy, come from one call (`Augmenter.draw_words`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError
from harkd.schema import STRICT_KEYS

if TYPE_CHECKING:
    from harkd.augment.flow import Flow, Site

Params = dict[str, Any]


@dataclass(frozen=True)
class Transform:
    """Base of all augmentations.

    A subclass sets its parameters as dataclass fields, says how many random words it takes (`slots`), and writes `sample`
    and `apply`. `p` is the share of windows that it is applied to.
    """

    __pydantic_config__ = STRICT_KEYS

    p: float = field(default=1.0, kw_only=True)

    STRENGTH: ClassVar[Strength] = Strength("p", 1.0)
    """Which field says how strong the op is; an op that has no other is done to more or fewer windows."""
    VERSION: ClassVar[int] = 1
    """Raised when an op starts to use its random words in another way: it is part of every key and cache."""
    KINDS: ClassVar[frozenset[str]] = frozenset()
    """Kinds of sensors that it changes, if not all; other sensors pass untouched."""
    MIXES: ClassVar[bool] = False
    """Whether it takes partners from the pool."""
    HOST: ClassVar[bool] = False
    """Whether it goes from window to window on the CPU, which is slow."""

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise UsageError(f"p is a share of windows, from 0 to 1; got {self.p}")
        strength = self.STRENGTH
        value = getattr(self, strength.field)
        if not strength.least <= value <= strength.most:
            limit = "up" if strength.most == sys.float_info.max else f"to {strength.most:g}"
            raise UsageError(
                f"{type(self).__name__}: {strength.field} is a finite number from {strength.least:g} {limit}; got {value}"
            )

    @property
    def assumes(self) -> frozenset[Invariance]:
        """What must leave the label alone for this op to be harmless; the card says for which classes it does."""
        return frozenset()

    @property
    def label(self) -> Literal["kept", "kept if", "mixed", "same class"]:
        """What becomes of the label: `kept if` says that it depends on what `assumes` names."""
        return "kept if" if self.assumes else "kept"

    @property
    def idle(self) -> bool:
        """Whether it leaves every window exactly as it is; it is then not applied at all."""
        return bool(getattr(self, self.STRENGTH.field) == self.STRENGTH.identity)

    def check(self, spec: Spec) -> None:
        """Refuse windows that the op can do nothing with.

        Raises:
            UsageError: says what is missing.
        """
        if self.KINDS and not any(sensor.kind in self.KINDS for sensor in spec.sensors.values()):
            kinds = " or ".join(sorted(self.KINDS))
            found = ", ".join(f"{sensor.name} ({sensor.kind})" for sensor in spec.sensors.values())
            raise UsageError(f"{type(self).__name__} changes sensors of kind {kinds} only; these windows have {found}")

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
        """This op at a magnitude from 0 (exactly the identity) to 1 (the strongest sensible).

        Raises:
            UsageError: the magnitude is not in [0, 1].
        """
        if not 0 <= magnitude <= 1:
            raise UsageError(f"a magnitude goes from 0 to 1, got {magnitude}")
        return replace(self, **{self.STRENGTH.field: self.STRENGTH.between(magnitude, self.STRENGTH.strongest)})

    def scaled(self, magnitude: float) -> Self:
        """This op at a share of its own strength: what policies do with the ops of a pool, window by window."""
        if not 0 <= magnitude <= 1:
            raise UsageError(f"a magnitude goes from 0 to 1, got {magnitude}")
        own = getattr(self, self.STRENGTH.field)
        return replace(self, **{self.STRENGTH.field: self.STRENGTH.between(magnitude, own)})

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
class Mixing(Transform):
    """Base of the ops that take partners from the pool. They stand after "|".

    The executor draws the partners, and each passes through the ops before this one, under its own id.
    """

    MIXES: ClassVar = True
    SOFTENS: ClassVar[bool] = True
    """Whether the label becomes shares of two classes; else partners only lend something, and the label is kept."""

    @property
    def partners(self) -> tuple[Partner, ...]:
        """Who each partner is."""
        raise NotImplementedError

    @property
    def softens(self) -> bool:
        """Whether this op does."""
        return self.SOFTENS

    @property
    def label(self) -> Literal["kept", "kept if", "mixed", "same class"]:
        return "mixed" if self.softens else "same class" if "same_class" in self.partners else super().label

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if spec.pool is None:
            raise UsageError(f"{type(self).__name__} needs a pool of training windows to draw partners from")

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        """New signals, and the share (batch,) of the window's own label in the new one; the rest is the first partner's."""
        raise NotImplementedError


@dataclass(frozen=True)
class Branching(Transform):
    """Base of everything that decides, window by window, which of its branches do what: choices, policies, wrappers.

    Attributes:
        branches: strategies that do not mix windows.
    """

    branches: tuple[Transform, ...] = ()

    FLAT: ClassVar[bool] = False
    """Whether the branches are a pool of single ops, each at its strongest: sequences are laid flat."""
    LEARNS: ClassVar[bool] = False
    """Whether it changes with what happens in training. Then the bank refuses it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        if self.FLAT:
            object.__setattr__(self, "branches", tuple(op for branch in self.branches for op in _ops(branch)))
            if any(isinstance(branch, Branching) for branch in self.branches):
                raise UsageError(f"the pool of {name} consists of single ops; a choice or a policy cannot be one of them")
        if not self.branches:
            raise UsageError(f"{name} needs at least one op or strategy to choose from")
        if any(op.MIXES for branch in self.branches for op in leaves(branch)):
            raise UsageError(f"a mixing op cannot stand inside {name}: put it at the end, after '|'")
        # A sequence of one op is that op: one strategy, one text.
        branches = (b.ops[0] if isinstance(b, Compose) and len(b.ops) == 1 else b for b in self.branches)
        object.__setattr__(self, "branches", tuple(branches))

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset().union(*(branch.assumes for branch in self.branches))

    def at(self, magnitude: float) -> Self:
        """All branches at a magnitude."""
        return replace(self, branches=tuple(branch.at(magnitude) for branch in self.branches))

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        """The windows of a flow, each through what it is given to."""
        raise NotImplementedError


@dataclass(frozen=True)
class OneOf(Branching):
    """One of several branches per window, each with the same chance."""

    def slots(self, spec: Spec) -> int:
        return 1

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        return flow.route(draws.below(len(self.branches)), site.branch)


def _ops(transform: Transform) -> tuple[Transform, ...]:
    return transform.ops if isinstance(transform, Compose) else (transform,)


def nodes(transform: Transform) -> Iterator[Transform]:
    """The ops and branching nodes of a strategy, from left to right, a node before its branches.

    Their number in this order is their position in the key. The ops of a pool have none: they are keyed by their turn.
    """
    if isinstance(transform, Compose):
        for op in transform.ops:
            yield from nodes(op)
        return
    yield transform
    if isinstance(transform, Branching) and not transform.FLAT:
        for branch in transform.branches:
            yield from nodes(branch)


def leaves(transform: Transform) -> Iterator[Transform]:
    """The ops of a strategy that do the work, from left to right, those of pools too."""
    for node in nodes(transform):
        if not isinstance(node, Branching):
            yield node
        elif node.FLAT:
            yield from node.branches


def always(transform: Transform) -> Transform:
    """The strategy with every p at 1."""
    if isinstance(transform, Compose):
        return Compose(tuple(always(op) for op in transform.ops))
    if isinstance(transform, Branching):
        return replace(transform, p=1.0, branches=tuple(always(branch) for branch in transform.branches))
    return replace(transform, p=1.0)


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """The matrix product of (..., m, k) and (..., k, time), for small k.

    Summed in a fixed order: kernels for matrices round differently for another batch size, and in TF32 far more coarsely.
    """
    total = weights[..., :1] * rows[..., :1, :]
    for k in range(1, rows.shape[-2]):
        total.addcmul_(weights[..., k : k + 1], rows[..., k : k + 1, :])
    return total
