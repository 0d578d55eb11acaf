"""Options of methods that compare answers of one teacher and one student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harkd.options.checks import at_least, positive, shares
from harkd.options.methods.base import KD, MethodOptions


@dataclass(frozen=True, kw_only=True)
class ESKD(KD):
    """Options of `eskd`: the teacher is stopped at its best validation epoch; the student may stop listening early."""

    stop: float = 1.0
    """Share of the epochs after which only labels count."""
    decay: float = 0.0
    """Share of the epochs, before that, over which the teacher's weight falls to zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares(stop=self.stop, decay=self.decay)


@dataclass(frozen=True, kw_only=True)
class RKL(KD):
    """Options of `rkl`: the divergence of the teacher from the student instead of that of the student from the teacher."""


@dataclass(frozen=True, kw_only=True)
class LogitStd(KD):
    """Options of `logitstd`: answers are compared after they were standardised, window by window."""

    temperature: float = 2.0
    """Softmax temperature of the standardised answers."""


@dataclass(frozen=True, kw_only=True)
class DKD(MethodOptions):
    """Options of `dkd`: the teacher's certainty, and what it says of the other classes, with weights of their own."""

    target_weight: float = 1.0
    """Weight of how certain the teacher is of the right class (alpha); the labels have 1."""
    others_weight: float = 8.0
    """Weight of how the teacher ranks the other classes (beta)."""
    temperature: float = 4.0
    """Softmax temperature."""
    warm_up: float = 0.08
    """Share of the epochs over which both weights rise from zero."""
    smoothing: float = 0.0
    """Label smoothing of the label part."""

    def __post_init__(self) -> None:
        at_least(self, target_weight=0, others_weight=0)
        positive(temperature=self.temperature)
        shares(warm_up=self.warm_up, smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True)
class MixKD(MethodOptions):
    """Options of `mixkd`: a few windows are mixed, and answers are divided by their spread instead of a temperature."""

    weight: float = 0.9
    """Weight of the teacher; the labels have 1 - weight."""
    clean_share: float = 0.9
    """Share of the windows that stay as they are; 0 mixes all of them."""
    alpha: float = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""
    partner: Literal["any", "same_class", "other_class", "same_subject", "other_subject"] = "any"
    """Whom a window is mixed with."""
    pmu_replacement: bool = False
    """Choose the windows that stay clean with replacement, as the released code does: at 0.9, 41 % are mixed, not 10 %."""

    def __post_init__(self) -> None:
        shares(weight=self.weight, clean_share=self.clean_share)
        positive(alpha=self.alpha)


@dataclass(frozen=True, kw_only=True)
class SelfKD(KD):
    """Options of `selfkd`: a net learns from itself, one generation from the one before."""

    generations: int = 3
    """How often the net has taught itself: generation 0 learns from labels alone, and the student is the one of this number."""
    chain: Literal["last", "ensemble", "best"] = "last"
    """Who teaches: the generation before, the mean of all before, or the one before that is best on validation subjects."""
    control: Literal["none", "cwtm", "dkpp"] = "none"
    """What of the teacher counts, to find out what helps: everything; only how certain it is (cwtm); all but which of the other
    classes is which (dkpp)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, generations=0)


@dataclass(frozen=True, kw_only=True)
class ISKD(KD):
    """Options of `iskd`: the student's own snapshots say which windows come first."""

    stages: int = 4
    """Stages of the training: a warm-up with all windows, then so many less one that begin with a new snapshot each."""
    first_share: float = 0.5
    """Share of the windows, the easiest ones, in the first stage after the warm-up; it grows until the last stage has all."""
    warm_up: float = 1 / 6
    """Share of the epochs that the warm-up takes, at least one epoch."""
    difficulty: Literal["loss", "doubt", "disagreement"] = "loss"
    """What is difficult: a large loss of the snapshot, doubt about the right class, or a distance from the teacher."""
    groups: int = 5
    """Equal parts of the windows by difficulty, easy ones first; within a part they are shuffled."""
    stratify: bool = True
    """Rank within each class, so that rare classes keep their share."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, stages=1, groups=1)
        positive(first_share=self.first_share)
        shares(first_share=self.first_share, warm_up=self.warm_up)
