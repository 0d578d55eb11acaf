"""A matplotlib figure as an <svg> element that lives inside a page: its text and colours are the page's."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

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
    return _inline(file.getvalue(), key, alt, titles or {})


def plain(text: str) -> str:
    """Text that XML can hold: control characters are replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def calm(axes: Axes, grid: str = "y") -> None:
    """Take away all lines that carry no number."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis="both" if grid == "xy" else "y" if grid == "y" else "x", color=INK, alpha=0.13, linewidth=0.8)
    axes.set_axisbelow(True)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_alpha(0.8)


def _inline(document: str, key: str, alt: str, titles: Mapping[str, str]) -> str:
    root = ElementTree.fromstring(document)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": alt, "class": "drawing"}
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
    if name == "d":
        return " ".join(value.split())
    return value
