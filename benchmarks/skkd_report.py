"""The page of benchmarks/skkd.py: accuracies, differences over subjects, and for each net in words whether there was a gap."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from tables import table

from harkd.compare.contrast import Contrast, contrasts
from harkd.compare.power import smallest_p
from harkd.compare.results import Results
from harkd.compare.scores import Scores
from harkd.report.words import duration, many, percent, points, share

ALONE, TEACHER = "ce", "teacher"
TAUGHT = ("kd", "skkd")
PICKED = {"001", "002", "007", "010", "019", "022"}
"""Subjects that were taken out of 24 because CSP and LDA with 64 electrodes tell their fists apart."""


@dataclass(frozen=True)
class Montage:
    """Some electrodes, and each subject's accuracy with CSP and LDA on them: one classifier for all, and one of its own."""

    electrodes: tuple[str, ...]
    pooled: Mapping[str, float]
    own: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.electrodes)

    @property
    def csp(self) -> float:
        """Mean accuracy with the better of the two kinds of classifier."""
        return max(fmean(self.pooled.values()), fmean(self.own.values()))


@dataclass(frozen=True)
class Row:
    """A net with few electrodes: scores of the levels `ce` (the student alone), `kd`, `skkd` and `teacher`."""

    net: str
    montage: Montage
    parameters: int
    scores: Scores

    @property
    def name(self) -> str:
        return f"`{self.net}`, {len(self.montage)} electrodes"

    def difference(self, level: str, control: str = ALONE) -> Contrast:
        """A level less another one, over subjects."""
        (found,) = [each for each in contrasts(replace(self.scores, control=control)) if each.level == level]
        return found


@dataclass(frozen=True)
class Setting:
    """What was done: seeds that are finished and asked for, epochs, rate and bands in Hz, CSP's part of a trial in seconds."""

    seeds: int
    of_seeds: int
    epochs: int
    rate: int
    band: tuple[int, int]
    csp_band: tuple[int, int]
    csp_seconds: tuple[float, float]
    csp_filters: int


