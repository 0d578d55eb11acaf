"""The documentation site: make docs. Its source is the whole checkout: links between pages work here and on GitHub alike."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from op_pictures import picture

ROOT = Path(__file__).parents[1]
OPS = "docs/augmentations"
METHODS = "docs/methods"
NUMBERS = sorted(f"benchmarks/{page.stem}" for page in (ROOT / "benchmarks").glob("*.md"))
STUDIES = sorted(str(page.with_suffix("").relative_to(ROOT)) for page in (ROOT / "benchmarks/studies").glob("*/*.md"))
CONTENTS = {
    "Guide": ["docs/own-data", "docs/datasets", "docs/train", "docs/distil", "docs/augment", f"{OPS}/index", f"{METHODS}/index"],
    "Which is better": ["docs/compare", "docs/cluster", "docs/report", "docs/track"],
    "On the watch": ["docs/export", "docs/predict"],
    "Numbers": NUMBERS,
    "Studies": STUDIES,
    "For contributors": ["docs/architecture", "CONTRIBUTING", "CHANGELOG"],
}

project = "harkd"
author = "The harkd authors"
copyright = "The harkd authors, Apache-2.0"
release = metadata.version("harkd")  # `version` would be a setting of Sphinx

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    root_doc + ".md",
    f"{OPS}/*.md",
    f"{METHODS}/*.md",
    *(f"{page}.md" for pages in CONTENTS.values() for page in pages),
]
exclude_patterns = [".*", "**/.*", "docs/_build", "runs"]
myst_heading_anchors = 3  # links to headings, as GitHub has them

html_theme = "furo"
html_title = "harkd"
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["site"]
# The colours of drawings; the text in them has the page's.
html_theme_options = {
    "light_css_variables": {"distilled": "#0a66ad", "alone": "#b8500c", "teacher": "#6d6a65"},
    "dark_css_variables": {"distilled": "#6cb4ec", "alone": "#f29a5c", "teacher": "#a8a49c"},
}


def toctree(pages: list[str], caption: str = "") -> str:
    """A table of contents for the sidebar. In a page's own text, GitHub would show the directive."""
    entries = "\n".join(f"/{page}" for page in pages)
    head = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{head}\n{entries}\n```\n"


def complete(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the table of contents to the first page and that of augmentations, and draw the picture of each of these."""
    if name == root_doc:
        source[0] += "".join(toctree(pages, caption) for caption, pages in CONTENTS.items())
    elif name in (f"{OPS}/index", f"{METHODS}/index"):
        folder = (ROOT / name).parent
        source[0] += toctree(
            sorted(f"{name.removesuffix('index')}{page.stem}" for page in folder.glob("*.md") if page.stem != "index")
        )
    elif name.startswith(f"{OPS}/"):
        before, heading, after = source[0].partition("\n## ")
        source[0] = f"{before}\n```{{raw}} html\n{picture(Path(name).name)}\n```\n{heading}{after}"


def setup(app: Sphinx) -> None:
    app.connect("source-read", complete)
