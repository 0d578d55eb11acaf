"""A page's tree as HTML, with its drawings and their numbers as files, and as Markdown.

The templates hold no number and no sentence of their own.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harkd.report.drawing import standalone
from harkd.report.tree import Figure, Page, Panel, Sheet

_HERE = Path(__file__).parent
_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~$])")


def to_html(page: Page) -> str:
    """One page that loads nothing and runs no script but its own, which it names by its SHA-256."""
    css, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    values = {"page": page, "css": Markup(css), "script": Markup(script), "digest": digest}
    return _environment().get_template("page.html").render(values)


def to_csv(sheet: Sheet) -> str:
    """A table after RFC 4180, with its head; numbers to six digits, nothing for one that does not exist."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(sheet.head)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in sheet.rows)
    return file.getvalue()


def to_markdown(page: Page, html: str) -> str:
    """GitHub's Markdown; figures as their captions and numbers.

    Args:
        html: file name of the page, which has the drawings.
    """
    # Escaping stays on: what comes from the tree is escaped for Markdown, which is then safe for HTML too.
    environment = _environment(lambda value: value if isinstance(value, Markup) else _markdown(str(value)))
    text = environment.get_template("page.md").render(page=page, html=html)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _environment(finalize: Callable[[object], object] | None = None) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {"svg": Markup, "whole": _whole, "fenced": _fenced, "target": _target, "csv_file": _csv_file, "svg_file": _svg_file}
    environment.filters |= filters
    return environment


def _csv_file(sheet: Sheet) -> str:
    return _data("text/csv;charset=utf-8", to_csv(sheet))


def _svg_file(panel: Panel, figure: Figure) -> str:
    return _data("image/svg+xml", standalone(panel.svg, ": ".join(filter(None, (figure.title, panel.title))), figure.legend))


def _data(kind: str, text: str) -> str:
    """A file as an address. For drawings base64 is shorter than percent-encoding: they are full of angle brackets."""
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _whole(text: str) -> Markup:
    """HTML in which short words with a hyphen, such as names of nets, are not broken over two lines."""
    words = re.split(r"(\s+)", text)
    return Markup("").join(
        Markup('<span class="whole">{}</span>').format(word) if re.search(r"\w-\w", word) and len(word) <= 20 else word
        for word in words
    )


def _markdown(text: str) -> Markup:
    # A line break would end a table row; < and & would begin HTML.
    flat = " ".join(text.split(None)) if "\n" in text or "\r" in text else text
    safe = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(_SPECIAL.sub(r"\\\1", safe))


def _fenced(text: str) -> Markup:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")


def _target(name: str) -> Markup:
    """A file name as the target of a link."""
    return Markup("<" + re.sub(r"[<>\\\r\n]", lambda found: f"%{ord(found[0]):02X}", name.replace("%", "%25")) + ">")
