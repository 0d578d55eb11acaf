"""The figures of a study's page: differences with their intervals, ranks, calibration, and score against size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from harkd.compare.contrast import Contrast
from harkd.compare.verdict import p_value
from harkd.report import comparison_tables as tables
from harkd.report import diagram, figures
from harkd.report.compared import Compared
from harkd.report.comparison_tables import METRICS
from harkd.report.drawing import COLOURS, INK, calm, clipped, draw, plain
from harkd.report.figures import WIDTH, Sign
from harkd.report.tree import Block, Figure, Mark, Panel, Role, Sheet, Table, Text
from harkd.report.words import NONE, count, kilobytes, listed, percent, points, share

LETTER = 6.2
"""CSS pixels of a letter."""
NAME = 22
"""Letters of a name that a drawing of the usual width has room for; longer ones make it wide, with room for twice as many."""
WIDER = 560
"""Natural width of a drawing that takes the width of the page, in CSS pixels."""
TOLD, UNTOLD = Sign(COLOURS["distilled"]), Sign(COLOURS["distilled"], open=True)


def forest(compared: Compared) -> tuple[Block, ...]:
    """Every configuration's difference from the control, the best first."""
    found = sorted((each for each in compared.contrasts if each.subjects), key=lambda each: -each.difference)
    title = f"What each changes against {compared.control}"
    return (differences("forest", title, found, METRICS[compared.scores.metric]),) if found else ()


def differences(key: str, title: str, found: Sequence[Contrast], metric: str) -> Figure:
    """A line for each of some contrasts, with its interval and the region of equivalence."""
    alpha, rope = found[0].alpha, found[0].rope
    told = [f"{each.level} {tables.difference(each)}{', different' if each.different else ''}" for each in found]
    svg = _forest(key, f"{title}, in points, with intervals. {'; '.join(told)}.", found, rope, metric)
    rows = tuple(
        (each.level, each.difference, each.low, each.high, each.p_holm, each.better, each.equivalent, each.worse)
        for each in found
    )
    head = ("configuration", "difference", "low", "high", "p_holm", "p_better", "p_equivalent", "p_worse")
    legend: tuple[tuple[Mark, str], ...] = (
        ("told", f"differs (corrected p at most {alpha:g})"),
        ("untold", "not shown to differ"),
    )
    lines = "lines are 95 % intervals over subjects, each for one comparison alone"
    if all(each.low is None for each in found):
        lines = "with so few subjects there are no intervals"
    caption = f"Mean over subjects; {lines}. Inside the band a difference is of no practical importance."
    panel = Panel("", svg, key, Sheet(head, rows), wide=_wide([each.level for each in found]))
    return Figure(title, caption, legend, (panel,), ())


def _forest(key: str, alt: str, found: Sequence[Contrast], rope: float, metric: str) -> str:
    names = [plain(each.level) for each in found]

    def paint(figure: Canvas) -> None:
        axes = figure.add_subplot()
        axes.axvspan(-100 * rope, 100 * rope, color=INK, alpha=0.09, linewidth=0)
        axes.axvline(0, color=INK, alpha=0.6, linewidth=1)
        for row, each in enumerate(found):
            if each.low is not None and each.high is not None:
                axes.plot([100 * each.low, 100 * each.high], [row, row], color=COLOURS["distilled"], linewidth=2)
            (TOLD if each.different else UNTOLD).plot(axes, [100 * each.difference], [row])
        _rows(axes, names, f"difference of {metric}, points")
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(found)), [points(each.difference) for each in found])
        right.spines["right"].set_visible(False)

    return draw(key, alt, (WIDER if _wide(names) else WIDTH, 52 + 27 * len(names)), paint)


