"""What the finished runs of a study say: scores of subjects, and everything beside them, all read from run directories."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from harkd.compare.design import Cell, Design
from harkd.compare.scores import Scores
from harkd.errors import HarkdError
from harkd.evaluation import BINS, ReliabilityBin, SubjectScore
from harkd.report.record import Result, Trained

COLUMNS = ("level", "fold", "seed", "part", "subject", "windows", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Finished:
    """A run of the design that has a result."""

    cell: Cell
    trained: Trained

    @property
    def result(self) -> Result:
        return self.trained.result


@dataclass(frozen=True)
class Failed:
    """A run that failed, and the levels that lack it."""

    name: str
    levels: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Results:
    """The finished runs of a design.

    Attributes:
        finished: in the order of the design.
        dropped: levels that successive halving left out, and why; they are in no score.
    """

    design: Design
    finished: tuple[Finished, ...]
    failed: tuple[Failed, ...] = ()
    dropped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known: dict[str, Finished] = {}
        for run in self.finished:
            first = known.setdefault(run.cell.fold, run)
            if first.result.fingerprint != run.result.fingerprint:
                raise HarkdError(
                    f"{first.trained.where} and {run.trained.where} were trained on other windows, though both are fold "
                    f"{run.cell.fold!r}: the data changed in between; delete the older one, or take another folder with --out"
                )

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels that are compared: those of the design that were not dropped and have a finished run."""
        there = {run.cell.level for run in self.finished}
        return tuple(name for name in self.design.names if name in there and name not in self.dropped)

    @property
    def complete(self) -> bool:
        """Whether every run of every level that was not dropped is there."""
        wanted = [cell for cell in self.design.cells if cell.level not in self.dropped]
        return {cell.name for cell in wanted} <= {run.cell.name for run in self.finished}

    def of(self, level: str) -> tuple[Finished, ...]:
        """The finished runs of a level."""
        return tuple(run for run in self.finished if run.cell.level == level)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Test subjects of all folds, in the order in which folds and runs name them."""
        return tuple(dict.fromkeys(score.subject for run in self.finished for score in run.trained.test.subjects))

    def scores(self, metric: str = "accuracy", part: str = "test") -> Scores:
        """One score of every subject under every level: the mean over seeds and, where several folds test a subject, over its
        windows.

        Args:
            metric: accuracy or macro_f1.
            part: test, or validation (where a subject may be seen by several folds).
        """
        columns = [self.by_subject(level, metric, part) for level in self.levels]
        subjects = tuple(dict.fromkeys(score.subject for run in self.finished for score in scores_of(run, part)))
        values = np.array([[column.get(subject, np.nan) for column in columns] for subject in subjects])
        return Scores(metric, self.levels, subjects, values, self.design.control)

    def by_subject(self, level: str, metric: str, part: str = "test") -> dict[str, float]:
        """The scores of the subjects under one level; see `scores`."""
        found: dict[str, dict[int, list[tuple[int, float]]]] = {}
        for run in self.of(level):
            for score in scores_of(run, part):
                seeds = found.setdefault(score.subject, {})
                seeds.setdefault(run.cell.seed, []).append((score.windows, getattr(score, metric)))
        return {subject: fmean(map(_weighted, seeds.values())) for subject, seeds in found.items()}

    def missing(self) -> list[str]:
        """Sentences on runs that are not there."""
        told = []
        for level in self.levels:
            lacking = [c for c in self.design.cells if c.level == level and c.name not in {r.cell.name for r in self.of(level)}]
            if lacking:
                where = ", ".join(f"fold {cell.fold} seed {cell.seed}" for cell in lacking[:3])
                more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
                told.append(f"{level} lacks {len(lacking)} of its runs ({where}{more}).")
        return told

    def mean(self, level: str, score: str) -> float:
        """Mean over runs of a score of `Evaluation` on test subjects, by windows: of nll, brier, ece, balanced_accuracy ..."""
        return _weighted([(run.trained.test.windows, getattr(run.trained.test, score)) for run in self.of(level)])

    def class_f1(self, level: str) -> tuple[float, ...]:
        """F1 of each class over all test windows: confusion matrices of the folds added up, then the mean over seeds."""
        by_seed = [_f1(self.confusion(level, seed)) for seed in sorted({run.cell.seed for run in self.of(level)})]
        return tuple(np.mean(by_seed, 0).tolist())

    def confusion(self, level: str, seed: int | None = None) -> NDArray[np.int64]:
        """Counts (true class, predicted class) over all folds of one seed, or of all."""
        runs = [run for run in self.of(level) if seed in (None, run.cell.seed)]
        return np.sum([run.trained.test.confusion for run in runs], axis=0, dtype=np.int64)

    def reliability(self, level: str) -> tuple[ReliabilityBin, ...]:
        """The calibration bins of all runs together, weighted by windows."""
        pooled: dict[int, list[ReliabilityBin]] = {}
        for run in self.of(level):
            for b in run.trained.test.reliability:
                pooled.setdefault(round(b.low * BINS), []).append(b)
        return tuple(
            ReliabilityBin(
                bins[0].low,
                bins[0].high,
                sum(b.windows for b in bins),
                _weighted([(b.windows, b.confidence) for b in bins]),
                _weighted([(b.windows, b.accuracy) for b in bins]),
            )
            for _, bins in sorted(pooled.items())
        )

    def ece(self, level: str) -> float:
        """Expected calibration error over the bins of all runs together."""
        bins = self.reliability(level)
        return sum(b.windows * abs(b.confidence - b.accuracy) for b in bins) / sum(b.windows for b in bins)

    def best_on_validation(self, metric: str = "accuracy") -> str | None:
        """The level whose validation subjects score best on average: a choice that no test subject had a part in."""
        found = {level: self.by_subject(level, metric, "validation") for level in self.levels}
        if not found or not all(found.values()):
            return None
        return max(found, key=lambda level: fmean(found[level].values()))


def scores_of(run: Finished, part: str) -> tuple[SubjectScore, ...]:
    """The subjects' scores of one run."""
    if part == "test":
        return run.trained.test.subjects
    return run.result.validation.subjects if run.result.validation else ()


def table(results: Results) -> str:
    """All scores as CSV, a row for each level, fold, seed, part and subject in the design's order. Equal runs give equal text."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for run in results.finished:
        cell = run.cell
        for part in ("validation", "test"):
            for s in scores_of(run, part):
                writer.writerow([cell.level, cell.fold, cell.seed, part, s.subject, s.windows, s.accuracy, s.macro_f1])
    return file.getvalue()


def _weighted(shares: Sequence[tuple[int, float]]) -> float:
    return sum(windows * share for windows, share in shares) / sum(windows for windows, _ in shares)


def _f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class; 0 for one that neither occurs nor is predicted, as in `Evaluation`."""
    right, all_ = np.diag(confusion), confusion.sum(0) + confusion.sum(1)
    return np.divide(2.0 * right, all_, out=np.zeros(len(right)), where=all_ > 0)
