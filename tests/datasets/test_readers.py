"""The way of a stranger: a folder of text files becomes windows by a card alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harkd.datasets import Windows, load, read_card, split
from harkd.datasets.loading import read
from harkd.datasets.readers import text_table
from harkd.errors import DataError, UsageError

# One device with an accelerometer in mg and a thermometer at the same rate; the file names say who did what, and when.
CARD = r"""
name = "mine"
title = "My recordings"
citation = "none"
licence = { name = "CC0-1.0" }
target = { name = "activity", classes = ["rest", "walk"], labels = ["A1", "A2"] }
windows = { length = 10, step = 5 }

[files]
reader = "text"
pattern = '(?P<session>\w+)/subject(?P<subject>\d+)_(?P<label>\w+)\.csv'
columns = { acc = ["acc x", "acc y", "acc z"], temperature = [4] }
scale = { acc = 0.001 }

[[sensors]]
name = "acc"
kind = "acc"
units = "g"
rate = 20.0

[[sensors]]
name = "temperature"
kind = "temperature"
units = "C"
rate = 20.0
channels = ["skin"]
"""
HEADER = ["time", "acc x", "acc y", "acc z", "skin"]
FILES = [(session, subject, label) for session in ("day1", "day2") for subject in ("1", "2", "10") for label in ("A1", "A2")]


def rows(number: int, samples: int = 25) -> list[list[float]]:
    """Time, then acc in mg, then degrees: all known from the number of the file."""
    return [[t / 20, 1000 * number + t, -t, 981, 30 + number] for t in range(samples)]


def table(values: list[list[float]], header: list[str] | None, separator: str = ",") -> str:
    lines = [separator.join(header)] if header else []
    return "\n".join([*lines, *(separator.join(f"{value:g}" for value in row) for row in values)]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 files: two days of three subjects and two activities, and a note that is no recording."""
    for number, (session, subject, label) in enumerate(FILES):
        path = tmp_path / "data" / session / f"subject{subject}_{label}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table(rows(number), HEADER))
    (tmp_path / "data" / "README.txt").write_text("not a recording")
    return tmp_path / "data"


def card(folder: Path, *changes: tuple[str, str]) -> str:
    text = CARD
    for old, new in changes:
        assert old in text, "the change does nothing"
        text = text.replace(old, new)
    path = folder.parent / "card.toml"
    path.write_text(text)
    return str(path)


def one(windows: Windows, session: str, subject: str, label: str) -> Windows:
    return windows.subset(np.flatnonzero(windows.recordings == f"{session}/subject{subject}_{label}.csv"))


def test_a_folder_of_files_becomes_windows(folder: Path) -> None:
    windows = load(card(folder), folder)
    assert len(windows) == 12 * 4  # 25 samples: windows at 0, 5, 10, 15
    assert sorted(set(windows.subjects.tolist())) == ["1", "10", "2"]
    assert sorted(set(windows.sessions.tolist())) == ["day1", "day2"]
    assert windows.target("activity").classes == ("rest", "walk")
    for number, (session, subject, label) in enumerate(FILES):
        part = one(windows, session, subject, label)
        assert set(part.subjects.tolist()) == {subject}
        assert set(part.sessions.tolist()) == {session}
        assert part.labels.tolist() == [("A1", "A2").index(label)] * 4
        gathered = part.gather(torch.tensor([3]))
        expected = np.array(rows(number))[15:25, 1:4].T / 1000
        np.testing.assert_allclose(gathered["acc"][0], expected, rtol=1e-6)
        assert gathered["temperature"].tolist() == [[[30.0 + number] * 10]]


def test_a_card_alone_is_enough_to_split(folder: Path) -> None:
    path = card(folder, ("[files]", '[splits.official]\ntrain = ["1"]\nval = ["2"]\ntest = ["10"]\n\n[files]'))
    assert list(map(len, split(load(path, folder)))) == [16, 16, 16]
    train, _, test = split(load(path, folder), "session:day2")
    assert (len(train), len(test)) == (24, 24)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("recordings = 12, subjects = 3, windows = 48", None),
        ("recordings = 13", "mine: read 12 recordings, but its card counts 13"),
        ("subjects = 4", "mine: read 3 subjects, but its card counts 4"),
        ("windows = 47", "mine: read 48 windows, but its card counts 47"),
    ],
)
def test_the_counts_of_the_card_are_checked(folder: Path, counts: str, message: str | None) -> None:
    path = card(folder, ("[files]", f"[counts]\n{counts.replace(', ', chr(10))}\n\n[files]"))
    if message is None:
        assert len(load(path, folder)) == 48
    else:
        with pytest.raises(DataError, match=message):
            load(path, folder)


