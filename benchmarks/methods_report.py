"""The page of benchmarks/methods.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean

from tables import table

from harkd.compare.contrast import Contrast, contrasts
from harkd.compare.results import Results
from harkd.methods import METHODS

CONTROLS = ("ce", "kd")


@dataclass(frozen=True)
class Compared:
    """One study of one rung: what became of each method, the forward passes of others for a step, and its seconds.

    Attributes:
        tuned: fold -> method -> option -> value, where that is not the default.
    """

    title: str
    results: Results
    forwards: Mapping[str, float]
    seconds: Mapping[str, float]
    tuned: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def runs(self) -> str:
        """How many subjects, folds and seeds there are."""
        design, subjects = self.results.design, len(self.results.subjects)
        finished = min(len({run.cell.seed for run in self.results.of(level)}) for level in self.results.levels)
        return f"{subjects} subjects in {len(design.folds)} folds, {finished} seed{'s' if finished > 1 else ''}"

    @cached_property
    def against(self) -> dict[str, dict[str, Contrast]]:
        """Differences in accuracy by control and method."""
        scores = self.results.scores("accuracy")
        return {c: {each.level: each for each in contrasts(replace(scores, control=c))} for c in CONTROLS}

    def rows(self) -> list[list[str]]:
        """A row for each method, in the order of `METHODS`."""
        scores = self.results.scores("accuracy")
        rows = []
        for level in self.results.levels:
            mine = scores.of(level)
            rows.append(
                [
                    f"`{level}`",
                    f"{self.results.of(level)[0].result.parameters:,}",
                    f"{fmean(run.result.updates for run in self.results.of(level)):,.0f}",
                    f"{100 * mine.mean():.1f}",
                    f"{100 * fmean(self.results.class_f1(level)):.1f}",
                    f"{self.results.ece(level):.3f}",
                    f"{100 * mine.min():.1f}",
                    *(_difference(self.against[control].get(level)) for control in CONTROLS),
                    f"{self.forwards[level]:.1f}",
                    f"{self.seconds[level] / self.seconds['ce']:.1f}",
                ]
            )
        return rows

    def options(self) -> str:
        """What each method was tuned to in each fold."""
        rows = [
            [f"`{level}`", *(_options(level, found[level]) for found in self.tuned.values())]
            for level in self.results.levels
            if any(found[level] for found in self.tuned.values())
        ]
        return table(["tuned", *(f"`{fold}`" for fold in self.tuned)], rows)

    def words(self, control: str) -> str:
        """In plain words which methods differ from a control."""
        found = [each for each in self.against[control].values() if each.level not in CONTROLS or control == "ce"]
        better = [each.level for each in found if each.different and each.difference > 0]
        worse = [each.level for each in found if each.different and each.difference < 0]
        above = [each.level for each in found if each.low is not None and each.low > 0 and each.level not in better]
        below = [each.level for each in found if each.high is not None and each.high < 0 and each.level not in worse]
        refused = next((each.refused for each in found if each.refused), "")
        shown = (
            f"no test is possible: {refused}"
            if refused
            else f"shown to be better (Wilcoxon, Holm): {_names(better)}; shown to be worse: {_names(worse)}"
        )
        return (
            f"- Against `{control}`, {shown}. The interval of one comparison alone is above zero for {_names(above)}, and "
            f"below it for {_names(below)}."
        )


def _names(methods: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in methods) or "none"


def _options(method: str, found: Mapping[str, str]) -> str:
    told = (f"{option.removeprefix(f'{method}.')} {float(value):.3g}" for option, value in found.items())
    return ", ".join(told) or "defaults"


def _difference(found: Contrast | None) -> str:
    if found is None:
        return ""
    span = "" if found.low is None or found.high is None else f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"{100 * found.difference:+.1f}{span}{'*' if found.different else ''}"


def section(study: Compared) -> str:
    """Title, table, and what it says."""
    head = ["method", "parameters", "updates", "accuracy", "macro-F1", "ECE", "worst subject"]
    head += ["less `ce` [95 %]", "less `kd` [95 %]", "others asked per step", "time"]
    parts = [f"### {study.title}", f"{study.runs}.", table(head, study.rows()), "\n".join(map(study.words, CONTROLS))]
    if study.tuned:
        parts.append(study.options())
    return "\n\n".join(parts)


def overview(studies: Sequence[Compared], control: str) -> str:
    """All methods by their mean difference to a control over the studies."""
    methods = [name for name in METHODS if name != control and all(name in study.against[control] for study in studies)]
    means = {name: fmean(study.against[control][name].difference for study in studies) for name in methods}
    rows = [
        [f"`{name}`", *(_difference(study.against[control][name]) for study in studies), f"{100 * means[name]:+.1f}"]
        for name in sorted(methods, key=means.__getitem__, reverse=True)
    ]
    return table(["method", *(study.title for study in studies), "mean"], rows)


def page(first: Sequence[Compared], second: Sequence[Compared], machine: str) -> str:
    """The whole page."""
    parts = [PAGE.format(count=len(METHODS), machine=machine), overview(first, "ce")]
    parts += ["## Rung 1: all methods, default options, 1,500 updates", *map(section, first)]
    if second:
        parts += [RUNG_2, *map(section, second)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


PAGE = """
# Which distillation methods help here

