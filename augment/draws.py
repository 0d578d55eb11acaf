"""What an op draws: random words from left to right, and how strong it is for each window."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from harkd.augment import keys
from harkd.errors import UsageError

if TYPE_CHECKING:
    from harkd.augment.transform import Transform


@dataclass(frozen=True)
class Strength:
    """The field of an op that says how strong it is.

    Attributes:
        field: its name; `p` for an op that is done or not done.
        strongest: its strongest sensible value (magnitude 1).
        identity: the value that leaves every window as it is (magnitude 0).
        least, most: what has a meaning at all.
        whole: it counts something: values between are rounded.
        geometric: equal steps of magnitude are equal ratios.
    """

    field: str
    strongest: float
    identity: float = 0.0
    least: float = 0.0
    most: float = sys.float_info.max
    whole: bool = False
    geometric: bool = False

    @overload
    def between(self, magnitude: float, value: float) -> float: ...
    @overload
    def between(self, magnitude: Tensor, value: float) -> Tensor: ...
    def between(self, magnitude: float | Tensor, value: float) -> float | Tensor:
        """The strength at a magnitude, of an op that has the strength `value` at magnitude 1."""
        if self.geometric:
            # Not a power: with a tensor in its exponent it rounds differently at the end of a batch.
            steps = magnitude * math.log(value / self.identity)
            strength = self.identity * (steps.exp() if isinstance(steps, Tensor) else math.exp(steps))
        else:
            strength = self.identity + magnitude * (value - self.identity)
        if not self.whole:
            return strength
        return strength.round() if isinstance(strength, Tensor) else round(strength)


class Draws:
    """The random words (batch, slots) of one op, taken from left to right.

    Args:
        magnitude: (batch, 1) in [0, 1], where a policy makes an op weaker than it says; None: as it says.
    """

    def __init__(self, words: Tensor, magnitude: Tensor | None = None) -> None:
        self._words = words
        self._next = 0
        self._magnitude = magnitude

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

    def level(self, op: Transform) -> Tensor:
        """(batch, 1) float32: the field that says how strong `op` is, for each window. Ops read that field only here."""
        value = float(getattr(op, op.STRENGTH.field))
        if self._magnitude is None:
            return torch.full((len(self._words), 1), value, device=self._words.device)
        return op.STRENGTH.between(self._magnitude, value)


def samples(share: Tensor, time: int) -> Tensor:
    """floor(share * time), int64: that many samples. A share like 0.29 of 100 is 29, whatever float32 makes of it."""
    return (share * time + 1e-4).floor().long()
