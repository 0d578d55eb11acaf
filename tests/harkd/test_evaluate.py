"""Scores against worked examples and scikit-learn, and what `harkd evaluate` makes of a run."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from harkd.errors import HarkdError, UsageError
from harkd.evaluation import BINS, Evaluation, _reliability, evaluate, evaluate_probabilities, pseudonyms
from harkd.flatness import flatness
from harkd.parts import data_of, prepare
from harkd.player import Player, predict
from harkd.runs import Run


def scored(probabilities: Any, labels: Any, subjects: Any = None, classes: int = 0) -> Evaluation:
    probabilities, labels = np.array(probabilities, float), np.array(labels)
    names = tuple("abcdefgh"[: classes or probabilities.shape[1]])
    subjects = np.array(["x"] * len(labels) if subjects is None else subjects)
    return evaluate_probabilities(probabilities, labels, subjects, names, {name: name for name in sorted(set(subjects.tolist()))})


# Four windows of two classes, worked by hand.
#   p(a), p(b)   label   predicted   confidence, bin of 15         right
#   0.9   0.1    a       a           0.9   (13/15, 14/15]          yes
#   0.8   0.2    b       a           0.8   (12/15 =: not above]    no     -> (11/15, 12/15]
#   0.4   0.6    b       b           0.6   (8/15, 9/15]            yes
#   0.3   0.7    a       b           0.7   (10/15, 11/15]          no
FOUR = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]
LABELS = [0, 1, 1, 0]


def test_four_windows_by_hand() -> None:
    found = scored(FOUR, LABELS, ["u", "u", "v", "v"])
    assert found.windows == 4
    assert found.accuracy == 0.5
    assert found.balanced_accuracy == 0.5
    assert found.confusion == ((1, 1), (1, 1))
    assert found.class_f1 == (0.5, 0.5)
    assert found.macro_f1 == 0.5
    # (2 * 0.01 + 2 * 0.64 + 2 * 0.16 + 2 * 0.49) / 4
    assert found.brier == pytest.approx(0.65)
    assert found.nll == pytest.approx(-(math.log(0.9) + math.log(0.2) + math.log(0.6) + math.log(0.3)) / 4)
    # (|0.9 - 1| + |0.8 - 0| + |0.6 - 1| + |0.7 - 0|) / 4
    assert found.ece == pytest.approx(0.5)
    assert [(round(15 * b.low), round(15 * b.high), b.windows, b.accuracy) for b in found.reliability] == [
        (8, 9, 1, 1.0),
        (10, 11, 1, 0.0),
        (11, 12, 1, 0.0),
        (13, 14, 1, 1.0),
    ]
    assert [b.confidence for b in found.reliability] == pytest.approx([0.6, 0.7, 0.8, 0.9])


def test_ece_weighs_bins_and_averages_within_them() -> None:
    # Both in (9/15, 10/15]: mean confidence 0.63, half of them right; alone in its bin: confidence 0.95, right.
    found = scored([[0.62, 0.38], [0.64, 0.36], [0.95, 0.05]], [0, 1, 0])
    assert found.ece == pytest.approx((2 * 0.13 + 0.05) / 3)
    assert [b.windows for b in found.reliability] == [2, 1]


def test_confusion_rows_are_true_classes() -> None:
    sure = np.eye(3)[[0, 1, 1, 2, 0]]
    found = scored(sure, [0, 0, 0, 2, 1])
    assert found.confusion == ((1, 2, 0), (1, 0, 0), (0, 0, 1))


def test_a_perfect_predictor() -> None:
    labels = [0, 1, 2, 2, 1, 0, 1]
    found = scored(np.eye(3)[labels], labels, list("uuvvwww"))
    assert (found.accuracy, found.macro_f1, found.balanced_accuracy, found.class_f1) == (1.0, 1.0, 1.0, (1.0, 1.0, 1.0))
    assert found.brier == found.ece == 0.0
    assert found.nll == pytest.approx(0, abs=1e-12)
    assert found.confusion == ((2, 0, 0), (0, 3, 0), (0, 0, 2))
    (top,) = found.reliability
    assert (top.high, top.windows, top.confidence, top.accuracy) == (1.0, 7, 1.0, 1.0)
    assert {score.accuracy for score in found.subjects} == {1.0}


def test_a_constant_predictor() -> None:
    """It says `a` with certainty: right for two of eight windows of four classes."""
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    found = scored([[1, 0, 0, 0]] * 8, labels)
    assert (found.accuracy, found.balanced_accuracy) == (0.25, 0.25)
    assert found.class_f1 == (0.4, 0.0, 0.0, 0.0)  # precision 1/4, recall 1
    assert found.macro_f1 == pytest.approx(0.1)
    assert found.brier == 1.5  # nothing for two windows, 1 + 1 for six
    assert found.ece == 0.75
    assert math.isfinite(found.nll)
    assert found.nll > 20


def test_a_predictor_that_knows_nothing() -> None:
    found = scored([[0.25] * 4] * 8, [0, 0, 1, 1, 2, 2, 3, 3])
    assert found.nll == pytest.approx(math.log(4))
    assert found.brier == pytest.approx(0.75)
    assert found.ece == pytest.approx(0)  # a quarter sure and right a quarter of the time


def test_classes_that_do_not_occur_do_not_count() -> None:
    """Classes c and d are neither there nor predicted, b is predicted once: F1 over a and b, recall over a alone."""
    found = scored(np.eye(4)[[0, 0, 0, 1]], [0, 0, 0, 0])
    assert found.classes == ("a", "b", "c", "d")
    assert found.balanced_accuracy == 0.75
    assert found.macro_f1 == pytest.approx((6 / 7 + 0) / 2)
    assert found.class_f1 == pytest.approx((6 / 7, 0, 0, 0))
    assert found.confusion == ((3, 1, 0, 0), (0,) * 4, (0,) * 4, (0,) * 4)


def test_subjects_are_scored_alone() -> None:
    # u: 2 of 3 right; v: 0 of 1; w is named and has no windows.
    sure, subjects = np.eye(2)[[0, 1, 1, 0]], np.array(["u", "u", "u", "v"])
    labels = np.array([0, 1, 0, 1])
    found = evaluate_probabilities(sure, labels, subjects, ("a", "b"), {"v": "person-1", "u": "person-2", "w": "person-3"})
    assert [(s.subject, s.windows) for s in found.subjects] == [("person-1", 1), ("person-2", 3)]
    assert [s.accuracy for s in found.subjects] == pytest.approx([0, 2 / 3])
    assert [s.macro_f1 for s in found.subjects] == pytest.approx([0, 2 / 3])
    assert found.worst_subject.subject == "person-1"
    assert found.accuracy == 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6), st.sampled_from([0.05, 1.0, 20.0]))
def test_scores_are_those_of_scikit_learn(seed: int, windows: int, classes: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(windows, classes))
    probabilities = torch.softmax(torch.from_numpy(logits), 1).numpy()
    labels = rng.integers(0, rng.integers(1, classes + 1), windows)  # often not all classes
    subjects = rng.choice(["1", "2", "3"], windows)
    found = scored(probabilities, labels, subjects)
    predicted, numbers = probabilities.argmax(1), list(range(classes))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.class_f1 == pytest.approx(metrics.f1_score(labels, predicted, labels=numbers, average=None, zero_division=0))
    seen = sorted({*labels.tolist(), *predicted.tolist()})
    assert found.macro_f1 == pytest.approx(np.mean([found.class_f1[number] for number in seen]))
    recalls = [np.mean(predicted[labels == number] == number) for number in set(labels.tolist())]
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls))
    one_hot, told = np.eye(classes)[labels], probabilities[np.arange(windows), labels]
    assert found.brier == pytest.approx(sum(metrics.mean_squared_error(one_hot[:, k], probabilities[:, k]) for k in numbers))
    assert found.nll == pytest.approx(-np.mean(np.log(np.maximum(told, 2.0**-52))), abs=1e-9)
    assert np.array(found.confusion).tolist() == metrics.confusion_matrix(labels, predicted, labels=numbers).tolist()
    for score in found.subjects:
        mine = subjects == score.subject
        assert score.windows == mine.sum()
        assert score.accuracy == pytest.approx(metrics.accuracy_score(labels[mine], predicted[mine]))
    assert sum(score.windows for score in found.subjects) == windows
    assert found.worst_subject.accuracy == min(score.accuracy for score in found.subjects)
    # The bins hold every window once, and their means are the whole's.
    assert sum(b.windows for b in found.reliability) == windows
    assert all(b.low < b.confidence <= b.high or math.isclose(b.confidence, b.low) for b in found.reliability)
    assert sum(b.windows * b.accuracy for b in found.reliability) == pytest.approx(windows * found.accuracy)
    assert sum(b.windows * b.confidence for b in found.reliability) == pytest.approx(probabilities.max(1).sum())
    gaps = [b.windows * abs(b.accuracy - b.confidence) for b in found.reliability]
    assert found.ece == pytest.approx(sum(gaps) / windows)


@pytest.mark.parametrize(
    ("confidence", "number"), [(0.0, 0), (1 / 15, 0), (1 / 15 + 1e-9, 1), (0.5, 7), (14 / 15 + 1e-9, 14), (1.0, 14)]
)
def test_the_edges_of_the_bins(confidence: float, number: int) -> None:
    """A bin is open to the left, but for the first, which holds zero too."""
    (found,) = _reliability(np.array([confidence]), np.array([True]))
    assert (found.low, found.high) == pytest.approx((number / BINS, (number + 1) / BINS))
    assert (found.windows, found.confidence, found.accuracy) == (1, confidence, 1.0)


def test_an_evaluation_is_json() -> None:
    found = scored(FOUR, LABELS)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["confusion"] == [[1, 1], [1, 1]]


# Players


def test_a_player_is_scored_by_its_softmax(toy: Any) -> None:
    player = toy.player(seed=3)
    found = evaluate(player, toy.val)
    probabilities = torch.softmax(predict(player, toy.val).double(), 1).numpy()
    labels = toy.val.labels.numpy()
    assert found == evaluate_probabilities(probabilities, labels, toy.val.subjects, toy.val.classes, {"4": "person-1"})
    assert found.nll == pytest.approx(metrics.log_loss(labels, probabilities))
    assert found.windows == 21
    assert [score.subject for score in found.subjects] == ["person-1"]


def test_subjects_are_called_by_code_only_if_the_card_says_that_they_are_codes(toy_windows: Any) -> None:
    codes = replace(toy_windows.card, subjects_are_codes=True)
    names = replace(toy_windows.card, subjects_are_codes=False)
    assert pseudonyms(replace(toy_windows, card=codes)) == {number: number for number in "123456"}
    assert pseudonyms(replace(toy_windows, card=names)) == {number: f"person-{number}" for number in "123456"}


def test_a_person_has_one_pseudonym_in_every_part_of_every_split(world: Any, trained: Path) -> None:
    """person-4 of one fold must not be person-1 of another: reports count people over folds."""
    stored = data_of(Run.open(trained))
    parts = {text: prepare(replace(stored, split=text)) for text in ("official", "kfold:5/0", "kfold:5/3", "loso:person-4")}
    player = Run.open(trained).load_player(parts["official"].test)
    told = {text: [s.subject for s in evaluate(player, p.test, codes=p.codes).subjects] for text, p in parts.items()}
    assert told == {"official": ["person-4"], "kfold:5/0": ["person-1"], "kfold:5/3": ["person-4"], "loso:person-4": ["person-4"]}
    assert [name for name, code in parts["official"].codes.items() if code == "person-4"] == [world.people[3]]


def test_no_windows_are_refused(toy: Any) -> None:
    with pytest.raises(UsageError, match="there are no windows to evaluate on"):
        evaluate(toy.player(), toy.val.subset(np.array([], dtype=np.int64)))


def test_answers_that_are_not_finite_are_refused(toy: Any) -> None:
    player: Player = toy.player()
    with torch.no_grad():
        next(player.net.parameters()).fill_(float("nan"))
    with pytest.raises(HarkdError, match="the net's answers are not finite numbers"):
        evaluate(player, toy.val)


# The command


def block(folder: Path, name: str = "test") -> Any:
    return json.loads((folder / "result.json").read_text())[name]


def test_evaluating_a_run_gives_what_it_stored(harkd: Any, trained: Path, distilled: Path) -> None:
    assert harkd("evaluate", trained, "--json").json == block(trained)
    assert harkd("evaluate", trained, "--part", "val", "--json").json == block(trained, "validation")
    assert harkd("evaluate", distilled, "--json").json == block(distilled)
    (teacher,) = distilled.parent.glob("teacher-*")
    assert harkd("evaluate", teacher, "--json").json == block(teacher)


@pytest.mark.parametrize("number", [1, 2])
def test_scores_are_taken_with_as_many_threads_as_the_run_had(
    harkd: Any, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another number of threads sums in another order: the last bits would differ."""
    assert harkd(*world.train, "--epochs", "1", "--threads", str(number), "--out", "run").code == 0
    seen: list[int] = []

    def spied(*args: Any, **more: Any) -> Evaluation:
        seen.append(torch.get_num_threads())
        return evaluate(*args, **more)

    monkeypatch.setattr("harkd.evaluation.evaluate", spied)
    before = torch.get_num_threads()
    assert harkd("evaluate", "run", "--json").json == block(tmp_path / "run")
    assert (seen, torch.get_num_threads()) == ([number], before)


