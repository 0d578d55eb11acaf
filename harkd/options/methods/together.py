"""Options of methods in which others than the student train too: teachers, peers, the student on other windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harkd.options.checks import at_least, positive, shares
from harkd.options.methods.base import KD, MethodOptions


@dataclass(frozen=True, kw_only=True)
class BDKD(KD):
    """Options of `bdkd`: forward and reverse divergence, the one that the student needs with more weight."""

    weight: float = 0.5
    """Weight of the divergences, of student and teacher; the labels have 1 - weight."""
    delta: float = 2.0
    """Factor of the divergence that is stressed; 1 stresses none."""
    balance: Literal["hard", "soft"] = "hard"
    """hard: who is less certain decides which divergence is stressed; soft: by how much, through a sigmoid."""
    sharpness: float = 1.0
    """How steep that sigmoid is, per nat of entropy, with balance = soft."""
    mode: Literal["online", "offline"] = "online"
    """online: the teacher begins with the student and learns from it; offline: it is trained already, and stays as it is."""
    warm_up: float = 0.08
    """Share of the epochs over which the weight of the divergences rises to its level."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, delta=1)
        positive(sharpness=self.sharpness)
        shares(warm_up=self.warm_up)


@dataclass(frozen=True, kw_only=True)
class DML(MethodOptions):
    """Options of `dml`: nets that learn from each other."""

    peer_weight: float = 1.0
    """Weight of what the others answer; the labels have 1."""
    temperature: float = 1.0
    """Softmax temperature."""
    smoothing: float = 0.0
    """Label smoothing of the label part."""

    def __post_init__(self) -> None:
        at_least(self, peer_weight=0)
        positive(temperature=self.temperature)
        shares(smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True)
class DCM(DML):
    """Options of `dcm`: two nets with classifiers on hidden stages, which all learn from each other."""

    branches: int = 2
    """Hidden stages of each net that get a classifier, the last ones; a net that has fewer gets fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, branches=0)


@dataclass(frozen=True, kw_only=True)
class SimKD(MethodOptions):
    """Options of `simkd`: there are none, the student learns the teacher's last features and nothing else."""


@dataclass(frozen=True, kw_only=True)
class ATSC(MethodOptions):
    """Options of `atsc`: the teacher comes towards the student, and both answer with the same head."""

    hint_weight: float = 1.0
    """Weight of the distance between projected and teacher's features."""
    anchor_weight: float = 1.0
    """Weight of the squared distance of the teacher's weights from where they began."""
    head: Literal["all", "bias"] = "all"
    """What the labels train of the shared head; "bias" as in the released code, which anchors kernels and matrices, those of the
    head too, and lets all of the teacher decay."""
    adapt: bool = True
    """Whether the teacher moves; if not, this is `simkd`."""

    def __post_init__(self) -> None:
        at_least(self, hint_weight=0, anchor_weight=0)


@dataclass(frozen=True, kw_only=True)
class UMMKD(MethodOptions):
    """Options of `ummkd`: one net on several domains, whose answers to a class should be alike."""

    domain_weight: float = 0.5
    """Weight of the distance between the domains' mean answers to a class; the labels of each domain have 1."""
    temperature: float = 2.0
    """Softmax temperature of the mean answers."""
    class_weights: bool = False
    """Weigh labels by 1 - share of their class in the batch, as the released code does; here these weights have the mean 1."""
    smoothing: float = 0.0
    """Label smoothing of the label part."""

    def __post_init__(self) -> None:
        at_least(self, domain_weight=0)
        positive(temperature=self.temperature)
        shares(smoothing=self.smoothing)