`python benchmarks/methods.py FOLDER RECORDINGS` compares all {count} methods of `harkd list methods` by `harkd compare`: the same
student (`dscnn-s`), updates, batches of 64 windows and augmented windows for all, teachers and assistants of at most 150,000
parameters that are trained once and shared. Defaults throughout, nothing tuned in rung 1. {machine}.

- *Accuracy* and *worst subject*: means over subjects and the lowest of them, in %; each subject is tested in one fold by students
  that have never seen this person. *Macro-F1* (%) and *ECE* over all test windows.
- *Less `ce`*, *less `kd`*: mean difference in accuracy over subjects, in points, with the 95 % bootstrap interval of this
  comparison alone. A star: different after Holm's correction for all methods (Wilcoxon, 5 %).
- *Others asked per step*: forward passes of other nets for each update of the student, if nothing is kept (counted, over a whole
  schedule). Where a method needs nothing but answers of frozen teachers, these are kept and cost one pass over the windows.
  What `adain` asks of a part of the teacher is not counted.
- *Time*: seconds of a step relative to `ce`, with answers kept where they can be, measured alone and apart from the studies, with
  the defaults; training the teachers is not counted. Measured again, the ratios are some 10 % higher or lower, at worst 40 %.
- *Parameters* are those of the student that would be deployed. *Updates*: of the student, mean over folds; `iskd` has as many
  epochs as the others, and its first ones are shorter.

Nets: `wrn1d-16-1` and `resnet1d-s` teach on HAPT; `fusion-skeleton-s+resnet1d-s`, `skeleton-s` and `resnet1d-s` on UTD-MHAD; the
assistant is `dscnn-l`. Methods of one teacher take the first. A fused net has one map, without time: with it `at` is `kd`. On
UTD-MHAD all nets see augmented sequences in four draws (that of [utd_mhad](utd_mhad.md) without mixup), on HAPT recorded windows.
The test subjects had no part in any choice.

## In short: the difference to the student alone

Points of accuracy; methods by their mean over the studies. The students of `simkd` and `atsc` keep a projector and the heads of
their teachers: they are larger than all others.
"""
RUNG_2 = """
## Rung 2: the six best, tuned, 6,000 updates

`ce`, `kd`, and six methods. The six of a data set were chosen on validation subjects of the other data set (mean rank of
accuracy in the first seed of rung 1), because a subject on whom one fold is validated is tested in another. Each method is
tuned in each fold by four trials (Optuna) with 1,500 updates on the fold's validation subjects: its weights, temperature and
label smoothing; the defaults stay where no trial is better.
"""
