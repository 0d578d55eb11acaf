"""The tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from harkd.report.facts import option
from harkd.report.study import Comparison, Group, Study
from harkd.report.tree import Table
from harkd.report.words import NONE, count, counts, duration, kilobytes, points, points_spread, share, spread, subject

LONG = 100
"""Learning curves longer than this are listed at every so many epochs only."""


def results(study: Study) -> Table:
    """One row per label."""
    rows = []
    for group in study.groups:
        first = group.first
        worst, accuracy = group.worst()
        rows.append(
            (
                group.label,
                count(first.parameters),
                kilobytes(first.weights_bytes),
                str(len(group.runs)),
                spread(group.accuracies),
                share(group.mean("macro_f1")),
                share(group.mean("balanced_accuracy")),
                f"{group.mean('nll'):.3f}",
                f"{group.mean('ece'):.3f}",
                f"{group.mean('brier'):.3f}",
                f"{worst}: {share(accuracy)}",
                counts(group.updates),
            )
        )
    head = (
        "configuration",
        "parameters",
        "weights, kB",
        "seeds",
        "accuracy, %",
        "macro-F1, %",
        "balanced, %",
        "NLL",
        "ECE",
        "Brier",
    )
    caption = "Scores on test subjects: mean over seeds, for accuracy ± the standard deviation over seeds."
    return Table(caption, (*head, "worst subject, %", "updates"), tuple(rows))


def seeds(comparison: Comparison) -> Table:
    """Accuracy seed by seed, and the mean of the differences."""
    alone, distilled = comparison.alone, comparison.distilled
    rows = [
        (str(seed), share(a), share(d), points(d - a))
        for seed, a, d in zip(comparison.seeds, alone.accuracies, distilled.accuracies, strict=True)
    ]
    if len(rows) > 1:
        rows.append(("mean ± sd", spread(alone.accuracies), spread(distilled.accuracies), points_spread(comparison.by_seed)))
    totals = 1 if len(rows) > 1 else 0
    caption = f"{distilled.label} against {alone.label}: test accuracy in percent, difference in points."
    return Table(caption, ("seed", "alone", "distilled", "difference"), tuple(rows), totals=totals)


def lone_seeds(group: Group) -> Table:
    """Scores seed by seed of a group that has no partner."""
    rows = [
        (
            str(run.seed),
            share(run.test.accuracy),
            share(run.test.macro_f1),
            share(run.test.balanced_accuracy),
            f"{run.test.nll:.3f}",
        )
        for run in group.runs
    ]
    head = ("seed", "accuracy, %", "macro-F1, %", "balanced, %", "NLL")
    return Table(f"{group.label}: scores on test subjects.", head, tuple(rows))


def runs(study: Study) -> Table:
    """Every run: how long it trained and what its weights were chosen by."""
    rows = []
    for group in study.groups:
        for run in group.runs:
            result = run.result
            rows.append(
                (
                    group.label,
                    str(run.seed),
                    count(result.updates),
                    str(result.epochs),
                    NONE if result.best_epoch is None else str(result.best_epoch),
                    result.selected,
                    NONE if result.validation is None else share(result.validation.accuracy),
                    share(run.test.accuracy),
                    NONE if result.seconds is None else duration(result.seconds),
                )
            )
    head = (
        "configuration",
        "seed",
        "updates",
        "epochs",
        "best epoch",
        "tested weights",
        "validation accuracy, %",
        "test accuracy, %",
        "time",
    )
    return Table("Every run", head, tuple(rows), folded=True)


def subjects(groups: Sequence[Group], comparison: Comparison | None) -> Table:
    """Accuracy of each test subject, mean over seeds; with a comparison also the difference."""
    columns = [group.by_subject() for group in groups]
    gains = [] if comparison is None else list(comparison.by_subject)
    rows = [
        (
            subject(score.subject),
            count(score.windows),
            *(share(column[score.subject]) for column in columns),
            *([points(gains[at])] if gains else []),
        )
        for at, score in enumerate(groups[0].runs[0].test.subjects)
    ]
    heads = [group.role for group in groups] if comparison else [f"{groups[0].label}, %"]
    caption = "Accuracy of each test subject in percent, mean over seeds."
    totals = 1 if comparison and len(rows) > 1 else 0
    if totals:
        last = ["mean of subjects", count(sum(score.windows for score in groups[0].runs[0].test.subjects))]
        rows.append((*last, *(share(fmean(column.values())) for column in columns), points(fmean(gains))))
    if comparison:
        caption = f"{comparison.distilled.label} against {comparison.alone.label}. {caption[:-1]}, difference in points."
    head = ("subject", "windows", *heads, *(["difference"] if gains else []))
    return Table(caption, head, tuple(rows), totals=totals)


def curves(title: str, means: Sequence[tuple[str, Sequence[float]]], scale: float, digits: int) -> Table:
    """Means per epoch of several curves, each in a column of its name."""
    length = max(len(mean) for _, mean in means)
    every = -(-length // LONG)
    epochs = [epoch for epoch in range(1, length + 1) if epoch % every == 0 or epoch in (1, length)]

    def cell(mean: Sequence[float], epoch: int) -> str:
        value = mean[epoch - 1] if epoch <= len(mean) else float("nan")
        return f"{scale * value:.{digits}f}" if value == value else NONE

    rows = tuple((str(epoch), *(cell(mean, epoch) for _, mean in means)) for epoch in epochs)
    return Table(f"{title}: mean over seeds", ("epoch", *(name for name, _ in means)), rows, folded=True)


def confusion(group: Group) -> Table:
    """Counts of a confusion matrix, summed over seeds."""
    classes = group.runs[0].test.classes
    matrix = group.confusion()
    rows = tuple(
        (f"{number}  {name}", *(count(int(value)) for value in row), count(int(row.sum())))
        for number, (name, row) in enumerate(zip(classes, matrix, strict=True), 1)
    )
    head = ("true class", *(str(number) for number in range(1, len(classes) + 1)), "all")
    return Table(f"{group.label}: windows by true class (row) and predicted class (column)", head, rows, folded=True)


def reliability(group: Group) -> Table:
    """The bins of a reliability diagram, all seeds together."""
    rows = tuple(
        (f"{share(b.low, 0)}–{share(b.high, 0)}", count(b.windows), share(b.confidence), share(b.accuracy))
        for b in group.reliability()
    )
    head = ("confidence bin, %", "windows", "mean confidence, %", "right, %")
    return Table(f"{group.label}: calibration, all seeds together", head, rows, folded=True)


def sizes(study: Study) -> Table:
    """Parameters and accuracy."""
    rows = tuple((group.label, count(group.first.parameters), spread(group.accuracies)) for group in study.groups)
    return Table("Accuracy against size", ("configuration", "parameters", "accuracy, %"), rows, folded=True)


def settings(study: Study) -> Table:
    """The options of every label."""
    options = [group.runs[0].settings() for group in study.groups]
    names = list(dict.fromkeys(name for values in options for name in values))
    rows = tuple((name, *(option(values.get(name)) for values in options)) for name in names)
    return Table("Options", ("option", *(group.label for group in study.groups)), rows, texts=1 + len(options), folded=True)
