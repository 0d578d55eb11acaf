"""The verdict: what the numbers say in plain words, also where they say that distillation did not help."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from harkd.report.study import Comparison, Group, Study
from harkd.report.words import count, counts, listed, many, percent, points, share, subject

FEW = 6
"""With fewer subjects no test can be trusted: every subject is printed, and no p-value."""
MANY = 8
"""With more subjects the verdict gives the range of their differences; each stands in the table."""
SETTINGS = ("batch", "optimiser", "rate", "schedule", "weight_decay", "clip", "patience", "metric", "precision", "window", "step")
"""Options that a fair comparison holds fixed, besides those that have sentences of their own."""

_OUTCOMES = {
    "helps": "",
    "unclear": "Distillation helps on average here, but not reliably: ",
    "not": "Distillation does not help here: ",
}
_OUTCOMES_NAMED = {"helps": "Helps: ", "unclear": "Better on average, but not reliably: ", "not": "Does not help: "}


def verdict(study: Study) -> tuple[str, tuple[str, ...]]:
    """One paragraph, and with several comparisons one sentence for each."""
    if not study.comparisons:
        return _neutral(study), ()
    if len(study.comparisons) == 1:
        comparison = study.comparisons[0]
        sentences = [_sentence(comparison, study), _teacher(comparison, study), _inference(study)]
        return " ".join(filter(None, sentences)), ()
    helped = sum(_outcome(comparison) == "helps" for comparison in study.comparisons)
    total = len(study.comparisons)
    lead = f"Distillation helps in {helped} of {total} comparisons with the same student alone, on {_test(study)}."
    if not helped:
        lead = f"Distillation does not help here: in none of {total} comparisons is it reliably better, on {_test(study)}."
    return f"{lead} {_inference(study)}", tuple(_sentence(comparison, study, named=True) for comparison in study.comparisons)


def notes(study: Study) -> tuple[str, ...]:
    """What to mind: everything in which the two sides differ besides distillation, and seeds that have no partner."""
    found: dict[str, list[str]] = {}
    for comparison in study.comparisons:
        for note in _notes(comparison, study):
            found.setdefault(note, []).append(f"{comparison.distilled.label} against {comparison.alone.label}")
    several = len(study.comparisons) > 1
    told = [f"{listed(whose)}: {note}" if several else note for note, whose in found.items()]
    return (
        *told,
        *(f"{group.label} has no seed in common with a student alone, so it is not compared." for group in study.unpaired),
    )


def _notes(comparison: Comparison, study: Study) -> list[str]:
    found = []
    if different := _differences(comparison):
        because = "the difference in accuracy is not due to distillation alone"
        found.append(f"not a comparison of like with like. {' '.join(different)} So {because}.")
    left_out = [
        f"{_seeds_named(seeds)} of {group.label}"
        for group in (study.full(comparison.alone), study.full(comparison.distilled))
        if (seeds := sorted(set(group.seeds) - set(comparison.seeds)))
    ]
    if left_out:
        has = "have" if len(left_out) > 1 or " and " in left_out[0].partition(" of ")[0] else "has"
        found.append(f"compared on {_seeds_named(comparison.seeds)}, which both have; {listed(left_out)} {has} no partner.")
    if len(comparison.seeds) == 1:
        found.append("there is one seed only, and another may turn the result round.")
    return found


def _seeds_named(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in seeds])}"


def _outcome(comparison: Comparison) -> str:
    """helps: better on average, for most seeds and for most subjects; unclear: on average only; otherwise not."""
    if points(comparison.difference) == "0.0" or comparison.difference < 0:
        return "not"
    most_seeds = 2 * sum(gain > 0 for gain in comparison.by_seed) > len(comparison.by_seed)
    most_subjects = 2 * sum(gain > 0 for gain in comparison.by_subject) > len(comparison.by_subject)
    return "helps" if most_seeds and most_subjects else "unclear"


def _sentence(comparison: Comparison, study: Study, named: bool = False) -> str:
    alone, distilled, difference = comparison.alone, comparison.distilled, comparison.difference
    one = len(comparison.seeds) == 1
    if named:
        who, other, where = distilled.label, alone.label, ""
    else:
        who = "the distilled student" if one else "distilled students"
        same = "same " if alone.net == distilled.net else ""
        other = f"the {same}{'student' if one else 'students'} alone"
        where = f" on {_test(study)}"
    gap = share(abs(difference))
    relation = f"{gap} {'point' if gap == '1.0' else 'points'} {'more' if difference > 0 else 'less'} than {other}"
    if gap == "0.0":
        relation = f"level with {other}"
    reach = "reaches" if one or named else "reach"
    told = _OUTCOMES_NAMED if named else _OUTCOMES
    # Every beginning is a word of ours: the name of a net must not get a capital.
    sentence = (
        f"{told[_outcome(comparison)]}{who} {reach} {percent(fmean(distilled.accuracies))}{where}, {relation} "
        f"({_seeds(comparison)}; {_subjects(comparison)})."
    )
    return sentence[0].upper() + sentence[1:]


def _seeds(comparison: Comparison) -> str:
    better = sum(gain > 0 for gain in comparison.by_seed)
    total = len(comparison.by_seed)
    return "one seed only" if total == 1 else f"{better} of {total} seeds better"


def _subjects(comparison: Comparison) -> str:
    gains = comparison.by_subject
    if len(gains) <= MANY:
        return f"per subject {', '.join(points(gain) for gain in gains)}"
    better = sum(gain > 0 for gain in gains)
    return f"{better} of {len(gains)} subjects better, from {points(min(gains))} to {points(max(gains))}"


def _teacher(comparison: Comparison, study: Study) -> str:
    teacher = study.teacher_of(comparison.distilled)
    if teacher is None:
        return ""
    accuracy = teacher.mean("accuracy")
    reaches = f"The teacher, {teacher.net} with {count(teacher.first.parameters)} parameters, reaches {percent(accuracy)}"
    if accuracy <= fmean(comparison.alone.accuracies):
        return f"{reaches}, no more than the students alone: it has little to teach."
    return f"{reaches}."


def _inference(study: Study) -> str:
    number = len(study.subjects)
    if number < FEW:
        return f"With {many(number, 'test subject')} no p-value is given."
    return "No test of significance was made; the differences of all test subjects stand below."


def _test(study: Study) -> str:
    return many(len(study.subjects), "test subject")


def _neutral(study: Study) -> str:
    sentences = []
    for group in study.groups:
        runs = f" (mean of {many(len(group.runs), 'seed')})" if len(group.runs) > 1 else ""
        name, worst = group.worst()
        lowest = f"; {subject(name)} comes off worst with {percent(worst)}" if len(study.subjects) > 1 else ""
        told = _about(group)
        sentences.append(
            f"{told[0].upper()}{told[1:]} reaches {percent(group.mean('accuracy'))} on {_test(study)}{runs}{lowest}."
        )
    return f"{' '.join(sentences)} {_why_nothing(study)}"


def _about(group: Group) -> str:
    if group.role == "teacher":
        return f"The teacher {group.net}"
    return f"Trained alone, {group.net}" if group.role == "alone" else f"Distilled ({group.first.method}), {group.net}"


def _why_nothing(study: Study) -> str:
    if study.unpaired:
        return "No seed was trained both alone and distilled, so nothing is compared."
    missing = [role for role in ("alone", "distilled") if not study.of_role(role)]
    if missing == ["distilled"]:
        return "There is no distilled student among these runs, so nothing is compared."
    if missing == ["alone"]:
        return "The same student was not trained alone, so whether distillation helps cannot be said."
    return "There are no students among these runs, so nothing is compared."


def _differences(comparison: Comparison) -> list[str]:
    """Sentences on everything but distillation in which the two sides differ."""
    alone, distilled = comparison.alone, comparison.distilled
    a, d = alone.first, distilled.first
    found = []
    if a.net != d.net:
        found.append(f"The nets differ: {a.net} alone, {d.net} distilled.")
    elif a.parameters != d.parameters:
        found.append(f"The nets differ in size: {count(a.parameters)} parameters alone, {count(d.parameters)} distilled.")
    if a.sees != d.sees:
        found.append(f"They see different data: {a.sees} alone, {d.sees} distilled.")
    if (a.split.train, a.split.val) != (d.split.train, d.split.val):
        sizes = [count(result.split.train.windows) for result in (a, d)]
        found.append(
            f"The training data differ: {sizes[0]} training windows alone, {sizes[1]} distilled, or other validation windows."
        )
    if alone.updates != distilled.updates:
        ranges = f"{counts(alone.updates)} alone, {counts(distilled.updates)} distilled"
        found.append(f"The student updates differ: {ranges}.")
    if a.augment != d.augment:
        found.append(f"The augmentation differs: {a.augment} alone, {d.augment} distilled.")
    if a.selected != d.selected:
        found.append(f"The tested weights differ: the {a.selected} ones alone, the {d.selected} ones distilled.")
    one, two = alone.runs[0].settings(), distilled.runs[0].settings()
    other = [
        f"{name} ({one[name]} alone, {two[name]} distilled)"
        for name in SETTINGS
        if name in one and name in two and one[name] != two[name]
    ]
    if other:
        found.append(f"Settings differ: {listed(other)}.")
    return found
