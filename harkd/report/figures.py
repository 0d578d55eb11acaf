"""The report's drawings. Each takes plain numbers and gives an <svg> element; what to draw is decided in page.py.

Colour says who (teacher, student alone, distilled student), and so does a second sign: marker or dashes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from harkd.evaluation import ReliabilityBin
from harkd.report.drawing import COLOURS, INK, PAPER, calm, draw, plain
from harkd.report.tree import Role
from harkd.report.words import count, many, percent, points

MARKERS: dict[Role, str] = {"teacher": "D", "alone": "o", "distilled": "o"}
DASHES: dict[Role, str | tuple[float, tuple[float, ...]]] = {"teacher": ":", "alone": (0, (4, 1.4)), "distilled": "-"}
NUMBERED = 16
"""Up to so many classes, the cells of a confusion matrix show their number."""


def subjects(
    key: str, alt: str, names: Sequence[str], series: Sequence[tuple[Role, Sequence[float]]], gains: Sequence[float]
) -> str:
    """One line per subject: a dot for each of `series`, joined, and the gain at its end (if there are gains)."""
    step = 30 if len(names) <= 20 else 19

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = np.arange(len(names))
        paired = [values for role, values in series if role != "teacher"]
        if len(paired) > 1:
            for row, ends in enumerate(zip(*paired, strict=True)):
                axes.plot([100 * end for end in ends], [row, row], color=INK, alpha=0.35, linewidth=1.6, solid_capstyle="butt")
        for role, values in series:
            face = PAPER if role == "alone" else COLOURS[role]
            size = 6 if role == "teacher" else 8.5
            x = 100 * np.asarray(values)
            axes.plot(x, rows, MARKERS[role], color=COLOURS[role], markerfacecolor=face, markersize=size, markeredgewidth=1.8)
        axes.set_yticks(rows, [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        low, high = axes.get_xlim()
        pad = max(0.06 * (high - low), 1.0)
        axes.set_xlim(max(low - pad, -2), min(high + pad, 102))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("accuracy, %")
        calm(axes, grid="x")
        if gains:
            right = axes.secondary_yaxis("right")
            right.set_yticks(rows, [points(gain) for gain in gains])
            right.spines["right"].set_visible(False)

    return draw(key, alt, (400, 52 + step * len(names)), paint)


def curves(key: str, alt: str, lines: Sequence[tuple[Role, Sequence[Sequence[float]]]], *, scale: float = 1.0) -> str:
    """Values per epoch: every run thin, the mean of a group bold, as far as all its runs go."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for role, runs in lines:
            if len(runs) > 1:
                for run in runs:
                    axes.plot(np.arange(1, len(run) + 1), scale * np.asarray(run), color=COLOURS[role], alpha=0.55, linewidth=0.9)
            mean = scale * np.asarray(mean_curve(runs))
            lone = "o" if len(mean) == 1 else ""
            axes.plot(
                np.arange(1, len(mean) + 1),
                mean,
                marker=lone,
                ls=DASHES[role] if len(lines) > 1 else "-",
                color=COLOURS[role],
                linewidth=2.2,
            )
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.02)
        calm(axes)

    return draw(key, alt, (360, 230), paint)


