"""What a study measured: one score for every subject under every level."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harkd.errors import UsageError, unknown
from harkd.report.words import listed, many, subject

METRICS = ("accuracy", "macro_f1")
FEW = 6
"""With fewer subjects no test can be trusted: every subject is printed, and no p-value."""
DIGITS = 12
"""Shares are rounded to so many digits before they are ranked: 0.3 - 0.2 and 0.2 - 0.1 are equal, whatever the floats say."""


@dataclass(frozen=True, eq=False)
class Scores:
    """A table of shares from 0 to 1, (subject, level); nan where a subject was not tested. A level is a configuration as the
    user names it, such as jeon_mix1/kd; `control` is the one that the others are compared with.

    Raises UsageError for a table that cannot be: another shape, doubled names, a control that is no level, no share.
    """

    metric: str
    levels: tuple[str, ...]
    subjects: tuple[str, ...]
    values: NDArray[np.float64]
    control: str

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)
        if self.values.shape != (len(self.subjects), len(self.levels)):
            expected = f"{many(len(self.subjects), 'subject')} and {many(len(self.levels), 'level')}"
            raise UsageError(
                f"scores of shape {self.values.shape} for {expected}: expected one row a subject, one column a level"
            )
        for kind, names in (("level", self.levels), ("subject", self.subjects)):
            if doubled := [name for name, times in Counter(names).items() if times > 1]:
                raise UsageError(f"{kind} {doubled[0]!r} stands in the scores twice: give every {kind} a name of its own")
        if self.control not in self.levels:
            raise unknown("control", self.control, self.levels)
        # A mean of shares may leave the range by a rounding error; a percentage leaves it by far.
        wrong = np.argwhere(~(np.isnan(self.values) | ((self.values >= -1e-9) & (self.values <= 1 + 1e-9))))
        for row, column in wrong[:1]:
            where = f"{subject(self.subjects[row])} under {self.levels[column]}"
            raise UsageError(f"the score of {where} is {self.values[row, column]:g}: expected a share from 0 to 1, or nan")

    def of(self, level: str) -> NDArray[np.float64]:
        """The scores (subject,) of a level, in the order of `subjects`."""
        if level not in self.levels:
            raise unknown("level", level, self.levels)
        return self.values[:, self.levels.index(level)]

    def paired(self, level: str, other: str) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
        """The scores of two levels over the subjects that have both, and the names of these subjects."""
        one, two = self.of(level), self.of(other)
        both = np.logical_not(np.isnan(one) | np.isnan(two))
        return one[both], two[both], tuple(name for name, kept in zip(self.subjects, both, strict=True) if kept)

    @property
    def complete(self) -> Scores:
        """The same table with only the subjects that every level has tested."""
        (whole,) = np.nonzero(~np.isnan(self.values).any(axis=1))
        return replace(self, subjects=tuple(self.subjects[row] for row in whole), values=self.values[whole])

    @property
    def missing(self) -> list[str]:
        """A sentence for every level that lacks subjects."""
        return [
            _lack(level, column, self.subjects)
            for level, column in zip(self.levels, self.values.T, strict=True)
            if np.isnan(column).any()
        ]


def _lack(level: str, column: NDArray[np.float64], subjects: tuple[str, ...]) -> str:
    names = [name for name, value in zip(subjects, column, strict=True) if np.isnan(value)]
    if len(names) == len(subjects):
        return f"{level} has no scores yet."
    if len(names) > FEW:
        return f"{level} has no score for {len(names)} of {many(len(subjects), 'subject')}."
    numbered = len(names) > 1 and all(name.isdigit() for name in names)
    return f"{level} has no score for {f'subjects {listed(names)}' if numbered else listed([subject(name) for name in names])}."
