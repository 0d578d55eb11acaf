"""A study with everything that its page, its model card and its files say about it, calculated once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from harkd.compare.contrast import Contrast, contrasts
from harkd.compare.omnibus import Omnibus, omnibus
from harkd.compare.options import Study
from harkd.compare.results import Results
from harkd.compare.scores import Scores
from harkd.compare.verdict import verdict
from harkd.errors import HarkdError, unknown
from harkd.report.record import Result, Trained

FIXED = ("augment_seed", "teacher_seed")
"""Seeds that the runs of a study share: they are no repetition, but part of what is compared."""
WINDOW_SCORES = ("balanced_accuracy", "nll", "brier")
"""Scores of all windows that stand beside those of subjects."""


@dataclass(frozen=True)
class Deployed:
    """What a net takes on a watch.

    Attributes:
        bytes: of the exported int8 file, or one for every parameter where nothing was exported.
        measured: whether it is the size of a file.
    """

    bytes: int
    measured: bool


@dataclass(frozen=True)
class Compared:
    """A study and its statistics.

    Attributes:
        asked: what was asked for besides the options of the runs.
        sentences: the verdict.
        sizes: of what a level would be deployed as, by level.
        command: that asks for the same study.
        teachers: the finished runs of the teachers that were trained for it.
    """

    results: Results
    asked: Study
    scores: Scores
    contrasts: tuple[Contrast, ...]
    omnibus: Omnibus
    sentences: tuple[str, ...]
    sizes: Mapping[str, Deployed]
    command: str
    teachers: tuple[Trained, ...] = ()

    @classmethod
    def of(
        cls, results: Results, asked: Study, sizes: Mapping[str, Deployed], command: str, teachers: Sequence[Trained] = ()
    ) -> Compared:
        """Calculate all statistics of a study.

        Raises:
            HarkdError: the control has no finished run, so that nothing can be compared with it.
        """
        control = results.design.control
        if control not in results.levels:
            why = next((f": {each.name} failed ({each.reason})" for each in results.failed if control in each.levels), "")
            raise HarkdError(f"the control {control} has no finished run{why}; the others cannot be compared without it")
        scores = results.scores(asked.score)
        against = contrasts(scores, asked.alpha, asked.rope)
        together = omnibus(scores, asked.alpha)
        told = verdict(scores, against, together)
        return cls(results, asked, scores, against, together, told, sizes, command, tuple(teachers))

    @property
    def levels(self) -> tuple[str, ...]:
        """In the order of the design."""
        return self.scores.levels

    @property
    def control(self) -> str:
        return self.scores.control

    @property
    def rope(self) -> float:
        return self.asked.rope

    @property
    def alpha(self) -> float:
        return self.asked.alpha

    @cached_property
    def ranked(self) -> tuple[str, ...]:
        """Levels by their mean score, the best first; equal ones in the order of the design."""
        return tuple(sorted(self.levels, key=lambda level: -self.mean(level)))

    @cached_property
    def winner(self) -> str | None:
        """The level that is best on validation subjects; None where there are none."""
        return self.results.best_on_validation(self.scores.metric)

    def mean(self, level: str) -> float:
        """Mean score over the subjects that were tested under a level."""
        return fmean(self.by_subject(level).values())

    def validation(self, level: str) -> float | None:
        """Mean score over validation subjects; None where there are none."""
        found = self.results.by_subject(level, self.scores.metric, "validation")
        return fmean(found.values()) if found else None

    def by_subject(self, level: str) -> dict[str, float]:
        """The score of each subject that was tested under a level."""
        return self.results.by_subject(level, self.scores.metric)

    def worst(self, level: str) -> tuple[str, float]:
        """The subject with the lowest score under a level."""
        return min(self.by_subject(level).items(), key=lambda pair: pair[1])

    def contrast(self, level: str) -> Contrast | None:
        """A level against the control; None for the control."""
        return next((each for each in self.contrasts if each.level == level), None)

    def first(self, level: str) -> Result:
        """What the first finished run of a level says."""
        if level not in self.levels:
            raise unknown("level", level, self.levels)
        return self.results.of(level)[0].result

    @property
    def about(self) -> Result:
        """Any run, for what all of a study share: data, terms, classes."""
        return self.first(self.control)

    def deployed(self, level: str) -> Deployed | None:
        return self.sizes.get(level)

    def macro_f1(self, level: str) -> float:
        """Mean over subjects of their macro-F1."""
        return fmean(self.results.by_subject(level, "macro_f1").values())

    def updates(self, level: str) -> tuple[int, ...]:
        """Of the student, run by run."""
        return tuple(run.result.updates for run in self.results.of(level))

    @property
    def unseen(self) -> bool:
        """Whether test subjects are people that a net was not trained on; with folds over sessions they are the same people."""
        return not any(fold.startswith("session:") for fold in self.results.design.folds)

    @cached_property
    def equal_updates(self) -> bool:
        """Whether the students of a fold are all given the same number of updates; folds differ in their number of windows."""
        found: dict[str, set[int]] = {}
        for run in self.results.finished:
            if run.cell.level in self.levels:
                found.setdefault(run.cell.fold, set()).add(run.result.updates)
        return all(len(numbers) == 1 for numbers in found.values())

    def settings(self, level: str) -> dict[str, Any]:
        """The options of a level by name, without those that say which of its runs it is."""
        run = self.results.of(level)[0].trained
        shared = {name: run.result.options[name] for name in FIXED if name in run.result.options}
        # Who has no teacher has options of one all the same, and nobody asked for them.
        unused = ("split",) if run.result.teacher else ("split", "teacher")
        return {name: value for name, value in (run.settings() | shared).items() if not name.startswith(unused)}

    @cached_property
    def differing(self) -> dict[str, dict[str, Any]]:
        """The options that are not the same for all levels that have them: by name, the value of each such level."""
        settings = {level: self.settings(level) for level in self.levels}
        names = dict.fromkeys(name for values in settings.values() for name in values)
        found = {name: {level: values[name] for level, values in settings.items() if name in values} for name in names}
        return {name: values for name, values in found.items() if len({repr(value) for value in values.values()}) > 1}

    def unlike(self, level: str) -> tuple[str, ...]:
        """The options in which a level differs from the control; a method brings its own options and its teacher along."""
        other = [
            name
            for name, values in self.differing.items()
            if repr(values.get(level)) != repr(values.get(self.control)) or (level in values) != (self.control in values)
        ]
        brought = ("method_options.", "teacher") if "method" in other else ()
        return tuple(name for name in other if not name.startswith(brought))


def comparison_json(compared: Compared) -> dict[str, Any]:
    """A study as plain values: scores as shares from 0 to 1, nothing that differs between equal runs such as times or folders.

    A number that does not exist is None.
    """
    results, scores = compared.results, compared.scores
    plain = {
        "data": compared.about.terms.data,
        "metric": scores.metric,
        "control": compared.control,
        "alpha": compared.alpha,
        "rope": compared.rope,
        "folds": results.design.folds,
        "seeds": results.design.seeds,
        "complete": results.complete,
        "verdict": compared.sentences,
        "best_on_validation": compared.winner,
        "levels": [_level_json(compared, level) for level in compared.levels],
        "contrasts": [asdict(each) | {"different": each.different} for each in compared.contrasts],
        "omnibus": asdict(compared.omnibus),
        "equal_updates": compared.equal_updates,
        "missing": results.missing(),
        "failed": [asdict(each) for each in results.failed],
        "dropped": results.dropped,
    }
    return _finite(plain)


def _level_json(compared: Compared, level: str) -> dict[str, Any]:
    results, first, size = compared.results, compared.first(level), compared.deployed(level)
    subject, score = compared.worst(level)
    return {
        "level": level,
        "mean": compared.mean(level),
        "validation": compared.validation(level),
        "subjects": compared.by_subject(level),
        "worst_subject": {"subject": subject, "score": score},
        "macro_f1": compared.macro_f1(level),
        "ece": results.ece(level),
        **{name: results.mean(level, name) for name in WINDOW_SCORES},
        "class_f1": dict(zip(results.of(level)[0].trained.test.classes, results.class_f1(level), strict=True)),
        "net": first.net,
        "parameters": first.parameters,
        "deployed": None if size is None else asdict(size),
        "updates": compared.updates(level),
        "differing_options": {name: values.get(level) for name, values in compared.differing.items()},
    }


def _finite(value: Any) -> Any:
    """The same with None for every nan, and with lists for tuples."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
