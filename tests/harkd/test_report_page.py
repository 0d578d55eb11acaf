"""The files of a report: equal bytes, one content in two formats, and a page that loads nothing."""

import base64
import csv
import hashlib
import html
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from harkd import report
from harkd.evaluation import evaluate_probabilities
from harkd.report import Study, build, write_report
from harkd.report.drawing import COLOURS, READABLE, draw, standalone
from harkd.report.figures import STRONGEST
from harkd.report.tree import Facts, Figure, Panel
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
        self.files: dict[str, str] = {}
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
        given = dict(attrs)
        if file := given.get("download"):
            assert file not in self.files
            self.files[file] = base64.b64decode((given["href"] or "").partition(";base64,")[2]).decode()
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
    assert not {"iframe", "object", "embed", "img"} & reader.tags
    assert {value.partition(",")[0] for tag, value in reader.links if tag != "use"} == {
        "data:",
        "data:text/csv;charset=utf-8;base64",
        "data:image/svg+xml;base64",
    }
    assert len(set(reader.ids)) == len(reader.ids)
    assert {value.removeprefix("#") for tag, value in reader.links if tag == "use"} <= set(reader.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(reader.ids)
    assert re.findall("https?:[^ <]*", page) == ["https://example.org"]  # the citation, as text
    assert "@import" not in page
    assert "<details><summary>" in markdown
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; style-src" in page
    assert not re.search(r"\b(fetch|import|eval|XMLHttpRequest|innerHTML|Function)\b", script)


def panels_of(runs: Sequence[Run]) -> dict[str, tuple[Figure, Panel]]:
    blocks = [block for section in build(Study.of(runs)).sections for block in section.blocks if isinstance(block, Figure)]
    return {panel.name: (figure, panel) for figure in blocks for panel in figure.panels}


def test_every_drawing_can_be_taken_away_with_its_numbers(runs: list[Run], files: tuple[str, str]) -> None:
    taken, panels = Reader(files[0]).files, panels_of(runs)
    assert set(taken) == {f"{name}.{kind}" for name in panels for kind in ("csv", "svg")}
    for name, (_, panel) in panels.items():
        assert panel.data is not None
        assert re.fullmatch(r"([^\r\n]*\r\n)+", taken[f"{name}.csv"])  # RFC 4180
        head, *rows = csv.reader(io.StringIO(taken[f"{name}.csv"], newline=""))
        assert tuple(head) == panel.data.head
        assert len(rows) == len(panel.data.rows)
        for row, cells in zip(rows, panel.data.rows, strict=True):
            for said, cell in zip(row, cells, strict=True):
                if isinstance(cell, float):
                    assert float(said) == pytest.approx(cell, rel=1e-5)
                else:
                    assert said == ("" if cell is None else str(cell))


def test_numbers_to_take_away_are_those_of_the_runs(runs: list[Run]) -> None:
    study = Study.of(runs)
    data = {name: panel.data.rows for name, (_, panel) in panels_of(runs).items() if panel.data}
    alone, distilled = study.comparisons[0].alone.runs[0], study.comparisons[0].distilled.runs[0]
    teacher = study.groups[0].runs[0]
    assert data["confusion0-alone"] == tuple(zip(CLASSES, *zip(*alone.test.confusion, strict=True), strict=True))
    assert data["subjects0"][1] == (
        "person-2",
        30,
        *(run.test.subjects[1].accuracy for run in (teacher, alone, distilled)),
        distilled.test.subjects[1].accuracy - alone.test.subjects[1].accuracy,
    )
    nll = pytest.approx(alone.test.nll)
    assert data["curves0-0"][1] == (2, nll, pytest.approx(distilled.test.nll))
    assert [row[2:] for row in data["sizes"][1:3]] == [(run.seed, run.test.accuracy) for run in study.groups[1].runs]
    assert sum(row[2] for row in data["reliability0-distilled"] if isinstance(row[2], int)) == 60


def test_a_drawing_stands_alone(runs: list[Run], files: tuple[str, str]) -> None:
    figure, panel = panels_of(runs)["curves0-2"]
    text = Reader(files[0]).files["curves0-2.svg"]
    assert not re.search("var\\(|currentColor|url\\(http", text)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text"))
    for words in (panel.title, figure.title, *(name for _, name in figure.legend), "epoch"):
        assert words in said
    assert {"#b8500c", "#0a66ad", "#1d1c1a"} <= set(re.findall("#[0-9a-f]{6}", text))
    inside, outside = (float(box.split()[3]) for box in re.findall(r'viewBox="([^"]*)"', panel.svg + text))
    assert outside == inside + 3 * 17 + 8  # a title of two lines and the legend stand above


def test_small_text_keeps_a_drawing_wide() -> None:
    """Letters of 8 px in a drawing of 200: at least 250 px wide, so that they have READABLE px."""
    svg = draw("one", "A line", (200, 100), lambda figure: figure.text(0.5, 0.5, "small", size=8) and None)
    assert READABLE == 10
    assert 'style="min-width: 250px"' in svg
    assert "<desc>A line</desc>" in standalone(svg, "Title", ())


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, paper: str, share: float) -> str:
    parts = [(int(colour[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * front + (1 - share) * back):02x}" for front, back in parts)


def test_contrast() -> None:
    """Text has 4.5:1 and signs 3:1 (level AA) on every ground: light, dark and print."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    css = (Path(report.__file__).parent / "page.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]
    assert len(schemes) == 3
    for colours in schemes:
        paper = colours["paper"]
        for ground in (paper, colours["faint"]):
            assert contrast(colours["ink"], ground) >= 4.5
        assert contrast(colours["quiet"], paper) >= 4.5
        assert contrast(mixed(colours["ink"], paper, 0.8), paper) >= 4.5  # labels of axes
        for role in COLOURS:
            assert contrast(colours[role], paper) >= 3
            assert contrast(colours["ink"], mixed(colours[role], paper, STRONGEST)) >= 4.5  # numbers in a confusion matrix


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
    assert page.count("<script") == 1
    assert not {"b", "i"} & reader.tags
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
