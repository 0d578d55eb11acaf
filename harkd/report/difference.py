"""Two studies side by side: what differs between them, and what changed for the configurations that both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from statsmodels.stats.multitest import multipletests

from harkd.compare.contrast import Contrast, contrasts
from harkd.compare.power import subjects_for
from harkd.compare.scores import Scores
from harkd.compare.verdict import p_value
from harkd.errors import UsageError
from harkd.report import facts
from harkd.report.compared import Compared
from harkd.report.comparison_figures import differences
from harkd.report.comparison_tables import METRICS, difference, natural
from harkd.report.page import MEDICAL
from harkd.report.tree import Block, Code, Page, Section, Table, Text
from harkd.report.words import NONE, listed, many, points, share, subject

NAMES = ("A", "B")


@dataclass(frozen=True)
class Change:
    """A level in both studies.

    Attributes:
        scores: a row for each subject that both tested; the levels are the two studies, A the control.
        contrast: B against A; its `p_holm` is corrected for all levels that both studies have.
        options: in which the level differs between the studies, with both values.
    """

    level: str
    scores: Scores
    contrast: Contrast
    options: dict[str, tuple[Any, Any]]


def changes(a: Compared, b: Compared) -> tuple[Change, ...]:
    """The levels that both studies have tested on the same people, with the paired differences B - A over these subjects.

    Raises:
        UsageError: the studies are of different data, classes or test windows.
    """
    check_alike(a, b)
    shared = [level for level in a.levels if level in b.levels and a.by_subject(level).keys() & b.by_subject(level).keys()]
    found = [_change(level, a, b, len(shared)) for level in shared]
    tested = [change.contrast.p for change in found if change.contrast.p is not None]
    corrected = iter(multipletests([*tested, *[1.0] * (len(found) - len(tested))], method="holm")[1] if tested else [])
    return tuple(
        replace(change, contrast=replace(change.contrast, p_holm=float(next(corrected))))
        if change.contrast.p is not None
        else change
        for change in found
    )


def _change(level: str, a: Compared, b: Compared, comparisons: int) -> Change:
    metric = a.scores.metric
    one, two = (study.results.by_subject(level, metric) for study in (a, b))
    subjects = sorted(one.keys() & two.keys(), key=natural)
    values = np.array([[one[name], two[name]] for name in subjects]).reshape(-1, 2)
    scores = Scores(metric, NAMES, tuple(subjects), values, NAMES[0])
    (contrast,) = contrasts(scores, a.alpha, a.rope)
    if not contrast.refused and len(subjects) < (least := subjects_for(a.alpha, comparisons)):
        reason = f"{many(len(subjects), 'subject')}, and {many(comparisons, 'comparison')} need at least {least}"
        contrast = replace(contrast, p=None, p_holm=None, refused=reason)
    return Change(
        level, scores, replace(contrast, level=level, control=f"{level} of A"), _options(a.settings(level), b.settings(level))
    )


def check_alike(a: Compared, b: Compared) -> None:
    """Refuse two studies whose scores are not of the same windows.

    Raises:
        UsageError: says what differs.
    """

    def facts_of(study: Compared) -> dict[str, Any]:
        return {"data set": study.about.terms.data, "classes": list(study.results.finished[0].trained.test.classes)}

    for (name, found), other in zip(facts_of(a).items(), facts_of(b).values(), strict=True):
        if found != other:
            raise UsageError(
                f"two studies can be compared on one data set, but these differ in their {name}: "
                f"A has {json.dumps(found)}, B has {json.dumps(other)}"
            )
    one, two = _windows(a), _windows(b)
    for name in one.keys() & two.keys():
        if one[name] != two[name]:
            raise UsageError(
                f"studies are compared on the same test windows, but A has {one[name]} of {subject(name)} and B {two[name]}; "
                "make both with the same --window, --step and --prepare"
            )
    if not one.keys() & two.keys():
        raise UsageError("the two studies have no test subject in common, so there is nothing to compare")


def _windows(study: Compared) -> dict[str, int]:
    """Test windows of each subject, added up over the folds of one run of each."""
    runs = {run.cell.fold: run for run in study.results.finished}
    found: dict[str, int] = {}
    for run in runs.values():
        for score in run.trained.test.subjects:
            found[score.subject] = found.get(score.subject, 0) + score.windows
    return found


def build_difference(a: Compared, b: Compared) -> Page:
    """The page on two studies as a tree.

    Raises:
        UsageError: the studies are of different data, classes or test windows.
    """
    found = changes(a, b)
    lead, *details = [*_verdict(found), *_turned(a, b)]
    sections = (
        Section("What differs between the studies", _differing(a, b, found)),
        Section("What changed", _changed(a, found)),
        Section("Subject by subject", (_subjects(found),) if found else ()),
        Section("In one study only", _alone(a, b)),
        Section("The verdict of each", tuple(_own(name, study) for name, study in zip(NAMES, (a, b), strict=True))),
        Section("How to repeat them", (Code(f"# A\n{a.command}\n# B\n{b.command}"),)),
    )
    return Page(
        kicker="harkd report · the difference of two studies, B less A",
        title=f"{a.about.terms.data}: what changed from study A to study B?",
        verdict=lead,
        details=tuple(details),
        notes=_notes(found),
        sections=tuple(section for section in sections if section.blocks),
        footer=MEDICAL,
    )


def _verdict(found: Sequence[Change]) -> list[str]:
    if not found:
        return ["The studies have no configuration in common: only their own verdicts can be read side by side."]
    different = [change for change in found if change.contrast.different]
    same = [change for change in found if np.array_equal(change.scores.of("A"), change.scores.of("B"))]
    told = []
    if len(same) == len(found):
        return [f"Nothing changed: every subject scores the same in both studies, under all {len(found)} that both have."]
    if not different:
        mean = fmean(change.contrast.difference for change in found)
        told.append(
            f"None of {many(len(found), 'configuration')} that both studies have is shown to have changed (mean difference "
            f"{points(mean)} points)."
        )
    told += [_different(change.contrast) for change in different]
    if same:
        told.append(f"Exactly as before: {listed([change.level for change in same])}.")
    return told


def _different(contrast: Contrast) -> str:
    verb, sign = ("gained", 1) if contrast.difference > 0 else ("lost", -1)
    bounds = sorted(sign * bound for bound in (contrast.low, contrast.high) if bound is not None)
    interval = f", interval {share(bounds[0])} to {share(bounds[1])}" if bounds else ""
    return f"{contrast.level} {verb} {share(abs(contrast.difference))} points (p {p_value(contrast.p_holm or 0.0)}{interval})."


def _turned(a: Compared, b: Compared) -> list[str]:
    """Levels of which the two studies say different things."""
    if a.control != b.control:
        return [f"The controls differ ({a.control} and {b.control}), so the verdicts on single configurations do not compare."]
    told = []
    for one in a.contrasts:
        other = b.contrast(one.level)
        if other is not None and _said(one) != _said(other):
            told.append(f"Against {a.control}, {one.level} {_said(one)} in A and {_said(other)} in B.")
    if a.winner != b.winner:
        told.append(f"Best on validation subjects: {a.winner or 'not known'} in A, {b.winner or 'not known'} in B.")
    return told


def _said(contrast: Contrast) -> str:
    if contrast.refused:
        return "was not tested"
    if not contrast.different:
        return "is not shown to differ"
    return "is better" if contrast.difference > 0 else "is worse"


def _notes(found: Sequence[Change]) -> tuple[str, ...]:
    told = []
    changed = {change.level: change.options for change in found if change.options}
    if changed:
        names = listed(list(dict.fromkeys(name for options in changed.values() for name in options)))
        told.append(f"configurations of one name differ in their options between the studies: {names}.")
    if refused := {change.contrast.refused for change in found if change.contrast.refused}:
        told.append(f"no p-value where there are too few subjects: {listed(sorted(refused))}.")
    return tuple(told)


def _differing(a: Compared, b: Compared, found: Sequence[Change]) -> tuple[Block, ...]:
    rows = [(name, *map(facts.option, pair)) for name, pair in _options(_facts(a), _facts(b)).items()]
    shared: dict[str, dict[str, tuple[Any, Any]]] = {}
    for change in found:
        for name, pair in change.options.items():
            shared.setdefault(name, {})[change.level] = pair
    for name, by_level in shared.items():
        whose = "" if len(by_level) == len(found) and len(found) > 1 else f" of {listed(list(by_level))}"
        one, two = ({facts.option(pair[side]): None for pair in by_level.values()} for side in (0, 1))
        rows.append((f"{name}{whose}", ", ".join(one), ", ".join(two)))
    if not rows:
        return (Text("Nothing: designs, options and versions are the same."),)
    return (Table("Designs, options of configurations that both have, and versions.", ("what", *NAMES), tuple(rows), texts=3),)


def _facts(study: Compared) -> dict[str, Any]:
    design = study.results.design
    versions = dict(facts.environment([run.result for run in study.results.finished]))
    asked = {name: value for name, value in asdict(study.asked).items() if name not in ("control", "folds", "seeds", "vary")}
    plain = {"control": study.control, "folds": design.folds, "seeds": design.seeds, "test subjects": len(study.scores.subjects)}
    return plain | asked | versions


def _options(one: dict[str, Any], two: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *two])
    return {name: (one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)}


def _changed(a: Compared, found: Sequence[Change]) -> tuple[Block, ...]:
    if not found:
        return ()
    rows = []
    for change in found:
        one, two = (float(change.scores.of(name).mean()) for name in NAMES)
        contrast = change.contrast
        p = NONE if contrast.p_holm is None else p_value(contrast.p_holm).removeprefix("= ")
        counts = f"{contrast.wins} / {contrast.draws} / {contrast.losses}"
        rows.append((change.level, share(one), share(two), difference(contrast), counts, p))
    metric = METRICS[a.scores.metric]
    caption = (
        f"Test {metric} in percent, mean over the subjects that both studies tested; B less A in points with its 95 % interval "
        "over subjects; how many are better, the same and worse in B; p of the Wilcoxon signed-rank test, corrected by Holm for "
        f"{many(len(found), 'comparison')}."
    )
    head = ("configuration", f"{metric} of A, %", f"{metric} of B, %", "B less A", "better / same / worse", "p")
    figure = differences("changes", "What changed, B less A", [change.contrast for change in found], metric)
    return (Table(caption, head, tuple(rows)), figure)


def _subjects(found: Sequence[Change]) -> Table:
    gains = {change.level: dict(zip(change.scores.subjects, _gains(change), strict=True)) for change in found}
    names = sorted({name for by_subject in gains.values() for name in by_subject}, key=natural)
    rows = [
        (subject(name), *(points(by_subject[name]) if name in by_subject else NONE for by_subject in gains.values()))
        for name in names
    ]
    rows.append(("mean of subjects", *(points(change.contrast.difference) for change in found)))
    return Table("What changed for each subject, B less A in points.", ("subject", *gains), tuple(rows), totals=1)


def _gains(change: Change) -> list[float]:
    return [float(gain) for gain in change.scores.of("B") - change.scores.of("A")]


def _alone(a: Compared, b: Compared) -> tuple[Block, ...]:
    rows = [
        (level, name, share(study.mean(level)), str(len(study.by_subject(level))))
        for name, study, other in ((NAMES[0], a, b), (NAMES[1], b, a))
        for level in study.ranked
        if level not in other.levels
    ]
    if not rows:
        return ()
    metric = METRICS[a.scores.metric]
    return (
        Table(
            "Configurations that only one study has.",
            ("configuration", "study", f"{metric}, %", "subjects"),
            tuple(rows),
            texts=2,
        ),
    )


def _own(name: str, study: Compared) -> Text:
    return Text(f"{name}: {' '.join(study.sentences)}")
