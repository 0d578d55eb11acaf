"""The files of a report: equal bytes, one content in two formats, and a page that loads nothing."""

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harkd.evaluation import evaluate_probabilities
from harkd.report import Study, build, write_report
from harkd.report.tree import Facts, Figure
from harkd.runs import Run

CLASSES = ("rest", "walk", "run")
VOID = {"meta", "link", "br", "hr", "img", "input"}


def made_up(folder: Path, role: str, seed: int, classes: Sequence[str] = CLASSES, **more: Any) -> Run:
    """A run with random answers of two subjects, and two epochs of history."""
    rng = np.random.default_rng([seed, len(role)])
    labels, subjects = rng.integers(0, len(classes), 60), np.repeat(["person-1", "person-2"], 30)
    probabilities = rng.dirichlet(np.ones(len(classes)), 60)
    test = evaluate_probabilities(
        probabilities, labels, subjects, tuple(classes), {name: name for name in dict.fromkeys(subjects)}
    )
    scores = {"student": {"accuracy": test.accuracy, "nll": test.nll}}
    terms = {"ce": test.nll} | ({"kl": 2.0} if role == "distilled" else {})
    run = Run(folder / f"{role}-{seed}-{more.get('method', '')}")
    run.write_history([{"epoch": epoch, "terms": terms, "scores": scores} for epoch in range(2)])
    part = {"windows": 60, "subjects": 2}
    plain = {
        "label": f"net {role}",
        "net": "wrn1d-16-1" if role == "teacher" else "dscnn-s",
        "parameters": 4911,
        "weights_bytes": 22000,
        "updates": 10,
        "epochs": 2,
        "seconds": 41.0,
        "teacher": "net teacher",
        "split": {"name": "official", "train": part, "val": part, "test": part},
        "options": {"rate": 0.003, "seed": seed, "method_options": {"weight": 0.9}},
        "command": f"harkd distill --seed {seed} --method {role}",
        "environment": {"python": "3.11.7"},
        "terms": {"data": "made_up", "citation": "A. Nobody: https://example.org", "commercial": False},
    }
    run.write_json("result.json", {**plain, "role": role, "seed": seed, "test": test.to_dict(), **more})
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A teacher, and students alone and distilled in two ways: two comparisons."""
    folder = tmp_path_factory.mktemp("runs")
    made = [
        made_up(folder, "teacher", 0),
        made_up(folder, "alone", 0),
        made_up(folder, "alone", 1),
        made_up(folder, "distilled", 0),
    ]
    return [*made, made_up(folder, "distilled", 0, method="eskd", label="net distilled (eskd)")]


@pytest.fixture(scope="module")
def files(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return written(runs, tmp_path_factory.mktemp("page"))


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects what the page would load, its ids and its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "background"):
                self.links.append((tag, value or ""))
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = []
    previous = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not previous.startswith("|"):
                tables.append([])
            cells = [re.sub(r"\\(.)", r"\1", html.unescape(cell.strip())) for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            if not re.match(r"\| :---", line):
                tables[-1].append(cells)
        previous = line
    return tables


def written(runs: Sequence[Run], folder: Path) -> tuple[str, str]:
    write_report(runs, folder / "out" / "report.html")
    page, markdown = (folder / "out" / name for name in ("report.html", "report.md"))
    return page.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


def test_two_renders_are_equal(tmp_path: Path) -> None:
    runs = [made_up(tmp_path, "alone", 0)]
    assert written(runs, tmp_path / "one") == written(runs, tmp_path / "two")


def test_the_page_is_sound_and_loads_nothing(files: tuple[str, str]) -> None:
    page, markdown = files
    reader = Reader(page)
    assert not {"script", "iframe", "object", "embed", "img"} & reader.tags
    assert {value for tag, value in reader.links if tag != "use"} == {"data:,"}
    assert len(set(reader.ids)) == len(reader.ids)
    assert {value.removeprefix("#") for tag, value in reader.links if tag == "use"} <= set(reader.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(reader.ids)
    assert re.findall("https?:[^ <]*", page) == ["https://example.org"]  # the citation, as text
    assert "@import" not in page
    assert "<details><summary>" in markdown


def test_drawings_follow_the_page_and_speak(runs: list[Run]) -> None:
    figures = [block for section in build(Study.of(runs)).sections for block in section.blocks if isinstance(block, Figure)]
    assert len(figures) == 9  # four for each comparison, and the sizes
    for figure in figures:
        assert figure.caption
        for panel in figure.panels:
            assert 'role="img"' in panel.svg
            assert len(re.findall(r'aria-label="[^"]+"', panel.svg)) == 1
            assert set(re.findall(r"(?:fill|stroke): *([^;\"(]+)", panel.svg)) <= {"none", "currentColor", "var"}
            assert "font-family" not in panel.svg


def test_markdown_and_html_say_the_same(files: tuple[str, str]) -> None:
    page, markdown = files
    tables = Reader(page).tables
    assert len(tables) > 10
    assert markdown_tables(markdown) == tables


def test_names_are_escaped(tmp_path: Path) -> None:
    classes = ("<b>bold</b>", "a|b `c` $d$ _e_", "tab\there\x07", "歩く")
    label = "<script>alert(1)</script> & [x](http://y) *z*\nnew"
    run = made_up(tmp_path, "alone", 0, classes=classes, label=label, net="<i>net</i>", command="echo ```")
    page, markdown = written([run], tmp_path)
    reader = Reader(page)
    assert not {"script", "b", "i"} & reader.tags
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>" not in markdown
    assert "<script" not in markdown
    assert r"\[x\](http" in markdown
    assert "````\necho ```\n````" in markdown
    squeezed = [[[" ".join(cell.split()) for cell in row] for row in table] for table in reader.tables]
    assert [[[" ".join(cell.split()) for cell in row] for row in table] for table in markdown_tables(markdown)] == squeezed


def test_terms_commands_and_versions_are_told(runs: list[Run], files: tuple[str, str]) -> None:
    blocks = [block for section in build(Study.of(runs[:3])).sections for block in section.blocks]
    facts = dict(item for block in blocks if isinstance(block, Facts) for item in block.items)
    assert facts["commercial use"] == "not allowed"
    assert facts["redistribution"] == "not stated by those who published the data"
    assert facts["test"] == "2 subjects, 60 windows"
    assert facts["python"] == "3.11.7"
    assert facts["time to train"] == "2 min 3 s in all, 41 s a run"
    for text in files:
        assert "harkd distill --seed 1 --method alone" in text
        assert "Not a medical device." in text
