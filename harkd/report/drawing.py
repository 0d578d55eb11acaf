"""A matplotlib figure as an <svg> element that lives inside a page, where text and colours are the page's, or as a file."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from harkd.report.tree import Mark

# Colours as drawn; each becomes the page's own, so that one drawing serves light, dark and print.
INK, PAPER = "#010101", "#020202"
COLOURS = {"teacher": "#030303", "alone": "#040404", "distilled": "#050505"}
_IN_PAGE = {
    INK: "currentColor",
    PAPER: "var(--paper, #ffffff)",
    COLOURS["teacher"]: "var(--teacher, #6d6a65)",
    COLOURS["alone"]: "var(--alone, #b8500c)",
    COLOURS["distilled"]: "var(--distilled, #0a66ad)",
}
READABLE = 10
"""CSS pixels that the smallest text of a drawing keeps on a narrow screen: below that the drawing scrolls."""
_INK_IN_FILE = "#1d1c1a"
_LINE = 17  # CSS pixels of a line above a drawing that is a file

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harkd",
    "text.parse_math": False,  # a class may be called "a$b$"
    "font.size": 11,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
}


def draw(
    key: str, alt: str, size: tuple[float, float], paint: Callable[[Figure], None], titles: Mapping[str, str] | None = None
) -> str:
    """Draw a figure as an inline <svg>.

    Args:
        key: unlike that of any other drawing on the page; ids inside begin with it.
        alt: what the drawing shows, for those who do not see it.
        size: width and height in CSS pixels at natural size.
        paint: fills the figure.
        titles: a tooltip for each artist with that gid.
    """
    # Settings of the user's matplotlibrc must not change a byte.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # The page's fonts will have the character; matplotlib's only measure the text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72))
        FigureCanvasSVG(figure)
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), key, plain(alt), titles or {})


def plain(text: str) -> str:
    """Text that XML can hold: control characters are replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def clipped(text: str, wide: float, letter: float) -> str:
    """As much of a text as fits, if a letter is so many pixels wide."""
    most = int(wide / letter)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def calm(axes: Axes, grid: str = "y") -> None:
    """Take away all lines that carry no number."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis="both" if grid == "xy" else "y" if grid == "y" else "x", color=INK, alpha=0.13, linewidth=0.8)
    axes.set_axisbelow(True)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_alpha(0.8)


def standalone(svg: str, title: str, legend: Sequence[tuple[Mark, str]]) -> str:
    """A drawing of `draw` as a file of its own: dark on white, under its title and the legend that it has on the page."""
    root = ElementTree.fromstring(svg)
    left, top, width, height = (float(number) for number in root.attrib["viewBox"].split())
    lines = textwrap.wrap(title, int(width / 6))
    head = _LINE * (len(lines) + bool(legend)) + 8
    written = list(root)
    root[:] = []
    root.text = None
    ElementTree.SubElement(root, "desc").text = root.attrib.pop("aria-label")
    place = {"x": f"{left:g}", "y": f"{top - head:g}", "width": f"{width:g}", "height": f"{height + head:g}"}
    ElementTree.SubElement(root, "rect", place | {"fill": "#ffffff"})
    for number, line in enumerate(lines, 1):
        _write(root, line, 6, top - head + _LINE * number, weight="bold")
    across = 6.0
    for mark, name in legend:
        _sign(root, mark, across + 5, top - 8)
        _write(root, name, across + 15, top - 4)
        across += 6.2 * len(name) + 32
    root.extend(written)
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "xmlns:xlink": "http://www.w3.org/1999/xlink",  # of SVG 1.1, which office programs read
        "viewBox": " ".join(place.values()),
        "width": place["width"],
        "height": place["height"],
        "font-family": "system-ui, Helvetica, Arial, sans-serif",
        "font-size": "11px",
    }
    text = ElementTree.tostring(root, encoding="unicode").replace(' href="#', ' xlink:href="#')
    return re.sub(r"var\(--\w+, (#\w+)\)", r"\1", text).replace("currentColor", _INK_IN_FILE)


def _write(root: ElementTree.Element, text: str, x: float, y: float, weight: str = "normal") -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "font-weight": weight, "fill": "currentColor"}
    ElementTree.SubElement(root, "text", place).text = plain(text)


def _sign(root: ElementTree.Element, mark: Mark, x: float, y: float) -> None:
    """What `.legend li::before` is on the page."""
    named = "distilled" if mark in ("told", "untold") else mark
    colour = _IN_PAGE[COLOURS[named]] if named in COLOURS else "currentColor"
    face = "#ffffff" if mark in ("alone", "float", "untold") else colour
    look = {"fill": face, "stroke": colour, "stroke-width": "1.8"}
    if mark in ("teacher", "int8"):
        turn = {"transform": f"rotate(45 {x:g} {y:g})"} if mark == "teacher" else {}
        ElementTree.SubElement(root, "rect", {"x": f"{x - 3:g}", "y": f"{y - 3:g}", "width": "6", "height": "6"} | look | turn)
    else:
        ElementTree.SubElement(root, "circle", {"cx": f"{x:g}", "cy": f"{y:g}", "r": "4"} | look)


def _inline(document: str, key: str, alt: str, titles: Mapping[str, str]) -> str:
    root = ElementTree.fromstring(document)
    smallest = min((float(size) for size in re.findall(r"font-size: ([\d.]+)px", document)), default=READABLE)
    width = float(root.attrib["viewBox"].split()[2])
    narrowest = f"min-width: {width * READABLE / smallest:.0f}px"
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": alt,
        "class": "drawing",
        "style": narrowest,
    }
    for parent in list(root.iter()):
        parent.tag = parent.tag.rpartition("}")[2]
        for child in list(parent):
            # The style element would apply to the whole page.
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
        if parent.tag == "g" and (gid := parent.attrib.pop("id", "")) in titles:
            title = ElementTree.Element("title")
            title.text = titles[gid]
            parent.insert(0, title)
        parent.attrib = {_name(name): _value(_name(name), value, key) for name, value in parent.attrib.items()}
        if parent.get("transform", "").startswith("rotate(-0 "):
            del parent.attrib["transform"]
        parent.tail = None
        if parent.tag not in ("text", "tspan", "title"):
            parent.text = None
    return ElementTree.tostring(root, encoding="unicode")


def _name(name: str) -> str:
    return name.rpartition("}")[2]  # xlink:href is href


def _value(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name == "href":
        return f"#{key}-{value.removeprefix('#')}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{key}-")
    if name == "style":
        value = re.sub(r"font-family:[^;]*(; )?", "", value)
        return re.sub("|".join(_IN_PAGE), lambda found: _IN_PAGE[found[0]], value)
    if name in ("d", "x", "y", "width", "height", "transform"):
        # Two digits are finer than any screen; six would make the page half as large again.
        return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", " ".join(value.split()))
    return value
