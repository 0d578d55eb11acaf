"""Cards and tables that are wrong in any way are refused in words: nothing but HarkdError comes out."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harkd.datasets import Card, Windows, read_card
from harkd.datasets.loading import from_files
from harkd.datasets.quality import inspect
from harkd.errors import DataError, HarkdError

CORPUS = Path(__file__).parent / "corpus"
FEW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = r"""reader = "text"
pattern = '(?P<subject>\w+)_(?P<session>\w+)\.csv'
columns = { acc = ["x", "y", "z"] }
time = "t"
time_unit = "ms"
keys = { label = "what" }
"""
ROWS = "t,x,y,z,what\n" + "".join(
    f"{100 * t},{0.1 * (t % 7):.1f},{-0.1 * (t % 5):.1f},1.0,{'walk' if t < 12 else 'rest'}\n" for t in range(24)
)
MARKS = [
    *map(chr, range(32)),
    *",;\t\"'%#.-+eE0123456789nN°€",
    "\x7f",
    "\ufeff",
    "\u2028",
    "nan",
    "inf",
    "1e999",
    "9" * 400,
    "\r\n",
]


def in_words(problem: HarkdError) -> None:
    assert str(problem).strip()


def look(card: Card, folder: Path) -> Windows | None:
    """Windows with finite values that were in the files' order of size, or None and an error in words."""
    try:
        windows = from_files(card, folder)
    except HarkdError as problem:
        in_words(problem)
        return None
    assert all(bool(x.isfinite().all()) for x in windows.signals.values())
    assert len(windows) > 0
    return windows


def read_or_refuse(path: Path) -> Card | None:
    try:
        return read_card(str(path))
    except HarkdError as problem:
        in_words(problem)
        return None


@pytest.fixture
def good(own: Any) -> Any:
    """A card and two files that are read without complaint."""
    for name in ("p1_am.csv", "p2_am.csv"):
        own.write(name, ROWS)
    assert look(own.card(FILES, prepare="resample()+fill(0.5)"), own.folder) is not None
    return own


# Tables


@FEW
@given(data=st.data())
def test_any_damaged_table_is_read_or_refused(good: Any, data: st.DataObject) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    text = ROWS
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        how = data.draw(st.sampled_from(["insert", "cut", "replace", "repeat", "swap"]))
        to = min(len(text), at + data.draw(st.integers(0, 30)))
        mark = data.draw(st.sampled_from(MARKS) | st.text(max_size=5))
        parts = {
            "insert": text[:at] + mark + text[at:],
            "cut": text[:at] + text[to:],
            "replace": text[:at] + mark + text[to:],
            "repeat": text[:to] + text[at:],
            "swap": text[to:] + text[:to],
        }
        text = parts[how]
    good.write("p1_am.csv", text.encode("utf-8", errors="replace"))
    look(card, good.folder)
    inspected(card, good.folder)


@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_table_are_refused(good: Any, content: bytes) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    good.write("p1_am.csv", content)
    assert look(card, good.folder) is None
    inspected(card, good.folder)


def inspected(card: Card, folder: Path) -> None:
    """The check never fails in another way either."""
    try:
        found = inspect(card, folder)
    except HarkdError as problem:
        in_words(problem)
    else:
        assert found.people


@pytest.mark.parametrize("name", sorted(path.name for path in (CORPUS / "csv").glob("*.csv")))
def test_a_damaged_table_of_the_corpus(good: Any, name: str) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    good.write("p1_am.csv", (CORPUS / "csv" / name).read_bytes())
    with pytest.raises(HarkdError, match=r"p1_am\.csv"):
        from_files(card, good.folder)
    inspected(card, good.folder)


# Cards


@FEW
@given(data=st.data())
def test_any_damaged_card_is_read_or_refused(good: Any, data: st.DataObject) -> None:
    path = good.folder.parent / "own.toml"
    good.card(FILES, prepare="resample()+fill(0.5)", more="[splits.official]\ntrain = ['p1']\ntest = ['p2']\n")
    text = path.read_text()
    lines = text.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "value", "repeat", "insert", "swap"]))
        if how == "drop":
            lines[at] = ""
        elif how == "value" and "=" in lines[at]:
            value = data.draw(
                st.sampled_from(
                    ["0", "-1", "1e999", "nan", "inf", "[]", "{}", "true", '""', "'\\'", '"\\u0000"', "[[]]", "1979-05-27"]
                )
                | st.sampled_from(["9" * 40, '["x"]', "[0, 1, 2]", "[-1]", '"::"', "['acc']", "{ acc = 0 }", '{ acc = "x" }'])
                | st.integers(-5, 99).map(str)
                | st.text("abc xyz()|+*?[]\\.", max_size=8).map(repr)
            )
            lines[at] = f"{lines[at].split('=')[0]}= {value}"
        elif how == "repeat":
            lines.insert(at, lines[at])
        elif how == "insert":
            lines[at] += data.draw(st.sampled_from(MARKS) | st.text(max_size=3))
        else:
            lines[at], lines[at - 1] = lines[at - 1], lines[at]
    path.write_bytes("\n".join(lines).encode("utf-8", errors="replace"))
    card = read_or_refuse(path)
    if card is not None:
        look(card, good.folder)


