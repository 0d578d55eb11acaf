"""The page of a study and its JSON: known numbers, what is said of what was not the same, and equal bytes for equal runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harkd.compare.options import Study
from harkd.compare.results import Failed
from harkd.errors import HarkdError
from harkd.report.comparison import Compared, build_comparison, comparison_json, write_comparison
from harkd.report.comparison_figures import front
from harkd.report.comparison_notes import choice, held, notes, updates
from harkd.report.comparison_tables import class_changes
from harkd.report.render import to_html, to_markdown
from harkd.report.tree import Facts, Figure, Page, Table, Text

Make = Callable[..., Compared]
WORSE_LATER = {"none": (10, 12, 14, 16, 10, 12, 14), "jeon_mix1": (12, 14, 16, 18, 12, 14, 15)}


def tables(page: Page) -> list[Table]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Table)]


def table(page: Page, *head: str) -> dict[str, dict[str, str]]:
    """The one table that has these columns: its cells by row and column."""
    (found,) = (each for each in tables(page) if set(head) <= set(each.head))
    return {row[0]: dict(zip(found.head, row, strict=True)) for row in found.rows}


def figures(page: Page) -> dict[str, Any]:
    blocks = [block for section in page.sections for block in section.blocks if isinstance(block, Figure)]
    return {panel.name: panel for figure in blocks for panel in figure.panels}


def said(page: Page) -> str:
    """All sentences of a page."""
    blocks = [block for section in page.sections for block in section.blocks]
    texts = [block.text for block in blocks if isinstance(block, Text)]
    facts = [f"{name}: {text}" for block in blocks if isinstance(block, Facts) for name, text in block.items]
    return "\n".join([page.verdict, *page.details, *page.notes, *texts, *facts])


@pytest.fixture(scope="module")
def page(ten: Compared) -> Page:
    return build_comparison(ten)


def test_the_ranking_has_the_numbers_that_were_put_in(page: Page) -> None:
    """jeon_mix1 has 10.5 points more on 10 of 10 subjects: p is 2 / 2**10, Holm's times two; jitter has 0.5 less, 2/5/3."""
    rows = table(page, "P(better)")
    assert list(rows) == ["jeon_mix1", "none", "jitter"]
    assert [row["accuracy, %"] for row in rows.values()] == ["70.5", "60.0", "59.5"]
    assert rows["jeon_mix1"]["difference"] == "+10.5 (+10.0 to +12.0)"
    assert rows["jeon_mix1"]["better / same / worse"] == "10 / 0 / 0"
    assert rows["jeon_mix1"]["p"] == "0.004"
    assert [rows["jeon_mix1"][f"P({side})"] for side in ("better", "same", "worse")] == ["1.00", "0.00", "0.00"]
    assert rows["none"]["difference"] == "control"
    assert rows["jitter"]["better / same / worse"] == "2 / 5 / 3"
    assert rows["jitter"]["p"] == "1.000"
    assert rows["jitter"]["worst subject, %"] == "1: 45.0"


def test_the_json_has_the_same_numbers_unrounded(ten: Compared) -> None:
    plain = json.loads(json.dumps(comparison_json(ten), allow_nan=False))
    none, mix, jitter = plain["levels"]
    assert [level["mean"] for level in (none, mix, jitter)] == pytest.approx([0.6, 0.705, 0.595])
    assert mix["subjects"]["10"] == 0.85
    assert none["worst_subject"] == {"subject": "1", "score": 0.5}
    assert none["validation"] == pytest.approx((0.55 + 0.5) / 2)  # the first subject of the other fold: 2, and 1
    assert plain["contrasts"][0]["p_holm"] == 2 * 2 / 2**10
    assert plain["contrasts"][0]["different"] is True
    assert plain["omnibus"]["ranks"] == pytest.approx({"none": 2.45, "jeon_mix1": 1.0, "jitter": 2.55})
    assert plain["best_on_validation"] == "jeon_mix1"
    assert plain["complete"] is True
    assert none["ece"] == pytest.approx(0.1)  # always 0.7 sure, and right in 0.6
    assert none["deployed"] == {"bytes": 20000, "measured": True}
    assert not {"seconds", "where", "folder"} & set(re.findall(r'"(\w+)":', json.dumps(plain)))


