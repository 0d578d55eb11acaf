"""The report's drawings. Each takes plain numbers and gives an <svg> element; what to draw is decided in charts.py.

Colour says who (teacher, student alone, distilled student), and so does a second sign: marker or dashes.
Their natural width is that of a phone, so that text is readable there without scrolling; elsewhere they grow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
STRONGEST = 0.5
"""Opacity of its fullest cell: the number on it stays readable (4.5:1) on light and on dark pages."""
WIDTH = 360
"""Natural width of a drawing in CSS pixels."""


@dataclass(frozen=True)
class Sign:
    """How the dots of a series look."""

    colour: str
    marker: str = "o"
    open: bool = False
    size: float = 8.5

    @classmethod
    def of(cls, role: Role) -> Sign:
        return cls(COLOURS[role], MARKERS[role], open=role == "alone", size=6 if role == "teacher" else 8.5)

    @classmethod
    def in_arithmetic(cls, role: Role, integer: bool) -> Sign:
        """Both have the colour of who answers: an open circle is float, a filled square int8."""
        return cls(COLOURS[role], "s", size=7) if integer else cls(COLOURS[role], open=True)

    def plot(self, axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
        face = PAPER if self.open else self.colour
        axes.plot(x, y, self.marker, color=self.colour, markerfacecolor=face, markersize=self.size, markeredgewidth=1.8)


def rows(
    key: str,
    alt: str,
    names: Sequence[str],
    series: Sequence[tuple[Sign, Sequence[float]]],
    gains: Sequence[float],
    *,
    joined: int = 2,
    label: str = "accuracy, %",
) -> str:
    """One line per name: a dot for each of `series`, the last `joined` of them joined, and the gain at its end (if any)."""
    step = 30 if len(names) <= 20 else 19

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rows = np.arange(len(names))
        paired = [values for _, values in series[-joined:]]
        if len(paired) > 1:
            for row, ends in enumerate(zip(*paired, strict=True)):
                axes.plot([100 * end for end in ends], [row, row], color=INK, alpha=0.35, linewidth=1.6, solid_capstyle="butt")
        for sign, values in series:
            sign.plot(axes, (100 * np.asarray(values)).tolist(), rows.tolist())
        axes.set_yticks(rows, [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        low, high = axes.get_xlim()
        pad = max(0.06 * (high - low), 1.0)
        axes.set_xlim(max(low - pad, -2), min(high + pad, 102))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel(label)
        calm(axes, grid="x")
        if gains:
            right = axes.secondary_yaxis("right")
            right.set_yticks(rows, [points(gain) if gain == gain else "" for gain in gains])
            right.spines["right"].set_visible(False)

    return draw(key, alt, (WIDTH, 52 + step * len(names)), paint)


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

    return draw(key, alt, (WIDTH, 230), paint)


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
    wide, longest = len(classes), max(len(name) for name in classes)
    shares = row_shares(matrix)
    # Few classes fit into the width of a phone.
    size, cell = (11.0, min(34.0, max(25.0, (WIDTH - 46 - 6.8 * longest) / wide))) if wide <= 8 else (8.5, 25.0)
    if wide > NUMBERED:
        size, cell = 8.0, 15.0
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
            strength = 0.02 + (STRONGEST - 0.02) * shares[row, column]
            patch = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=COLOURS[role], alpha=strength, linewidth=0)
            patch.set_gid(f"cell-{row}-{column}")
            axes.add_patch(patch)
            if wide <= NUMBERED and shares[row, column] >= 0.005:
                weight = "bold" if row == column else "normal"
                axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", size=size, weight=weight)
        ticks = np.arange(wide)
        axes.set_xlim(-0.5, wide - 0.5)
        axes.set_ylim(wide - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.xaxis.tick_top()
        axes.set_xticks(ticks, [str(number + 1) for number in ticks], size=size)
        axes.set_yticks(ticks, [f"{name}  {number}" for number, name in enumerate(names, 1)], size=size)
        axes.set_xlabel("taken for", size=size)
        axes.xaxis.set_label_position("top")
        calm(axes, grid="")
        axes.hlines(np.arange(1, wide) - 0.5, -0.5, wide - 0.5, color=INK, alpha=0.1, linewidth=0.6)

    return draw(key, alt, (cell * wide + 0.62 * size * longest + 46, cell * wide + 58), paint, titles)


def reliability(key: str, alt: str, role: Role, bins: Sequence[ReliabilityBin]) -> str:
    """Above: share of right answers by confidence, with the gap to the diagonal. Below: how many windows each bin holds."""

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
        confidence = np.array([100 * bin_.confidence for bin_ in bins])
        accuracy = np.array([100 * bin_.accuracy for bin_ in bins])
        windows = np.array([bin_.windows for bin_ in bins])
        above.plot([0, 100], [0, 100], color=INK, alpha=0.45, linewidth=1, dashes=(4, 3))
        above.vlines(confidence, confidence, accuracy, color=COLOURS[role], alpha=0.45, linewidth=3)
        replace(Sign.of(role), size=6).plot(above, confidence.tolist(), accuracy.tolist())
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

    return draw(key, alt, (WIDTH, 340), paint)


def sizes(key: str, alt: str, dots: Sequence[tuple[Role, str, int, Sequence[float]]]) -> str:
    """Accuracy against parameters (logarithmic): the mean of each (role, name, parameters, accuracies), its seeds faint."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for role, _, parameters, accuracies in dots:
            values = 100 * np.asarray(accuracies)
            if len(values) > 1:
                axes.plot(
                    [parameters] * len(values), values, ".", color=COLOURS[role], alpha=0.55, markersize=5, markeredgewidth=0
                )
            Sign.of(role).plot(axes, [parameters], [float(values.mean())])
        size_axis(axes, [dot[2] for dot in dots], "parameters")
        name_dots(axes, [(name, parameters, float(np.mean(accuracies))) for _, name, parameters, accuracies in dots])

    return draw(key, alt, (WIDTH, 290), paint)


