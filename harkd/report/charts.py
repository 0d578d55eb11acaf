"""The figures of a report: what each shows, its caption, its words for those who do not see it, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from harkd.report import figures, tables
from harkd.report.study import Comparison, Group, Study
from harkd.report.tree import Block, Figure, Panel, Role, Sheet, Table
from harkd.report.words import count, listed, many, percent, points, share, subject

TERMS = {"ce": "label loss (ce)", "kl": "distance to the teacher (kl)"}
SCORES = {"accuracy": ("validation accuracy, %", 100.0, 1), "nll": ("validation NLL", 1.0, 3)}
NAMES: dict[Role, str] = {"teacher": "teacher", "alone": "student alone", "distilled": "distilled student"}

Lines = list[tuple[Role, Mapping[int, Sequence[float]]]]
"""Who, and by seed a value per epoch."""


def subjects(study: Study) -> tuple[Block, ...]:
    """One table and one dot plot per comparison, or per lone group."""
    blocks: list[Block] = []
    if not study.comparisons:
        for number, (group,) in enumerate(study.views()):
            blocks.append(tables.subjects([group], None))
            if len(study.subjects) > 1:
                blocks.append(_subjects(f"subjects{number}", study, [group], None))
    for number, comparison in enumerate(study.comparisons):
        teacher = study.teacher_of(comparison.distilled)
        groups = [*([teacher] if teacher else []), comparison.alone, comparison.distilled]
        blocks += [tables.subjects(groups, comparison), _subjects(f"subjects{number}", study, groups, comparison)]
    return tuple(blocks)


def _subjects(key: str, study: Study, groups: Sequence[Group], comparison: Comparison | None) -> Figure:
    names = [subject(score.subject) for score in groups[0].runs[0].test.subjects]
    series = [(group.role, list(group.by_subject().values())) for group in groups]
    gains = [] if comparison is None else list(comparison.by_subject)
    told = [
        f"{name}: "
        + ", ".join(f"{role} {percent(values[at])}" for role, values in series)
        + (f", {points(gains[at])}" if gains else "")
        for at, name in enumerate(names)
    ]
    caption = "Mean over seeds. The scale does not begin at zero."
    if gains:
        caption = "Mean over seeds; at the right what distillation changes, in points. The scale does not begin at zero."
    alt = f"Accuracy by subject. {'; '.join(told)}."
    signs = [(figures.Sign.of(role), values) for role, values in series]
    joined = sum(role != "teacher" for role, _ in series)
    svg = figures.rows(key, alt, names, signs, gains, joined=joined)
    columns = [[score.windows for score in groups[0].runs[0].test.subjects], *(values for _, values in series)]
    head = ("subject", "windows", *(role for role, _ in series), *(["difference"] if gains else []))
    data = Sheet(head, tuple(zip(names, *columns, *([gains] if gains else []), strict=True)))
    panel = Panel("", svg, key, data)
    return Figure(_title("Accuracy of each test subject", study, groups), caption, _legend(groups), (panel,), ())


def curves(study: Study) -> tuple[Block, ...]:
    """Loss terms and validation scores per epoch, one figure per view."""
    found = (_curves(f"curves{number}", study, groups) for number, groups in enumerate(study.views()))
    return tuple(figure for figure in found if figure.panels)


def _curves(key: str, study: Study, groups: Sequence[Group]) -> Figure:
    terms = dict.fromkeys(name for group in groups for name in group.terms())
    wanted = [("terms", name, TERMS.get(name, name), 1.0, 3) for name in terms]
    wanted += [("scores", name, *words) for name, words in SCORES.items()]
    panels: list[Panel] = []
    numbers: list[Table] = []
    for kind, name, title, scale, digits in wanted:
        lines: Lines = [(group.role, found) for group in groups if (found := group.curves(name, kind))]
        if not lines:
            continue
        means = [(role, figures.mean_curve(list(runs.values()))) for role, runs in lines]
        ends = [f"{NAMES[role]} {scale * mean[-1]:.{digits}f} after epoch {len(mean)}" for role, mean in means]
        alt = f"{title} per epoch, mean over seeds: {listed(ends)}."
        name = f"{key}-{len(panels)}"
        svg = figures.curves(name, alt, [(role, list(runs.values())) for role, runs in lines], scale=scale)
        panels.append(Panel(title, svg, name, _by_epoch(lines)))
        numbers.append(tables.curves(title, means, scale, digits))
    most = max(len(group.runs) for group in groups)
    caption = "Thin: each seed; bold: their mean, as far as all of them go." if most > 1 else "One seed."
    caption = f"{caption} Losses on training windows, before they are weighted; scores on validation subjects."
    return Figure(
        _title("Losses and validation scores, epoch by epoch", study, groups),
        caption,
        _legend(groups),
        tuple(panels),
        tuple(numbers),
    )


def _by_epoch(lines: Lines) -> Sheet:
    """Every epoch of every run, unscaled."""
    head = ("epoch", *(f"{role} seed {seed}" for role, runs in lines for seed in runs))
    columns = [[None if value != value else value for value in run] for _, runs in lines for run in runs.values()]
    return Sheet(head, tuple((epoch, *row) for epoch, row in enumerate(zip_longest(*columns), 1)))


def confusion(study: Study) -> tuple[Block, ...]:
    """Confusion matrices, one figure per view."""
    return tuple(_confusion(f"confusion{number}", study, groups) for number, groups in enumerate(study.views()))


def _confusion(key: str, study: Study, groups: Sequence[Group]) -> Figure:
    classes = groups[0].runs[0].test.classes
    panels = []
    for group in groups:
        matrix, name = group.confusion(), f"{key}-{group.role}"
        alt = f"Confusion matrix, {group.label}. {_told(matrix, classes)}"
        svg = figures.confusion(name, alt, group.role, matrix, classes)
        cells = tuple((class_, *row) for class_, row in zip(classes, matrix.tolist(), strict=True))
        data = Sheet(("true class", *classes), cells)
        panels.append(Panel(f"{NAMES[group.role]}, {many(int(matrix.sum()), 'answer')}", svg, name, data, wide=len(classes) > 8))
    never = []
    for group in groups:
        if unused := [classes[at] for at in np.flatnonzero(group.confusion().sum(0) == 0)]:
            never.append(f"The {NAMES[group.role]} never answers {listed(unused, 'or')}.")
    absent = [classes[at] for at in np.flatnonzero(groups[0].confusion().sum(1) == 0)]
    missing = [f"No test window is of {listed(absent, 'or')}."] if absent else []
    caption = "Rows are true classes, columns answers; each cell is the share of its row in percent, all seeds together."
    caption = " ".join([caption, *never, *missing])
    numbers = tuple(tables.confusion(group) for group in groups)
    return Figure(_title("Answers to each true class", study, groups), caption, (), tuple(panels), numbers)


def _told(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """A confusion matrix in words."""
    sentences = []
    for at, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        total = int(row.sum())
        if not total:
            continue
        wrong = np.where(np.arange(len(row)) == at, -1, row)
        worst = int(wrong.argmax())
        mixed = f", most often taken for {classes[worst]} ({percent(row[worst] / total)})" if wrong[worst] > 0 else ""
        sentences.append(f"{name}: {percent(row[at] / total)} of {count(total)} right{mixed}.")
    return " ".join(sentences)


def reliability(study: Study) -> tuple[Block, ...]:
    """Reliability diagrams, one figure per view."""
    return tuple(_reliability(f"reliability{number}", study, groups) for number, groups in enumerate(study.views()))


def _reliability(key: str, study: Study, groups: Sequence[Group]) -> Figure:
    panels = []
    for group in groups:
        bins, ece, name = group.reliability(), f"ECE {group.mean('ece'):.3f}", f"{key}-{group.role}"
        points_told = ", ".join(f"{share(b.accuracy, 0)} at {share(b.confidence, 0)} ({many(b.windows, 'window')})" for b in bins)
        alt = f"Reliability, {group.label}, {ece}. Percent right at mean confidence: {points_told}."
        head = ("confidence above", "confidence up to", "windows", "mean confidence", "share right")
        data = Sheet(head, tuple((b.low, b.high, b.windows, b.confidence, b.accuracy) for b in bins))
        panels.append(Panel(f"{NAMES[group.role]}, {ece}", figures.reliability(name, alt, group.role, bins), name, data))
    caption = (
        "Points on the dashed line would be right as often as they claim; below it the student is too sure, above it too modest. "
        "The bars count windows, all seeds together. ECE, the mean gap weighted by windows, is the mean over seeds."
    )
    if groups[0].role == "teacher":
        caption = caption.replace("the student", "the teacher")
    return Figure(
        _title("How often answers of a confidence are right", study, groups),
        caption,
        (),
        tuple(panels),
        tuple(map(tables.reliability, groups)),
    )


def sizes(study: Study) -> tuple[Block, ...]:
    """Accuracy against parameters, if there are two labels at least."""
    if len(study.groups) < 2:
        return ()
    nets = [group.net for group in study.groups]
    dots = []
    for group in study.groups:
        # Colour tells roles apart; a method is named where a net was distilled in more than one way.
        twins = [other for other in study.groups if other.net == group.net and other.role == group.role]
        way = group.first.method if len(twins) > 1 and group.role == "distilled" else NAMES[group.role].split()[0]
        name = f"{group.net}, {'alone' if group.role == 'alone' else way}"
        dots.append((group.role, name, group.first.parameters, group.accuracies))
    told = [
        f"{group.label}: {count(group.first.parameters)} parameters, {percent(group.mean('accuracy'))}" for group in study.groups
    ]
    svg = figures.sizes("sizes", f"Accuracy against parameters. {'; '.join(told)}.", dots)
    seeds = " Small points are single seeds." if len(study.runs) > len(nets) else ""
    caption = f"Mean test accuracy over seeds.{seeds} Parameters on a logarithmic scale; accuracy does not begin at zero."
    numbers: tuple[Table, ...] = (tables.sizes(study),)
    rows = tuple(
        (group.label, group.first.parameters, seed, accuracy)
        for group in study.groups
        for seed, accuracy in zip(group.seeds, group.accuracies, strict=True)
    )
    panel = Panel("", svg, "sizes", Sheet(("configuration", "parameters", "seed", "accuracy"), rows))
    return (Figure("Test accuracy by number of parameters", caption, _legend(study.groups), (panel,), numbers),)


def _legend(groups: Sequence[Group]) -> tuple[tuple[Role, str], ...]:
    """The roles in a figure; a single one needs no key."""
    roles = dict.fromkeys(group.role for group in groups)
    return tuple((role, NAMES[role]) for role in roles) if len(roles) > 1 else ()


def _title(title: str, study: Study, groups: Sequence[Group]) -> str:
    """With several figures of a kind also who is shown: the last group, the distilled one of a comparison."""
    return f"{title}: {groups[-1].label}" if len(study.views()) > 1 else title
