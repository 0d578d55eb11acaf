"""The tables of a study's page. A level of the design is called a configuration there, as in other reports."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from harkd.compare.contrast import Contrast
from harkd.compare.verdict import p_value
from harkd.report.compared import Compared
from harkd.report.facts import option
from harkd.report.record import Trained
from harkd.report.tree import Table
from harkd.report.words import NONE, count, counts, duration, kilobytes, many, points, share, subject

METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
"""Scores of a subject, as readers know them."""


def ranking(compared: Compared) -> Table:
    """Every configuration, the best first, and how it differs from the control."""
    rows = []
    for level in compared.ranked:
        worst, score = compared.worst(level)
        rows.append((level, share(compared.mean(level)), *_against(compared.contrast(level)), f"{worst}: {share(score)}"))
    metric = METRICS[compared.scores.metric]
    comparisons = many(len(compared.contrasts), "comparison")
    caption = (
        f"Test {metric} in percent, mean over subjects; difference from {compared.control} in points with its 95 % interval over "
        "subjects; how many subjects are better, the same and worse; p of the Wilcoxon signed-rank test, corrected by Holm for "
        f"{comparisons}; probabilities that the configuration is better by more than {share(compared.rope)} points, worse by "
        "more than that, or neither (same)."
    )
    head = ("configuration", f"{metric}, %", "difference", "better / same / worse", "p", "P(better)", "P(same)", "P(worse)")
    return Table(caption, (*head, "worst subject, %"), tuple(rows))


def _against(contrast: Contrast | None) -> tuple[str, ...]:
    if contrast is None:
        return ("control", *[NONE] * 5)
    chances = (contrast.better, contrast.equivalent, contrast.worse)
    return (
        difference(contrast),
        f"{contrast.wins} / {contrast.draws} / {contrast.losses}",
        _p(contrast.p_holm),
        *(NONE if math.isnan(chance) else f"{chance:.2f}" for chance in chances),
    )


def difference(contrast: Contrast) -> str:
    """A difference in points, with its interval where there is one."""
    if math.isnan(contrast.difference):
        return NONE
    interval = "" if contrast.low is None or contrast.high is None else f" ({points(contrast.low)} to {points(contrast.high)})"
    return f"{points(contrast.difference)}{interval}"


def evidence(compared: Compared) -> Table:
    """What the tests rest on."""
    rows = [
        (
            each.level,
            count(each.subjects),
            _p(each.p),
            _p(each.p_holm),
            f"{each.smallest_p_holm:.2g}",
            _number(each.effect_dz),
            _number(each.rank_biserial),
            NONE if each.needed is None else count(each.needed),
        )
        for each in compared.contrasts
    ]
    head = ("configuration", "subjects", "p of its own", "p corrected", "least possible p", "dz", "rank-biserial")
    return Table("The tests in full", (*head, "subjects for 80 % power"), tuple(rows), folded=True)


def beside(compared: Compared) -> Table:
    """The other scores, and the size."""
    results = compared.results
    rows = []
    for level in compared.ranked:
        first, size = compared.first(level), compared.deployed(level)
        rows.append(
            (
                level,
                share(compared.macro_f1(level)),
                share(results.mean(level, "balanced_accuracy")),
                f"{results.mean(level, 'nll'):.3f}",
                f"{results.ece(level):.3f}",
                f"{results.mean(level, 'brier'):.3f}",
                count(first.parameters),
                NONE if size is None else kilobytes(size.bytes),
                counts(compared.updates(level)),
            )
        )
    head = ("configuration", "macro-F1, %", "balanced, %", "NLL", "ECE", "Brier", "parameters", "on the watch, kB", "updates")
    caption = "Other scores on test subjects. Macro-F1 is the mean over subjects, the others are those of all windows together."
    return Table(caption, head, tuple(rows))


def subjects(compared: Compared) -> Table:
    """Every subject under every configuration."""
    scores = compared.scores
    worst = {level: compared.worst(level)[0] for level in scores.levels}
    table = sorted(zip(scores.subjects, scores.values.tolist(), strict=True), key=lambda row: natural(row[0]))
    rows = [
        (subject(name), *(_cell(value, worst[level] == name) for level, value in zip(scores.levels, row, strict=True)))
        for name, row in table
    ]
    rows.append(("mean of subjects", *(share(compared.mean(level)) for level in scores.levels)))
    caption = f"Test {METRICS[scores.metric]} of each subject in percent, mean over seeds. The lowest of a column is marked."
    return Table(caption, ("subject", *scores.levels), tuple(rows), totals=1)


def natural(name: str) -> list[tuple[float, str]]:
    """A key by which names are sorted as people count.

    >>> sorted(["10", "9", "person-2", "person-10"], key=natural)
    ['9', '10', 'person-2', 'person-10']
    """
    return [(int(part), "") if part.isdigit() else (math.inf, part) for part in re.split(r"(\d+)", name) if part]


def _cell(value: float, lowest: bool) -> str:
    if math.isnan(value):
        return NONE
    return f"lowest: {share(value)}" if lowest else share(value)


def nemenyi(compared: Compared) -> Table:
    """Every pair of configurations, by rank."""
    together, names = compared.omnibus, list(compared.omnibus.ranks)
    order = sorted(names, key=lambda name: together.ranks[name])
    matrix = together.nemenyi or ()
    rows = []
    for row, one in enumerate(order):
        cells = [
            NONE if column <= row else _p(matrix[names.index(one)][names.index(other)]) for column, other in enumerate(order)
        ]
        rows.append((f"{row + 1}  {one}", f"{together.ranks[one]:.2f}", *cells[1:]))
    head = ("configuration", "rank", *(str(place) for place in range(2, len(order) + 1)))
    caption = "Average rank over subjects (1 is best), and p of Nemenyi's test for every pair, all pairs accounted for."
    return Table(caption, head, tuple(rows))


def classes(compared: Compared) -> Table:
    """F1 of each class under the control, and what the others change."""
    results, others = compared.results, [level for level in compared.levels if level != compared.control]
    names = results.of(compared.control)[0].trained.test.classes
    control = results.class_f1(compared.control)
    changes = class_changes(compared)
    windows = results.confusion(compared.control, results.of(compared.control)[0].cell.seed).sum(1).tolist()
    rows = tuple(
        (name, count(windows[at]), share(control[at]), *(points(changes[level][at]) for level in others))
        for at, name in enumerate(names)
    )
    caption = f"F1 of each class in percent under {compared.control}, and what the others change, in points."
    return Table(caption, ("class", "windows", compared.control, *others), rows)


def class_changes(compared: Compared) -> dict[str, tuple[float, ...]]:
    """F1 of each class less that of the control, a share, for every other level."""
    control = np.array(compared.results.class_f1(compared.control))
    return {
        level: tuple((np.array(compared.results.class_f1(level)) - control).tolist())
        for level in compared.levels
        if level != compared.control
    }


def calibration(compared: Compared) -> Table:
    """How far probabilities can be trusted, all runs of a configuration together."""
    results = compared.results
    rows = []
    for level in compared.ranked:
        bins = results.reliability(level)
        windows = sum(b.windows for b in bins)
        sure = sum(b.windows * b.confidence for b in bins) / windows
        right = sum(b.windows * b.accuracy for b in bins) / windows
        losses = (f"{results.mean(level, name):.3f}" for name in ("nll", "brier"))
        rows.append((level, f"{results.ece(level):.3f}", share(sure), share(right), points(sure - right), *losses))
    head = ("configuration", "ECE", "mean confidence, %", "right, %", "too sure by", "NLL", "Brier")
    return Table("Calibration on test windows, all folds and seeds together.", head, tuple(rows))


def cost(compared: Compared) -> Table:
    """What training a configuration took: steps of the student, and time."""
    rows = []
    for level in compared.levels:
        runs = compared.results.of(level)
        times = [run.result.seconds for run in runs if run.result.seconds is not None]
        epochs = [run.result.epochs for run in runs]
        one, all_ = (duration(fmean(times)), duration(sum(times))) if times else (NONE, NONE)
        rows.append((level, count(len(runs)), counts(epochs), counts(compared.updates(level)), one, all_))
    head = ("configuration", "runs", "epochs", "student updates", "time a run", "in all")
    caption = "Training of the students. Times are those of the machines at hand, with whatever else these were doing."
    return Table(caption, head, tuple(rows))


def teachers(runs: Sequence[Trained]) -> Table:
    """Teachers, which are trained once and shared: their updates come on top of those of students."""
    sorts: dict[tuple[str, str, str], list[Trained]] = {}
    for run in runs:
        sorts.setdefault((run.result.label, run.result.augment, run.result.sees), []).append(run)
    rows = []
    for (label, augment, sees), same in sorts.items():
        times = [run.result.seconds for run in same if run.result.seconds is not None]
        windows = sum(run.test.windows for run in same)
        accuracy = sum(run.test.windows * run.test.accuracy for run in same) / windows
        updates = [run.result.updates for run in same]
        end = (count(len(same)), count(same[0].result.parameters), counts(updates), share(accuracy))
        rows.append((label, augment, sees, *end, duration(sum(times)) if times else NONE))
    head = ("teacher", "augmentation", "sees", "runs", "parameters", "teacher updates", "accuracy, %", "time in all")
    caption = "Teachers, apart from their students: each is trained once and shared by all runs that ask for the same."
    return Table(caption, head, tuple(rows), texts=3)


def differing(compared: Compared) -> Table:
    """The options in which configurations differ."""
    names = list(compared.differing)
    rows = tuple((level, *(option(compared.differing[name].get(level)) for name in names)) for level in compared.levels)
    return Table(
        "What differs between configurations.",
        ("configuration", *(name.removeprefix("method_options.") for name in names)),
        rows,
        texts=1 + len(names),
    )


def fixed(compared: Compared) -> Table:
    """The options that are the same for all configurations that have them: a teacher's concern only those that have one."""
    options = {name: value for level in compared.levels for name, value in compared.settings(level).items()}
    rows = tuple((name, option(value)) for name, value in options.items() if name not in compared.differing)
    return Table("What is the same for all that have it", ("option", "value"), rows, texts=2, folded=True)


def _p(p: float | None) -> str:
    return NONE if p is None else p_value(p).removeprefix("= ")


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}".replace("-", "−")