def test_which_weights(harkd: Any, world: Any, trained: Path) -> None:
    found = {name: harkd("evaluate", trained, "--weights", name, "--json").json for name in ("last", "best", "epoch-2")}
    assert found["best"] == block(trained)  # the run selected them
    assert found["last"]["nll"] != found["epoch-2"]["nll"]
    told = harkd("evaluate", trained, "--weights", "epoch-3")
    assert told.code == 2
    assert told.err == f"harkd: {trained} did not keep the weights 'epoch-3'; it has best, epoch-2, last\n"


def test_weights_and_part_agree_with_the_history(harkd: Any, trained: Path) -> None:
    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    for weights, record in (("last", history[-1]), ("epoch-2", history[1])):
        found = harkd("evaluate", trained, "--weights", weights, "--part", "val", "--json").json
        assert found["accuracy"] == pytest.approx(record["scores"]["student"]["accuracy"])
        assert found["nll"] == pytest.approx(record["scores"]["student"]["nll"], rel=1e-5)
    best = max(record["scores"]["student"]["accuracy"] for record in history)
    assert block(trained, "validation")["accuracy"] == pytest.approx(best)


def test_the_table(harkd: Any, trained: Path) -> None:
    told, scores = harkd("evaluate", trained), block(trained)
    head, first, whole, blank, last = told.out.splitlines()
    assert head.split("  ")[0] == "subject"
    assert first.split() == ["person-4", "12", f"{scores['accuracy']:.1%}", f"{scores['macro_f1']:.1%}"]
    assert whole.split() == ["all", "12", f"{scores['accuracy']:.1%}", f"{scores['macro_f1']:.1%}"]
    assert blank == ""
    assert f"NLL {scores['nll']:.3f}, Brier {scores['brier']:.3f}, ECE {scores['ece']:.3f}; worst subject person-4: " in last


