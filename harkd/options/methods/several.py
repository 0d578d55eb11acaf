"""Options of methods with several teachers or assistants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harkd.errors import UsageError
from harkd.options.checks import at_least, positive, shares
from harkd.options.methods.base import KD, MethodOptions


@dataclass(frozen=True, kw_only=True)
class TAKD(KD):
    """Options of `takd`: a chain of assistants, each taught by the one before it."""


@dataclass(frozen=True, kw_only=True)
class DGKD(KD):
    """Options of `dgkd`: teacher and all assistants at once, some left out at random."""

    drop: Literal["count", "bernoulli"] = "count"
    """count: leave out so many sources in each batch; bernoulli: each stays with a probability. One always stays."""
    drop_number: int = 1
    """How many are left out, with drop = count."""
    survival: float = 0.75
    """Probability that a source stays, with drop = bernoulli."""
    total: Literal["mean", "sum"] = "mean"
    """Over the sources that stay; "sum" as in the released code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, drop_number=0)
        if not 0 < self.survival <= 1:
            raise UsageError(f"survival is above 0 and at most 1, got {self.survival}")


@dataclass(frozen=True, kw_only=True)
class CESKD(KD):
    """Options of `ceskd`: each window is taught by one expert, chosen by its difficulty."""

    difficulty: Literal["student_loss", "teacher_loss", "ladder", "disagreement"] = "student_loss"
    """What makes a window difficult: the running mean of the student's loss; the teacher's loss; the place of the smallest expert
    who is right about it; how far the experts' answers lie apart."""
    by_recording: bool = False
    """A window is as difficult as the windows of its recording are in the mean."""
    momentum: float = 0.9
    """Of the running mean, with difficulty = student_loss."""
    margin: float = 0.0
    """By how much an expert's probability of the true class has to exceed all others, with difficulty = ladder."""
    pace: float = 0.5
    """Share of the epochs after which all experts are in use; they come in one by one, from the smallest on."""
    guard: bool = False
    """Pass a window on to the next larger expert where an assistant is worse at its class than the student."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares(momentum=self.momentum, margin=self.margin)
        if not 0 < self.pace <= 1:
            raise UsageError(f"pace is above 0 and at most 1, got {self.pace}")


@dataclass(frozen=True, kw_only=True)
class Average(KD):
    """Options of `average`: all teachers count equally."""


@dataclass(frozen=True, kw_only=True)
class EBKD(KD):
    """Options of `ebkd`: a teacher counts the less, the larger the entropy of its answer."""


@dataclass(frozen=True, kw_only=True)
class AEKD(KD):
    """Options of `aekd`: teachers count so that the student moves towards all of them."""

    tolerance: float = 0.6
    """Largest weight of a teacher; 1: any, down to one over their number: all count equally."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tolerance <= 1:
            raise UsageError(f"tolerance is above 0 and at most 1, got {self.tolerance}")


@dataclass(frozen=True, kw_only=True)
class AMTML(KD):
    """Options of `amtml`: a learned weight for every teacher and window, relations between windows, hints from each teacher."""

    weight: float = 0.7
    """Weight of the teachers, twice over; the labels have 1 - weight."""
    temperature: float = 5.0
    """Softmax temperature."""
    relation_weight: float = 1.0
    """Weight of distances between windows, and of angles."""
    hint_weight: float = 1.0
    """Weight of the hints."""
    student_stages: tuple[int, ...] = ()
    """The stage of the student that each teacher guides, counted from 0, or from the end with -1; none: the last stages."""
    adapter_share: float = 0.2
    """Share of the epochs in which the weights of the teachers are learned; they stay for the rest. 0: all count equally."""
    ridge: float = 0.1
    """Weight of the squares of what the weights of the teachers are made from, while it is learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares(adapter_share=self.adapter_share)
        at_least(self, relation_weight=0, hint_weight=0, ridge=0)


@dataclass(frozen=True, kw_only=True)
class PSKD(KD):
    """Options of `pskd`: teachers join one by one; for each window the student follows one of them, or the label."""

    weight: float = 0.7
    """Weight of the chosen teacher; the labels have 1 - weight, and all of it where no teacher is chosen."""
    semantic_weight: float = 1.0
    """Weight of the embedding's direction beside the teacher's answer."""
    confidence: float = 0.5
    """Probability that a teacher has to give to the true class; it also has to give it more than the student does."""
    soft: bool = False
    """All teachers and the label count, by a softmax over their probabilities of the true class and `confidence`."""
    stage_share: float = 0.3
    """Share of the epochs after which the next teacher joins, and the next; the last stage takes what is left."""
    order: Literal["given", "gap"] = "given"
    """given: they join in the order given, which begins with the one nearest to the student; gap: after the first, the one whose
    answers on validation windows are nearest to the student's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, semantic_weight=0)
        shares(confidence=self.confidence, stage_share=self.stage_share)


@dataclass(frozen=True, kw_only=True)
class Added(MethodOptions):
    """Options of methods that add terms of any weight to the labels."""

    label_weight: float = 1.0
    """Weight of the labels."""
    kl_weight: float = 1.0
    """Weight of the teachers' answers."""
    temperature: float = 4.0
    """Softmax temperature."""
    reduction: Literal["batchmean", "mean"] = "batchmean"
    """"mean" also divides the distance of answers by the number of classes, as several published codes do."""
    smoothing: float = 0.0
    """Label smoothing of the label part."""

    def __post_init__(self) -> None:
        at_least(self, label_weight=0, kl_weight=0)
        positive(temperature=self.temperature)
        shares(smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True)
class CAMKD(Added):
    """Options of `camkd`: a teacher counts the more, the better it knows the label; its maps count alike."""

    feature_weight: float = 50.0
    """Weight of the maps, from the second epoch on."""
    adapter: Literal["conv", "bottleneck"] = "conv"
    """What leads from the student's map to a teacher's: one convolution of kernel 1, or three of kernels 1, 3 and 1."""
    as_released: bool = False
    """As in the released code: sums over the teachers are divided by their number once more, each adapter starts from the map as
    resized for the teacher before, and gradients pass through the weights of the maps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, feature_weight=0)


@dataclass(frozen=True, kw_only=True)
class CRD(Added):
    """Options of `crd`: a window's embedding is nearer to the teacher's of the same window than to those of others."""

    kl_weight: float = 0.0
    """Weight of the teachers' answers."""
    contrast_weight: float = 0.8
    """Weight of the contrast."""
    contrast_temperature: float = 0.07
    """Temperature of the contrast."""
    width: int = 128
    """Width of the space in which embeddings are compared."""
    negatives_from: Literal["memory", "batch"] = "memory"
    """memory: all training windows, with what was said of them last; batch: the windows of the batch, and nothing is kept."""
    negatives: int = 0
    """Windows of the memory that each window is contrasted with; 0: half of those that can be, at most 4096."""
    contrast_with: Literal["other_classes", "all_windows"] = "other_classes"
    """Which windows can be negatives; never those that overlap the window in time."""
    other_subjects: bool = False
    """Only windows of other people can be negatives."""
    momentum: float = 0.5
    """Share of the remembered embedding that stays when a window is seen again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, contrast_weight=0, width=1, negatives=0)
        positive(contrast_temperature=self.contrast_temperature)
        shares(momentum=self.momentum)