def test_a_pattern_may_name_the_recording_and_leave_the_rest_open(folder: Path) -> None:
    pattern = r"(?P<session>\w+)/subject(?P<subject>\d+)_(?P<label>\w+)\.csv"
    windows = load(card(folder, (pattern, r"day1/(?P<recording>\w+_A1)\.csv")), folder)
    assert sorted(set(windows.recordings.tolist())) == ["subject10_A1", "subject1_A1", "subject2_A1"]
    assert set(windows.subjects.tolist()) == {"unknown"}
    with pytest.raises(DataError, match="carry no targets"):
        _ = windows.labels


def test_two_files_of_one_recording_name_are_refused(folder: Path) -> None:
    path = card(folder, (r"(?P<session>\w+)/subject", r"\w+/(?P<recording>subject)"))
    with pytest.raises(
        DataError, match=r"recording '10/subject': both day1/subject10_A1\.csv and day1/subject10_A2\.csv hold sensor 'acc'"
    ):
        load(path, folder)


# Forms of text


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", "   ", ", ", " ; "])
@pytest.mark.parametrize("header", [True, False])
def test_the_separator_is_found_out(folder: Path, separator: str, header: bool) -> None:
    """Columns are found by name and by number, or by number alone where the file has no header."""
    names = [name.replace(" ", "_") for name in HEADER] if separator.isspace() else HEADER
    for number, (session, subject, label) in enumerate(FILES):
        text = table(rows(number), names if header else None, separator)
        (folder / session / f"subject{subject}_{label}.csv").write_text(text)
    changes = [('["acc x", "acc y", "acc z"]', str(names[1:4] if header else [1, 2, 3]))]
    if not header:
        changes.append(('reader = "text"', 'reader = "text"\nheader = false'))
    windows = load(card(folder, *changes), folder)
    gathered = one(windows, "day2", "10", "A2").gather(torch.tensor([0]))
    np.testing.assert_allclose(gathered["acc"][0], np.array(rows(11))[:10, 1:4].T / 1000, rtol=1e-6)
    assert gathered["temperature"][0, 0].tolist() == [41.0] * 10