@pytest.mark.parametrize("name", sorted(path.name for path in (CORPUS / "card").glob("*.toml")))
def test_a_damaged_card_of_the_corpus(name: str) -> None:
    with pytest.raises(HarkdError, match=name):
        read_card(str(CORPUS / "card" / name))


# Folders


def test_odd_things_in_a_folder(good: Any) -> None:
    """Links to files are read, links to nowhere and in a circle are not; folders and pipes with the name of a file neither."""
    card = read_card(str(good.folder.parent / "own.toml"))
    elsewhere = good.folder.parent / "elsewhere.csv"
    elsewhere.write_text(ROWS)
    (good.folder / "p3_am.csv").symlink_to(elsewhere)
    (good.folder / "p4_am.csv").symlink_to(good.folder / "nowhere.csv")
    (good.folder / "p5_am.csv").symlink_to(good.folder / "p5_am.csv")
    (good.folder / "circle").symlink_to(good.folder)
    (good.folder / "p6_am.csv").mkdir()
    os.mkfifo(good.folder / "p7_am.csv")
    windows = look(card, good.folder)
    assert windows is not None
    assert set(windows.subjects.tolist()) == {"p1", "p2", "p3"}


@pytest.mark.parametrize("what", ["empty", "file", "absent"])
def test_no_folder_with_recordings(good: Any, what: str) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    place = good.folder.parent / what
    if what == "empty":
        place.mkdir()
    elif what == "file":
        place.write_text(ROWS)
    with pytest.raises(DataError, match="no file under .*empty matches" if what == "empty" else "say where they are with --data"):
        from_files(card, place)


def test_a_file_that_may_not_be_read(good: Any) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    (good.folder / "p1_am.csv").chmod(0)
    if os.access(good.folder / "p1_am.csv", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DataError, match=r"p1_am\.csv: cannot be read \(Permission denied\)"):
        from_files(card, good.folder)


# Recordings that are whole and still no good


def test_saturated_and_huge_values_are_kept_or_named(good: Any) -> None:
    card = read_card(str(good.folder.parent / "own.toml"))
    good.write("p1_am.csv", ROWS.replace(",1.0,", ",3.4e38,"))
    windows = look(card, good.folder)
    assert windows is not None
    good.write("p1_am.csv", ROWS.replace(",1.0,", ",1e39,"))
    with pytest.raises(DataError, match=r"p1_am\.csv', sensor 'acc': holds infinite values; a step like limit"):
        from_files(card, good.folder)


def test_one_class_and_one_subject_are_windows_all_the_same(good: Any) -> None:
    (good.folder / "p2_am.csv").unlink()
    good.write("p1_am.csv", ROWS.replace("rest", "walk"))
    windows = look(read_card(str(good.folder.parent / "own.toml")), good.folder)
    assert windows is not None
    assert windows.labels.unique().tolist() == [1]


def test_nothing_labelled_is_no_window(good: Any) -> None:
    for name in ("p1_am.csv", "p2_am.csv"):
        good.write(name, ROWS.replace("rest", "").replace("walk", ""))
    with pytest.raises(DataError, match="no window of 4 samples fits; the longest labelled stretch has 0 samples"):
        from_files(read_card(str(good.folder.parent / "own.toml")), good.folder)


def test_stamps_of_a_decade_in_a_small_file_do_not_fill_the_memory(good: Any) -> None:
    """One wrong stamp ten years off would ask for 3 billion samples."""
    lines = ROWS.splitlines()
    lines[-1] = lines[-1].replace("2300,", "315360000000,")
    good.write("p1_am.csv", "\n".join(lines) + "\n")
    with pytest.raises(
        DataError,
        match=r"p1_am\.csv', sensor 'acc': its time stamps reach over 3\.1536e\+08 s with only 24 samples; is one of them wrong",
    ):
        from_files(read_card(str(good.folder.parent / "own.toml")), good.folder)