def test_training_windows_are_scored_if_asked_for_by_name(harkd: Any, trained: Path) -> None:
    found = harkd("evaluate", trained, "--part", "train", "--json").json
    assert [score["subject"] for score in found["subjects"]] == ["person-1", "person-3", "person-5"]


@pytest.mark.parametrize(
    ("words", "people"),
    [
        (["--split", "loso:person-1"], "1 of the people in the test part of split 'loso:person-1' (person-1)"),  # trained on
        (["--split", "loso:person-2"], "1 of the people in the test part of split 'loso:person-2' (person-2)"),  # stopped on
        (["--split", "kfold:2/0"], "3 of the people in the test part of split 'kfold:2/0' (person-1, person-3, person-5)"),
        (
            ["--split", "loso:person-4", "--part", "val"],
            "2 of the people in the val part of split 'loso:person-4' (person-1, person-5)",
        ),
        (["--split", "session:am"], "4 of the people in the test part of split 'session:am'"),
    ],
)
def test_people_whom_the_run_has_learnt_from_are_no_test(harkd: Any, trained: Path, words: list[str], people: str) -> None:
    told = harkd("evaluate", trained, *words)
    assert (told.code, told.out) == (1, "")
    assert f"has learnt from {people}" in told.err
    assert "its own split is 'official'" in told.err


