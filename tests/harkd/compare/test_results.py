"""What finished runs say together: worked numbers, and scikit-learn on the pooled predictions."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, f1_score

from harkd.compare.design import Cell, Design
from harkd.compare.options import Study
from harkd.compare.results import COLUMNS, Finished, Results, table
from harkd.errors import HarkdError
from harkd.evaluation import BINS, Evaluation, evaluate_probabilities
from harkd.options import Pair

CLASSES = ("rest", "walk", "run")
Study_ = Callable[..., Results]


@pytest.fixture
def study(tmp_path: Path, run_directory: Callable[..., Any]) -> Study_:
    """A study of two folds and two seeds whose runs have these right answers (of 20 windows) by subject.

    `test` and `validation` are asked for every cell; a cell without test subjects has no finished run.
    """
    made: list[Path] = []

    def build(
        test: Callable[[Cell], Mapping[str, int]],
        validation: Callable[[Cell], Mapping[str, int]] = lambda cell: {},
        more: Callable[[Cell], Mapping[str, Any]] = lambda cell: {},
        **asked: Any,
    ) -> Results:
        made.append(tmp_path / str(len(made)))
        asked = {"augment": "none,rotate(20)", "seeds": 2, "folds": ("kfold:2/0", "kfold:2/1")} | asked
        design = Design.of(Pair(augment=asked["augment"]), Study(seeds=asked["seeds"]), asked["folds"])
        cells = [cell for cell in design.cells if test(cell)]
        runs = [run_directory(made[-1], cell, test(cell), validation(cell), **more(cell)) for cell in cells]
        return Results(design, tuple(map(Finished, cells, runs)))

    return build


def odd_and_even(cell: Cell) -> dict[str, int]:
    """Two subjects a fold; the second level has one more right answer, and each seed another one."""
    gain = (cell.level != "none") + 2 * cell.seed
    return {"1": 8 + gain, "3": 12 + gain} if cell.fold.endswith("0") else {"2": 10 + gain, "4": 14 + gain}


# Scores of subjects


def test_the_score_of_a_subject_is_its_mean_over_seeds(study: Study_) -> None:
    scores = study(odd_and_even).scores()
    assert (scores.subjects, scores.levels, scores.control) == (("1", "3", "2", "4"), ("none", "rotate(20)"), "none")
    # 8, 12, 10 and 14 of 20, and two more with the second seed: one more on average.
    np.testing.assert_allclose(scores.of("none"), np.array([9, 13, 11, 15]) / 20, rtol=1e-15)
    np.testing.assert_allclose(scores.of("rotate(20)"), np.array([10, 14, 12, 16]) / 20, rtol=1e-15)


def test_a_subject_of_several_folds_counts_by_its_windows(study: Study_) -> None:
    """Sessions as folds: 30 windows in the morning, 10 in the evening; two seeds."""

    def more(cell: Cell) -> dict[str, Any]:
        windows, right = (30, 24) if cell.fold.endswith("am") else (10, 2 + 4 * cell.seed)
        return {"test": exact(windows, right).to_dict()}

    found = study(lambda cell: {"1": 1}, more=more, folds=("session:am", "session:pm"))
    # (24 + 2) / 40 with the first seed, (24 + 6) / 40 with the second
    assert found.by_subject("none", "accuracy") == {"1": pytest.approx((26 + 30) / 80)}


def test_validation_subjects_have_scores_of_their_own(study: Study_) -> None:
    found = study(odd_and_even, lambda cell: {"4" if cell.fold.endswith("0") else "3": 20 if cell.level == "none" else 10})
    assert found.by_subject("none", "accuracy", "validation") == {"4": 1.0, "3": 1.0}
    scores = found.scores("accuracy", "validation")
    assert (scores.subjects, scores.values.tolist()) == (("4", "3"), [[1.0, 0.5], [1.0, 0.5]])
    assert found.best_on_validation() == "none"  # on test subjects the other one is better
    assert study(odd_and_even).best_on_validation() is None


def test_macro_f1_of_a_subject(study: Study_) -> None:
    found = study(lambda cell: {"1": 20} if cell.fold.endswith("0") else {"2": 13})
    labels = np.arange(20) % 3
    answers = np.where(np.arange(20) < 13, labels, (labels + 1) % 3)
    expected = {"1": 1.0, "2": pytest.approx(f1_score(labels, answers, average="macro"), rel=1e-12)}
    assert found.by_subject("none", "macro_f1") == expected


# What is missing


def test_missing_runs_are_said(study: Study_) -> None:
    def test(cell: Cell) -> Mapping[str, int]:
        there = cell.level == "none" or (cell.seed == 0 and cell.fold.endswith("0"))
        return odd_and_even(cell) if there else {}

    found = study(test, seeds=3)
    assert not found.complete
    assert found.missing() == [
        "rotate(20) lacks 5 of its runs (fold kfold:2/1 seed 0, fold kfold:2/0 seed 1, fold kfold:2/1 seed 1 and 2 more)."
    ]
    assert np.isnan(found.scores().of("rotate(20)")).tolist() == [False, False, True, True]
    assert found.scores().paired("rotate(20)", "none")[2] == ("1", "3")


def test_a_level_without_runs_is_not_compared(study: Study_) -> None:
    found = study(lambda cell: odd_and_even(cell) if cell.level == "none" else {})
    assert (found.levels, found.missing(), found.complete) == (("none",), [], False)


def test_what_halving_left_out_is_in_no_score_and_is_not_missed(study: Study_) -> None:
    found = study(lambda cell: odd_and_even(cell) if cell.level == "none" or cell.seed == 0 else {})
    found = replace(found, dropped={"rotate(20)": "left out after 1 seed"})
    assert (found.levels, found.complete, found.missing()) == (("none",), True, [])
    assert found.scores().values.shape == (4, 1)


def test_runs_on_other_windows_are_refused(study: Study_) -> None:
    with pytest.raises(HarkdError) as caught:
        study(odd_and_even, more=lambda cell: {"fingerprint": f"{cell.fold} {cell.seed == 1 and cell.fold.endswith('1')}"})
    message = str(caught.value)
    assert "kfold-2of1-s0" in message.split(" and ")[0]
    assert "kfold-2of1-s1" in message.split(" and ")[1]
    assert message.endswith(
        "were trained on other windows, though both are fold 'kfold:2/1': the data changed in between; "
        "delete the older one, or take another folder with --out"
    )
    assert "\n" not in message


# Against scikit-learn


def exact(windows: int, right: int) -> Evaluation:
    """One subject with so many right answers."""
    labels = np.arange(windows) % 3
    answers = np.where(np.arange(windows) < right, labels, (labels + 1) % 3)
    return evaluate_probabilities(np.eye(3)[answers] * 0.7 + 0.1, labels, np.full(windows, "1"), CLASSES, {"1": "1"})


def guesses(seed: int, fold: str, windows: int = 211) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up answers of a net that often knows: probabilities (n, 3), labels, subjects. "run" is rare, and never tested in
    fold 1."""
    rng = np.random.default_rng([seed, int(fold[-1])])
    labels = rng.choice(3, windows, p=[0.5, 0.4, 0.1] if fold.endswith("0") else [0.6, 0.4, 0.0])
    logits = rng.normal(size=(windows, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probabilities, labels, rng.choice(["1", "3"] if fold.endswith("0") else ["2"], windows)


@pytest.fixture
def guessed(study: Study_) -> Results:
    def more(cell: Cell) -> dict[str, Any]:
        probabilities, labels, subjects = guesses(cell.seed, cell.fold)
        codes = {name: name for name in sorted(set(subjects.tolist()))}
        return {"test": evaluate_probabilities(probabilities, labels, subjects, CLASSES, codes).to_dict()}

    return study(lambda cell: {"1": 1}, more=more)


def pooled(seed: int) -> tuple[np.ndarray, np.ndarray]:
    parts = [guesses(seed, fold) for fold in ("kfold:2/0", "kfold:2/1")]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def test_changes_per_class_equal_those_of_pooled_predictions(guessed: Results) -> None:
    by_seed, counts = [], []
    for seed in range(2):
        probabilities, labels = pooled(seed)
        by_seed.append(f1_score(labels, probabilities.argmax(1), average=None, labels=[0, 1, 2]))
        counts.append(confusion_matrix(labels, probabilities.argmax(1), labels=[0, 1, 2]))
        np.testing.assert_array_equal(guessed.confusion("none", seed), counts[-1])
    np.testing.assert_allclose(guessed.class_f1("none"), np.mean(by_seed, 0), rtol=1e-12)
    np.testing.assert_array_equal(guessed.confusion("none"), sum(counts))


def test_calibration_equals_that_of_pooled_predictions(guessed: Results) -> None:
    parts = [pooled(seed) for seed in range(2)]
    probabilities, labels = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    share, confidence = calibration_curve(right, sure, n_bins=BINS)
    bins = guessed.reliability("none")
    np.testing.assert_allclose([b.accuracy for b in bins], share, rtol=1e-12)
    np.testing.assert_allclose([b.confidence for b in bins], confidence, rtol=1e-12)
    counts = np.histogram(sure, np.linspace(0, 1, BINS + 1))[0]
    assert [b.windows for b in bins] == counts[counts > 0].tolist()
    expected = np.sum(counts[counts > 0] * np.abs(share - confidence)) / len(labels)
    assert guessed.ece("none") == pytest.approx(expected, rel=1e-12)


def test_means_over_runs_are_means_over_windows(guessed: Results) -> None:
    parts = [pooled(seed) for seed in range(2)]
    probabilities, labels = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    nll = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert guessed.mean("none", "nll") == pytest.approx(nll, rel=1e-12)
    assert guessed.mean("none", "accuracy") == pytest.approx((probabilities.argmax(1) == labels).mean(), rel=1e-12)


# The table


def test_the_table_holds_every_score_in_the_order_of_the_design(study: Study_) -> None:
    found = study(odd_and_even, lambda cell: {"9": 5})
    rows = list(csv.reader(io.StringIO(table(found))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1] == ["none", "kfold:2/0", "0", "validation", "9", "20", "0.25", rows[1][-1]]
    assert [row[:7] for row in rows[2:4]] == [
        ["none", "kfold:2/0", "0", "test", "1", "20", "0.4"],
        ["none", "kfold:2/0", "0", "test", "3", "20", "0.6"],
    ]
    assert [tuple(row[:3]) for row in rows[1:]] == [
        (cell.level, cell.fold, str(cell.seed)) for cell in found.design.cells for _ in range(3)
    ]


def test_equal_runs_give_equal_tables(study: Study_) -> None:
    """Whatever folder they are in, and however long they took."""
    first, second = (study(odd_and_even, more=lambda cell, seconds=seconds: {"seconds": seconds}) for seconds in (1.0, 2.0))
    assert table(first) == table(second)
    third = study(lambda cell: {**odd_and_even(cell), "1": 3} if cell.fold.endswith("0") else odd_and_even(cell))
    assert table(first) != table(third)
