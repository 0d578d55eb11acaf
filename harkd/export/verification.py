"""`verification.json`: what an export was found to be. The report page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import NonNegativeInt, PositiveInt

from harkd.evaluation import Evaluation

NAME = "verification.json"


@dataclass(frozen=True)
class Check:
    """One check. `advice` is empty where it passed."""

    name: str
    bound: str
    found: str
    passed: bool
    advice: str = ""

    def told(self) -> Check:
        """The check as reports have it: advice only where it failed."""
        return replace(self, advice="") if self.passed else self


@dataclass(frozen=True)
class Drop:
    """Macro F1 of the float net minus that of the int8 file, with a 95 % interval over subjects (None: fewer than two)."""

    macro_f1: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Budget:
    """One target's verdict on a model: bytes of file and memory that it has (None: not what limits). `why` says what lacks."""

    target: str
    flash: PositiveInt
    ram: PositiveInt | None
    fits: bool
    why: str = ""


@dataclass(frozen=True)
class Written:
    """A model file."""

    bytes: PositiveInt
    kind: str = ""


@dataclass(frozen=True)
class Verification:
    """An export, measured.

    Attributes:
        target: whose budget had to be kept, if any.
        ram: bytes of the arena of TensorFlow Lite Micro, by file.
        operators: names in order, by file.
        macs: multiply-accumulates for one window.
        scored: the part of the split that `float` (the net in PyTorch) and `int8` (the file) are scored on.
    """

    checks: tuple[Check, ...]
    files: Mapping[str, Written]
    macs: NonNegativeInt
    parameters: NonNegativeInt
    float: Evaluation | None
    int8: Evaluation | None
    drop: Drop | None
    harkd: str = ""
    target: str = ""
    qat: bool = False
    ram: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    operators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    scored: str = "test"

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)
