"""Finished runs, grouped and paired for a report. All numbers of the report are computed here, none in the templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harkd.errors import UsageError
from harkd.evaluation import BINS, ReliabilityBin
from harkd.report.record import Result, Trained
from harkd.report.tree import Role
from harkd.runs import Run

ROLES: tuple[Role, ...] = ("teacher", "alone", "distilled")


@dataclass(frozen=True)
class Group:
    """The runs of one label: the same configuration, several seeds in ascending order."""

    label: str
    role: Role
    runs: tuple[Trained, ...]  # not one seed twice

    @property
    def first(self) -> Result:
        return self.runs[0].result

    @property
    def net(self) -> str:
        return self.first.net

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def updates(self) -> tuple[int, ...]:
        return tuple(run.result.updates for run in self.runs)

    @property
    def accuracies(self) -> tuple[float, ...]:
        return tuple(run.test.accuracy for run in self.runs)

    def mean(self, score: str) -> float:
        """Mean over seeds of a score of `Evaluation`."""
        return fmean(getattr(run.test, score) for run in self.runs)

    def only(self, seeds: Sequence[int]) -> Group:
        """The runs with those seeds."""
        return Group(self.label, self.role, tuple(run for run in self.runs if run.seed in seeds))

    def by_subject(self) -> dict[str, float]:
        """Accuracy of each test subject, mean over seeds."""
        names = [score.subject for score in self.runs[0].test.subjects]
        return {name: fmean(run.test.subjects[at].accuracy for run in self.runs) for at, name in enumerate(names)}

    def worst(self) -> tuple[str, float]:
        """The test subject with the lowest mean accuracy over seeds."""
        return min(self.by_subject().items(), key=lambda pair: pair[1])

    def confusion(self) -> NDArray[np.int64]:
        """Counts (true class, predicted class), summed over seeds."""
        return np.sum([run.test.confusion for run in self.runs], axis=0, dtype=np.int64)

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """The bins of all seeds together, weighted by windows."""
        pooled: dict[int, list[ReliabilityBin]] = {}
        for run in self.runs:
            for bin_ in run.test.reliability:
                pooled.setdefault(round(bin_.low * BINS), []).append(bin_)
        return tuple(_pool(bins) for _, bins in sorted(pooled.items()))

    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms, in the order of the history."""
        names = (name for run in self.runs for epoch in run.history for name in epoch.terms)
        return tuple(dict.fromkeys(names))

    def curves(self, name: str, kind: str = "terms") -> dict[int, tuple[float, ...]]:
        """A loss term (kind "terms") or validation score (kind "scores") per epoch, by seed of each run that has it."""
        found = {run.seed: [getattr(epoch, kind).get(name) for epoch in run.history] for run in self.runs}
        # A term that comes late (a second phase) leaves a gap at the front; nan keeps the epochs in their places.
        return {
            seed: tuple(np.nan if value is None else value for value in values)
            for seed, values in found.items()
            if any(value is not None for value in values)
        }


@dataclass(frozen=True)
class Comparison:
    """A distilled student against the student alone, seed by seed. Both hold only the seeds they share, one at least."""

    alone: Group
    distilled: Group

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.alone.seeds

    @property
    def by_seed(self) -> tuple[float, ...]:
        """Distilled minus alone, for each seed."""
        return tuple(d - a for a, d in zip(self.alone.accuracies, self.distilled.accuracies, strict=True))

    @property
    def by_subject(self) -> tuple[float, ...]:
        """Distilled minus alone, for each test subject (mean over seeds)."""
        alone, distilled = self.alone.by_subject(), self.distilled.by_subject()
        return tuple(distilled[name] - alone[name] for name in alone)

    @property
    def difference(self) -> float:
        """Distilled minus alone, mean over seeds."""
        return fmean(self.by_seed)


