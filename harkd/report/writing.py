"""A page as its two files."""

from __future__ import annotations

from pathlib import Path

from harkd.errors import HarkdError, UsageError
from harkd.files import write_atomically
from harkd.report.render import to_html, to_markdown
from harkd.report.tree import Page


def write_page(page: Page, html: Path) -> None:
    """Write a page as `html`, and beside it as Markdown (same stem, `.md`).

    Raises:
        UsageError: the path ends in `.md`.
        HarkdError: a file cannot be written.
    """
    if html.suffix.lower() == ".md":
        raise UsageError(
            f"{html}: give the name of the HTML page, like {html.with_suffix('.html').name}; the Markdown is written beside it"
        )
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise HarkdError(f"cannot make the folder {html.parent}: {problem.strerror}") from None
    write_atomically(html, to_html(page).encode())
    write_atomically(html.with_suffix(".md"), to_markdown(page, html.name).encode())
