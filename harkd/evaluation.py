"""What a trained player is worth: metrics over windows and over subjects, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, recall_score
from torch import Tensor

from harkd.datasets import Windows
from harkd.datasets.splits import subjects_of
from harkd.errors import HarkdError, UsageError
from harkd.player import Player, Precision, predict

BINS = 15


@dataclass(frozen=True)
class SubjectScore:
    """One subject's share of an evaluation."""

    subject: str
    windows: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Windows whose top probability lies in (low, high]: their mean confidence and how many were right."""

    low: float
    high: float
    windows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of a player on some windows. Shares are from 0 to 1.

    Attributes:
        nll: mean negative log-likelihood in nats; a probability below 2**-52 counts as that.
        brier: mean over windows of the summed squared error of the class probabilities (0 to 2).
        ece: expected calibration error over 15 equal bins of the top probability (Naeini et al., AAAI 2015).
        confusion: rows are true classes, columns predicted ones; counts.
        subjects: in the order of `pseudonyms`.
    """

    windows: int
    classes: tuple[str, ...]
    accuracy: float
    macro_f1: float
    balanced_accuracy: float
    nll: float
    brier: float
    ece: float
    class_f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    subjects: tuple[SubjectScore, ...]
    reliability: tuple[ReliabilityBin, ...]

    @property
    def worst_subject(self) -> SubjectScore:
        """The subject with the lowest accuracy."""
        return min(self.subjects, key=lambda score: score.accuracy)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def evaluate(
    player: Player, windows: Windows, precision: Precision = "float32", codes: Mapping[str, str] | None = None
) -> Evaluation:
    """Score a player on clean windows.

    Args:
        codes: what stands for each subject in the result. By default the `pseudonyms` of these windows; those of the whole data
            set name the same person alike in every part of every split.

    Raises:
        UsageError: there are no windows.
        HarkdError: the player's answers are not finite.
    """
    if not len(windows):
        raise UsageError("there are no windows to evaluate on; this split leaves that part empty")
    device = next(player.net.parameters()).device
    return evaluate_logits(predict(player, windows.to(device), precision), windows, codes)


def evaluate_logits(logits: Tensor, windows: Windows, codes: Mapping[str, str] | None = None) -> Evaluation:
    """Score logits (n, class) of some windows, as `evaluate` does."""
    probabilities = torch.softmax(logits.double(), 1).cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise HarkdError("the net's answers are not finite numbers: its training went wrong; lower the learning rate")
    codes = pseudonyms(windows) if codes is None else codes
    return evaluate_probabilities(probabilities, windows.labels.cpu().numpy(), windows.subjects, windows.classes, codes)


def evaluate_probabilities(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    subjects: NDArray[np.str_],
    classes: tuple[str, ...],
    codes: Mapping[str, str],
) -> Evaluation:
    """Score class probabilities (n, class) against labels (n,).

    A class that does not occur among the labels does not count in `balanced_accuracy`; in `macro_f1` only classes that occur, or
    are predicted, count.
    """
    predicted = probabilities.argmax(1)
    numbers = list(range(len(classes)))
    scores = []
    for subject, code in codes.items():
        mine = subjects == subject
        if mine.any():
            scores.append(SubjectScore(code, int(mine.sum()), *_accuracy_and_f1(labels[mine], predicted[mine])))
    accuracy, macro_f1 = _accuracy_and_f1(labels, predicted)
    one_hot = np.eye(len(classes))[labels]
    bins = _reliability(probabilities.max(1), predicted == labels)
    return Evaluation(
        windows=len(labels),
        classes=classes,
        accuracy=accuracy,
        macro_f1=macro_f1,
        balanced_accuracy=_balanced_accuracy(labels, predicted),
        nll=float(log_loss(labels, probabilities, labels=numbers)),
        brier=float(((probabilities - one_hot) ** 2).sum(1).mean()),
        ece=float(sum(b.windows * abs(b.confidence - b.accuracy) for b in bins) / len(labels)),
        class_f1=tuple(f1_score(labels, predicted, average=None, labels=numbers, zero_division=0.0).tolist()),
        confusion=tuple(tuple(row) for row in confusion_matrix(labels, predicted, labels=numbers).tolist()),
        subjects=tuple(scores),
        reliability=bins,
    )


def pseudonyms(windows: Windows) -> dict[str, str]:
    """What stands for each subject in results: its code, where the card says that names are codes, else person-1, person-2 ..."""
    names = subjects_of(windows)
    if windows.card.subjects_are_codes:
        return {name: name for name in names}
    return {name: f"person-{number}" for number, name in enumerate(names, 1)}


def _accuracy_and_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[float, float]:
    present = np.union1d(labels, predicted)
    return (
        float(accuracy_score(labels, predicted)),
        float(f1_score(labels, predicted, average="macro", labels=present, zero_division=0.0)),
    )


def _balanced_accuracy(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    # The mean recall over the classes that occur; balanced_accuracy_score warns when another class is predicted.
    present = np.unique(labels)
    return float(recall_score(labels, predicted, labels=present, average="macro"))


def _reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    edges = np.linspace(0, 1, BINS + 1)
    number = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    bins = []
    for b in range(BINS):
        mine = number == b
        if mine.any():
            bins.append(
                ReliabilityBin(
                    float(edges[b]),
                    float(edges[b + 1]),
                    int(mine.sum()),
                    float(confidence[mine].mean()),
                    float(right[mine].mean()),
                )
            )
    return tuple(bins)