def _rows(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), [clipped(name, 2 * NAME * LETTER, LETTER) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlabel(label)
    calm(axes, grid="x")


def _wide(names: Sequence[str]) -> bool:
    return max(map(len, names)) > NAME


def ranks(compared: Compared) -> tuple[Block, ...]:
    """Which configurations cannot be told apart, or why that is not said."""
    together = compared.omnibus
    if together.refused or together.critical_difference is None or together.p is None or together.statistic is None:
        return (Text(together.refused),)
    svg = diagram.ranks("ranks", together, compared.control)
    order = sorted(together.ranks, key=lambda level: together.ranks[level])
    bars = [", ".join(str(number) for number, group in enumerate(together.groups, 1) if level in group) for level in order]
    data = Sheet(
        ("configuration", "rank", "bars"),
        tuple((level, together.ranks[level], bar) for level, bar in zip(order, bars, strict=True)),
    )
    caption = (
        f"Average rank over {together.subjects} subjects, 1 is best; {compared.control} is the control. No bar: told apart from "
        f"all others. A bar covers configurations that Nemenyi's test does not tell apart at {together.alpha:g}, because their "
        f"ranks are less than {together.critical_difference:.2f} apart. Not told apart does not mean equal."
    )
    figure = Figure("Average ranks", caption, (), (Panel("", svg, "ranks", data, wide=True),), ())
    friedman = (
        f"Friedman's test asks whether the configurations differ at all: chi-squared {together.statistic:.2f} with "
        f"{len(together.ranks) - 1} degrees of freedom, p {p_value(together.p)}."
    )
    return (Text(friedman), figure, tables.nemenyi(compared))


def reliability(compared: Compared) -> tuple[Block, ...]:
    """Reliability diagrams of the control and of the best on validation subjects, beside the table of all."""
    best = compared.winner or compared.ranked[0]
    shown: dict[str, Role] = {best: "distilled"}
    shown[compared.control] = "alone"
    panels = [_reliability(role, level, compared) for level, role in shown.items()]
    caption = (
        "Points on the dashed line would be right as often as they claim; below it the net is too sure, above it too modest. "
        "The bars count windows, all folds and seeds together."
    )
    title = f"How often answers of a confidence are right: {listed(list(shown))}"
    return (tables.calibration(compared), Figure(title, caption, (), tuple(panels), ()))


def _reliability(role: Role, level: str, compared: Compared) -> Panel:
    bins, ece, name = compared.results.reliability(level), f"ECE {compared.results.ece(level):.3f}", f"reliability-{role}"
    told = ", ".join(f"{share(b.accuracy, 0)} at {share(b.confidence, 0)} ({count(b.windows)} windows)" for b in bins)
    alt = f"Reliability, {level}, {ece}. Percent right at mean confidence: {told}."
    head = ("confidence above", "confidence up to", "windows", "mean confidence", "share right")
    data = Sheet(head, tuple((b.low, b.high, b.windows, b.confidence, b.accuracy) for b in bins))
    return Panel(f"{level}, {ece}", figures.reliability(name, alt, role, bins), name, data)


def front(sizes: Sequence[float], scores: Sequence[float]) -> tuple[bool, ...]:
    """Which points no other beats: none is at most as large and at least as good, and better in one of the two.

    >>> front([10, 20, 30, 20], [0.8, 0.9, 0.85, 0.7])
    (True, True, False, False)
    """
    all_ = list(zip(sizes, scores, strict=True))
    return tuple(not any(x <= size and y >= score and (x, y) != (size, score) for x, y in all_) for size, score in all_)


def pareto(compared: Compared) -> tuple[Block, ...]:
    """Score against deployed size, with the front marked; a sentence where all are of one size or sizes are not known."""
    metric = METRICS[compared.scores.metric]
    known = [(level, size) for level in compared.ranked if (size := compared.deployed(level)) is not None]
    if not known:
        return (Text("What the nets take on a watch is not known: none was exported."),)
    how = "the exported int8 file" if all(size.measured for _, size in known) else "one byte for each parameter; not exported"
    sizes, means = [size.bytes for _, size in known], [compared.mean(level) for level, _ in known]
    if len(set(sizes)) == 1:
        return (Text(f"All configurations take {kilobytes(sizes[0])} kB on the watch ({how}): the best score decides."),)
    rows = list(zip((level for level, _ in known), sizes, means, front(sizes, means), strict=True))
    told = [f"{level}: {kilobytes(size)} kB, {percent(mean)}{', on the front' if on else ''}" for level, size, mean, on in rows]

    def paint(figure: Canvas) -> None:
        axes = figure.add_subplot()
        edge = sorted((size / 1000, 100 * mean) for _, size, mean, on in rows if on)
        axes.step(*zip(*edge, strict=True), where="post", color=COLOURS["distilled"], alpha=0.35, linewidth=1.4)
        for _, size, mean, on in sorted(rows, key=lambda row: row[3]):  # the front in front
            (TOLD if on else UNTOLD).plot(axes, [size / 1000], [100 * mean])
        figures.size_axis(axes, [size / 1000 for _, size, _, _ in rows], "on the watch, kB", metric)
        named = [row for row in rows if row[3] or row[0] == compared.control]
        figures.name_dots(
            axes, [(clipped(level, 2 * NAME * LETTER, LETTER), size / 1000, mean) for level, size, mean, _ in named]
        )

    svg = draw("pareto", f"Test {metric} against size. {'; '.join(told)}.", (WIDER, 300), paint)
    data = Sheet(("configuration", "bytes", compared.scores.metric, "front"), tuple((*row[:3], str(row[3])) for row in rows))
    cells = tuple((level, kilobytes(size), share(mean), "yes" if on else NONE) for level, size, mean, on in rows)
    head = ("configuration", "on the watch, kB", f"{metric}, %", "on the front")
    table = Table("Score against size", head, cells, folded=True)
    caption = (
        f"Size: {how}; logarithmic scale. Mean {metric} over test subjects; its scale does not begin at zero. Named are the "
        "front and the control."
    )
    legend: tuple[tuple[Mark, str], ...] = (
        ("told", "on the front: nothing smaller is as good"),
        ("untold", "something is at least as small and as good"),
    )
    return (Figure(f"Test {metric} by size", caption, legend, (Panel("", svg, "pareto", data, wide=True),), (table,)),)
