"""The model card: everything that a user has to know is on it, from the runs, and nothing that they do not say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harkd.errors import UsageError
from harkd.report.compared import Compared
from harkd.report.model_card import build_model_card, model_card
from harkd.report.tree import Facts, Page, Table

TABLE = {"none": (10, 12, 14, 16, 10, 12, 14), "jeon_mix1": (12, 14, 16, 18, 12, 14, 15)}


def facts(page: Page) -> dict[str, str]:
    return dict(item for section in page.sections for block in section.blocks if isinstance(block, Facts) for item in block.items)


def tables(page: Page) -> dict[str, dict[str, tuple[str, ...]]]:
    blocks = [block for section in page.sections for block in section.blocks if isinstance(block, Table)]
    return {block.head[0]: {row[0]: row[1:] for row in block.rows} for block in blocks}


def limits(page: Page) -> str:
    (section,) = (section for section in page.sections if section.title == "Limits")
    return " ".join(getattr(block, "text", "") for block in section.blocks)


def test_a_card_says_whose_data_and_on_which_terms(ten: Compared) -> None:
    card = model_card(ten, "jeon_mix1")
    for words in ("A. Nobody (2020)", "CC-BY-NC-4.0", "**commercial use**: not allowed", "Not a medical device."):
        assert words in card
    assert "forbid commercial use" in card
    told = facts(build_model_card(ten, "jeon_mix1"))
    assert told["test"] == "10 subjects over all folds: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    assert told["training"] == "5 subjects, 100 windows in each fold"


def test_a_card_says_how_the_model_was_made(ten: Compared) -> None:
    told = facts(build_model_card(ten, "jeon_mix1"))
    assert told["net"] == "dscnn-s"
    assert told["parameters"] == "4,911"
    assert told["size on the watch"] == "20.0 kB (the exported int8 file)"
    assert told["augmentation strategy"] == "jeon_mix1"
    assert told["method"].startswith("kd, weight 0.9, temperature 4.0")
    assert told["teacher"] == "wrn1d-16-1 (teacher)"
    assert told["seeds"] == "0 and 1"
    assert told["folds"] == "2, each with its own net: 4 runs in all"
    assert told["updates"] == "300 a run"
    assert told["sees"] == "all, at 20 Hz"
    assert told["sensors"] == "acc (wrist)"


def test_a_card_says_what_it_is_for(ten: Compared) -> None:
    assert "3 classes of movement (rest, walk and run) from windows of 3.2 s of acc (wrist)" in model_card(ten, "jeon_mix1")


def test_a_card_has_every_subject_and_marks_the_worst(ten: Compared) -> None:
    page = build_model_card(ten, "jeon_mix1")
    rows = tables(page)["subject"]
    assert len(rows) == 10
    assert rows["subject 1, the worst"] == ("60.0", "+10.0")
    assert rows["subject 10"] == ("85.0", "+15.0")
    assert page.verdict == (
        "70.5\N{NO-BREAK SPACE}% accuracy on 10 test subjects, whom the net was not trained on; subject 1 comes off worst with "
        "60.0\N{NO-BREAK SPACE}%."
    )
    assert tables(page)["class"]["rest"][0] == "140"  # 7 of 20 windows, 10 subjects, 2 seeds
    assert facts(page)["against none"] == "+10.5 (+10.0 to +12.0) points, 10 of 10 subjects better, p = 0.004 after correction"


def test_the_choice_was_made_on_validation_subjects(study: Callable[..., Compared], tmp_path: Path) -> None:
    compared = study(tmp_path, TABLE, validation={"none": (16,) * 7, "jeon_mix1": (1,) * 7})
    assert compared.winner == "none"
    card = model_card(compared, "none")
    assert "The best of 2 configurations on validation subjects (80.0\N{NO-BREAK SPACE}% accuracy there)." in card
    assert r"On test subjects jeon\_mix1 scores higher" in card
    other = model_card(compared, "jeon_mix1")
    assert "Picked by hand among 2 configurations: the best of them on validation subjects is none." in other


def test_limits_are_those_of_the_study(ten: Compared, four: Compared, study: Callable[..., Compared], tmp_path: Path) -> None:
    told = limits(build_model_card(ten, "jeon_mix1"))
    assert "worn at wrist" in told
    assert "Validation subjects of a fold are test subjects of another" in told
    assert "not shown" not in told
    assert "It is not shown to be better than none." in limits(build_model_card(ten, "jitter"))
    assert "was not tested: 4 subjects are too few for a test" in limits(build_model_card(four, "jeon_mix1"))
    once = study(tmp_path, TABLE, seeds=1, more=lambda cell: {"updates": 400 if cell.level == "none" else 300})
    told = limits(build_model_card(once, "jeon_mix1"))
    assert "One seed only" in told
    assert "The numbers of student updates differ" in told


def test_sessions_are_not_taken_for_new_people(ten: Compared) -> None:
    sessions = replace(ten, results=replace(ten.results, design=replace(ten.results.design, folds=("session:1", "session:2"))))
    page = build_model_card(sessions, "jeon_mix1")
    assert "in sessions that the net was not trained on" in page.verdict
    assert facts(page)["split"] == "by session"
    assert "other sessions of people whom the net was trained on" in limits(page)


def test_only_levels_have_cards(ten: Compared) -> None:
    with pytest.raises(UsageError, match="unknown level 'jeon_mix2': did you mean 'jeon_mix1'"):
        model_card(ten, "jeon_mix2")


def test_the_control_has_a_card(ten: Compared) -> None:
    page = build_model_card(ten, "none")
    assert not [name for name in facts(page) if name.startswith("against")]
    assert {row[1] for row in tables(page)["subject"].values()} == {"0.0"}