def test_another_split_with_new_people_is_scored(harkd: Any, trained: Path) -> None:
    assert harkd("evaluate", trained, "--split", "loso:person-4", "--json").json == block(trained)


def test_other_data_with_the_same_sensors(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    """The same files under another name: the same numbers, and nothing can be said about people."""
    card = world.other_card(tmp_path, ('name = "swings"', 'name = "more_swings"'))
    assert harkd("evaluate", trained, "--data", card, "--json").json == block(trained)
    assert harkd("evaluate", trained, "--data", card, "--split", "loso:person-1", "--json").json["windows"] == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([('units = "g"', 'units = "m/s2"')], "was trained on acc with the units g, these windows have m/s2"),
        ([("rate = 50.0", "rate = 100.0")], "was trained at 50 Hz, it would see these windows at 100 Hz"),
        (
            [('["slow", "medium", "fast"]', '["slow", "fast", "medium"]')],
            "was trained on the classes ['slow', 'medium', 'fast'], these ",
        ),
        ([('name = "gyro"', 'name = "giro"'), ("gyro =", "giro =")], "sees acc, gyro; these windows have acc, giro"),
        (
            [('name = "gyro"\nkind = "gyro"', 'name = "gyro"\nkind = "gyro"\nchannels = ["x", "z", "y"]')],
            "was trained on gyro with the channels ['x', 'y', 'z'], these windows have ['x', 'z', 'y']",
        ),
    ],
    ids=["units", "rate", "classes", "sensor", "channels"],
)
def test_other_data_of_another_kind_is_refused(
    harkd: Any, world: Any, trained: Path, tmp_path: Path, changes: list[tuple[str, str]], message: str
) -> None:
    told = harkd("evaluate", trained, "--data", world.other_card(tmp_path, *changes))
    assert (told.code, told.out) == (2, "")
    assert message in told.err


