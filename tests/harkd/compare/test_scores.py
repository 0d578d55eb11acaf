"""The table of scores: what it refuses, and what it says about cells that are missing."""

from typing import Any

import numpy as np
import pytest

from harkd.compare.scores import Scores
from harkd.errors import UsageError

NAN = float("nan")
TABLE = np.array([[0.5, 0.6, 0.7], [0.4, NAN, 0.6], [0.8, 0.7, NAN], [0.9, 1.0, 0.0]])


def scores(values: np.ndarray = TABLE, **changed: Any) -> Scores:
    given: dict[str, Any] = {
        "metric": "accuracy",
        "levels": ("none", "mixup", "mix1"),
        "subjects": ("3", "5", "8", "12"),
        "control": "none",
    }
    return Scores(values=values, **(given | changed))


def test_columns_and_pairs() -> None:
    table = scores()
    assert table.of("mix1")[[0, 1, 3]].tolist() == [0.7, 0.6, 0.0]
    mixup, none, names = table.paired("mixup", "none")
    assert (mixup.tolist(), none.tolist(), names) == ([0.6, 0.7, 1.0], [0.5, 0.8, 0.9], ("3", "8", "12"))


def test_complete_keeps_whole_subjects() -> None:
    table = scores().complete
    assert table.subjects == ("3", "12")
    assert table.values.tolist() == [[0.5, 0.6, 0.7], [0.9, 1.0, 0.0]]
    assert (table.levels, table.control, table.missing) == (("none", "mixup", "mix1"), "none", [])


def test_missing_cells_are_told() -> None:
    assert scores().missing == ["mixup has no score for subject 5.", "mix1 has no score for subject 8."]
    gaps = TABLE.copy()
    gaps[:2, 0], gaps[:, 2] = NAN, NAN
    assert scores(gaps).missing == [
        "none has no score for subjects 3 and 5.",
        "mixup has no score for subject 5.",
        "mix1 has no scores yet.",
    ]
    named = scores(gaps, subjects=("ann-1", "5", "8", "12"))
    assert named.missing[0] == "none has no score for ann-1 and subject 5."


def test_many_missing_cells_are_counted() -> None:
    values = np.full((9, 2), 0.5)
    values[:7, 1] = NAN
    table = scores(values, levels=("none", "mix1"), subjects=tuple("abcdefghi"))
    assert table.missing == ["mix1 has no score for 7 of 9 subjects."]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "acuracy"}, r"unknown metric 'acuracy': did you mean 'accuracy'\?"),
        ({"control": "mix"}, "unknown control 'mix'.*mix1"),
        ({"levels": ("none", "mix1")}, r"scores of shape \(4, 3\) for 4 subjects and 2 levels"),
        ({"subjects": ("3", "5", "3", "12")}, "subject '3' stands in the scores twice"),
        ({"levels": ("none", "mix1", "mix1")}, "level 'mix1' stands in the scores twice"),
        ({"values": TABLE * 100}, "score of subject 3 under none is 50: expected a share from 0 to 1"),
        ({"values": np.where(TABLE == 0.6, np.inf, TABLE)}, "score of subject 3 under mixup is inf"),
        ({"values": TABLE - 0.5}, "score of subject 5 under none is -0.1"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scores(**changed)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown level 'mix2': did you mean 'mix1'"):
        scores().of("mix2")
