"""The loss around the weights of a net, as contour lines."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harkd.flatness import Plane
from harkd.report.drawing import COLOURS, INK, calm, draw, standalone

_WIDTH, _LINES = 440, 12


def landscape(plane: Plane, title: str) -> str:
    """An SVG file: lines of equal loss on the plane, each with as much more loss than the last in proportion."""
    lowest, highest = float(plane.loss.min()), float(plane.loss.max())
    middle = float(plane.loss[len(plane.steps) // 2, len(plane.steps) // 2])
    told = f"training loss around the weights: {middle:.3g} at the net, {lowest:.3g} to {highest:.3g} on the plane"

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(aspect="equal")
        if highest > lowest:
            levels = np.geomspace(max(lowest, 1e-3 * highest), highest, _LINES + 1)[1:-1]
            lines = axes.contour(plane.steps, plane.steps, plane.loss.T, levels=levels, colors=INK, linewidths=0.9)
            axes.clabel(lines, fmt="%.3g", fontsize=9)
        axes.plot(0, 0, "+", color=COLOURS["distilled"], markersize=11, markeredgewidth=2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("along one random direction, in lengths of the filters")
        axes.set_ylabel("along another one")
        calm(axes, grid="")

    return standalone(draw("landscape", f"{title}: {told}", (_WIDTH, _WIDTH), paint), f"{title}: {told}", [])
