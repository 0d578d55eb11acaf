"""Cards: what ships is valid, and what a hand-written one gets wrong is named with its line."""

from dataclasses import replace
from pathlib import Path

import pytest

from harkd.datasets import Card, names, read_card
from harkd.datasets.card import Counts, Files
from harkd.datasets.hooks import HOOKS
from harkd.datasets.readers import READERS
from harkd.errors import DataError, UsageError

CARD = """\
name = "mine"
title = "My recordings"
citation = "none"

[licence]
name = "CC0-1.0"

[files]
reader = "text"
pattern = 'subject(?P<subject>\\d+)_(?P<label>\\w+)\\.csv'

[files.columns]
wrist = ["ax", "ay", "az"]
ankle = [4, 5, 6]

[files.scale]
wrist = 0.001

[[sensors]]
name = "wrist"
kind = "acc"
units = "g"
rate = 50.0

[[sensors]]
name = "ankle"
kind = "acc"
units = "g"
rate = 25.0

[target]
name = "activity"
classes = ["rest", "walk", "run"]

[invariances]
rotation = true
pace = ["rest", "run"]

[windows]
length = 128
step = 64

[splits.official]
train = ["1"]
test = ["2"]

[splits.swapped]
train = ["2"]
test = ["1"]
"""


def written(folder: Path, text: str) -> str:
    path = folder / "card.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def changed(old: str, new: str) -> str:
    assert CARD.count(old) >= 1, "the change does nothing"
    return CARD.replace(old, new, 1)


@pytest.mark.parametrize("name", names())
def test_a_shipped_card_is_complete(name: str) -> None:
    card = read_card(name)
    assert card.name == name
    assert card.title
    assert card.citation
    assert card.licence.commercial is not None
    assert card.licence.redistribute is not None
    assert card.counts != Counts()
    assert card.files.hook in HOOKS or card.files.reader in READERS
    for parts in card.splits.values():
        everyone = (*parts.train, *parts.val, *parts.test)
        assert len(set(everyone)) == len(everyone), "the parts share a subject"


def test_names_are_the_shipped_cards() -> None:
    assert "seglearn_watch" in names()
    with pytest.raises(UsageError, match="unknown data set 'seglearn_wach': did you mean 'seglearn_watch'"):
        read_card("seglearn_wach")


def test_a_card_holds_what_its_file_says(tmp_path: Path) -> None:
    card = read_card(written(tmp_path, CARD))
    assert card.files.columns == {"wrist": ("ax", "ay", "az"), "ankle": (4, 5, 6)}
    assert card.files.header is True
    assert [(s.name, s.rate, s.channels) for s in card.sensors] == [
        ("wrist", 50.0, ("x", "y", "z")),
        ("ankle", 25.0, ("x", "y", "z")),
    ]
    assert card.target.classes == ("rest", "walk", "run")
    assert (card.windows.length, card.windows.step) == (128, 64)
    assert card.splits["swapped"].test == ("1",)
    assert card.counts == Counts(None, None, None)
    assert not card.checked_on_original_files


def test_breaks_names_the_classes_that_an_invariance_would_change(toy_card: Card) -> None:
    # rotation = true, pace = rest and run, reversal not mentioned
    assert toy_card.breaks("rotation") == ()
    assert toy_card.breaks("pace") == ("walk",)
    assert toy_card.breaks("reversal") == ("rest", "walk", "run")
    assert replace(toy_card, invariances={"mirror": False}).breaks("mirror") == ("rest", "walk", "run")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('title = "My', 'titel = "My', 2, "unknown key 'titel'; did you mean 'title'"),
        ("[files.scale]", "[files.scael]", 16, "unknown key 'files.scael'; did you mean 'scale'"),
        ('reader = "text"', 'reader = "text"\nheadr = false', 10, "unknown key 'files.headr'; did you mean 'header'"),
        ("rate = 25.0", "rate = 25.0\nplacment = 'ankle'", 30, "unknown key 'sensors.1.placment'; did you mean 'placement'"),
        (
            "rate = 50.0",
            "rate = 50.0\nmotif = 1",
            24,
            "unknown key 'sensors.0.motif'; choose from name, kind, units, rate, channels",
        ),
        ("rate = 25.0", 'rate = "fast"', 29, "sensors.1.rate: .*valid number.*found 'fast'"),
        ("rate = 25.0", "rate = 0.0", 25, "sensors.1: sensor 'ankle' has a rate of 0.0 Hz: a positive rate is expected"),
        ('units = "g"\nrate = 25.0', 'units = "g"', 25, "sensors.1.rate: .*required"),
        ('train = ["2"]', "train = [2]", 48, "splits.swapped.train.0: .*valid string.*found 2"),
        ("step = 64", "step = 0", 39, "windows: length and step are at least 1 sample, got 128 and 0"),
        ("step = 64", "step = 6.5", 41, "windows.step: .*integer.*found 6.5"),
        ('"walk", "run"]\n\n', '"walk", "walk"]\n\n', 31, "target: a target needs at least two classes with distinct names"),
        ('["rest", "walk", "run"]', '["rest"]', 31, "target: a target needs at least two classes"),
        ('"walk", "run"]\n\n', '"walk", "run"]\nlabels = ["1", "2"]\n\n', 31, "target: 2 labels for 3 classes"),
        ('"walk", "run"]\n\n', '"walk", "run"]\nlabels = ["1", "2", "1"]\n\n', 31, "target: each class needs a label of its own"),
        ("rotation = true", "rotatoin = true", 36, "invariances: unknown key 'rotatoin': did you mean 'rotation'"),
        ('reader = "text"', 'reader = "text"\nhook = "mine"', 8, "files: give either 'hook' or 'reader'"),
        ('reader = "text"\n', "", 8, "files: give either 'hook' or 'reader'"),
        ("pattern = ", "#", 8, "files: a 'reader' needs a 'pattern'"),
        (
            "(?P<subject>",
            "(?P<subjct>",
            8,
            "files: the pattern has a group 'subjct'; groups are recording, subject, session, label",
        ),
        ("(?P<label>", "((?P<label>", 8, "files: the pattern .* is not a regular expression: missing \\)"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"card\.toml:{line}: {message}"):
        read_card(written(tmp_path, changed(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"\n', "", "card.toml: name: .*required"),
        ("ankle = [4", "ancle = [4", "card.toml: files.columns names the sensor 'ancle', which the card does not have"),
        ("wrist = 0.001", "wirst = 0.001", "card.toml: files.scale names the sensor 'wirst'"),
        ('name = "ankle"', 'name = "wrist"', "a card needs at least one sensor, and their names differ"),
        ('["rest", "run"]', '["rest", "jump"]', "invariance 'pace' names the class 'jump', which the target does not have"),
        ("[windows]", "[windows", "not valid TOML"),
    ],
)
def test_a_mistake_that_concerns_the_whole_card_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read_card(written(tmp_path, changed(old, new)))


def test_a_card_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml: no such file"):
        read_card(str(tmp_path / "absent.toml"))


def test_a_hook_needs_no_pattern() -> None:
    assert Files(hook="mine").pattern == ""


@pytest.mark.parametrize("counts", [Counts(), Counts(recordings=2), Counts(recordings=2, windows=9)])
def test_counts_that_fit_pass(counts: Counts) -> None:
    counts.check("mine", recordings=2, windows=9, subjects=1)


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="mine: read 2 subjects, but its card counts 3: are files missing or damaged"):
        Counts(recordings=2, subjects=3).check("mine", recordings=2, subjects=2)
