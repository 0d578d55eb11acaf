"""The preview of a data set: a page, or a picture, with a window of every class."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

from harkd.datasets.recording import Sensor
from harkd.datasets.windows import Windows
from harkd.report.drawing import clipped, draw, plain
from harkd.report.figures import WIDTH
from harkd.report.recordings import CURVES, DARK, LIGHT, PAGE, Example, Palette, Shown, examples, height, paint, sentence, timed
from harkd.report.render import to_html
from harkd.report.tree import Block, Facts, Figure, Page, Panel, Section, Table, Text
from harkd.report.words import listed, many

SYNTHETIC = "SYNTHETIC: made by a program, measured on nobody"
_CLOCK = 34
_LEFT, _RIGHT, _TOP, _WIDTH = 62, 52, 38, 520


def to_page(windows: Windows, seed: int = 0) -> str:
    """One self-contained HTML page, in light and dark."""
    card = windows.card
    found = examples(windows, seed)
    blocks: list[Block] = []
    if any(shown.wider for example in found for shown in example.shown):
        blocks.append(Text("Shaded is the window; seconds count from the first window of its recording."))
    for number, example in enumerate(found):
        panels = tuple(_panel(f"class{number}-{place}", example, shown) for place, shown in enumerate(example.shown))
        blocks.append(Figure(example.name, f"{_sentence(example, windows)}.", (), panels, ()))
    rows = tuple((s.name, s.kind, _channels(s), s.units, f"{s.rate:g}") for s in windows.sensors.values())
    sensors = Table("Sensors, as windows have them", ("sensor", "kind", "channels", "units", "Hz"), rows, texts=4)
    terms = Facts((("Citation", card.citation), ("Licence", f"{card.licence.name}. {card.licence.note}".strip())))
    page = Page(
        kicker=SYNTHETIC if card.synthetic else "Preview of recordings",
        title=card.title,
        verdict=_verdict(windows),
        details=(),
        notes=_notes(windows, found),
        sections=(Section("A window of every class", tuple(blocks)), Section("Sensors and terms", (sensors, terms))),
        footer=f"{f'{SYNTHETIC}. ' if card.synthetic else ''}Drawn by harkd data preview, seed {seed}.",
    )
    return to_html(page)


def _channels(sensor: Sensor) -> str:
    return ", ".join(sensor.channels) if len(sensor.channels) <= CURVES else f"{len(sensor.channels)} channels"


def _verdict(windows: Windows) -> str:
    subjects = len(set(windows.subjects.tolist()))
    recordings = len(set(windows.recordings.tolist()))
    first = next(iter(windows.sensors.values()))
    seconds = windows.lengths[first.name] / first.rate
    return (
        f"{many(len(windows), 'window')} of {seconds:.4g} s from {many(recordings, 'recording')} of {many(subjects, 'subject')}, "
        f"{many(len(windows.classes), 'class')}; {listed([f'{s.name} in {s.units}' for s in windows.sensors.values()])}."
    )


def _notes(windows: Windows, found: Sequence[Example]) -> tuple[str, ...]:
    notes = []
    if not windows.card.subjects_are_codes:
        notes.append("The card does not say that subjects' names are codes, so neither they nor recordings are named here.")
    if empty := [example.name for example in found if not example.shown]:
        notes.append(f"No window is of {listed(empty, 'or')}.")
    if windows.card.prepare:
        notes.append(f"Signals are drawn as prepared by {windows.card.prepare}.")
    return tuple(notes)


def _sentence(example: Example, windows: Windows) -> str:
    return sentence(example, windows.card.subjects_are_codes)


def _panel(key: str, example: Example, shown: Shown) -> Panel:
    sensor = shown.sensor
    tall = height(sensor) + (_CLOCK if timed(sensor) else 0) + 8
    start, stop = shown.window
    alt = f"{example.name}: {sensor.name} in {sensor.units}, {_channels(sensor)}; window from {start:.2f} to {stop:.2f} s"

    def fill(figure: Drawing) -> None:
        paint(figure.add_subplot(), shown, PAGE)

    svg = draw(key, alt, (WIDTH, tall), fill)
    wide = sensor.kind == "skeleton" or len(sensor.channels) > 9
    return Panel(f"{sensor.name}, {sensor.units}, {sensor.rate:g} Hz", svg, key, wide=wide)


def to_picture(windows: Windows, suffix: str, seed: int = 0, *, dark: bool = False) -> bytes:
    """A picture (`.png` or `.svg`) with all classes in columns."""
    palette = DARK if dark else LIGHT
    found = examples(windows, seed)
    columns = 1 if len(found) == 1 else 2 if len(found) <= 8 else 3
    rows = [found[at : at + columns] for at in range(0, len(found), columns)]
    tall = [max(map(_height, row)) for row in rows]
    head = 96 if windows.card.synthetic else 78
    size = (columns * _WIDTH, head + sum(tall) + 8)

    def fill(figure: Drawing) -> None:
        _head(figure, windows, palette, size)
        top = head
        for row, high in zip(rows, tall, strict=True):
            for place, example in enumerate(row):
                _cell(figure, example, windows, palette, (place * _WIDTH, top), size)
            top += high

    return picture(suffix, size, palette, fill)


def picture(suffix: str, size: tuple[float, float], palette: Palette, fill: Callable[[Drawing], None]) -> bytes:
    """A picture (`.png` or `.svg`) of that many CSS pixels, with matplotlib as it is without anybody's settings."""
    settings: dict[Any, Any] = {"svg.hashsalt": "harkd", "text.parse_math": False, "font.size": 11, "axes.unicode_minus": True}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure = Drawing(figsize=(size[0] / 72, size[1] / 72), dpi=72, facecolor=palette.paper)
        FigureCanvasAgg(figure) if suffix == ".png" else FigureCanvasSVG(figure)
        fill(figure)
        file = io.BytesIO()
        metadata = {"Software": None} if suffix == ".png" else {"Date": None, "Creator": None}
        figure.savefig(file, format=suffix[1:], dpi=110 if suffix == ".png" else 72, facecolor=palette.paper, metadata=metadata)
    return file.getvalue()