def mean_curve(runs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Mean over runs per epoch, up to the end of the shortest.

    >>> mean_curve([[1.0, 2.0, 9.0], [3.0, 4.0]])
    (2.0, 3.0)
    """
    length = min(len(run) for run in runs)
    return tuple(np.mean([run[:length] for run in runs], axis=0).tolist())


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row divided by its sum; rows without windows are nan."""
    totals = confusion.sum(1, keepdims=True)
    return np.divide(confusion, totals, out=np.full(confusion.shape, np.nan), where=totals > 0)


def confusion(key: str, alt: str, role: Role, matrix: NDArray[np.int64], classes: Sequence[str]) -> str:
    """Shares of each true class (row) by predicted class (column, by number); the tooltip of a cell has its count."""
    wide = len(classes)
    shares = row_shares(matrix)
    cell = 34 if wide <= 8 else 25 if wide <= NUMBERED else 15
    names = [plain(name) for name in classes]
    titles = {
        f"cell-{row}-{column}": (
            f"{names[row]}, taken for {names[column]}: {count(int(matrix[row, column]))} of "
            f"{many(int(matrix[row].sum()), 'window')}, {percent(shares[row, column])}"
        )
        for row, column in zip(*np.nonzero(matrix), strict=True)
    }

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, column in zip(*np.nonzero(matrix), strict=True):
            # At most 0.6, so that the number on it stays readable on light and on dark pages.
            strength = 0.02 + 0.58 * shares[row, column]
            patch = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=COLOURS[role], alpha=strength, linewidth=0)
            patch.set_gid(f"cell-{row}-{column}")
            axes.add_patch(patch)
            if wide <= NUMBERED and shares[row, column] >= 0.005:
                weight = "bold" if row == column else "normal"
                size = 10 if wide <= 8 else 8.5
                axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", size=size, weight=weight)
        ticks = np.arange(wide)
        axes.set_xlim(-0.5, wide - 0.5)
        axes.set_ylim(wide - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.xaxis.tick_top()
        size = 10 if wide <= NUMBERED else 8
        axes.set_xticks(ticks, [str(number + 1) for number in ticks], size=size)
        axes.set_yticks(ticks, [f"{name}  {number}" for number, name in enumerate(names, 1)], size=size)
        axes.set_xlabel("taken for", size=size)
        axes.xaxis.set_label_position("top")
        calm(axes, grid="")
        axes.hlines(np.arange(1, wide) - 0.5, -0.5, wide - 0.5, color=INK, alpha=0.1, linewidth=0.6)

    longest = max(len(name) for name in names)
    return draw(key, alt, (cell * wide + 6.2 * longest + 46, cell * wide + 58), paint, titles)


def reliability(key: str, alt: str, role: Role, bins: Sequence[ReliabilityBin]) -> str:
    """Above: share of right answers by confidence, with the gap to the diagonal. Below: how many windows each bin holds."""

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
        confidence = np.array([100 * bin_.confidence for bin_ in bins])
        accuracy = np.array([100 * bin_.accuracy for bin_ in bins])
        windows = np.array([bin_.windows for bin_ in bins])
        above.plot([0, 100], [0, 100], color=INK, alpha=0.45, linewidth=1, dashes=(4, 3))
        above.vlines(confidence, confidence, accuracy, color=COLOURS[role], alpha=0.45, linewidth=3)
        face = PAPER if role == "alone" else COLOURS[role]
        above.plot(
            confidence, accuracy, MARKERS[role], color=COLOURS[role], markerfacecolor=face, markersize=6, markeredgewidth=1.6
        )
        above.set_ylim(-3, 103)
        above.set_ylabel("right, %")
        left = np.array([100 * bin_.low for bin_ in bins])
        width = np.array([100 * (bin_.high - bin_.low) for bin_ in bins])
        below.bar(left + width / 2, windows, width * 0.86, color=COLOURS[role], alpha=0.6, linewidth=0)
        below.set_xlim(0, 100.5)
        below.set_xlabel("confidence, %")
        below.set_ylabel("windows")
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
        calm(above)
        calm(below)
        figure.align_ylabels()

    return draw(key, alt, (360, 340), paint)


def sizes(key: str, alt: str, dots: Sequence[tuple[Role, str, int, Sequence[float]]]) -> str:
    """Accuracy against parameters (logarithmic): the mean of each (role, name, parameters, accuracies), its seeds faint."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for role, _, parameters, accuracies in dots:
            face = PAPER if role == "alone" else COLOURS[role]
            size = 6.5 if role == "teacher" else 8.5
            values = 100 * np.asarray(accuracies)
            if len(values) > 1:
                axes.plot(
                    [parameters] * len(values), values, ".", color=COLOURS[role], alpha=0.55, markersize=5, markeredgewidth=0
                )
            mean, colour = float(values.mean()), COLOURS[role]
            axes.plot(
                [parameters], [mean], MARKERS[role], color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.8
            )
        _parameter_axis(axes, [dot[2] for dot in dots])
        axes.margins(y=0.14)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_ylabel("accuracy, %")
        calm(axes, grid="xy")
        _name_dots(axes, dots)

    return draw(key, alt, (400, 290), paint)


def _parameter_axis(axes: Axes, parameters: Sequence[int]) -> None:
    low, high = min(parameters) / 1.6, max(parameters) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    places = [
        base * 10**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for base in (1, 2, 5)
    ]
    axes.xaxis.set_major_locator(FixedLocator([place for place in places if low <= place <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
    axes.set_xlabel("parameters")


def _name_dots(axes: Axes, dots: Sequence[tuple[Role, str, int, Sequence[float]]]) -> None:
    """Write each name beside its dot, on the side with more room, and keep names apart."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    apart = (top - bottom) * 0.062
    middle = math.sqrt(low * high)
    for left in (True, False):
        side = sorted((100 * float(np.mean(dot[3])), dot) for dot in dots if (dot[2] <= middle) == left)
        place = -math.inf
        for mean, (_, name, parameters, _) in side:
            place = max(mean, place + apart)
            offset, align = ((11, 0), "left") if left else ((-11, 0), "right")
            axes.annotate(
                plain(name), (parameters, place), offset, textcoords="offset points", ha=align, va="center_baseline", size=10.5
            )
