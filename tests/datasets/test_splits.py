"""Splits by subject or session, and the check that refuses a leak."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.datasets import Card, Recording, Split, Windows, check, split
from harkd.datasets.splits import by_subject, leave_one_subject_out, parse, subject_kfold, subjects_of, usual
from harkd.errors import LeakError, UsageError


def subjects(part: Windows) -> list[str]:
    return sorted(set(part.subjects.tolist()))


def named(windows: Windows, names: Sequence[str]) -> np.ndarray:
    """Positions of the windows of some subjects."""
    return np.flatnonzero(np.isin(windows.subjects, list(names)))


@pytest.mark.parametrize(
    ("text", "train", "val", "test"),
    [
        ("official", "123", "4", "56"),
        ("loso:1", "456", "23", "1"),
        ("loso:5", "234", "16", "5"),
        ("kfold:3/0", "356", "2", "14"),
        ("kfold:3/2", "125", "4", "36"),
        ("kfold:6/5", "2345", "1", "6"),
        ("kfold:2/1", "15", "3", "246"),
    ],
)
def test_subjects_go_where_the_text_says(toy_windows: Windows, text: str, train: str, val: str, test: str) -> None:
    parts = split(toy_windows, text)
    assert [subjects(part) for part in parts] == [sorted(train), sorted(val), sorted(test)]
    assert sum(map(len, parts)) == len(toy_windows)


def test_all_windows_of_a_subject_go_together(toy_windows: Windows) -> None:
    train, val, test = split(toy_windows)
    assert [len(train), len(val), len(test)] == [54, 18, 38]


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_each_subject_tests_once_over_the_folds(watch: Windows, folds: int) -> None:
    made = [subject_kfold(watch, folds, fold) for fold in range(folds)]
    assert sorted(np.concatenate([s.test for s in made]).tolist()) == list(range(len(watch)))
    for s in made:
        parts = [set(watch.subjects[part].tolist()) for part in (s.train, s.val, s.test)]
        assert all(parts), "no part is empty"
        assert len(set.union(*parts)) == sum(map(len, parts)) == 10


def test_each_subject_is_left_out_once(watch: Windows) -> None:
    made = [leave_one_subject_out(watch, subject) for subject in subjects_of(watch)]
    assert [set(watch.subjects[s.test].tolist()) for s in made] == [{str(subject)} for subject in range(1, 11)]
    assert [len(set(watch.subjects[s.val].tolist())) for s in made] == [2] * 10


def test_subjects_are_sorted_as_numbers_before_words(toy_windows: Windows) -> None:
    names = np.array(["10", "b", "9", "a", "2", "2"])
    assert subjects_of(replace(toy_windows, subjects=names)) == ["2", "9", "10", "a", "b"]


@pytest.mark.parametrize("validation", [0, 1, 3])
def test_the_number_of_validating_subjects_can_be_chosen(toy_windows: Windows, validation: int) -> None:
    made = leave_one_subject_out(toy_windows, "3", validation)
    assert sorted(set(toy_windows.subjects[made.val].tolist())) == ["4", "5", "6"][:validation]
    made = subject_kfold(toy_windows, 3, 1, validation)
    assert len(set(toy_windows.subjects[made.val].tolist())) == validation


# Sessions


def test_one_of_two_sessions_tests(toy_windows: Windows) -> None:
    train, val, test = split(toy_windows, "session:am")
    assert (set(train.sessions.tolist()), len(val), set(test.sessions.tolist())) == ({"pm"}, 0, {"am"})
    assert subjects(train) == subjects(test)


def test_with_three_sessions_the_first_other_validates(toy_windows: Windows) -> None:
    three = replace(toy_windows, sessions=np.array([f"day{int(s) % 3}" for s in toy_windows.subjects]))
    train, val, test = split(three, "session:day1")
    assert [set(part.sessions.tolist()) for part in (train, val, test)] == [{"day2"}, {"day0"}, {"day1"}]


# What is not understood


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oficial", "unknown split 'oficial': did you mean 'official'"),
        ("official:2", "unknown split 'official:2'"),
        ("loso", "unknown split 'loso'"),
        ("loso:7", "unknown subject '7'"),
        ("session:evening", "unknown session 'evening'"),
        ("session:a", "unknown session 'a': did you mean 'am'"),
        ("kfold", "unknown split 'kfold'"),
        ("kfold:3", "unknown split 'kfold:3'"),
        ("kfold:3/3", "split 'kfold:3/3': write kfold:K/I with I from 0 to K-1"),
        ("kfold:-3/0", "write kfold:K/I"),
        ("kfold:a/b", "write kfold:K/I"),
        ("kfold:1/0", "1 folds over 6 subjects: choose 2 to 6"),
        ("kfold:7/0", "7 folds over 6 subjects: choose 2 to 6"),
        ("", "unknown split ''"),
    ],
)
def test_texts_that_mean_nothing_are_quoted(toy_windows: Windows, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(toy_windows, text)


@pytest.mark.parametrize("text", ["loso:1", "kfold:2/0"])
def test_too_few_subjects_are_counted(toy_windows: Windows, text: str) -> None:
    few = toy_windows.subset(named(toy_windows, "12" if text == "kfold:2/0" else "123"))
    with pytest.raises(UsageError, match=f"split '{text}': . subjects are too few to test, validate"):
        split(few, text)


def test_a_subject_that_is_not_there_is_unknown(toy_windows: Windows) -> None:
    with pytest.raises(UsageError, match="unknown subject '12'"):
        by_subject(toy_windows, ["1", "12"], [], ["2"])


# Leaks


@pytest.mark.parametrize(
    ("train", "val", "test", "message"),
    [
        ("12", "3", "24", "split 'mine' leaks: train and test share 1 subjects, the first is '2'"),
        ("123", "13", "4", "train and val share 2 subjects, the first is '1'"),
        ("1", "56", "65", "val and test share 2 subjects, the first is '5'"),
    ],
)
def test_a_shared_subject_is_a_leak(toy_windows: Windows, train: str, val: str, test: str, message: str) -> None:
    made = Split("mine", *(named(toy_windows, part) for part in (train, val, test)))
    with pytest.raises(LeakError, match=message):
        made.of(toy_windows)


def test_a_shared_session_is_a_leak(toy_windows: Windows) -> None:
    am, pm = (np.flatnonzero(toy_windows.sessions == session) for session in ("am", "pm"))
    none = np.array([], dtype=np.int64)
    check(Split("fine", am, none, pm, by="session"), toy_windows)
    with pytest.raises(LeakError, match="train and test share session 'am' of subject '1'"):
        check(Split("mine", am[1:], none, np.append(pm, am[0]), by="session"), toy_windows)


def test_the_card_may_not_leak(toy_windows: Windows) -> None:
    official = replace(toy_windows.card.splits["official"], test=("3", "6"))
    leaking = replace(toy_windows, card=replace(toy_windows.card, splits={"official": official}))
    with pytest.raises(LeakError, match="train and test share 1 subjects, the first is '3'"):
        split(leaking)


@pytest.mark.parametrize("part", ["val", "test"])
def test_one_person_under_two_names_shares_samples(toy_windows: Windows, part: str) -> None:
    # Windows 0 and 1 overlap by half; the second is booked on another subject.
    names = toy_windows.subjects.copy()
    names[1] = "9"
    windows = replace(toy_windows, subjects=names)
    parts = {"val": named(windows, "4"), "test": named(windows, "5")} | {part: np.array([1])}
    with pytest.raises(LeakError, match=f"windows of train and {part} overlap in recording '1-am'"):
        check(Split("mine", np.array([30, 0]), **parts), windows)


@pytest.mark.parametrize(("gap", "leaks"), [(9, True), (19, True), (20, False), (25, False)])
def test_windows_that_only_touch_share_nothing(toy_card: Card, gap: int, leaks: bool) -> None:
    ramp = np.zeros((3, 100), np.float32)
    windows = Windows.cut([Recording("long", "1", {"acc": ramp, "gyro": ramp})], toy_card, replace(toy_card.windows, step=1))
    windows = replace(windows, sessions=np.where(np.arange(len(windows)) < 30, "a", "b"))
    made = Split("mine", np.array([0, 29]), np.array([], np.int64), np.array([29 + gap, 80]), by="session")
    if leaks:
        with pytest.raises(LeakError, match="overlap in recording 'long'"):
            check(made, windows)
    else:
        check(made, windows)


def test_overlap_in_the_second_sensor_alone_is_found(toy_windows: Windows) -> None:
    shifted = {name: start.clone() for name, start in toy_windows.starts.items()}
    at = named(toy_windows, "6")[0]
    shifted["gyro"][at] = shifted["gyro"][0] + 19
    with pytest.raises(LeakError, match="windows of train and test overlap"):
        split(replace(toy_windows, starts=shifted))


def test_a_split_without_training_windows_is_refused(toy_windows: Windows) -> None:
    with pytest.raises(UsageError, match="split 'mine' leaves no training windows"):
        check(by_subject(toy_windows, [], ["1"], ["2"], name="mine"), toy_windows)


def test_the_name_of_a_split_is_its_text(toy_windows: Windows) -> None:
    for text in ("official", "loso:2", "kfold:3/1", "session:pm"):
        assert parse(toy_windows, text).name == text


PARTS = st.lists(st.sets(st.sampled_from("123456")), min_size=3, max_size=3)


@settings(max_examples=80, deadline=None)
@given(parts=PARTS)
def test_parts_leak_exactly_if_they_share_a_subject(toy_windows: Windows, parts: list[set[str]]) -> None:
    parts[0] |= {"1"}
    made = Split("random", *(named(toy_windows, part) for part in parts))
    train, val, test = parts
    if train & val or train & test or val & test:
        with pytest.raises(LeakError):
            check(made, toy_windows)
    else:
        assert [set(subjects(part)) for part in made.of(toy_windows)] == parts


@settings(max_examples=80, deadline=None)
@given(train=st.sets(st.integers(0, 80), min_size=1, max_size=4), test=st.sets(st.integers(0, 80), min_size=1, max_size=4))
def test_parts_leak_exactly_if_two_windows_overlap(toy_card: Card, train: set[int], test: set[int]) -> None:
    ramp = np.zeros((3, 100), np.float32)
    windows = Windows.cut([Recording("long", "1", {"acc": ramp, "gyro": ramp})], toy_card, replace(toy_card.windows, step=1))
    # Every window under a name of its own: only the samples can tell.
    windows = replace(windows, subjects=np.arange(len(windows)).astype(str))
    made = Split("random", np.array(sorted(train)), np.array([], np.int64), np.array(sorted(test)))
    if any(abs(a - b) < 20 for a in train for b in test):
        with pytest.raises(LeakError):
            check(made, windows)
    else:
        assert torch.equal(made.of(windows)[2].ids, windows.ids[sorted(test)])


def test_several_sessions_test_together(toy_windows: Windows) -> None:
    sessions = np.array(["1", "2", "3", "4"])[np.arange(len(toy_windows)) % 4]
    windows = replace(toy_windows, sessions=sessions, recordings=np.arange(len(toy_windows)).astype(str))
    found = parse(windows, "session:3,4")
    assert [set(sessions[at].tolist()) for at in (found.train, found.val, found.test)] == [{"2"}, {"1"}, {"3", "4"}]
    with pytest.raises(UsageError, match="unknown session '5'"):
        parse(windows, "session:3,5")


def test_official_is_the_cards_split_or_else_the_first_of_five_folds(toy_windows: Windows) -> None:
    assert usual(toy_windows) == "official"
    bare = replace(toy_windows, card=replace(toy_windows.card, splits={}))
    assert usual(bare) == "kfold:5/0"
    assert parse(bare, "official").name == "kfold:5/0"
    few = bare.subset(np.flatnonzero(np.isin(bare.subjects, ["1", "2", "3"])))
    assert usual(few) == "kfold:3/0"
    lonely = few.subset(np.flatnonzero(few.subjects == "1"))
    with pytest.raises(UsageError, match=r"no official split, and its subjects \(1\) are too few.*like session:pm"):
        usual(lonely)