@pytest.mark.parametrize(
    ("text", "header", "expected"),
    [
        ("a,b\n1,2\n3,4\n", True, {"a": [1, 3], "b": [2, 4]}),
        ("a,b\n1,2,\n3,4,\n", True, {"a": [1, 3], "b": [2, 4]}),  # a separator ends every row
        ("a,b,\n1,2,\n3,4,\n", True, {"a": [1, 3], "b": [2, 4]}),
        (",a\n0,5\n1,6\n", True, {"": [0, 1], "a": [5, 6]}),  # an index column without a name
        ("\ta\n0\t5\n1\t6\n", True, {"": [0, 1], "a": [5, 6]}),
        ('"a","b, c"\n1,2\n', True, {"a": [1], "b, c": [2]}),
        ("\ufeffa;b\r\n1;2\r\n", True, {"a": [1], "b": [2]}),  # byte order mark, Windows line ends
        ("% made by a logger\n\na,b\n% more\n1,2\n\n3,4\n", True, {"a": [1, 3], "b": [2, 4]}),
        ("acc [%],b\n1,2\n", True, {"acc [%]": [1], "b": [2]}),
        ("value\n0.51\n-1e-3\n", True, {"value": [0.51, -0.001]}),
        ("0.51\n0.52\n", False, {0: [0.51, 0.52]}),
        ("  1.0   2.0 \n -3.0  4.0\n", False, {0: [1, -3], 1: [2, 4]}),
        ("1 2\n3   4 \n", False, {0: [1, 3], 1: [2, 4]}),
        ("1 2\n3\t4\n", False, {0: [1, 3], 1: [2, 4]}),
        ("1 2\n  3 4\n", False, {0: [1, 3], 1: [2, 4]}),
        ("1 nan 3\n4 5 6\n", False, {0: [1, 4], 1: [np.nan, 5], 2: [3, 6]}),
    ],
)
def test_tables_are_read_as_they_are_meant(text: str, header: bool, expected: dict[str | int, list[float]], folder: Path) -> None:
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    made = read_card(card(folder, ('reader = "text"', f'reader = "text"\nheader = {str(header).lower()}')))
    found = text_table(path, made.files)
    assert list(found.columns) == list(expected)
    np.testing.assert_array_equal(found.to_numpy(float), np.array(list(expected.values())).T)


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"day1/subject1_A1\.csv: not a table of numbers"),
        ("time,acc x,acc y,acc z,skin\n", r"subject1_A1\.csv: not a table of numbers"),
        (
            "time,acc x,acc y,skin\n0,1,2,3\n",
            r"sensor 'acc' wants the columns \['acc x', 'acc y', 'acc z'\].* the file has \['time', 'acc x'",
        ),
        ("time,acc x,acc y,acc z\n0,1,2,3\n", r"sensor 'temperature' wants the columns \[4\].* the file has"),
        ("time,acc x,acc x,acc y,acc z\n0,1,2,3,4\n", "sensor 'acc' wants the columns .*, each there once"),
        ("time,acc x,acc y,acc z,skin\n0,1,2,3,4\n1,2,lost,4,5\n", r"row 2 of column 'acc y' holds 'lost', not a number"),
        ("time;acc x;acc y;acc z;skin\n0;1,5;2;3;4\n", "row 1 of column 'acc x' holds '1,5', not a number"),
        ("time,acc x,acc y,acc z,skin\n0,1,2,3,4,5\n", "the header has 5 columns, the rows have 6"),
        ("time,acc x,acc y,acc z,skin\n0,1,2,3\n", "the header has 5 columns, the rows have 4"),
        ("time,acc x,acc y,acc z,skin\n0,1,2,3,4\n0,1,2,3,4,5\n", "not a table of numbers .*Expected 5 fields in line 3, saw 6"),
        (
            "time,acc x,acc y,acc z,skin\n0,1,2,3,4\n1,2,,4,5\n",
            r"recording 'day1/subject1_A1\.csv', sensor 'acc': 1 values are not finite, the first in channel 'y' at sample 1",
        ),
        ("\x00\x01\x02", r"subject1_A1\.csv"),
        ("It was a day like any other.\nNothing moved.\n", "the header has 7 columns, the rows have 2"),
    ],
)
def test_a_file_that_is_not_what_the_card_says_is_named(content: str, message: str, folder: Path) -> None:
    (folder / "day1" / "subject1_A1.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        load(card(folder), folder)


def test_a_file_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "day1" / "subject1_A1.csv").write_bytes("time,acc x,acc y,acc z,°C\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"subject1_A1\.csv: not a table of numbers \('utf-8' codec"):
        load(card(folder), folder)


def test_an_unknown_label_is_named_with_its_file(folder: Path) -> None:
    (folder / "day1" / "subject3_A3.csv").write_text(table(rows(0), HEADER))
    with pytest.raises(
        UsageError, match=r"unknown label in day1/subject3_A3\.csv: 'A3': did you mean 'A[12]'\? \(choose from A1, A2\)"
    ):
        load(card(folder), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((r"\.csv", r"\.txt"), r"mine: no file under .*data matches .*; its 13 files are like 'README\.txt'"),
        (('channels = ["skin"]', 'channels = ["skin", "core"]'), r"sensor 'temperature': expected \(2, time\), got \(1, 25\)"),
        (("length = 10", "length = 26"), r"mine: no window of 26 samples fits; the longest labelled stretch has 25 samples"),
        (("temperature = [4]", "temperature = [5]"), r"sensor 'temperature' wants the columns \[5\]"),
        (("temperature = [4]", "temperature = [-1]"), r"sensor 'temperature' wants the columns \[-1\]"),
        ((", temperature = [4]", ""), r"sensor 'temperature' wants the columns \[\]"),
    ],
)
def test_a_card_that_does_not_fit_the_files_says_so(change: tuple[str, str], message: str, folder: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(card(folder, change), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('reader = "text"', 'reader = "txt"'), "files.reader: unknown value 'txt': did you mean 'text'"),
        (('reader = "text"', 'hook = "mine"'), r"unknown hook 'mine'.*choose from"),
    ],
)
def test_an_unknown_way_to_read_gets_a_suggestion(change: tuple[str, str], message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load(card(folder, change), folder)


def test_an_empty_folder_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"mine: no file under .*empty matches the card's pattern .*; it holds no files"):
        load(card(folder), tmp_path / "empty")


@pytest.mark.parametrize("where", [None, "absent", "card.toml"])
def test_a_missing_folder_says_how_to_name_it(folder: Path, tmp_path: Path, where: str | None) -> None:
    made = read_card(card(folder))
    with pytest.raises(
        DataError, match=r"mine: its recordings are not shipped with harkd; say where they are with --data-folder"
    ):
        read(made, tmp_path / where if where else None)
