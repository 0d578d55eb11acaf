"""The page of a study: which configuration helps, how sure that is, what it costs, and what was not the same.

Finished runs -> Results and the statistics over subjects (harkd.compare) -> Compared (compared.py) -> the tree of a page, set by
the same templates as every report.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harkd.compare.power import subjects_for
from harkd.compare.results import Finished
from harkd.compare.verdict import p_value
from harkd.report import comparison_figures as figures
from harkd.report import comparison_tables as tables
from harkd.report import facts
from harkd.report.compared import Compared, Deployed, comparison_json
from harkd.report.comparison_notes import choice, held, notes, updates
from harkd.report.comparison_tables import METRICS
from harkd.report.page import MEDICAL
from harkd.report.tree import Block, Code, Facts, Page, Section, Table, Text
from harkd.report.words import counts, duration, listed, many, points, share
from harkd.report.writing import write_page

__all__ = ["Compared", "Deployed", "build_comparison", "comparison_json", "write_comparison"]


def write_comparison(compared: Compared, html: Path) -> None:
    """Write the page of a study as `html`, and beside it as Markdown. Equal runs give equal bytes.

    Raises:
        UsageError: the path ends in `.md`.
        HarkdError: a file cannot be written.
    """
    write_page(build_comparison(compared), html)


def build_comparison(compared: Compared) -> Page:
    """The page of a study as a tree."""
    results = compared.results
    sections = [
        Section("Ranking", _ranking(compared)),
        Section("Which can be told apart", figures.ranks(compared)),
        Section("Subject by subject", _subjects(compared)),
        Section("Class by class", _classes(compared)),
        Section("How far its confidence can be trusted", figures.reliability(compared)),
        Section("Score against size on the watch", figures.pareto(compared)),
        Section("What training took", _cost(compared)),
        Section("What was held fixed, and what differs", _alike(compared)),
        Section("What is missing", _missing(compared)),
        Section("Protocol", (_protocol(compared),)),
        Section("How to repeat it", (Code(compared.command),)),
        Section("Data and environment", _data(compared)),
    ]
    runs = len(results.finished)
    return Page(
        kicker=f"harkd compare · {many(len(compared.levels), 'configuration')} · {many(runs, 'run')}",
        title=_title(compared),
        verdict=compared.sentences[0],
        details=compared.sentences[1:],
        notes=notes(compared),
        sections=tuple(section for section in sections if section.blocks),
        footer=MEDICAL,
    )


def _title(compared: Compared) -> str:
    nets = list(dict.fromkeys(compared.first(level).net for level in compared.levels))
    who = listed(nets) if len(nets) <= 3 else f"{len(nets)} students"
    terms = compared.about.terms
    data = f"{terms.data}{', synthetic data' if terms.synthetic else ''}"
    others = many(len(compared.contrasts), "configuration")
    return f"What helps {who} on {data}? {others[0].upper()}{others[1:]} against {compared.control}"


def _ranking(compared: Compared) -> tuple[Block, ...]:
    return (
        tables.ranking(compared),
        *figures.forest(compared),
        Text(choice(compared)),
        tables.beside(compared),
        tables.evidence(compared),
    )


def _subjects(compared: Compared) -> tuple[Block, ...]:
    told = []
    worst = {compared.worst(level)[0] for level in compared.levels}
    if len(worst) == 1 and len(compared.levels) > 1:
        told.append(f"The same subject comes off worst under all configurations: {worst.pop()}.")
    number, least = len(compared.scores.subjects), subjects_for(compared.alpha, len(compared.contrasts))
    if number < least:
        told.append(
            f"With {many(number, 'subject')} no p-value is given: {least} are needed for "
            f"{many(len(compared.contrasts), 'comparison')}. Read the rows."
        )
    return (tables.subjects(compared), *([Text(" ".join(told))] if told else []))


def _classes(compared: Compared) -> tuple[Block, ...]:
    changes = tables.class_changes(compared)
    if not changes:
        return ()
    names = compared.about.test.classes if compared.about.test else ()
    values = np.array(list(changes.values()))
    told = []
    for verb, place in (("gain", values.argmax()), ("loss", values.argmin())):
        level, class_ = np.unravel_index(int(place), values.shape)
        change = float(values[level, class_])
        if (change > 0) == (verb == "gain") and change:
            told.append(f"The largest {verb} is {points(change)} points, {names[class_]} under {list(changes)[level]}.")
    return (tables.classes(compared), *([Text(" ".join(told))] if told else []))


def _cost(compared: Compared) -> tuple[Block, ...]:
    blocks: list[Block] = [tables.cost(compared)]
    if compared.teachers:
        blocks.append(tables.teachers(compared.teachers))
    runs = [*(run.trained for run in compared.results.finished), *compared.teachers]
    times = [run.result.seconds for run in runs if run.result.seconds is not None]
    if times:
        blocks.append(Text(f"Added up, the runs took {duration(sum(times))} of one process."))
    return tuple(blocks)


def _alike(compared: Compared) -> tuple[Block, ...]:
    blocks: list[Block] = [Text(f"{held(compared)} {_sentence(updates(compared))}")]
    if compared.differing:
        blocks.append(tables.differing(compared))
    blocks += [Text(f"{_sentence(note)}.") for note in compared.results.design.notes]
    return (*blocks, tables.fixed(compared))


def _sentence(text: str) -> str:
    """What may also stand after a colon, as a sentence."""
    return text[0].upper() + text[1:] if text.startswith("the ") else text


def _missing(compared: Compared) -> tuple[Block, ...]:
    results = compared.results
    blocks: list[Block] = []
    if lacking := [*compared.scores.missing, *results.missing()]:
        blocks.append(Text(" ".join(lacking)))
    if results.failed:
        rows = tuple((each.name, listed(each.levels), each.reason) for each in results.failed)
        blocks.append(Table("Runs that failed.", ("run", "needed for", "reason"), rows, texts=3))
    if results.dropped:
        rows_ = tuple(results.dropped.items())
        caption = (
            f"Left out by successive halving, which kept one of {compared.asked.halving} configurations a round, by paired "
            "differences on validation subjects. They stand in no test and in no count of comparisons."
        )
        blocks.append(Table(caption, ("configuration", "why"), rows_, texts=2))
    return tuple(blocks)


def _protocol(compared: Compared) -> Facts:
    results, asked = compared.results, compared.asked
    metric = METRICS[compared.scores.metric]
    splits = [run.result.split for run in results.of(compared.control)]
    smallest = sorted({each.smallest_p_holm for each in compared.contrasts})
    least = listed([p_value(p).removeprefix("= ") for p in dict.fromkeys([smallest[0], smallest[-1]])], "to") if smallest else ""
    windows = sum(run.trained.test.windows for run in _one_seed(compared))
    new = "not trained on" if compared.unseen else "trained on in other sessions"
    return Facts(
        (
            ("data", compared.about.terms.data),
            ("folds", f"{len(results.design.folds)}: {_abridged(results.design.folds)}"),
            ("seeds", listed([str(seed) for seed in results.design.seeds])),
            ("test subjects", f"{len(compared.scores.subjects)}, with {many(windows, 'window')}; {new} in their fold"),
            (
                "training, a fold",
                f"{counts([s.train.subjects for s in splits])} subjects, {counts([s.train.windows for s in splits])} windows",
            ),
            (
                "validation, a fold",
                f"{counts([s.val.subjects for s in splits])} subjects, {counts([s.val.windows for s in splits])} windows",
            ),
            ("score", f"{metric} of each test subject, the mean over seeds; inference is over subjects"),
            ("control", compared.control),
            (
                "tests",
                f"Wilcoxon signed-rank, two-sided and exact, against the control, corrected by Holm; level {asked.alpha:g}",
            ),
            ("comparisons", str(len(compared.contrasts))),
            ("least possible p", f"{least} after the correction, with these subjects"),
            ("no practical importance", f"differences up to {share(asked.rope)} points"),
        )
    )


def _one_seed(compared: Compared) -> list[Finished]:
    runs = compared.results.of(compared.control)
    return [run for run in runs if run.cell.seed == runs[0].cell.seed]


def _abridged(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:2])} ... {names[-1]}"


def _data(compared: Compared) -> tuple[Block, ...]:
    runs = [run.result for run in compared.results.finished]
    return (Facts((*facts.terms(compared.about.terms), *facts.environment(runs))), Text(facts.TRAVEL))
