"""Thresholds, holding times and runs, against values worked by hand and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harkd.errors import UsageError
from harkd.export.decide import Decisions, decide, fit_threshold, holding, softmax


def two(*sure: float) -> np.ndarray:
    """Probabilities of two classes, the first of them so sure."""
    return np.array([[p, 1 - p] for p in sure])


def test_the_threshold_is_the_probability_of_the_last_right_window_that_must_be_kept() -> None:
    """Twenty right windows at 0.60, 0.61, ... 0.79: keeping 95 % of them means 19, so that 0.61 is the largest threshold."""
    sure = 0.6 + np.arange(20) / 100
    assert fit_threshold(two(*sure), np.zeros(20, int)) == sure[1]
    assert fit_threshold(two(*sure), np.zeros(20, int), keep=1.0) == sure[0]
    assert fit_threshold(two(*sure), np.zeros(20, int), keep=0.05) == sure[19]
    assert fit_threshold(two(*sure), np.zeros(20, int), keep=0.051) == sure[18]


def test_wrong_windows_do_not_count() -> None:
    """The second class wins where p < 0.5; labels say 0 throughout, so only 0.9 and 0.7 are right."""
    assert fit_threshold(two(0.9, 0.7, 0.1, 0.01), np.zeros(4, int), keep=1.0) == 0.7


def test_windows_tied_with_the_threshold_are_kept() -> None:
    probabilities = two(0.9, 0.8, 0.8, 0.8)
    assert fit_threshold(probabilities, np.zeros(4, int), keep=0.5) == 0.8
    assert (probabilities.max(1) >= 0.8).sum() == 4


def test_of_equally_likely_classes_the_first_is_the_decision() -> None:
    assert fit_threshold(two(0.5, 0.9), np.zeros(2, int), keep=1.0) == 0.5
    assert fit_threshold(two(0.5, 0.9), np.array([1, 0]), keep=1.0) == 0.9


def test_without_a_right_window_everything_is_kept() -> None:
    assert fit_threshold(two(0.9, 0.8), np.ones(2, int)) == 0.0
    assert fit_threshold(np.zeros((0, 2)), np.zeros(0, int)) == 0.0


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(keep: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        fit_threshold(two(0.9), np.zeros(1, int), keep)


@given(st.lists(st.integers(51, 100), min_size=1, max_size=40), st.integers(1, 20))
def test_it_is_the_largest_threshold_that_keeps_enough(hundredths: list[int], twentieths: int) -> None:
    """Against brute force over all probabilities that occur, with many ties."""
    sure, keep = np.array(hundredths) / 100, twentieths / 20
    enough = [t for t in sure if 20 * int((sure >= t).sum()) >= twentieths * len(sure)]
    assert fit_threshold(two(*sure), np.zeros(len(sure), int), keep) == max(enough)


def test_probabilities_are_those_of_the_logits_however_large() -> None:
    assert softmax(np.array([[0.0, np.log(3.0)]])).ravel() == pytest.approx([0.25, 0.75])
    assert softmax(np.array([[1e4, 0.0]], np.float32)).tolist() == [[1.0, 0.0]]


def test_each_moment_is_decided_by_the_window_whose_middle_is_nearest() -> None:
    """Windows of 4 s every 1 s have their middles at 2, 3, 4 s, so they change at 2.5 and 3.5 s."""
    spans = np.array([[0.0, 4.0], [1.0, 5.0], [2.0, 6.0]])
    assert holding(spans).tolist() == [[0.0, 2.5], [2.5, 3.5], [3.5, 6.0]]


def test_windows_that_touch_hold_for_themselves_and_gaps_belong_to_nobody() -> None:
    spans = np.array([[0.0, 2.0], [2.0, 4.0], [4.1, 6.1]])
    assert holding(spans).tolist() == spans.tolist()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(2, 12))
def test_the_time_that_windows_cover_is_shared_out_once(steps: list[int], length: int) -> None:
    """Against counting the whole seconds that at least one window covers."""
    starts = np.cumsum(steps)
    held = holding(np.stack([starts, starts + length], 1).astype(float))
    covered = len({second for start in starts.tolist() for second in range(start, start + length)})
    assert (held[:, 1] - held[:, 0]).sum() == pytest.approx(covered)
    assert (held[1:, 0] >= held[:-1, 1]).all()


def made(*logits: tuple[float, float], threshold: float = 0.0, gap: int = 99) -> Decisions:
    """Windows of 2 s every second; before number `gap` lie five seconds without any."""
    start = np.arange(len(logits)) + 5.0 * (np.arange(len(logits)) >= gap)
    return decide(np.array(logits, np.float32), np.stack([start, start + 2], 1), ("a", "b"), threshold)


def test_equal_neighbours_are_one_run_and_a_gap_parts_them() -> None:
    runs = made((1, 0), (3, 0), (0, 1), (0, 1), gap=3).runs()
    assert [(run.start, run.stop, run.decision, run.windows) for run in runs] == [
        (0.0, 2.5, "a", 2),
        (2.5, 4.0, "b", 1),
        (8.0, 10.0, "b", 1),
    ]
    assert runs[0].probability == pytest.approx((1 / (1 + np.exp(-1)) + 1 / (1 + np.exp(-3))) / 2)


def test_what_is_less_likely_than_the_threshold_is_unknown_and_what_equals_it_is_not() -> None:
    exact = float(softmax(np.array([[1.0, 0.0]], np.float32)).max())
    assert made((1, 0), (0.9, 0), threshold=exact).names() == ["a", "unknown"]
    assert made((1, 0), (0.9, 0)).names() == ["a", "a"]


def test_seconds_by_class_sum_to_the_time_that_windows_cover() -> None:
    found = made((1, 0), (0.1, 0), (0, 1), threshold=0.6, gap=2)
    assert found.seconds() == {"a": 1.5, "b": 2.0, "unknown": 1.5}
