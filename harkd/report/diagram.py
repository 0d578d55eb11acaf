"""The critical-difference diagram: average ranks on an axis, and bars over the levels that cannot be told apart.

Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), section 3.2.1. scikit-posthocs lays it out;
here it gets the page's colours, its control and its ruler.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram

from harkd.compare.omnibus import Omnibus
from harkd.report.drawing import COLOURS, INK, clipped, draw, plain
from harkd.report.words import NO_BREAK as GAP
from harkd.report.words import listed

WIDTH = 640
"""Natural width in CSS pixels: names stand on both sides of the axis."""
LETTER, NAME = 6.2, 190
"""CSS pixels: of a letter, and of the longest name that is shown whole."""
_ROW, _HEAD = 22, 66
_RULER = 1.75
"""Where the ruler stands above the axis, in rows."""


def ranks(key: str, together: Omnibus, control: str) -> str:
    """The diagram of an omnibus test that was not refused, as an <svg> element."""
    order = sorted(together.ranks, key=lambda level: together.ranks[level])
    told = ", ".join(f"{level} {together.ranks[level]:.2f}" for level in order)
    groups = "; ".join(listed(group) for group in together.groups) or "none"
    alt = (
        f"Average ranks, 1 is best: {told}. Ranks closer than {together.critical_difference:.2f} cannot be told apart. "
        f"Levels under one bar: {groups}."
    )
    rows = len(together.groups) + (len(order) + 1) // 2
    return draw(key, alt, (WIDTH, _HEAD + _ROW * (rows + 1)), lambda figure: _paint(figure, together, control))


def _paint(figure: Figure, together: Omnibus, control: str) -> None:
    paint_ranks(figure.add_subplot(), together, control)


def paint_ranks(axes: Axes, together: Omnibus, control: str) -> dict[str, list[Any]]:
    """Draw the diagram.

    Returns:
        What scikit-posthocs drew: markers, elbows, labels and crossbars.
    """
    names = list(together.ranks)
    colours = {name: COLOURS["alone"] if name == control else INK for name in names}
    span = max(together.ranks.values()) - min(together.ranks.values())
    drawn: dict[str, list[Any]] = critical_difference_diagram(
        together.ranks,
        pd.DataFrame(together.nemenyi, index=names, columns=names),
        alpha=together.alpha,
        ax=axes,
        label_fmt_left="{label}\n{rank:.2f}",
        label_fmt_right="{label}\n{rank:.2f}",
        text_h_margin=0.03 * max(span, 1),
        label_props={"size": 10.5},
        marker_props={"s": 26},
        elbow_props={"linewidth": 0.9},
        crossbar_props={"color": COLOURS["distilled"], "linewidth": 4, "solid_capstyle": "butt"},
        color_palette=colours,
    )
    for label in drawn["labels"]:
        name, rank = label.get_text().rsplit("\n", 1)
        name = clipped(plain(name), NAME, LETTER)
        label.set_text(f"{name}{GAP}{rank}{GAP}" if label.get_ha() == "right" else f"{GAP}{rank}{GAP}{name}")
        label.set_weight("bold" if label.get_color() == COLOURS["alone"] else "normal")
    _unstack(drawn)
    _ruler(axes, min(together.ranks.values()), together.critical_difference or 0.0)
    axes.set_ylim(-len(drawn["crossbars"]) - (len(names) + 1) // 2 - 0.7, _RULER + 0.9)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelsize=10)
    return drawn


def _unstack(drawn: dict[str, list[Any]]) -> None:
    """Give every bar a row of its own: two on one row, end to end, would look like one."""
    rows = {line.get_ydata()[0] for (line,) in drawn["crossbars"]}
    more = len(drawn["crossbars"]) - len(rows)
    for row, (line,) in enumerate(drawn["crossbars"], 1):
        line.set_ydata([-row] * len(line.get_ydata()))
    for elbow, label in zip(drawn["elbows"], drawn["labels"], strict=True):
        end, corner, top = elbow.get_ydata()
        elbow.set_ydata([end - more, corner - more, top])
        label.set_y(label.get_position()[1] - more)


def _ruler(axes: Axes, start: float, length: float) -> None:
    """How far apart two ranks have to be."""
    axes.plot([start, start + length], [_RULER, _RULER], color=INK, linewidth=1.2)
    axes.plot([start, start + length], [_RULER, _RULER], "|", color=INK, markersize=7, markeredgewidth=1.2)
    axes.text(start + length, _RULER, f"{GAP}{GAP}critical difference {length:.2f}", size=10, va="center")
