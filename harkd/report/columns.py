"""Drawings of windows before and after: a column for each state, signals above, spectra below.

Every column has the scale of the first one, so that what differs was changed. Sizes are in CSS pixels, from the top left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from harkd.datasets.recording import Sensor
from harkd.datasets.windows import Target
from harkd.report.before_after import Case, peak, spectrum
from harkd.report.drawing import clipped, draw, plain
from harkd.report.recordings import PAGE, Palette, Room, Shown, Signal, height, paint, timed
from harkd.report.words import listed, percent

ROOM = Room(traces=12, figures=2, points=400)
_COLUMN, _GAP, _LEFT, _RIGHT = 152, 16, 66, 50
_HEAD, _CLOCK, _SPECTRUM, _BAR, _STEP = 24, 40, 72, 32, 20
_RANGE = 1e-3
"""A spectrum reaches down to this share of its highest peak."""


@dataclass(frozen=True)
class Canvas:
    """A part of a figure of `size` pixels, whose corner is at `left` and `top`."""

    figure: Figure
    size: tuple[float, float]
    palette: Palette
    left: float = 0.0
    top: float = 0.0

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes without lines that carry no number."""
        wide, tall = self.size
        box = ((self.left + left) / wide, 1 - (self.top + top + height) / tall, width / wide, height / tall)
        axes: Axes = self.figure.add_axes(box, facecolor="none")
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0, which="both", colors=self.palette.ink)
        return axes

    def text(self, left: float, top: float, text: str, points: float = 11, **more: object) -> None:
        """A line of text whose top is there."""
        at = ((self.left + left) / self.size[0], 1 - (self.top + top) / self.size[1])
        self.figure.text(*at, plain(text), **{"color": self.palette.ink, "fontsize": points, "va": "top"} | more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Piece:
    """A drawing that is yet to be made, on a page or in a picture.

    Attributes:
        name: unlike that of any other on the page.
        alt: what it shows, for those who do not see it.
        fill: draws it on a canvas.
    """

    name: str
    title: str
    alt: str
    size: tuple[float, float]
    fill: Callable[[Canvas], None]


def svg(piece: Piece) -> str:
    """A drawing as an <svg> element in the colours of the page that it stands on."""

    def fill(figure: Figure) -> None:
        figure.set_layout_engine("none")  # the places of the axes are given
        piece.fill(Canvas(figure, piece.size, PAGE))

    return draw(piece.name, piece.alt, piece.size, fill)


def signals(name: str, case: Case, sensor: Sensor) -> Piece:
    """What a sensor shows in every state: curves, traces or stick figures, and the spectrum."""
    states = case.states
    high = height(sensor, ROOM)
    clock = _CLOCK if timed(sensor) else 12
    size = (_width(len(states)), _HEAD + high + clock + _SPECTRUM + _CLOCK)
    shown = [_shown(sensor, state.x[sensor.name]) for state in states]

    def fill(canvas: Canvas) -> None:
        above, below = [], []
        for number, (state, each) in enumerate(zip(states, shown, strict=True)):
            left = _left(number)
            canvas.text(left, 4, state.title, weight="bold")
            axes = canvas.axes(left, _HEAD, _COLUMN, high)
            room = Room(ROOM.traces, ROOM.figures, ROOM.points, ends=number == len(states) - 1)
            paint(axes, each, canvas.palette, room=room, like=shown[0])
            if timed(sensor):
                axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
            above.append(axes)
            down = canvas.axes(left, _HEAD + high + clock, _COLUMN, _SPECTRUM)
            _spectrum(down, each, shown[0], canvas.palette)
            below.append(down)
        _share(above)
        _share(below)
        below[0].set_ylabel(plain(sensor.units), color=canvas.palette.ink)

    few = f", {ROOM.traces} of {len(sensor.channels)} channels" if sensor.kind != "skeleton" and _many(sensor) else ""
    title = f"{sensor.name}, {sensor.units}, {sensor.rate:g} Hz{few}"
    peaks = [f"{state.title} {peak(state.x[sensor.name], sensor.rate):.3g} Hz" for state in states]
    what = f"{case.label or 'A window'}: {sensor.name} as {listed([state.title for state in states])}"
    alt = f"{what}, with amplitude spectra below, which are highest at: {', '.join(peaks)}"
    return Piece(f"{name}-{sensor.name}", title, alt, size, fill)


def labels(name: str, case: Case) -> Piece:
    """The classes of every state's label, a bar for the share of each."""
    rows = max(len(state.shares) for state in case.states)
    size = (_width(len(case.states)), _HEAD + _BAR * rows + 8)

    def fill(canvas: Canvas) -> None:
        for number, state in enumerate(case.states):
            left = _left(number)
            canvas.text(left, 4, state.title, weight="bold")
            axes = canvas.axes(left, _HEAD, _COLUMN, _BAR * rows)
            for row, (each, share) in enumerate(state.shares.items()):
                axes.text(
                    0, row + 0.32, f"{clipped(plain(each), 110, 6.4)} {percent(share)}", va="center", color=canvas.palette.ink
                )
                axes.barh(row + 0.78, 1, 0.16, color=canvas.palette.ink, alpha=0.13)
                axes.barh(row + 0.78, share, 0.16, color=canvas.palette.channels[0])
            axes.set_xlim(0, 1)
            axes.set_ylim(rows, 0)
            axes.set_axis_off()

    alt = "; ".join(f"{state.title}: {spoken(state.shares)}" for state in case.states)
    return Piece(f"{name}-label", "label", f"Label, {alt}", size, fill)


def dense(name: str, case: Case, target: str, kind: Target, seconds: float) -> Piece:
    """The label of every sample, as steps."""
    known = sorted({int(each) for state in case.states for each in state.dense[target] if each >= 0})
    names = [kind.classes[number] if kind.classes else str(number) for number in known]
    ticks = [clipped(plain(each), _LEFT - 6, 6.4) for each in names]
    high = max(40, _STEP * len(known))
    size = (_width(len(case.states)), _HEAD + high + _CLOCK)

    def fill(canvas: Canvas) -> None:
        for number, state in enumerate(case.states):
            values = state.dense[target]
            canvas.text(_left(number), 4, state.title, weight="bold")
            axes = canvas.axes(_left(number), _HEAD, _COLUMN, high)
            rows = np.array([known.index(int(each)) if each >= 0 else np.nan for each in values])
            axes.stairs(
                rows, np.linspace(0, seconds, len(values) + 1), baseline=None, color=canvas.palette.channels[0], linewidth=2
            )
            axes.set_xlim(0, seconds)
            axes.set_ylim(-0.5, max(len(known), 1) - 0.5)
            axes.set_yticks(range(len(known)), [""] * len(known) if number else ticks)
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
            axes.set_xlabel("time, s", color=canvas.palette.ink)

    alt = f"{target} of every sample as {listed([state.title for state in case.states])}: {', '.join(names)}"
    return Piece(f"{name}-{target}", f"{target}, of every sample", alt, size, fill)


def spoken(shares: Mapping[str, float]) -> str:
    r"""A label in words.

    >>> spoken({"walk": 0.8, "run": 0.2}), spoken({"walk": 1.0})
    ('walk 80.0\xa0%, run 20.0\xa0%', 'walk')
    """
    if len(shares) == 1:
        return next(iter(shares))
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items()) or "none"


