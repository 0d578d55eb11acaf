"""Options of methods that compare features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harkd.errors import UsageError
from harkd.options.checks import at_least, shares
from harkd.options.methods.base import KD


@dataclass(frozen=True, kw_only=True)
class FitNet(KD):
    """Options of `fitnet`: the student first learns to make the teacher's features (a hint), then from its answers."""

    phases: Literal["two", "one"] = "two"
    """two: the hint alone, then distillation; one: all terms together, all the time."""
    hint_share: float = 0.3
    """Share of the epochs that the hint phase takes, of two phases."""
    hint_weight: float = 1.0
    """Weight of the hint beside the other terms, in one phase."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are guided, counted from 0, or from the end with -1; none: the middle one."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher that give the hints, one for each of the student's; none: the middle one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares(hint_share=self.hint_share)
        at_least(self, hint_weight=0)


@dataclass(frozen=True, kw_only=True)
class Stats(KD):
    """Options of `stats`: mean and standard deviation of every channel."""

    stats_weight: float = 1.0
    """Weight of the squared difference of the statistics."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: all that both nets have but the
    last."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: all that both nets have but the last."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, stats_weight=0)


@dataclass(frozen=True, kw_only=True)
class AdaIN(KD):
    """Options of `adain`: the student's statistics pass through the teacher."""

    weight: float = 0.0
    """Weight of the teacher's answers; the labels have 1."""
    adain_weight: float = 1.0
    """Weight of what the teacher says to the student's statistics."""
    stats_weight: float = 1.0
    """Weight of the squared difference of the statistics themselves; 0 is the method alone."""
    verdict: Literal["mse", "kl"] = "mse"
    """How the teacher's two answers are compared: by their logits (mse), or as tempered probabilities (kl)."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: all that both nets have but the
    last."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: all that both nets have but the last."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, adain_weight=0, stats_weight=0)


@dataclass(frozen=True, kw_only=True)
class AT(KD):
    """Options of `at`: where in time the nets are active."""

    attention_weight: float = 1000.0
    """Weight of the mean squared difference of the attention maps."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: all that both nets have."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: all that both nets have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, attention_weight=0)


@dataclass(frozen=True, kw_only=True)
class FSP(KD):
    """Options of `fsp`: the flow from each stage to the next."""

    flow_weight: float = 1.0
    """Weight of the mean squared difference of the flows."""
    standardise: bool = False
    """Whether every channel is standardised over time first, so that a flow is a correlation."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: all that both nets have."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: all that both nets have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, flow_weight=0)


@dataclass(frozen=True, kw_only=True)
class PKT(KD):
    """Options of `pkt`: how the windows of a batch resemble each other."""

    pkt_weight: float = 100.0
    """Weight of the divergence, which is a mean over all pairs of windows and falls with the batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, pkt_weight=0)


@dataclass(frozen=True, kw_only=True)
class RKD(KD):
    """Options of `rkd`: distances of pairs and angles of triplets of windows."""

    distance_weight: float = 25.0
    """Weight of the distances."""
    angle_weight: float = 50.0
    """Weight of the angles."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, distance_weight=0, angle_weight=0)


@dataclass(frozen=True, kw_only=True)
class InDistill(KD):
    """Options of `indistill`: one stage after the other is copied, then another method follows."""

    base: Literal["pkt", "kd"] = "pkt"
    """What follows: kd, or kd with the divergence of pkt."""
    pkt_weight: float = 100.0
    """Weight of that divergence, with base = pkt."""
    turns: tuple[int, ...] = ()
    """Epochs in which each pair of stages is copied, from the shallowest on; none: 3, 4, 5 and so on. Where all together would
    take more than half of the epochs, they are shortened."""
    turns_by: Literal["depth", "separability"] = "depth"
    """depth: as `turns` says; separability: as long together, dealt out by how much better the teacher's stage tells the classes
    apart than the student's."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: all that both nets have."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: all that both nets have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, pkt_weight=0)
        if min(self.turns, default=0) < 0:
            raise UsageError(f"turns are numbers of epochs, 0 or more; got {min(self.turns)}")


@dataclass(frozen=True, kw_only=True)
class DPK(KD):
    """Options of `dpk`: the teacher's features stand in for part of the student's, less and less of them."""

    weight: float = 1.0
    """Weight of the teacher's answers; the labels have 1."""
    prior_weight: float = 1.0
    """Weight of the error of the features that are made of the mixture."""
    ratio: float = 0.5
    """Share of the moments that stay the student's, at the start."""
    momentum: float = 0.9
    """How much of that share stays from batch to batch; the rest is how alike the features of student and teacher are."""
    dynamic: bool = True
    """Whether that share changes at all."""
    span: int = 1
    """How many neighbouring moments stay together."""
    blocks: int = 1
    """Attention blocks of each encoder and decoder."""
    heads: int = 4
    """Attention heads of a block; fewer where the student's width is no multiple."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: the last two."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: the last two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares(ratio=self.ratio, momentum=self.momentum)
        at_least(self, prior_weight=0, span=1, blocks=1, heads=1)


@dataclass(frozen=True, kw_only=True)
class SKKD(KD):
    """Options of `skkd`: windows that are alike to the teacher become as alike to the student, in its feature maps too."""

    form: Literal["maps", "sp", "cosine"] = "maps"
    """What alike means. maps: the correlation along time, averaged over channels; sp: the product of whole maps, each row of the
    matrix at length 1; cosine: the cosine of whole maps."""
    similarity_weight: float = 450.0
    """Weight of the squared difference of the similarities; it was set for form maps."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: the last two, if both
    nets have them."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: the last two, if both nets have them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, similarity_weight=0)


@dataclass(frozen=True, kw_only=True)
class SP(KD):
    """Options of `sp`: windows that are alike to the teacher become as alike to the student."""

    similarity_weight: float = 1000.0
    """Weight of the squared difference of the similarities."""
    student_stages: tuple[int, ...] = ()
    """Stages of the student that are compared, counted from 0, or from the end with -1; none: the last one."""
    teacher_stages: tuple[int, ...] = ()
    """Stages of the teacher, one for each of the student's; none: the last one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, similarity_weight=0)
