"""The section on exported students: what the files take and cost, and what int8 changes, measured on the files themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harkd.evaluation import Evaluation
from harkd.export.verification import Budget, Verification
from harkd.report import figures
from harkd.report.record import Trained
from harkd.report.study import Group, Study
from harkd.report.tree import Block, Facts, Figure, Mark, Panel, Sheet, Table, Text
from harkd.report.words import NO_BREAK, NONE, count, kilobytes, listed, many, percent, points, share, subject

PAIRS = (("model_float.tflite", "model_int8.tflite"), ("model_fp32.onnx", "model_int8.onnx"))
"""Float and int8 files that belong together; the first there is what is deployed."""
_LEGEND: tuple[tuple[Mark, str], ...] = (("float", "float"), ("int8", "int8"))


@dataclass(frozen=True)
class Exported:
    """A run of a study that was exported."""

    group: Group
    run: Trained
    found: Verification

    @property
    def name(self) -> str:
        """Label, and the seed where that tells more."""
        return f"{self.group.label}, seed {self.run.seed}" if len(self.group.runs) > 1 else self.group.label

    @property
    def scores(self) -> tuple[Evaluation, Evaluation] | None:
        """Of the float model and of the int8 file."""
        floating, int8 = self.found.float, self.found.int8
        return None if floating is None or int8 is None else (floating, int8)

    @property
    def files(self) -> tuple[str, str]:
        """Names of the float file and the int8 one that is deployed."""
        return next((pair for pair in PAIRS if pair[1] in self.found.files), PAIRS[0])

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        file = self.found.files.get(name)
        return file.bytes if file else None


def exports(study: Study) -> tuple[Exported, ...]:
    """The exported runs, in the order of the report."""
    return tuple(Exported(group, run, run.exported) for group in study.groups for run in group.runs if run.exported is not None)


def deployment(study: Study) -> tuple[Block, ...]:
    """The whole section; nothing if no run was exported."""
    found = exports(study)
    if not found:
        return ()
    blocks: list[Block] = [_table(found), Text(_reading(found))]
    blocks += [_facts(each) for each in found]
    blocks += [*_sizes(found), *_classes(found), *_subjects(found)]
    return tuple(blocks)


def notes(study: Study) -> tuple[str, ...]:
    """Exports that broke a bound: nobody should have to scroll to learn of it."""
    return tuple(
        f"the export of {each.name} breaks {many(len(broken), 'bound')}: {listed(broken)}."
        for each in exports(study)
        if (broken := [check.name for check in each.found.checks if not check.passed])
    )


def _table(found: Sequence[Exported]) -> Table:
    rows = []
    for each in found:
        size, arena = each.size(each.files[1]), each.found.ram.get(each.files[1])
        scores = [share(one.accuracy) for one in each.scores] if each.scores else [NONE, NONE]
        f1 = [share(one.macro_f1) for one in each.scores] if each.scores else [NONE, NONE]
        rows.append(
            (
                each.name,
                NONE if size is None else kilobytes(size),
                NONE if arena is None else kilobytes(arena),
                count(each.found.macs),
                *scores,
                *f1,
                _change(each.found),
                _passed(each.found),
            )
        )
    head = ("exported", "int8 file, kB", "RAM, kB", "MACs", "accuracy float, %", "accuracy int8, %")
    more = ("macro-F1 float, %", "macro-F1 int8, %", "change of macro-F1", "checks passed")
    return Table("Exported students, measured on their files and the test subjects.", (*head, *more), tuple(rows))


def _passed(found: Verification) -> str:
    return f"{sum(check.passed for check in found.checks)} of {len(found.checks)}"


def _change(found: Verification) -> str:
    drop = found.drop
    if drop is None:
        return NONE
    interval = "" if drop.low is None or drop.high is None else f" ({points(-drop.high)} to {points(-drop.low)})"
    return f"{points(-drop.macro_f1)}{interval}"


def _reading(found: Sequence[Exported]) -> str:
    told = [
        "The int8 file is what runs on the watch. RAM is the tensor arena of TensorFlow Lite Micro, MACs are the "
        "multiply-accumulates for one window."
    ]
    if any(each.found.drop for each in found):
        told.append(
            "The change of macro-F1 is int8 minus float in points, in parentheses its 95 % interval by a paired bootstrap over "
            "subjects."
        )
    return " ".join(told)


def _facts(each: Exported) -> Facts:
    found = each.found
    items = [("files", _sizes_told({name: file.bytes for name, file in found.files.items()}))]
    if found.ram:
        items.append(("RAM", _sizes_told(found.ram)))
    items += [
        ("work for one window", f"{count(found.macs)} multiply-accumulates with {count(found.parameters)} parameters"),
        ("training", "quantisation-aware" if found.qat else "float, quantised afterwards"),
    ]
    if found.target:
        items.append(("exported for", found.target))
    items += [(f"budget {budget.target}", _verdict(budget, each)) for budget in found.budgets]
    broken = [check for check in found.checks if not check.passed]
    items.append(("checks", f"{_passed(found)} passed"))
    items += [(f"not passed: {check.name}", _broken(check.bound, check.found, check.advice)) for check in broken]
    return Facts(tuple(items), each.name)


def _sizes_told(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {kilobytes(size)}{NO_BREAK}kB" for name, size in sizes.items())


def _verdict(budget: Budget, each: Exported) -> str:
    if budget.why:
        return f"{'fits' if budget.fits else 'does not fit'}: {budget.why}"
    of = []
    for what, used, limit in (
        ("flash", each.size(each.files[1]), budget.flash),
        ("RAM", each.found.ram.get(each.files[1]), budget.ram),
    ):
        if used is not None and limit is not None:
            of.append(f"{kilobytes(used)} of {kilobytes(limit)}{NO_BREAK}kB {what}")
    return f"{'fits' if budget.fits else 'does not fit'}{': ' if of else ''}{listed(of)}"


def _broken(bound: str, found: str, advice: str) -> str:
    return f"found {found}, the bound is {bound}{f'; {advice}' if advice else ''}"


def _sizes(found: Sequence[Exported]) -> tuple[Block, ...]:
    """Accuracy against the size of the file that is deployed."""
    pairs, rows, cells, told = [], [], [], []
    for each in found:
        small, large = each.size(each.files[1]), each.size(each.files[0])
        if each.scores is None or small is None or large is None:
            continue
        floating, int8 = each.scores
        pairs.append((each.group.role, _short(each, found), (large / 1000, floating.accuracy), (small / 1000, int8.accuracy)))
        for file, size, scores in zip(each.files, (large, small), (floating, int8), strict=True):
            rows.append((each.name, each.run.seed, file, size, scores.accuracy, scores.macro_f1))
            cells.append((each.name, file, kilobytes(size), share(scores.accuracy), share(scores.macro_f1)))
        told.append(
            f"{each.name}: float {kilobytes(large)} kB, {percent(floating.accuracy)}; "
            f"int8 {kilobytes(small)} kB, {percent(int8.accuracy)}"
        )
    if not pairs:
        return ()
    svg = figures.files("files", f"Accuracy against the size of the file. {'. '.join(told)}.", pairs)
    data = Sheet(("configuration", "seed", "file", "bytes", "accuracy", "macro_f1"), tuple(rows))
    head = ("configuration", "file", "kB", "accuracy, %", "macro-F1, %")
    table = Table("Accuracy against the size of the file", head, tuple(cells), texts=2, folded=True)
    caption = (
        "The float .tflite and the int8 one made from it; file size on a logarithmic scale. Accuracy does not begin at zero."
    )
    return (Figure("Test accuracy by size of the file", caption, _LEGEND, (Panel("", svg, "files", data),), (table,)),)


def _short(each: Exported, found: Sequence[Exported]) -> str:
    """The net, and as much more as tells it from the others: labels are too long for a drawing."""
    roles = {other.group.role for other in found}
    twins = sum(other.group.label == each.group.label for other in found)
    return ", ".join(
        [each.group.net, *([each.group.role] if len(roles) > 1 else []), *([f"seed {each.run.seed}"] if twins > 1 else [])]
    )


def _classes(found: Sequence[Exported]) -> tuple[Block, ...]:
    def f1(scores: Evaluation) -> list[float]:
        """A class that neither occurs nor is answered has none."""
        columns = [sum(column) for column in zip(*scores.confusion, strict=True)]
        there = [sum(row) + column for row, column in zip(scores.confusion, columns, strict=True)]
        return [value if seen else math.nan for value, seen in zip(scores.class_f1, there, strict=True)]

    def windows(scores: Evaluation) -> list[int]:
        return [sum(row) for row in scores.confusion]

    pairs = [
        _pair(
            f"classes{number}", "F1", "class", each, list(scores[0].classes), windows(scores[0]), (f1(scores[0]), f1(scores[1]))
        )
        for number, each in enumerate(found)
        if (scores := each.scores)
    ]
    return _figure("F1 of each class, float and int8", pairs)


def _subjects(found: Sequence[Exported]) -> tuple[Block, ...]:
    def accuracies(scores: Evaluation) -> list[float]:
        return [score.accuracy for score in scores.subjects]

    pairs = [
        _pair(
            f"files-subjects{number}",
            "accuracy",
            "subject",
            each,
            [subject(score.subject) for score in scores[0].subjects],
            [score.windows for score in scores[0].subjects],
            (accuracies(scores[0]), accuracies(scores[1])),
        )
        for number, each in enumerate(found)
        if (scores := each.scores)
    ]
    return _figure("Accuracy of each test subject, float and int8", pairs)


def _pair(
    key: str,
    score: str,
    what: str,
    each: Exported,
    names: Sequence[str],
    windows: Sequence[int],
    values: tuple[Sequence[float], Sequence[float]],
) -> tuple[Panel, Table]:
    """Float against int8, name by name: drawn, and as a table."""
    floating, int8 = values
    gains = [after - before for before, after in zip(floating, int8, strict=True)]
    lines = list(zip(names, windows, floating, int8, gains, strict=True))
    told = [f"{name} {_share(before)}, {_share(after)}" for name, _, before, after, _ in lines]
    alt = f"{score} of float and int8 in percent, {each.name}. {'; '.join(told)}."
    signs = [(figures.Sign.in_arithmetic(each.group.role, integer), values[integer]) for integer in (False, True)]
    svg = figures.rows(key, alt, names, signs, gains, label=f"{score}, %")
    cells = [(name, number, *(None if math.isnan(value) else value for value in rest)) for name, number, *rest in lines]
    data = Sheet((what, "windows", "float", "int8", "difference"), tuple(cells))
    rows = tuple(
        (name, count(number), _share(before), _share(after), NONE if math.isnan(gain) else points(gain))
        for name, number, before, after, gain in lines
    )
    head = (what, "windows", "float, %", "int8, %", "difference")
    return Panel(each.name, svg, key, data), Table(f"{each.name}: {score} by {what}", head, rows, folded=True)


def _figure(title: str, pairs: Sequence[tuple[Panel, Table]]) -> tuple[Block, ...]:
    if not pairs:
        return ()
    caption = "At the right what int8 changes, in points. The scale does not begin at zero."
    panels, numbers = zip(*pairs, strict=True)
    return (Figure(title, caption, _LEGEND, panels, numbers),)


def _share(value: float) -> str:
    return NONE if math.isnan(value) else share(value)
