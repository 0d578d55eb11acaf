"""From a study to the tree of a page: what stands in a report, and in which order."""

from __future__ import annotations

from collections.abc import Callable

from harkd.report import charts, deployment, facts, tables
from harkd.report.study import Group, Study
from harkd.report.taught import taught
from harkd.report.tree import Block, Code, Facts, Page, Section, Text
from harkd.report.verdict import notes, verdict
from harkd.report.words import SYNTHETIC, duration, listed, many, percent

MEDICAL = (
    "Not a medical device. These numbers describe windows of recordings of the subjects above; they say nothing about any one "
    "person's health, and must not be used for diagnosis or treatment."
)


def build(study: Study) -> Page:
    """The report on a study."""
    paragraph, details = verdict(study)
    sections = [
        Section("Results", _results(study)),
        Section("Seed by seed", _seeds(study)),
        Section("Subject by subject", charts.subjects(study)),
        Section("Learning curves", charts.curves(study)),
        Section("What was taught when", taught(study)),
        Section("What is taken for what", charts.confusion(study)),
        Section("How far its confidence can be trusted", charts.reliability(study)),
        Section("Accuracy against size", charts.sizes(study)),
        Section("On the watch", deployment.deployment(study)),
        Section("Protocol", _protocol(study)),
        Section("How to repeat it", _repeat(study)),
        Section("Data and environment", _data(study)),
    ]
    return Page(
        kicker=f"harkd report · {many(len(study.runs), 'run')}",
        title=_title(study),
        verdict=paragraph,
        details=details,
        notes=(*notes(study), *deployment.notes(study)),
        sections=tuple(section for section in sections if section.blocks),
        footer=MEDICAL,
    )


def _title(study: Study) -> str:
    data = f"{study.first.terms.data}{', synthetic data' if study.first.terms.synthetic else ''}"
    nets = list(dict.fromkeys(comparison.distilled.net for comparison in study.comparisons))
    if nets:
        return f"Does distillation help {listed(nets) if len(nets) <= 3 else f'{len(nets)} students'} on {data}?"
    nets = list(dict.fromkeys(group.net for group in study.groups))
    return f"{listed(nets) if len(nets) <= 3 else f'{len(nets)} nets'} on {data}"


def _results(study: Study) -> tuple[Block, ...]:
    confusion = study.groups[0].runs[0].test.confusion
    frequent = max(sum(row) for row in confusion) / max(sum(map(sum, confusion)), 1)
    reading = (
        "Balanced is the mean recall over classes. NLL (in nats), ECE (15 bins) and the Brier score judge the probabilities; "
        "less is better. The worst subject is named before its accuracy. Updates are steps of the net in that row: those of a "
        f"teacher come on top. Always giving the most frequent class would be right for {percent(frequent)} of the test windows."
    )
    same = [
        f"The number of updates is the same for {comparison.distilled.label} and {comparison.alone.label}."
        for comparison in study.comparisons
        if comparison.alone.updates == comparison.distilled.updates
    ]
    return (tables.results(study), Text(" ".join([reading, *same])))


def _seeds(study: Study) -> tuple[Block, ...]:
    blocks: list[Block] = [tables.seeds(comparison) for comparison in study.comparisons]
    if study.comparisons:
        text = (
            "Runs with one seed share their first weights and the order of their batches, so they are compared in pairs. "
            "Differences are taken before rounding; sd is the sample standard deviation."
        )
        blocks.append(Text(text))
    else:
        blocks += [tables.lone_seeds(group) for group in study.groups]
    return (*blocks, tables.runs(study))


def _protocol(study: Study) -> tuple[Block, ...]:
    first = study.first
    items = [("data and split", f"{first.terms.data}, {first.split.name}")]
    if first.terms.synthetic:
        items.append(("synthetic", SYNTHETIC))
    for name, part in (("training", first.split.train), ("validation", first.split.val), ("test", first.split.test)):
        windows = f"{many(part.subjects, 'subject')}, {many(part.windows, 'window')}"
        items.append((name, windows if part.windows else "none"))
    items += [
        ("stopping and choice of weights", _each(study, _choice)),
        ("test subjects", "Used once, to score finished nets: not for training, stopping, or any choice."),
        ("sees", _each(study, lambda group: group.first.sees)),
        ("augmentation", _each(study, lambda group: group.first.augment)),
        ("seeds", _each(study, lambda group: listed([str(seed) for seed in group.seeds]))),
    ]
    times = [run.result.seconds for run in study.runs if run.result.seconds is not None]
    if times:
        short, long = duration(min(times)), duration(max(times))
        each = f" in all, {short if short == long else f'{short} to {long}'} a run" if len(times) > 1 else ""
        items.append(("time to train", f"{duration(sum(times))}{each}"))
    blocks: list[Block] = [Facts(tuple(items))]
    if any(group.first.options for group in study.groups):
        blocks.append(tables.settings(study))
    return tuple(blocks)


def _each(study: Study, say: Callable[[Group], str]) -> str:
    """What is to be said of every label, said once if it is the same for all."""
    told: dict[str, list[str]] = {}
    for group in study.groups:
        told.setdefault(say(group), []).append(group.label)
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{listed(labels)}: {text}" for text, labels in told.items())


def _choice(group: Group) -> str:
    """What the scores on validation subjects decided. Options that a run does not tell are left out."""
    settings = group.runs[0].settings()
    metric, patience = settings.get("metric", "score"), settings.get("patience") or 0
    if group.first.validation is None:
        return "no validation subjects; the weights after the last epoch were tested"
    stop = f"stopped after {patience} epochs without a better {metric} on validation subjects" if patience else ""
    if group.first.selected == "best":
        chosen = f"the epoch with the best {metric} on validation subjects was tested"
    else:
        chosen = "the weights after the last epoch were tested"
    return "; ".join(filter(None, [stop, chosen]))


def _repeat(study: Study) -> tuple[Block, ...]:
    commands = list(dict.fromkeys(run.result.command for run in study.runs if run.result.command))
    if not commands:
        return ()
    text = (
        "Each line makes one run again. Equal numbers need the versions below, and the same kind of device and number of threads."
    )
    return (Text(text), Code("\n".join(commands)))


def _data(study: Study) -> tuple[Block, ...]:
    environment = facts.environment([run.result for run in study.runs])
    return (Facts((*facts.terms(study.first.terms), *environment)), Text(facts.TRAVEL))