def test_a_part_without_windows(harkd: Any, trained: Path) -> None:
    told = harkd("evaluate", trained, "--split", "blind", "--part", "val")
    assert (told.code, told.err) == (2, "harkd: there are no windows to evaluate on; this split leaves that part empty\n")


def test_flatness_is_that_of_the_training_windows(harkd: Any, trained: Path) -> None:
    plain = harkd("evaluate", trained, "--json").json
    found = harkd("evaluate", trained, "--flatness", "--json").json
    flat = found.pop("flatness")
    assert found == plain
    run = Run.open(trained)
    train = prepare(data_of(run)).train
    assert flat == asdict(flatness(run.load_player(train), train))
    words = harkd("evaluate", trained, "--flatness", "--part", "val").out.splitlines()[-1]
    assert words == (
        f"training loss: largest eigenvalue of the Hessian {flat['largest_eigenvalue']:.3g}, trace {flat['trace']:.3g}, "
        f"sharpness {flat['sharpness']:.3g}"
    )


def test_a_run_beside_others(harkd: Any, world: Any, trained: Path) -> None:
    """Itself, one with another seed, and one of another net that sees less."""
    words = ["train", *world.data, "--epochs", "2", "--batch", "12"]
    for name, more in (("seed", ["--seed", "1"]), ("small", ["--net", "dscnn-xs", "--sees", "acc"])):
        assert harkd(*words, *more, "--out", name).code == 0
    told = harkd("evaluate", trained, "--beside", trained, "small", "--json").json
    same, small = told["beside"]
    assert (same["run"], same["churn"], same["accuracy"]) == (str(trained), 0.0, told["accuracy"])
    assert same["cka"] == pytest.approx(1.0)
    assert same["way"] == pytest.approx([told["nll"]] * 11, rel=1e-5)
    assert (small["run"], small["accuracy"], small["way"]) == ("small", block(Path("small"))["accuracy"], None)
    runs = [Run.open(folder) for folder in (trained, trained, Path("small"))]
    test = prepare(data_of(runs[0])).test
    mean = sum(predict(run.load_player(test), test) for run in runs) / 3
    assert told["together"]["accuracy"] == pytest.approx(float((mean.argmax(1) == test.labels).double().mean()))
    lines = harkd("evaluate", trained, "--beside", "seed", "small").out.splitlines()
    assert " ".join(lines[-5].split()) == "beside accuracy decides otherwise embeddings (CKA) loss on the way there"
    assert lines[-4].startswith("seed")
    assert lines[-1].startswith("all 3 together, the mean of their logits: accuracy ")


def test_another_run_that_has_learnt_from_the_tested_people_is_refused(harkd: Any, world: Any, trained: Path) -> None:
    out = harkd("train", *world.data, "--epochs", "1", "--split", "loso:person-1", "--out", "other")
    assert out.code == 0, out.err
    told = harkd("evaluate", trained, "--beside", "other")
    assert (told.code, told.out) == (1, "")
    assert "other has learnt from" in told.err


def test_the_loss_around_a_run_is_drawn(harkd: Any, trained: Path) -> None:
    plain = harkd("evaluate", trained).out
    assert harkd("evaluate", trained, "--plane", "drawn/plane.svg").out == plain
    assert "training loss around the weights" in Path("drawn/plane.svg").read_text()