def _many(sensor: Sensor) -> bool:
    return len(sensor.channels) > ROOM.traces


def _left(column: int) -> float:
    return _LEFT + column * (_COLUMN + _GAP)


def _width(columns: int) -> float:
    return _left(columns) - _GAP + _RIGHT


def _shown(sensor: Sensor, x: Signal) -> Shown:
    return Shown(sensor, x, 0.0, (0.0, x.shape[1] / sensor.rate))


def _spectrum(axes: Axes, shown: Shown, recorded: Shown, palette: Palette) -> None:
    """The spectrum, in front of that of the recording."""
    hertz, before = spectrum(recorded.x, recorded.sensor.rate)
    highest = float(before.max()) if len(before) else 0.0
    top = highest or 1.0
    if shown is not recorded:
        axes.plot(hertz, np.maximum(before, _RANGE * top), color=palette.ink, alpha=0.45, linewidth=0.9, linestyle=(0, (3, 1.5)))
    axes.plot(hertz, np.maximum(spectrum(shown.x, shown.sensor.rate)[1], _RANGE * top), color=palette.channels[0], linewidth=1.2)
    axes.set_yscale("log")
    axes.set_xlim(0, recorded.sensor.rate / 2)
    axes.set_ylim(_RANGE * top, 3 * top)
    powers = 10.0 ** np.arange(np.floor(np.log10(_RANGE * top)), np.ceil(np.log10(3 * top)) + 1)
    axes.yaxis.set_major_locator(FixedLocator([power for power in powers if _RANGE * top <= power <= 3 * top]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], prune="upper"))
    axes.set_xlabel("frequency, Hz", color=palette.ink)
    axes.grid(axis="y", color=palette.ink, alpha=0.13, linewidth=0.8)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_alpha(0.8)


def _share(row: Sequence[Axes]) -> None:
    """One scale for a row of axes, named at the first one."""
    limits = np.array([axes.get_ylim() for axes in row])
    for number, axes in enumerate(row):
        axes.set_ylim(float(limits[:, 0].min()), float(limits[:, 1].max()))
        if number:
            axes.set_ylabel("")
            axes.yaxis.set_major_formatter(NullFormatter())
