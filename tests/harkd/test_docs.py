"""Generated pages are those that the code makes now, links lead somewhere, and the site is built without a warning."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from harkd.augment import OPS, parse, strategy_names
from harkd.augment.ops import NODES
from harkd.datasets import names, read_card
from harkd.datasets.card import CARDS
from harkd.datasets.prepare import STEPS
from harkd.datasets.prepare import parse as parse_preparation
from harkd.methods import METHODS
from harkd.report.catalogue import catalogue

DOCS = Path(__file__).parents[2] / "docs"
OPS_PAGES, METHOD_PAGES = DOCS / "augmentations", DOCS / "methods"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    OPS_PAGES / "index.md",
    METHOD_PAGES / "index.md",
    *(DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md")),
]


@pytest.fixture(scope="module", autouse=True)
def beside() -> Iterator[None]:
    """The programs in docs import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        yield


@pytest.fixture(scope="module")
def generate(beside: None) -> ModuleType:
    return importlib.import_module("generate")


@pytest.fixture(scope="module")
def pictures(beside: None) -> ModuleType:
    return importlib.import_module("op_pictures")


def test_the_generated_pages_are_up_to_date(generate: Any) -> None:
    for name, text in generate.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"run python docs/generate.py: docs/{name} is old"


def test_no_augmentation_lacks_a_page() -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in OPS_PAGES.glob("*.md")}
    index = pages.pop("index")
    assert set(pages) == {*OPS, *NODES}
    assert re.findall(r"\]\((\w+)\.md\)", index) == list(dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", index)))
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == set(pages)
    for name in strategy_names():
        assert f"| `{name}` |" in index
    for name, kind in {**OPS, **NODES}.items():
        for option in (f.name for f in fields(kind) if f.name != "branches"):
            assert f"| `{option}` |" in pages[name], name
    assert "| `fill` | `mean` | mean, zero, hold |" in pages["removal"]
    assert "it assumes that *rotation* does not change the class" in pages["rotate"]
    assert "Magnitude 0 is `max_angle` 0, which changes nothing; magnitude 1 is 180. Allowed is 0 to 180." in pages["rotate"]
    assert "kept if *pace* does not change it" in pages["time_warp"]


def test_no_method_lacks_a_page() -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in METHOD_PAGES.glob("*.md")}
    index = pages.pop("index")
    assert set(pages) == set(METHODS)
    assert re.findall(r"\]\((\w+)\.md\)", index) == list(METHODS)
    for key, entry in METHODS.items():
        assert re.findall(r"(?m)^\| `--([\w-]+)` \|", pages[key]) == [f.name.replace("_", "-") for f in fields(entry.options)]


@pytest.mark.slow
def test_every_augmentation_has_a_picture_that_shows_something(pictures: Any) -> None:
    for entry in catalogue():
        if entry.kind == "strategy":
            continue
        example, case = pictures.shown(entry)
        assert case.recorded.title == "recorded"
        (op,) = parse(entry.strategy).ops
        assert len(case.drawn) == (3 if entry.kind == "policy" else 1 + (op != op.at(1)))
        moved = [max(pictures.changes(example, case.recorded, state).values()) for state in case.drawn]
        assert max(moved) > 0, entry.name
        kinds = {sensor.kind for sensor in example.windows.sensors.values()}
        assert not entry.sensors or kinds & set(entry.sensors)


@pytest.mark.parametrize("name", ["rotate", "channels_symmetry", "rotate_vertical", "mixup", "trivial"])
def test_a_picture_is_part_of_its_page(pictures: Any, name: str) -> None:
    html = pictures.picture(name)
    assert html == pictures.picture(name)
    figure = ElementTree.fromstring(html)
    drawings = figure.findall("div/div/svg")
    assert len(drawings) == (2 if name == "mixup" else 1)
    assert all(drawing.get("aria-label") for drawing in drawings)
    assert "var(--distilled" in html
    assert "\n\n" not in html  # the directive that holds it would end there
    assert not re.search(r"https?:|@import", html)


