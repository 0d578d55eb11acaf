"""The model card of a configuration: what it is for, how it was made, how well it does and for whom, and what is not known.

After Mitchell et al., Model cards for model reporting, FAT* (2019). All of it is read from the runs of a study: what they do not
say is not on the card, or stands there as not known. It is a page like any other, set as Markdown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harkd.compare.verdict import p_value
from harkd.report import comparison_tables as tables
from harkd.report import facts
from harkd.report.compared import Compared
from harkd.report.comparison_notes import updates
from harkd.report.comparison_tables import METRICS, natural
from harkd.report.page import MEDICAL
from harkd.report.render import to_markdown
from harkd.report.tree import Block, Code, Facts, Page, Section, Table, Text
from harkd.report.words import NONE, SYNTHETIC, count, counts, kilobytes, listed, many, percent, points, share, subject
from harkd.runs import Run

SETTINGS = ("epochs", "batch", "optimiser", "rate", "schedule", "weight_decay", "patience", "select")
"""Options of the training that a card names; the study's folder has them all."""


def model_card(compared: Compared, winner: str, page: str = "report.html") -> str:
    """The card of a level, as Markdown.

    Args:
        winner: the level; a study's own choice is `compared.winner`, the best on validation subjects.
        page: file name of the study's page, which the card points to.

    Raises:
        UsageError: there is no such level.
        HarkdError: a run directory is damaged.
    """
    return to_markdown(build_model_card(compared, winner), page)


def build_model_card(compared: Compared, level: str) -> Page:
    """The card of a level as a tree."""
    first = compared.first(level)
    about = _sidecar(compared, level)
    worst, lowest = compared.worst(level)
    metric = METRICS[compared.scores.metric]
    new = "whom the net was not trained on" if compared.unseen else "in sessions that the net was not trained on"
    verdict = (
        f"{percent(compared.mean(level))} {metric} on {many(len(compared.by_subject(level)), 'test subject')}, {new}; "
        f"{subject(worst)} comes off worst with {percent(lowest)}."
    )
    return Page(
        kicker="harkd model card",
        title=f"{first.net} on {first.terms.data}: {level}",
        verdict=verdict,
        details=(),
        notes=_notes(compared),
        sections=(
            Section("Intended use", _use(compared, level, about)),
            Section("Model", (_model(compared, level, about),)),
            Section("Training", (_training(compared, level),)),
            Section("Data and terms", (_data(compared, level), Text(facts.TRAVEL))),
            Section("How it was chosen", (Text(_chosen(compared, level)),)),
            Section("Results", _results(compared, level)),
            Section("Limits", tuple(Text(limit) for limit in _limits(compared, level, about))),
            Section("How to repeat it", (Code(compared.command),)),
            Section("Environment", (Facts(facts.environment([run.result for run in compared.results.of(level)])),)),
        ),
        footer=MEDICAL,
    )


def _sidecar(compared: Compared, level: str) -> dict[str, Any]:
    """What stands beside the weights of the first run: sensors, rate, window and target."""
    run = compared.results.of(level)[0].trained
    keys = ("target", "rate", "length", "sensors")
    found: dict[str, Any] = Run(Path(run.where)).read_json(f"{run.result.selected}.json", *keys)
    return found


def _notes(compared: Compared) -> tuple[str, ...]:
    told = []
    if compared.about.terms.synthetic:
        told.append(SYNTHETIC)
    if compared.about.terms.commercial is False:
        told.append("the terms of the training data forbid commercial use, and with it that of this model.")
    return tuple(told)


def _use(compared: Compared, level: str, about: dict[str, Any]) -> tuple[Block, ...]:
    classes = compared.results.of(level)[0].trained.test.classes
    seconds = about["length"] / about["rate"]
    text = (
        f"To tell {many(len(classes), 'class')} of {about['target']} ({listed(classes)}) from windows of {seconds:.2g} s of "
        f"{_sensors(about)}, recorded as in {compared.about.terms.data}."
    )
    return (Text(text), Text("Not for diagnosis, treatment, or anything on which a person's safety depends."))


def _sensors(about: dict[str, Any]) -> str:
    return listed([f"{each['name']} ({each['placement'] or 'placement not stated'})" for each in about["sensors"]])


def _model(compared: Compared, level: str, about: dict[str, Any]) -> Facts:
    first, size = compared.first(level), compared.deployed(level)
    on_watch = "not known: nothing was exported"
    if size is not None:
        how = "the exported int8 file" if size.measured else "one byte for each parameter; nothing was exported"
        on_watch = f"{kilobytes(size.bytes)} kB ({how})"
    return Facts(
        (
            ("net", first.net),
            ("parameters", count(first.parameters)),
            ("size on the watch", on_watch),
            ("sees", f"{first.sees}, at {about['rate']:g} Hz"),
            ("sensors", _sensors(about)),
            ("window", f"{about['length']} samples"),
        )
    )


def _training(compared: Compared, level: str) -> Facts:
    first, settings = compared.first(level), compared.settings(level)
    own = {name.removeprefix("method_options."): value for name, value in settings.items() if name.startswith("method_options.")}
    method = ", ".join([first.method, *(f"{name} {facts.option(value)}" for name, value in own.items())])
    training = ", ".join(f"{name} {facts.option(settings[name])}" for name in SETTINGS if name in settings)
    runs = compared.results.of(level)
    return Facts(
        (
            ("augmentation strategy", first.augment),
            ("method", method),
            ("teacher", first.teacher or "none"),
            ("seeds", listed([str(seed) for seed in sorted({run.cell.seed for run in runs})])),
            ("folds", f"{len({run.cell.fold for run in runs})}, each with its own net: {many(len(runs), 'run')} in all"),
            ("updates", f"{counts(compared.updates(level))} a run"),
            ("options", training),
        )
    )


