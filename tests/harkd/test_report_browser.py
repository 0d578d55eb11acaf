"""The page in a browser: it asks for nothing and complains of nothing, fits a phone, sorts, and hands out its numbers."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from harkd.report import figures, to_html, write_report
from harkd.report.tree import Figure, Panel, Section, Sheet, Table
from harkd.report.tree import Page as Report
from harkd.runs import Run

pytestmark = pytest.mark.system

NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
CELLS = (
    ("net 10", "1,620", "−0.3", "83.3 ± 1.0", "person-3: 71.2", "2 min 14 s", "900 B", "67–73", "–"),
    ("net 9", "95", "+1.8", "9.1 ± 0.2", "8: 90.0", "41 s", "26.6 kB", "7–13", "4"),
    ("net 2", "12,345,678", "0.0", "100.0", "person-10: 9.5", "2 h 2 min", "1.2 MB", "0–6", "30"),
)
TOTAL = ("mean", "1", "2", "3", "4", "5", "6", "7", "8")
UPWARDS = ("net 2", "95", "−0.3", "9.1 ± 0.2", "person-10: 9.5", "41 s", "900 B", "0–6", "4")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "this test opens the page in chromium, which is missing: install the package chromium"
    with sync_playwright() as playwright:
        quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=program, args=quiet, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(trained: Path, distilled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on trained runs, one of them with an export; a folder of its own, with a space in its name."""
    folder = tmp_path_factory.mktemp("the page")
    shutil.copytree(trained, folder / "alone")
    scores = Run(folder / "alone").result()["test"]
    exported = {
        "checks": [{"name": "size", "bound": "at most 48 kB", "found": "26.6 kB", "passed": True}],
        "files": {"model_int8.tflite": {"bytes": 26608}, "model_float.tflite": {"bytes": 58120}},
        "macs": 100000,
        "parameters": 2000,
        "float": scores,
        "int8": scores,
        "drop": None,
    }
    (folder / "alone" / "export").mkdir()
    (folder / "alone" / "export" / "verification.json").write_text(json.dumps(exported))
    runs = [Run(each) for each in (folder / "alone", distilled, *sorted(distilled.parent.glob("teacher*")))]
    write_report(runs, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What strains a page: cells of every kind under a total, and a confusion matrix of twelve classes with long names."""
    table = Table("Cells", tuple(f"column {number}" for number in range(len(TOTAL))), (*CELLS, TOTAL), totals=1)
    names = [f"a class of a long name {number}" for number in range(12)]
    svg = figures.confusion("wide", "Twelve classes", "distilled", np.eye(12, dtype=np.int64) * 9 + 1, names)
    data = Sheet(("class", "a, b", 'c "d"'), (("歩く", 0.123456789, None), ("two\nlines", 3, -1.5)))
    figure = Figure("Answers", "Caption.", (), (Panel("", svg, "wide", data, wide=True),), ())
    path = tmp_path_factory.mktemp("crafted") / "page.html"
    path.write_text(to_html(Report("kicker", "title", "verdict", (), (), (Section("One", (table, figure)),), "footer")))
    return path


def opened(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    """The page, and what a browser should never have to say of it: messages, errors, requests besides the page itself."""
    said: list[str] = []
    tab = context.new_page()
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
    tab.goto(path.as_uri())
    return tab, said


def column(tab: Page, number: int) -> list[str]:
    cells = tab.locator("table").first.locator(f"tbody tr > :nth-child({number + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1280"])
def test_it_asks_for_nothing_and_fits(browser: Browser, page: Path, crafted: Path, size: dict[str, int], scheme: str) -> None:
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        for path in (page, crafted):
            tab, said = opened(context, path)
            tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            for button in tab.locator("thead button").all():
                button.evaluate("button => button.click()")
            assert tab.evaluate("document.scrollingElement.scrollWidth") <= size["width"]
            smallest = tab.evaluate(
                """Math.min(...[...document.querySelectorAll(".drawing text")].map(text => {
                    const { a, b } = text.getScreenCTM();
                    return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
                }))"""
            )
            assert smallest > 9.9
            assert said == []


def test_the_scheme_changes_the_colours(browser: Browser, page: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            tab, _ = opened(context, page)
            dot = "getComputedStyle(document.querySelector('#curves0-0-axes_1 path, .drawing path[style*=distilled]')).stroke"
            seen[scheme] = tab.evaluate(f"[getComputedStyle(document.body).backgroundColor, {dot}]")
    assert seen == {
        "light": ["rgb(253, 252, 249)", "rgb(10, 102, 173)"],
        "dark": ["rgb(22, 23, 26)", "rgb(108, 180, 236)"],
    }


def test_tables_sort(browser: Browser, crafted: Path) -> None:
    """Upwards, downwards, as written; numbers by value, whatever stands around them; a missing value last, the total below."""
    with browser.new_context() as context:
        tab, _ = opened(context, crafted)
        for number, first in enumerate(UPWARDS):
            head = tab.locator("thead th").nth(number)
            written = [row[number] for row in CELLS]
            head.get_by_role("button", name=f"column {number}").click()
            assert head.get_attribute("aria-sort") == "ascending"
            assert tab.locator("[aria-sort]").count() == 1
            up = column(tab, number)
            assert up[0] == first
            assert sorted(up[:3]) == sorted(written)
            assert up[3] == TOTAL[number]
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == "descending"
            empty = [text for text in up[:3] if text == "–"]
            assert column(tab, number) == [*[text for text in up[2::-1] if text != "–"], *empty, TOTAL[number]]
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") is None
            assert column(tab, number) == [*written, TOTAL[number]]


def test_tables_sort_by_keyboard(browser: Browser, crafted: Path) -> None:
    with browser.new_context() as context:
        tab, _ = opened(context, crafted)
        tab.keyboard.press("Tab")  # the table's region, then its heads
        tab.keyboard.press("Tab")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "column 1"
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.keyboard.press("Enter")
        assert column(tab, 0) == ["net 9", "net 10", "net 2", "mean"]
        tab.keyboard.press("Space")
        assert column(tab, 0) == ["net 2", "net 10", "net 9", "mean"]
        assert tab.evaluate("document.activeElement.textContent") == "column 1"


def test_without_script_it_is_all_there(browser: Browser, crafted: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(crafted.as_uri())
        assert tab.locator("button").count() == 0
        assert tab.locator("thead th").all_inner_texts() == [f"column {number}" for number in range(9)]
        assert column(tab, 0) == ["net 10", "net 9", "net 2", "mean"]


def test_another_script_does_not_run(browser: Browser, crafted: Path, tmp_path: Path) -> None:
    """The page names its script by its hash: one that was slipped in is refused."""
    changed = tmp_path / "changed.html"
    changed.write_text(crafted.read_text().replace("</main>", "</main><script>document.title = 'taken'</script>"))
    with browser.new_context() as context:
        tab, said = opened(context, changed)
        assert tab.title() == "title"
        assert any("Content Security Policy" in each for each in said)


def test_numbers_and_drawings_can_be_taken_away(browser: Browser, crafted: Path, page: Path) -> None:
    with browser.new_context() as context:
        tab, said = opened(context, crafted)
        with tab.expect_download() as download:
            tab.get_by_role("link", name="CSV: Answers").click()
        assert download.value.suggested_filename == "wide.csv"
        text = Path(download.value.path()).read_bytes()
        assert text == 'class,"a, b","c ""d"""\r\n歩く,0.123457,\r\n"two\nlines",3,-1.5\r\n'.encode()
        tab, said = opened(context, page)
        with tab.expect_download() as download:
            tab.locator('a[download="files.svg"]').click()
        drawing, complaints = opened(context, Path(download.value.path()).rename(page.with_name("files.svg")))
        assert drawing.locator("text").first.inner_html() == "Test accuracy by size of the file"
        assert complaints == []
        assert [each for each in said if not each.startswith("data:")] == []  # the click itself