def _height(example: Example) -> int:
    """Pixels of a class's cell."""
    drawn = sum(height(s.sensor) + 20 for s in example.shown)
    return _TOP + drawn + (_CLOCK if any(timed(s.sensor) for s in example.shown) else 0) + 26


def _head(figure: Drawing, windows: Windows, palette: Palette, size: tuple[int, int]) -> None:
    def line(down: int, text: str, points: float, **more: Any) -> None:
        figure.text(14 / size[0], 1 - down / size[1], plain(text), color=palette.ink, fontsize=points, va="top", **more)

    wide = size[0] - 28
    line(12, clipped(windows.card.title, wide, 9.6), 15, weight="bold")
    line(36, clipped(_verdict(windows), wide, 6.6), 10.5)
    line(54, clipped(f"{windows.card.citation} Licence: {windows.card.licence.name}.", wide, 5.6), 9, alpha=0.8)
    if windows.card.synthetic:
        line(72, SYNTHETIC, 12, weight="bold")


def _cell(
    figure: Drawing, example: Example, windows: Windows, palette: Palette, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """The drawings of one class, its corner given in pixels from the top left."""
    left, top = corner

    def line(down: float, text: str, points: float, letter: float, **more: Any) -> None:
        shown = clipped(plain(text), _WIDTH - 28, letter)
        at = ((left + 14) / size[0], 1 - down / size[1])
        figure.text(*at, shown, color=palette.ink, fontsize=points, va="top", **more)

    line(top + 6, example.name, 12, 7.8, weight="bold")
    line(top + 23, _sentence(example, windows), 9, 5.6, alpha=0.75)
    down = top + _TOP
    last = max((n for n, s in enumerate(example.shown) if timed(s.sensor)), default=-1)
    for number, shown in enumerate(example.shown):
        high = height(shown.sensor)
        line(down + 4, shown.sensor.name, 9.5, 6)
        box = ((left + _LEFT) / size[0], 1 - (down + 20 + high) / size[1], (_WIDTH - _LEFT - _RIGHT) / size[0], high / size[1])
        axes: Axes = figure.add_axes(box, facecolor="none")
        paint(axes, shown, palette, clock=number == last)
        down += 20 + high + (_CLOCK if number == last else 0)