def page(rows: Sequence[Row], montages: Sequence[Montage], setting: Setting, results: Results) -> str:
    """The whole page, in Markdown.

    Args:
        montages: the teacher's first.
    """
    parts = [
        _head(montages, setting, results),
        _accuracies(rows),
        _csp(montages, setting),
        _differences(rows),
        _verdicts(rows),
        _subjects(rows),
        _caveats(rows),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def verdict(row: Row) -> str:
    """Whether there was a gap to distil, and what distillation did about it, in words."""
    gap = row.difference(TEACHER)
    if gap.low is None:
        return f"{many(gap.subjects, 'subject')} are too few for an interval; the teacher less the student: {_told(gap)}."
    there = gap.low > 0
    begin = f"**a gap of {_told(gap)}**." if there else f"**no gap to distil**: teacher less student alone is {_told(gap)}."
    return " ".join(
        [begin, *(_did(row.difference(method), gap.difference if there else None) for method in TAUGHT), _csp_less(row)]
    )


def _did(found: Contrast, gap: float | None) -> str:
    if found.low is not None and found.low > 0:
        closed = "" if gap is None else f", {percent(found.difference / gap)} of the gap"
        return f"`{found.level}` gains {_told(found)}{closed}."
    if found.high is not None and found.high < 0:
        return f"`{found.level}` loses: {_told(found)}."
    return f"`{found.level}` is not shown to change anything: {_told(found)}."


def _csp_less(row: Row) -> str:
    means = {level: float(row.scores.of(level).mean()) for level in (ALONE, *TAUGHT)}
    best = max(means, key=lambda level: means[level])
    ahead = means[best] - row.montage.csp
    if ahead > 0:
        return f"The best student (`{best}`) is {share(ahead)} points ahead of CSP+LDA."
    return f"**No student is better than CSP+LDA**, which is {share(-ahead)} points ahead of the best (`{best}`)."


def _head(montages: Sequence[Montage], setting: Setting, results: Results) -> list[str]:
    sizes = results.finished[0].result.split
    few = "; ".join(f"{len(m)}: {' '.join(m.electrodes)}" for m in montages[1:])
    seeds = many(setting.seeds, "seed")
    if setting.seeds < setting.of_seeds:
        seeds += f" of {setting.of_seeds}, the others are not finished"
    took = duration(sum(run.result.seconds or 0.0 for run in results.finished))
    return [
        "# EEGMMIDB: similarity-keeping distillation from 64 to few electrodes",
        "",
        _paragraph(
            f"""`python benchmarks/skkd.py FOLDER RECORDINGS`. Left against right fist, executed (runs 3, 7, 11) and imagined
            (4, 8, 12), {many(len(results.subjects), "subject")} together. Folds leave out whole runs: a pair of runs tests, one
            of the others validates, the other three train ({sizes.test.windows}, {sizes.val.windows} and {sizes.train.windows}
            windows); each run is tested once. {seeds}. All runs together took {took} of one processor."""
        ),
        "",
        _paragraph(
            f"""Windows are the 4 s of a trial, {setting.band[0]} to {setting.band[1]} Hz, at {setting.rate} Hz. No step mixes
            electrodes: after a common reference or `euclidean` over all of them, the few that a student sees would carry what
            the others recorded."""
        ),
        "",
        _paragraph(
            f"""The teacher sees {len(montages[0])} electrodes, the student few ({few}). But for that they are the same net, and
            both train for {setting.epochs} epochs with harkd's defaults: nothing was tuned. Student and teacher
            are those of the last epoch. Every seed has teachers of its own, shared by all
            that they teach. Nothing was chosen on test windows."""
        ),
    ]


def _accuracies(rows: Sequence[Row]) -> list[str]:
    return [
        "## Accuracy",
        "",
        "In %, mean over subjects (of the mean over seeds); ± is the sample standard deviation over subjects. Chance is 50.",
        "",
        table(
            (
                "net",
                "electrodes",
                "parameters",
                "alone",
                "`kd`",
                "`skkd`",
                "teacher, 64 electrodes",
                "CSP+LDA, as many electrodes",
            ),
            [
                (
                    f"`{row.net}`",
                    str(len(row.montage)),
                    f"{row.parameters:,}",
                    *(_spread(row.scores.of(level).tolist()) for level in (ALONE, *TAUGHT, TEACHER)),
                    share(row.montage.csp),
                )
                for row in rows
            ],
        ),
    ]


def _csp(montages: Sequence[Montage], setting: Setting) -> list[str]:
    (low, high), (start, stop) = setting.csp_band, setting.csp_seconds
    return [
        _paragraph(
            f"""CSP+LDA trains and is tested on the windows of the nets, {low} to {high} Hz, {start:g} to {stop:g} s, with up to
            {setting.csp_filters} filters: one classifier for all subjects, like the nets, and one for each subject, trained on
            that subject alone. The table above has whichever is better here."""
        ),
        "",
        table(
            ("CSP+LDA", *(f"{len(m)} electrodes" for m in montages)),
            [
                ("one for all", *(_spread(list(m.pooled.values())) for m in montages)),
                ("one for each", *(_spread(list(m.own.values())) for m in montages)),
            ],
        ),
    ]


def _differences(rows: Sequence[Row]) -> list[str]:
    wanted = ((TEACHER, ALONE), ("kd", ALONE), ("skkd", ALONE), ("skkd", "kd"))
    heads = ("teacher less alone (the gap)", "`kd` less alone", "`skkd` less alone", "`skkd` less `kd`")
    return [
        "## Differences",
        "",
        _paragraph(
            """In points of accuracy, paired over subjects, with the 95 % bootstrap interval (widened for few subjects), and for
            how many subjects the first of the two is ahead."""
        ),
        "",
        table(
            ("net", "electrodes", *heads),
            [(f"`{row.net}`", str(len(row.montage)), *(_ahead(row.difference(*pair)) for pair in wanted)) for row in rows],
        ),
    ]


def _verdicts(rows: Sequence[Row]) -> list[str]:
    return [
        "## Was there a gap, and was it closed?",
        "",
        _paragraph(
            """There is a gap if the whole interval of teacher less student alone lies above zero. What a method did is read in
            the same way: it gains if its interval lies above zero, loses if it lies below, and is not shown to change anything
            else."""
        ),
        "",
        *(f"- {row.name}: {verdict(row)}" for row in rows),
    ]


def _subjects(rows: Sequence[Row]) -> list[str]:
    teachers = list({row.net: row for row in rows}.values())
    return [
        "## Each subject",
        "",
        "Accuracy in %, mean over seeds: alone / `kd` / `skkd`, and the teachers.",
        "",
        table(
            ("subject", *(row.name for row in rows), *(f"teacher `{row.net}`" for row in teachers)),
            [
                (
                    subject,
                    *(" / ".join(share(row.scores.of(level)[place]) for level in (ALONE, *TAUGHT)) for row in rows),
                    *(share(row.scores.of(TEACHER)[place]) for row in teachers),
                )
                for place, subject in enumerate(rows[0].scores.subjects)
            ],
        ),
    ]


def _caveats(rows: Sequence[Row]) -> list[str]:
    subjects, comparisons = rows[0].scores.subjects, len(TAUGHT) * len(rows)
    least = smallest_p(len(subjects))
    picked = """These six were taken out of 24 because CSP and LDA with 64 electrodes tell their fists apart, as they do for about
        half of the 24: with 64 electrodes the numbers are better, and gaps wider, than for people who come as they are."""
    return [
        "## What the numbers can say",
        "",
        _paragraph(
            f"""The unit is the subject. With {many(len(subjects), "subject")} the signed-rank test gives no p-value below
            {least:.2g}, for which all of them have to agree; Holm's correction for the {comparisons} comparisons of a method
            with the student alone makes at least {min(1.0, comparisons * least):.2g} of it. Intervals are each for one
            comparison: among so many, one may leave out zero by chance."""
        ),
        "",
        _paragraph(
            f"""{picked if set(subjects) == PICKED else ""} A net with 64 electrodes may also read where the eyes go, for the
            target appears on the side of the fist: such a lead is no imagined movement."""
        ),
    ]


def _paragraph(text: str) -> str:
    """Lines of a text that was broken elsewhere."""
    return textwrap.fill(" ".join(text.split()), 125, break_long_words=False, break_on_hyphens=False)


def _spread(shares: Sequence[float]) -> str:
    return f"{share(fmean(shares))} ± {share(stdev(shares))}"


def _interval(found: Contrast) -> str:
    return "no interval" if found.low is None or found.high is None else f"{points(found.low)} to {points(found.high)}"


def _told(found: Contrast) -> str:
    return f"{points(found.difference)} points ({_interval(found)})"


def _ahead(found: Contrast) -> str:
    return f"{points(found.difference)} ({_interval(found)}), {found.wins} of {found.subjects}"