def _data(compared: Compared, level: str) -> Facts:
    splits = [run.result.split for run in compared.results.of(level)]
    parts = []
    for name, part in (("training", [s.train for s in splits]), ("validation", [s.val for s in splits])):
        size = f"{counts([p.subjects for p in part])} subjects, {counts([p.windows for p in part])} windows in each fold"
        parts.append((name, size if any(p.windows for p in part) else "none"))
    tested = ", ".join(sorted(compared.by_subject(level), key=natural))
    parts.append(("test", f"{many(len(compared.by_subject(level)), 'subject')} over all folds: {tested}"))
    return Facts((*facts.terms(compared.about.terms), ("split", "by subject" if compared.unseen else "by session"), *parts))


def _chosen(compared: Compared, level: str) -> str:
    number = many(len(compared.levels), "configuration")
    if compared.winner != level:
        best = f"the best of them on validation subjects is {compared.winner}" if compared.winner else "no validation subjects"
        return f"Picked by hand among {number}: {best}."
    mean = percent(compared.validation(level) or 0.0)
    text = (
        f"The best of {number} on validation subjects ({mean} {METRICS[compared.scores.metric]} there). Scores on test subjects "
        "had no part in the choice."
    )
    if compared.ranked[0] != level:
        text += f" On test subjects {compared.ranked[0]} scores higher ({percent(compared.mean(compared.ranked[0]))})."
    return text


def _results(compared: Compared, level: str) -> tuple[Block, ...]:
    results, metric = compared.results, METRICS[compared.scores.metric]
    items = [
        (f"{metric}, mean over subjects", percent(compared.mean(level))),
        ("macro-F1, mean over subjects", percent(compared.macro_f1(level))),
        (
            "calibration",
            f"ECE {results.ece(level):.3f}, NLL {results.mean(level, 'nll'):.3f}, Brier {results.mean(level, 'brier'):.3f}",
        ),
    ]
    contrast = compared.contrast(level)
    if contrast is not None:
        test = f"p {p_value(contrast.p_holm)} after correction" if contrast.p_holm is not None else f"no test: {contrast.refused}"
        items.append(
            (
                f"against {compared.control}",
                f"{tables.difference(contrast)} points, {contrast.wins} of {many(contrast.subjects, 'subject')} better, {test}",
            )
        )
    return (Facts(tuple(items)), _subjects(compared, level), _classes(compared, level))


def _subjects(compared: Compared, level: str) -> Table:
    scores, control = compared.by_subject(level), compared.by_subject(compared.control)
    worst, _ = compared.worst(level)
    rows = []
    for name in sorted(scores, key=natural):
        gain = points(scores[name] - control[name]) if name in control else NONE
        rows.append((f"{subject(name)}{', the worst' if name == worst else ''}", share(scores[name]), gain))
    metric = METRICS[compared.scores.metric]
    caption = f"Each test subject; difference from {compared.control} in points."
    return Table(caption, ("subject", f"{metric}, %", "difference"), tuple(rows))


def _classes(compared: Compared, level: str) -> Table:
    results = compared.results
    names, seeds = results.of(level)[0].trained.test.classes, len({run.cell.seed for run in results.of(level)})
    windows = results.confusion(level).sum(1).tolist()
    rows = tuple(
        (name, count(number), share(f1)) for name, number, f1 in zip(names, windows, results.class_f1(level), strict=True)
    )
    over = f" over {many(seeds, 'seed')}" if seeds > 1 else ""
    return Table(f"Each class: test windows{over}, and F1.", ("class", "windows", "F1, %"), rows)


def _limits(compared: Compared, level: str, about: dict[str, Any]) -> list[str]:
    data, contrast = compared.about.terms.data, compared.contrast(level)
    placements = sorted({each["placement"] for each in about["sensors"] if each["placement"]})
    worn = f"worn at {listed(placements)}" if placements else "whose placement the data set does not state"
    told = [
        f"Tested on {many(len(compared.by_subject(level)), 'subject')} of {data} only, with sensors {worn}. Other placements, "
        "devices, people and ways of recording were not tested.",
        "The runs know neither age nor health nor any other trait of the subjects: nothing is claimed for any group of people.",
        "The scores are those of the configuration: every fold trained a net of its own, and none of them has seen all subjects. "
        "They are of the float net; harkd export measures the file that runs on a watch.",
    ]
    if not compared.unseen:
        told.append("The test is on other sessions of people whom the net was trained on: on new people it will do worse.")
    if len(compared.results.design.folds) > 1:
        told.append("Validation subjects of a fold are test subjects of another: the choice is not wholly apart from the test.")
    if contrast is not None and contrast.refused:
        told.append(f"Whether it is better than {compared.control} was not tested: {contrast.refused}.")
    elif contrast is not None and not contrast.different:
        told.append(f"It is not shown to be better than {compared.control}.")
    if not compared.equal_updates:
        text = updates(compared)
        told.append(f"{text[0].upper()}{text[1:]}")
    if len(compared.results.design.seeds) == 1:
        told.append("One seed only: another may turn a result round.")
    if lacking := [*compared.scores.missing, *compared.results.missing()]:
        told.append(f"The study is not complete. {' '.join(lacking)}")
    return told
