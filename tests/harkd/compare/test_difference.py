"""Two studies side by side: zero against itself, known differences, and refusals of what cannot be compared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harkd.errors import UsageError
from harkd.report.compared import Compared
from harkd.report.difference import build_difference, changes
from harkd.report.render import to_html
from harkd.report.tree import Page, Table

Make = Callable[..., Compared]
TABLE = {"none": (10, 12, 14, 16, 10, 12, 14), "jeon_mix1": (12, 14, 16, 18, 12, 14, 15)}


def tables(page: Page) -> dict[str, dict[str, tuple[str, ...]]]:
    blocks = [block for section in page.sections for block in section.blocks if isinstance(block, Table)]
    return {block.head[0]: {row[0]: row[1:] for row in block.rows} for block in blocks}


def test_a_study_differs_from_itself_in_nothing(ten: Compared) -> None:
    for change in changes(ten, ten):
        contrast = change.contrast
        assert (contrast.difference, contrast.low, contrast.high, contrast.p, contrast.p_holm) == (0, 0, 0, 1, 1)
        assert (contrast.wins, contrast.draws, contrast.losses) == (0, 10, 0)
        assert change.options == {}
    page = build_difference(ten, ten)
    assert page.verdict.startswith("Nothing changed: every subject scores the same in both studies, under all 3")
    assert page.details == page.notes == ()
    assert "what" not in tables(page)
    cells = [cell for row in tables(page)["subject"].values() for cell in row]
    assert set(cells) == {"0.0"}


def test_what_changed_is_known(study: Make, tmp_path: Path) -> None:
    """One more right answer of 20 for each of seven subjects under one level: +5 points, p = 2 / 2**7, Holm's times two."""
    a = study(tmp_path / "a", TABLE)
    b = study(tmp_path / "b", TABLE | {"jeon_mix1": tuple(right + 1 for right in TABLE["jeon_mix1"])})
    none, mix = changes(a, b)
    assert none.contrast.difference == 0
    assert mix.contrast.difference == pytest.approx(0.05)
    assert mix.contrast.p == pytest.approx(2 / 2**7)
    assert mix.contrast.p_holm == pytest.approx(4 / 2**7)
    page = build_difference(a, b)
    assert page.verdict == "jeon_mix1 gained 5.0 points (p = 0.031, interval 5.0 to 5.0)."
    assert page.details[0] == "Exactly as before: none."
    assert tables(page)["configuration"]["jeon_mix1"] == ("72.1", "77.1", "+5.0 (+5.0 to +5.0)", "7 / 0 / 0", "0.031")
    turned = changes(b, a)[1].contrast
    assert turned.difference == pytest.approx(-0.05)
    assert build_difference(b, a).verdict.startswith("jeon_mix1 lost 5.0 points")
    assert "What changed, B less A" in to_html(page)


def test_only_common_levels_and_subjects_are_paired(study: Make, tmp_path: Path) -> None:
    """Study B lacks a subject and has a level of its own."""
    names = [str(number) for number in range(1, 8)]
    a = study(tmp_path / "a", TABLE, subjects=names)
    short = {level: right[:6] for level, right in TABLE.items()}
    b = study(tmp_path / "b", {"none": short["none"], "jitter": short["jeon_mix1"]}, subjects=names[:6])
    (none,) = changes(a, b)
    assert none.level == "none"
    assert none.scores.subjects == ("1", "2", "3", "4", "5", "6")
    assert np.array_equal(none.scores.of("A"), none.scores.of("B"))
    page = build_difference(a, b)
    (alone,) = (section for section in page.sections if section.title == "In one study only")
    (block,) = alone.blocks
    assert isinstance(block, Table)
    assert block.rows == (("jeon_mix1", "A", "72.1", "7"), ("jitter", "B", "71.7", "6"))


def test_verdicts_that_turn_are_told(study: Make, tmp_path: Path) -> None:
    a, b = study(tmp_path / "a", TABLE), study(tmp_path / "b", TABLE | {"jeon_mix1": TABLE["none"]})
    assert "Against none, jeon_mix1 is better in A and is not shown to differ in B." in build_difference(a, b).details


def test_designs_and_options_that_differ_are_told(study: Make, tmp_path: Path) -> None:
    a = study(tmp_path / "a", TABLE)
    b = study(tmp_path / "b", TABLE, seeds=1, students={"jeon_mix1": "dscnn-m"})
    rows = tables(build_difference(a, b))["what"]
    assert rows["seeds"] == ("0, 1", "0")
    assert rows["student of jeon_mix1"] == ("dscnn-s", "dscnn-m")
    assert set(rows) == {"seeds", "student of jeon_mix1"}
    assert "configurations of one name differ in their options between the studies: student." in build_difference(a, b).notes


def test_few_subjects_get_no_p_value(four: Compared, study: Make, tmp_path: Path) -> None:
    assert {change.contrast.p_holm for change in changes(four, four)} == {None}
    six = study(tmp_path, {level: right[:6] for level, right in TABLE.items()})
    for change in changes(six, six):  # six would do for one comparison, but these are two
        assert change.contrast.p is None
        assert "2 comparisons need at least 7" in change.contrast.refused


def test_other_data_and_other_windows_are_refused(study: Make, tmp_path: Path, ten: Compared) -> None:
    other = study(tmp_path / "data", TABLE, more=lambda cell: {"terms": {"data": "uci_hapt"}})
    with pytest.raises(UsageError, match='differ in their data set: A has "made_up", B has "uci_hapt"'):
        changes(ten, other)
    elsewhere = study(tmp_path / "subjects", TABLE, subjects=[f"person-{number}" for number in range(7)])
    with pytest.raises(UsageError, match="no test subject in common"):
        changes(ten, elsewhere)
    first, *rest = ten.results.finished
    score = replace(first.trained.test.subjects[0], windows=19)
    test = replace(first.trained.test, subjects=(score, *first.trained.test.subjects[1:]))
    runs = [replace(run, trained=replace(run.trained, test=test)) if run.cell.fold == first.cell.fold else run for run in rest]
    fewer = replace(ten, results=replace(ten.results, finished=tuple(runs)))
    with pytest.raises(UsageError, match="A has 20 of subject 1 and B 19"):
        changes(ten, fewer)
