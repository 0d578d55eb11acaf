"""The documentation site: make docs. Its source is the whole checkout: links between pages work here and on GitHub alike."""

from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
NUMBERS = sorted(f"benchmarks/{page.stem}" for page in (ROOT / "benchmarks").glob("*.md"))
CONTENTS = {
    "Guide": ["docs/own-data", "docs/datasets", "docs/train", "docs/distil", "docs/augment", "docs/report"],
    "On the watch": ["docs/export", "docs/predict"],
    "Numbers": NUMBERS,
    "For contributors": ["docs/architecture", "CONTRIBUTING", "CHANGELOG"],
}

project = "harkd"
author = "The harkd authors"
copyright = "The harkd authors, Apache-2.0"
release = metadata.version("harkd")  # `version` would be a setting of Sphinx

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [root_doc + ".md", *(f"{page}.md" for pages in CONTENTS.values() for page in pages)]
exclude_patterns = [".*", "**/.*", "docs/_build", "runs"]
myst_heading_anchors = 3  # links to headings, as GitHub has them

html_theme = "furo"
html_title = "harkd"
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["site"]


def contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the table of contents to the first page: written into it, GitHub would show the directive."""
    if name == root_doc:
        for caption, pages in CONTENTS.items():
            entries = "\n".join(f"/{page}" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", contents)