@dataclass(frozen=True)
class Study:
    """All runs of a report.

    Attributes:
        groups: teachers, then students alone, then distilled ones; within a role in the order given.
        comparisons: one for each distilled group that has a partner with a common seed.
        unpaired: distilled groups with a partner, but without a common seed.
    """

    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    unpaired: tuple[Group, ...]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Study:
        """Read, check and pair runs.

        Raises:
            UsageError: no runs; different data, splits or test windows; twice the same configuration and seed.
        """
        if not runs:
            raise UsageError("a report needs at least one finished run; give the folder of one")
        trained = [Trained.read(run) for run in runs]
        for other in trained[1:]:
            _check_same_test(trained[0], other)
        groups = _group(trained)
        alone = [group for group in groups if group.role == "alone"]
        comparisons, unpaired = [], []
        for group in groups:
            if group.role == "distilled" and alone:
                partner = max(alone, key=lambda candidate: _likeness(candidate, group))
                if seeds := sorted(set(partner.seeds) & set(group.seeds)):
                    comparisons.append(Comparison(partner.only(seeds), group.only(seeds)))
                else:
                    unpaired.append(group)
        return cls(groups, tuple(comparisons), tuple(unpaired))

    @property
    def runs(self) -> tuple[Trained, ...]:
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def first(self) -> Result:
        return self.groups[0].first

    @property
    def subjects(self) -> tuple[str, ...]:
        """Test subjects."""
        return tuple(score.subject for score in self.runs[0].test.subjects)

    def of_role(self, role: Role) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.role == role)

    def full(self, group: Group) -> Group:
        """All seeds of a group that stands in a comparison with its common seeds only."""
        return next(whole for whole in self.groups if whole.label == group.label)

    def teacher_of(self, group: Group) -> Group | None:
        """The teacher of a distilled group, if it is among the runs."""
        return next((teacher for teacher in self.of_role("teacher") if teacher.label == group.first.teacher), None)

    def views(self) -> tuple[tuple[Group, ...], ...]:
        """Groups that stand together in one figure: the two of each comparison, or each student, or each teacher alone."""
        if self.comparisons:
            return tuple((comparison.alone, comparison.distilled) for comparison in self.comparisons)
        students = tuple((group,) for group in self.groups if group.role != "teacher")
        return students or tuple((group,) for group in self.groups)


def _pool(bins: Sequence[ReliabilityBin]) -> ReliabilityBin:
    windows = np.array([b.windows for b in bins], dtype=float)
    weights = windows / windows.sum()
    confidence, accuracy = weights @ [b.confidence for b in bins], weights @ [b.accuracy for b in bins]
    return ReliabilityBin(bins[0].low, bins[0].high, int(windows.sum()), float(confidence), float(accuracy))


def _likeness(alone: Group, distilled: Group) -> tuple[int, ...]:
    """How well a control fits: the first difference that counts decides."""
    a, d = alone.first, distilled.first
    seeds = bool(set(alone.seeds) & set(distilled.seeds))
    one, two = alone.runs[0].settings(), distilled.runs[0].settings()
    same = sum(one[name] == two[name] for name in one.keys() & two.keys())
    return (a.net == d.net, a.sees == d.sees, a.augment == d.augment, set(alone.updates) == set(distilled.updates), seeds, same)


def _check_same_test(one: Trained, other: Trained) -> None:
    def facts(run: Trained) -> dict[str, Any]:
        result = run.result
        return {
            "data set": result.terms.data,
            "split": result.split.name,
            "classes": list(run.test.classes),
            "test windows per subject": [[score.subject, score.windows] for score in run.test.subjects],
        }

    for (name, found), theirs in zip(facts(one).items(), facts(other).values(), strict=True):
        if found != theirs:
            raise UsageError(
                f"a report covers one data set and one split, but these runs differ in their {name}: "
                f"{one.where} has {json.dumps(found)}, {other.where} has {json.dumps(theirs)}; make a report for each"
            )


def _group(trained: Sequence[Trained]) -> tuple[Group, ...]:
    # A label may stand for several configurations (two augmentations of one student): runs belong together if, seeds apart,
    # their options agree too.
    sorts: dict[tuple[str, str, str], list[Trained]] = {}
    for run in trained:
        key = (run.result.label, run.result.role, json.dumps(run.settings(), sort_keys=True, default=str))
        sorts.setdefault(key, []).append(run)
    names: dict[str, list[Group]] = {}
    for (label, role, _), members in sorts.items():
        seen: dict[int, Trained] = {}
        for run in members:
            if run.seed in seen:
                both = f"{seen[run.seed].where} and {run.where}"
                raise UsageError(f"{both} are both {label!r} with seed {run.seed}; give the report only one of them")
            seen[run.seed] = run
        runs = tuple(sorted(members, key=lambda run: run.seed))
        names.setdefault(label, []).append(Group(label, cast(Role, role), runs))
    made = [named for groups in names.values() for named in (_tell_apart(groups) if len(groups) > 1 else groups)]
    return tuple(sorted(made, key=lambda group: ROLES.index(group.role)))


def _tell_apart(groups: Sequence[Group]) -> list[Group]:
    """Groups of one label, renamed by the options in which they differ."""
    settings = [group.runs[0].settings() for group in groups]
    keys = [key for key in settings[0] if len({str(values.get(key)) for values in settings}) > 1]
    labels = [
        ", ".join([group.label, *(f"{key} {values.get(key)}" for key in keys[:3])])
        for group, values in zip(groups, settings, strict=True)
    ]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({number})" for number, label in enumerate(labels, 1)]
    return [replace(group, label=label) for group, label in zip(groups, labels, strict=True)]