def test_equal_runs_give_equal_bytes(study: Make, tmp_path: Path) -> None:
    """In another folder, too; and no time stands in the JSON."""
    one, two, slow = (
        study(tmp_path / name, WORSE_LATER, more=lambda cell, seconds=seconds: {"seconds": seconds})
        for name, seconds in (("one", 1.0), ("two", 1.0), ("slow", 99.0))
    )
    for name, compared in (("one", one), ("two", two)):
        write_comparison(compared, tmp_path / f"{name}-page" / "report.html")
    files = [
        [(tmp_path / f"{name}-page" / file).read_bytes() for file in ("report.html", "report.md")] for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert comparison_json(one) == comparison_json(slow)
    assert build_comparison(one) != build_comparison(slow)


def test_every_level_and_subject_is_in_both_formats(page: Page) -> None:
    html, markdown = to_html(page), to_markdown(page, "report.html")
    for each in tables(page):
        for row in each.rows:
            assert row[0] in html
            assert row[0].replace("_", r"\_") in markdown
    assert "<script src" not in html
    assert set(figures(page)) == {"forest", "ranks", "reliability-alone", "reliability-distilled"}


def test_what_was_held_fixed_is_said(page: Page) -> None:
    text = said(page)
    assert "Held fixed: the data and the folds, the student (dscnn-s) and the number of student updates." in text
    assert "The number of student updates is the same for all runs of a fold: 300." in text
    assert "like with like" not in text


def test_unequal_updates_are_said_loudly(study: Make, tmp_path: Path) -> None:
    longer = study(tmp_path, WORSE_LATER, more=lambda cell: {"updates": 400 if cell.level == "jeon_mix1" else 300})
    assert notes(longer) == (
        "not a comparison of like with like: the numbers of student updates differ (300 for none, 400 for jeon_mix1), so longer "
        "training may be what helps or harms.",
    )
    assert held(longer).endswith("Not held fixed: the number of student updates.")
    assert comparison_json(longer)["equal_updates"] is False


def test_updates_may_differ_between_folds(study: Make, tmp_path: Path) -> None:
    """Folds have different numbers of training windows, and these nothing to do with levels."""
    compared = study(tmp_path, WORSE_LATER, more=lambda cell: {"updates": 300 if cell.fold.endswith("0") else 280})
    assert compared.equal_updates
    assert updates(compared).endswith("the same for all runs of a fold: 280–300.")
    assert notes(compared) == ()


def test_what_differs_in_several_things_at_once_is_said(study: Make, tmp_path: Path) -> None:
    right = (10, 12, 14, 16, 10, 12, 14)
    levels = dict.fromkeys(("none/ce", "none/kd", "jeon_mix1/ce", "jeon_mix1/kd"), right)
    compared = study(tmp_path, levels)
    assert compared.unlike("none/kd") == ("method",)
    assert compared.unlike("jeon_mix1/ce") == ("augment",)
    assert compared.unlike("jeon_mix1/kd") == ("augment", "method")
    assert set(compared.differing) == {"augment", "method"}  # those without a teacher have no other teacher_epochs
    assert not [name for name in compared.settings("none/ce") if name.startswith("teacher")]
    assert compared.settings("none/kd")["teacher_epochs"] == 60
    (note,) = notes(compared)
    assert note.startswith("jeon_mix1/kd differs from none/ce in several things at once (augment and method)")


def test_few_subjects_are_printed_without_p_values(four: Compared) -> None:
    page = build_comparison(four)
    assert {row["p"] for row in table(page, "P(better)").values()} == {"–"}
    assert list(table(page, "subject")) == ["subject 1", "subject 2", "subject 3", "subject 4", "mean of subjects"]
    assert table(page, "subject")["subject 1"]["jitter"] == "lowest: 45.0"
    assert "With 4 subjects no p-value is given: 7 are needed for 2 comparisons." in said(page)
    assert "Friedman's test is left out" in said(page)
    assert "ranks" not in figures(page)
    assert not re.search(r"p [=<] 0\.", said(page))


def test_failed_missing_and_dropped_runs_are_listed(study: Make, tmp_path: Path) -> None:
    compared = study(
        tmp_path,
        WORSE_LATER | {"jitter": (0,) * 7},
        skip=lambda cell: cell.level == "jeon_mix1" and cell.fold.endswith("1") and cell.seed == 1,
        failed=[Failed("dscnn-s-kd-x", ("jeon_mix1",), "the disk is full")],
        dropped={"jitter": "left out after 1 seed"},
        asked=Study(halving=2),
    )
    page = build_comparison(compared)
    assert table(page, "needed for")["dscnn-s-kd-x"]["reason"] == "the disk is full"
    assert table(page, "why")["jitter"]["why"] == "left out after 1 seed"
    assert "jeon_mix1 lacks 1 of its runs (fold kfold:2/1 seed 1)." in said(page)
    assert any("not finished" in note for note in page.notes)
    assert "jitter" not in table(page, "P(better)")
    assert "1 configuration was left out early" in "\n".join(page.notes)
    assert comparison_json(compared)["complete"] is False


def test_nothing_can_be_compared_without_the_control(study: Make, tmp_path: Path) -> None:
    with pytest.raises(HarkdError, match=r"the control none has no finished run: x failed \(no such net\)"):
        study(tmp_path, WORSE_LATER, skip=lambda cell: cell.level == "none", failed=[Failed("x", ("none",), "no such net")])


def test_changes_per_class_of_all_wrong_and_all_right(study: Make, tmp_path: Path) -> None:
    compared = study(tmp_path, {"none": (0,) * 6, "jeon_mix1": (20,) * 6, "jitter": (0,) * 6})
    assert class_changes(compared) == {"jeon_mix1": (1.0, 1.0, 1.0), "jitter": (0.0, 0.0, 0.0)}
    page = build_comparison(compared)
    assert table(page, "class")["walk"] == {
        "class": "walk", "windows": "42", "none": "0.0", "jeon_mix1": "+100.0", "jitter": "0.0"
    }  # fmt: skip
    assert "The largest gain is +100.0 points, rest under jeon_mix1." in said(page)
    assert "largest loss" not in said(page)


def test_calibration_of_a_net_that_is_always_as_sure(page: Page) -> None:
    rows = table(page, "too sure by")
    assert rows["none"]["too sure by"] == "+10.0"
    assert rows["jeon_mix1"]["too sure by"] == "−0.5"
    assert rows["jeon_mix1"]["ECE"] == "0.005"


def test_the_front_is_what_nothing_beats() -> None:
    assert front([1, 2, 3, 3], [0.5, 0.4, 0.9, 0.8]) == (True, False, True, False)
    assert front([1, 1], [0.5, 0.5]) == (True, True)
    assert front([2, 1], [0.5, 0.5]) == (False, True)


def test_the_front_of_a_study(study: Make, tmp_path: Path, page: Page) -> None:
    levels = WORSE_LATER | {"jitter": (20,) * 7, "rotate": (1,) * 7}
    sizes = build_comparison(study(tmp_path, levels, students={"jitter": "dscnn-m", "rotate": "dscnn-m"}))
    rows = {row[0]: row[1:] for row in figures(sizes)["pareto"].data.rows}
    assert {name: (row[0], row[2]) for name, row in rows.items()} == {
        "none": (20000, "False"), "jeon_mix1": (20000, "True"), "jitter": (40000, "True"), "rotate": (40000, "False")
    }  # fmt: skip
    assert "The students differ (dscnn-s and dscnn-m)" in "\n".join(sizes.notes)
    assert "All configurations take 20.0 kB on the watch (the exported int8 file): the best score decides." in said(page)


def test_teachers_are_listed_apart(study: Make, tmp_path: Path, ten: Compared) -> None:
    alone = ten.results.finished[0].trained
    page = build_comparison(study(tmp_path, WORSE_LATER, teachers=[alone, alone]))
    (row,) = table(page, "teacher updates").values()
    assert row["runs"] == "2"
    assert row["teacher updates"] == "300"
    assert "student updates" in {name for each in tables(page) for name in each.head}


def test_the_choice_is_told_from_the_best_on_test(study: Make, tmp_path: Path) -> None:
    validation = {"none": (20,) * 7, "jeon_mix1": (1,) * 7}
    compared = study(tmp_path, WORSE_LATER, validation=validation)
    assert (compared.winner, compared.ranked[0]) == ("none", "jeon_mix1")
    assert "By validation subjects the choice is none; its test score had no part in that" in choice(compared)


def test_the_forest_draws_the_differences(page: Page) -> None:
    panel = figures(page)["forest"]
    assert [row[:2] for row in panel.data.rows] == [("jeon_mix1", pytest.approx(0.105)), ("jitter", pytest.approx(-0.005))]
    assert "jeon_mix1 +10.5 (+10.0 to +12.0), different; jitter −0.5" in panel.svg
