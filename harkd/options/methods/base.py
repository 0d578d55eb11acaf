"""Options of labels alone and of plain distillation, and the base of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from harkd.options.checks import positive, shares
from harkd.schema import STRICT_KEYS


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """Base of the options of all methods."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, kw_only=True)
class CE(MethodOptions):
    """Options of `ce`: labels alone."""

    smoothing: float = 0.0
    """Label smoothing."""

    def __post_init__(self) -> None:
        shares(smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True)
class KD(MethodOptions):
    """Options of `kd`: labels and tempered answers of one teacher."""

    weight: float = 0.9
    """Weight of the teacher; the labels have 1 - weight."""
    temperature: float = 4.0
    """Softmax temperature."""
    reduction: Literal["batchmean", "mean"] = "batchmean"
    """"mean" also divides by the number of classes, as several published codes do."""
    smoothing: float = 0.0
    """Label smoothing of the label part."""

    def __post_init__(self) -> None:
        shares(weight=self.weight, smoothing=self.smoothing)
        positive(temperature=self.temperature)
