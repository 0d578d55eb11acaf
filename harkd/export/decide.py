"""From a model's logits to decisions: a class or unknown, how long each holds, and minutes per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harkd.errors import UsageError

Numbers = NDArray[np.float64]
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Run:
    """Equal decisions without a gap, in seconds from the start of the recording; the probability is their mean."""

    start: float
    stop: float
    decision: str
    probability: float
    windows: int


@dataclass(frozen=True)
class Decisions:
    """What a model says about a recording.

    Attributes:
        probabilities: (window, class).
        spans: (window, 2) where each window starts and ends, in seconds.
        held: (window, 2) what each decision stands for, see `holding`; these never overlap.
        threshold: a decision whose probability is below it is unknown.
    """

    classes: tuple[str, ...]
    probabilities: Numbers
    spans: Numbers
    held: Numbers
    threshold: float

    @property
    def likeliest(self) -> NDArray[np.int64]:
        """(window,) number of the likeliest class; of equally likely ones the first."""
        found: NDArray[np.int64] = self.probabilities.argmax(1)
        return found

    @property
    def confidence(self) -> Numbers:
        """(window,) its probability."""
        found: Numbers = self.probabilities.max(1)
        return found

    @property
    def known(self) -> NDArray[np.bool_]:
        """(window,) whether the likeliest class is likely enough."""
        found: NDArray[np.bool_] = self.confidence >= self.threshold
        return found

    def names(self) -> list[str]:
        """The decision of each window: a class, or `unknown`."""
        return [self.classes[c] if known else UNKNOWN for c, known in zip(self.likeliest, self.known, strict=True)]

    def runs(self) -> list[Run]:
        """Neighbours of one decision as one."""
        found = []
        after = np.append(self.held[1:, 0] != self.held[:-1, 1], True)  # whether a gap follows
        stretch = np.concatenate([[0], np.cumsum(after)[:-1]]).tolist()
        names, confidence = self.names(), self.confidence
        for (decision, _), members in groupby(range(len(names)), key=lambda n: (names[n], stretch[n])):
            at = list(members)
            mean = float(confidence[at].mean())
            found.append(Run(float(self.held[at[0], 0]), float(self.held[at[-1], 1]), decision, mean, len(at)))
        return found

    def seconds(self) -> dict[str, float]:
        """How long each class was decided for, and `unknown` at the end."""
        lengths, names = self.held[:, 1] - self.held[:, 0], np.array(self.names())
        return {name: float(lengths[names == name].sum()) for name in (*self.classes, UNKNOWN)}

    def rows(self) -> list[dict[str, Any]]:
        """One row for each window, for tables and JSON."""
        each = zip(self.spans.tolist(), self.names(), self.likeliest, self.probabilities.tolist(), strict=True)
        return [
            {"from": start, "to": stop, "decision": name, "likeliest": self.classes[best], "probability": p[best]}
            for (start, stop), name, best, p in each
        ]


def decide(logits: NDArray[np.float32], spans: Numbers, classes: Sequence[str], threshold: float) -> Decisions:
    """The decisions of windows.

    Args:
        logits: (window, class).
        spans: (window, 2) seconds, in the order of time.
        threshold: from 0, which keeps all, to 1.
    """
    return Decisions(tuple(classes), softmax(logits), spans, holding(spans), threshold)


def softmax(logits: NDArray[np.floating]) -> Numbers:
    """Probabilities (window, class), in double precision.

    >>> softmax(np.log([[1.0, 3.0]])).round(3).tolist()
    [[0.25, 0.75]]
    """
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    found: Numbers = powers / powers.sum(1, keepdims=True)
    return found


def holding(spans: Numbers) -> Numbers:
    """The time that each window decides about: every moment belongs to the window whose middle is nearest.

    A window is about its middle as much as about anything: of windows that overlap each holds for one step around it, and the
    first and the last of a stretch also for its ends. All time that windows cover is shared out once, and no other.

    Args:
        spans: (window, 2) start and end in the order of time; windows that do not touch are of different stretches.

    >>> holding(np.array([[0.0, 4.0], [2.0, 6.0], [10.0, 14.0]])).tolist()
    [[0.0, 3.0], [3.0, 6.0], [10.0, 14.0]]
    """
    held = spans.astype(np.float64, copy=True)
    middle = spans.mean(1)
    meet = np.flatnonzero(spans[1:, 0] <= spans[:-1, 1] + 1e-9)
    held[meet, 1] = held[meet + 1, 0] = (middle[meet] + middle[meet + 1]) / 2
    return held


def fit_threshold(probabilities: NDArray[np.floating], labels: NDArray[np.integer], keep: float = 0.95) -> float:
    """The largest threshold that keeps at least a share `keep` of the rightly decided windows. (Our design.)

    A window is decided rightly if its likeliest class (of equals the first) is its label, and kept if the probability of that
    class is at least the threshold. With n right windows the threshold is the k-th largest of their probabilities, where
    k = ceil(keep n): all windows tied with it are kept as well, and any larger threshold keeps fewer than k. What wrong
    decisions and strange movements look like is not asked, so it needs nothing but validation windows. Without a right window it
    is 0, which keeps all.

    Args:
        probabilities: (n, class).
        labels: (n,) class numbers.
        keep: above 0, at most 1.

    Raises:
        UsageError: `keep` is no such share.

    >>> fit_threshold(np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]), np.array([0, 0, 0, 1]), keep=0.5)
    0.8
    """
    if not 0 < keep <= 1:
        raise UsageError(f"the share of right decisions to keep is above 0 and at most 1, got {keep}")
    right = np.sort(probabilities.max(1)[probabilities.argmax(1) == labels])[::-1]
    if not len(right):
        return 0.0
    return float(right[ceil(keep * len(right) - 1e-9) - 1])
