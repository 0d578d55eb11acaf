"""The timeline of a recording: one lane per class, gaps left open, and how sure each decision is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from harkd.export.decide import UNKNOWN, Decisions
from harkd.report.drawing import COLOURS, INK, calm, draw, plain

_WIDTH, _LANE, _HEAD, _STRIP = 900, 22, 44, 96
_BINS = 300  # means that the strip of a long recording has: more would be a solid band
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_TICKS = 10
_STYLE = (
    "<style>svg{color:#1c1b19;--paper:#fff;--distilled:#0a66ad;--teacher:#8a867f;background:var(--paper);"
    "font-family:system-ui,sans-serif}@media(prefers-color-scheme:dark){svg{color:#e9e6e1;--paper:#191817;"
    "--distilled:#62b0ef;--teacher:#98948d}}</style>"
)
_KNOWN, _UNKNOWN = COLOURS["distilled"], COLOURS["teacher"]


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as people write them.

    >>> clock(75.6), clock(4000)
    ('1:15.6', '1:06:40.0')
    """
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36000)
    minutes, rest = divmod(rest, 600)
    return f"{hours}:{minutes:02}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def _tick(seconds: float, _: object) -> str:
    return clock(seconds).partition(".")[0]


def timeline(title: str, decisions: Decisions) -> str:
    """A picture of the decisions: an SVG document that follows the reader's light or dark."""
    spent = decisions.seconds()
    lanes = [name for name in spent if name != UNKNOWN or spent[name]]
    told = ", ".join(f"{name} {clock(seconds)}" for name, seconds in spent.items() if seconds)
    height = _HEAD + _LANE * len(lanes) + _STRIP

    def paint(figure: Figure) -> None:
        rows: Sequence[Axes] = figure.subplots(2, 1, sharex=True, height_ratios=[_LANE * len(lanes), _STRIP - 40])
        _lanes(rows[0], decisions, lanes)
        _strip(rows[1], decisions)
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.set(w_pad=0.12, h_pad=0.09)  # type: ignore[call-arg]  # of constrained layout
        figure.suptitle(plain(title), x=0.01, ha="left", fontsize=12)
        start, stop = 0.0, float(decisions.held[-1, 1])
        rows[1].set_xlim(start, stop)
        step = next((each for each in _STEPS if (stop - start) / each <= _TICKS), _STEPS[-1])
        rows[1].xaxis.set_major_locator(MultipleLocator(step))
        rows[1].xaxis.set_major_formatter(FuncFormatter(_tick))

    drawn = draw("timeline", f"{title}: {told}", (_WIDTH, height), paint)
    opened, _, rest = drawn.partition(">")
    size = f'xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
    return f"{opened.replace('<svg', f'<svg {size}', 1)}>{_STYLE}{rest}\n"


def _lanes(axes: Axes, decisions: Decisions, lanes: Sequence[str]) -> None:
    """A bar for each run of equal decisions; those with less than half a pixel between them are drawn as one."""
    runs = decisions.runs()
    least = (decisions.held[-1, 1] - decisions.held[0, 0]) / _WIDTH / 2
    for place, name in enumerate(lanes):
        bars: list[tuple[float, float]] = []
        for run in runs:
            if run.decision == name:
                start = bars.pop()[0] if bars and run.start - sum(bars[-1]) < least else run.start
                bars.append((start, run.stop - start))
        colour = _UNKNOWN if name == UNKNOWN else _KNOWN
        # A thin outline keeps a decision of seconds visible among hours.
        axes.broken_barh(bars, (place - 0.36, 0.72), facecolors=colour, edgecolors=colour, linewidth=0.5)
    axes.set_yticks(range(len(lanes)), [plain(name) for name in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    calm(axes)
    axes.tick_params(labelbottom=False)


def _strip(axes: Axes, decisions: Decisions) -> None:
    """The probability of each decision as a line (of a long recording means), and the threshold under which it is unknown."""
    start, stop, sure = decisions.held[:, 0], decisions.held[:, 1], decisions.confidence
    if len(sure) > 2 * _BINS:
        edges = np.linspace(start[0], stop[-1], _BINS + 1)
        which = np.searchsorted(edges, (start + stop) / 2, side="right") - 1
        used, count = np.unique(which, return_counts=True)
        sure = np.bincount(which, sure)[used] / count
        start, stop = edges[used], edges[used + 1]
    x, y = np.stack([start, stop], 1).ravel(), np.repeat(sure, 2)
    gaps = np.flatnonzero(start[1:] != stop[:-1]) * 2 + 2
    axes.plot(np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan), color=INK, linewidth=0.7, alpha=0.85)
    if decisions.threshold:
        axes.axhline(decisions.threshold, color=_UNKNOWN, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0.5, 1], ["0.5", "1"])
    axes.set_ylabel("probability")
    calm(axes)