def test_the_table_has_every_data_set_and_says_where_it_was_checked() -> None:
    rows = [line for line in (DOCS / "datasets.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {row.split("`")[1]: row.rsplit("|", 2)[1].strip() for row in rows}
    assert list(told) == names()
    assert told["seglearn_watch"] == told["uci_hmp"] == "yes"
    assert told["synthetic_motion"] == "synthetic: made by harkd"
    assert told["uci_hapt"] == "no: on repacked or rebuilt copies"


def test_the_card_of_the_guide_is_one_and_its_steps_are_understood(tmp_path: Path) -> None:
    guide = (DOCS / "own-data.md").read_text(encoding="utf-8")
    block = guide.split("```toml\n")[1].split("```")[0]
    (tmp_path / "gym.toml").write_text(block, encoding="utf-8")
    card = read_card(str(tmp_path / "gym.toml"))
    assert [type(step).__name__ for step in parse_preparation(card.prepare)] == ["Resample", "Fill"]
    table = guide.split("| step | does |")[1].split("\n\n")[0]
    named = [word for row in table.splitlines()[2:] if row for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    defaults = {"lowpass": "lowpass(5)", "highpass": "highpass(1)"}
    assert {word.split("(")[0] for word in named} == set(STEPS)
    for word in named:
        assert len(parse_preparation(defaults.get(word, word))) == 1


def test_the_schema_knows_every_key_of_the_cards() -> None:
    """A small validator of what the schema says: objects, their keys, and which of them are needed."""
    schema = json.loads((DOCS / "card.schema.json").read_text(encoding="utf-8"))

    def check(value: Any, kind: dict[str, Any], where: str) -> None:
        if "$ref" in kind:
            kind = schema["$defs"][kind["$ref"].removeprefix("#/$defs/")]
        if "properties" in kind and isinstance(value, dict):
            assert set(value) <= set(kind["properties"]), where
            assert set(kind.get("required", [])) <= set(value), where
            for key, inner in value.items():
                check(inner, kind["properties"][key], f"{where}.{key}")
        elif kind.get("type") == "array" and isinstance(value, list) and "items" in kind:
            for inner in value:
                check(inner, kind["items"], where)

    for path in CARDS.glob("*.toml"):
        check(tomllib.loads(path.read_text(encoding="utf-8")), schema, path.stem)


def links(page: Path) -> list[str]:
    """The targets of links and pictures in a page that stand for files."""
    text = re.sub(r"(?ms)^```.*?^```|`[^`\n]+`", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"\]\(<?([^)>\s]+)>?\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    return [target for target in found if not re.match(r"[a-z]+:|#", target)]


def heading_ids(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.+)$", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = page.parent / name
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in heading_ids(there), f"{page.name} links to {target}"


def test_every_page_can_be_found_from_the_first_one() -> None:
    first = {(DOCS / target.partition("#")[0]).resolve() for target in links(DOCS / "index.md")}
    assert {page.resolve() for page in DOCS.glob("*.md")} - first == {DOCS / "index.md"}


def test_pictures_are_small_enough_to_load_on_a_phone() -> None:
    pictures = list((DOCS / "images").iterdir())
    assert {picture.name for picture in pictures} == {"architecture.svg", "report.png", "report-dark.png"}
    for picture in pictures:
        assert picture.stat().st_size < 200_000, picture.name


def test_the_drawing_needs_nothing_from_elsewhere_and_follows_the_scheme() -> None:
    text = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert not re.findall(r"href|@import|url\((?!#)|<script", text)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """With nitpicks, and in a process of its own: Sphinx's warnings are errors here, Python's in its themes are not ours."""
    pytest.importorskip("sphinx")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-n",
        "-q",
        "-b",
        "html",
        "-c",
        "docs",
        ".",
        tmp_path / "html",
    ]
    done = subprocess.run([*command, "-d", tmp_path / "trees"], cwd=DOCS.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for page in DOCS.glob("*.md"):
        assert (tmp_path / "html" / "docs" / f"{page.stem}.html").is_file(), page.name
    assert "docs/index.html" in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    for page in OPS_PAGES.glob("*.md"):
        html = (tmp_path / "html" / "docs" / "augmentations" / f"{page.stem}.html").read_text(encoding="utf-8")
        assert ('class="drawing"' in html) == (page.stem != "index"), page.name
    assert 'href="architecture.html"' in (tmp_path / "html" / "docs" / "index.html").read_text(encoding="utf-8")