def files(key: str, alt: str, pairs: Sequence[tuple[Role, str, tuple[float, float], tuple[float, float]]]) -> str:
    """Accuracy against the size of a file in kB: of each (role, name, float's, int8's) both dots, joined."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for role, _, *ends in pairs:
            x, y = [size for size, _ in ends], [100 * accuracy for _, accuracy in ends]
            axes.plot(x, y, color=COLOURS[role], alpha=0.45, linewidth=1.4)
            for integer in (False, True):
                Sign.in_arithmetic(role, integer).plot(axes, [x[integer]], [y[integer]])
        sizes = [size for _, _, *ends in pairs for size, _ in ends]
        size_axis(axes, [*sizes, max(sizes) ** 2 / min(sizes)], "file, kB")  # half of the width is for the names
        name_dots(axes, [(name, *large) for _, name, large, _ in pairs], rightwards=True)

    return draw(key, alt, (WIDTH, 290), paint)


def size_axis(axes: Axes, sizes: Sequence[float], label: str, score: str = "accuracy") -> None:
    """Sizes across, logarithmic, and a score in percent upwards."""
    low, high = min(sizes) / 1.6, max(sizes) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    places = [
        base * 10**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for base in (1, 2, 5)
    ]
    axes.xaxis.set_major_locator(FixedLocator([place for place in places if low <= place <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
    axes.set_xlabel(label)
    axes.margins(y=0.14)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_ylabel(f"{score}, %")
    calm(axes, grid="xy")


def name_dots(axes: Axes, dots: Sequence[tuple[str, float, float]], rightwards: bool = False) -> None:
    """Write the name of each (name, size, accuracy) beside its dot, on the side with more room, and keep names apart."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    apart = (top - bottom) * 0.062
    middle = high if rightwards else math.sqrt(low * high)
    for left in (True, False):
        place = -math.inf
        for name, size, accuracy in sorted((dot for dot in dots if (dot[1] <= middle) == left), key=lambda dot: dot[2]):
            place = max(100 * accuracy, place + apart)
            offset, align = ((11, 0), "left") if left else ((-11, 0), "right")
            axes.annotate(plain(name), (size, place), offset, textcoords="offset points", ha=align, va="center_baseline")
