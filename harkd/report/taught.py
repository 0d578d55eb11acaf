"""What a curriculum taught when: of each class the share of its training windows, epoch by epoch."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harkd.report.drawing import COLOURS, calm, draw, plain
from harkd.report.figures import STRONGEST, WIDTH
from harkd.report.study import Group, Study
from harkd.report.tables import LONG
from harkd.report.tree import Block, Figure, Panel, Role, Sheet, Table
from harkd.report.words import percent, share

CAPTION = (
    "The fuller a cell, the more of the class's training windows were taught in that epoch (with weights: the more they counted "
    "together). All seeds together."
)


def taught(study: Study) -> tuple[Block, ...]:
    """A figure for each group of runs whose curriculum did not show everything all the time."""
    groups = [group for group in study.groups if any(epoch.taught for run in group.runs for epoch in run.history)]
    return tuple(_taught(f"taught{number}", group) for number, group in enumerate(groups))


def _taught(key: str, group: Group) -> Figure:
    classes = group.runs[0].test.classes
    runs = [np.array([epoch.taught for epoch in run.history if epoch.taught], float) for run in group.runs]
    runs = [run for run in runs if len(run)]
    length = min(map(len, runs))
    shares = np.mean([run[:length] for run in runs], axis=0).T  # (class, epoch)
    told = [
        f"{name}: {share(row[0], 0)} at first, {share(row[-1], 0)} at last" for name, row in zip(classes, shares, strict=False)
    ]
    alt = f"Share of each class's training windows that were taught, by epoch. {'; '.join(told)}."
    sheet = Sheet(("epoch", *classes), tuple((epoch, *row) for epoch, row in enumerate(shares.T.tolist(), 1)))
    panel = Panel("", _paint(key, alt, group.role, shares, classes), key, sheet, wide=True)
    return Figure(f"What was taught when: {group.label}", CAPTION, (), (panel,), (_table(shares, classes),))


def _table(shares: NDArray[np.float64], classes: tuple[str, ...]) -> Table:
    length = shares.shape[1]
    every = -(-length // LONG)
    epochs = [epoch for epoch in range(1, length + 1) if epoch % every == 0 or epoch in (1, length)]
    rows = tuple((name, *(share(row[epoch - 1], 0) for epoch in epochs)) for name, row in zip(classes, shares, strict=False))
    return Table("Share of training windows taught, by epoch", ("class", *map(str, epochs)), rows, folded=True)


def _paint(key: str, alt: str, role: Role, shares: NDArray[np.float64], classes: tuple[str, ...]) -> str:
    """Classes from top to bottom, epochs from left to right; the tooltip of a cell has its number."""
    number, length = shares.shape
    names = [plain(name) for name in classes[:number]]
    titles = {
        f"taught-{row}-{column}": f"{names[row]}, epoch {column + 1}: {percent(shares[row, column])}"
        for row in range(number)
        for column in range(length)
    }

    def paint(figure: Canvas) -> None:
        axes: Axes = figure.add_subplot()
        for row in range(number):
            for column in range(length):
                strength = max(0.0, STRONGEST * shares[row, column])
                patch = Rectangle((column + 0.53, row - 0.47), 0.94, 0.94, color=COLOURS[role], alpha=strength, linewidth=0)
                patch.set_gid(f"taught-{row}-{column}")
                axes.add_patch(patch)
        axes.set_xlim(0.5, length + 0.5)
        axes.set_ylim(number - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel("epoch")
        axes.set_yticks(range(number), names)
        calm(axes, grid="")

    return draw(key, alt, (WIDTH + 6.0 * max(map(len, names)), 18 * number + 60), paint, titles)
