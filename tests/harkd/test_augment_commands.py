"""harkd augment list and preview: what there is, as text and as JSON, and a gallery of one's own recordings."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harkd.augment import OPS, parse, strategy_names, to_text
from harkd.augment.ops import NODES

# harkd augment list


def test_everything_is_listed(harkd: Any) -> None:
    rows = harkd("augment", "list", "--json").json
    assert sorted(row["name"] for row in rows) == sorted([*OPS, *NODES, *strategy_names()])
    told = harkd("augment", "list").out
    for row in rows:
        assert re.search(rf"^{re.escape(row['text'])}(  |$)", told, re.MULTILINE), row["name"]


def test_what_is_listed_can_be_given_as_it_is(harkd: Any) -> None:
    for row in harkd("augment", "list", "--json").json:
        strategy = parse(row["strategy"])
        assert parse(row["name"]) == strategy if row["kind"] == "strategy" else len(strategy.ops) == 1
        if row["kind"] in ("op", "mixing op"):
            (op,) = strategy.ops
            assert to_text(op) == row["text"]
            assert {option["name"]: option["default"] for option in row["options"]} == {
                name: getattr(op, name) for name in (option["name"] for option in row["options"])
            }
            assert (op.label, sorted(op.assumes), sorted(op.at(1).assumes)) == (row["label"], row["assumes"], row["assumes_most"])
            assert getattr(op.at(1), row["strength"]["field"]) == row["strength"]["strongest"]


def test_known_rows(harkd: Any) -> None:
    rows = {row["name"]: row for row in harkd("augment", "list", "--json").json}
    rotate = rows["rotate"]
    assert (rotate["text"], rotate["label"], rotate["assumes"], rotate["assumes_most"]) == (
        "rotate(15)",
        "kept",
        [],
        ["rotation"],
    )
    assert rotate["strength"] | {"most": 180.0, "identity": 0.0, "strongest": 180.0} == rotate["strength"]
    assert rows["removal"]["options"][1] == {
        "name": "fill",
        "kind": "choice",
        "default": "mean",
        "choices": ["mean", "zero", "hold"],
    }
    assert (rows["mixup"]["strategy"], rows["mixup"]["label"], rows["mixup"]["partners"]) == ("none|mixup(0.2)", "mixed", ["any"])
    assert (rows["stretch"]["sensors"], rows["jitter"]["sensors"]) == (["skeleton"], [])
    assert rows["jitter"]["strength"]["most"] is None
    assert (rows["adaptive"]["learns"], rows["rand_augment"]["learns"]) == (True, False)
    assert "IEEE Internet of Things Journal" in rows["jeon_mix1"]["citation"]
    told = harkd("augment", "list", "rotate(15)").out
    assert "kept; stronger: if rotation  max_angle 0 to 180" in told


def test_words_narrow_the_list_down(harkd: Any) -> None:
    rows = harkd("augment", "list", "--json").json
    skeletons = harkd("augment", "list", "Skeleton", "--json").json
    assert {row["name"] for row in rows if row["sensors"] == ["skeleton"]} <= {row["name"] for row in skeletons}
    assert 0 < len(skeletons) < len(rows)
    assert [row["name"] for row in harkd("augment", "list", "jeon", "gap", "clean", "--json").json] == ["jeon_mix2_clean_gap"]
    told = harkd("augment", "list", "jitter", "marmalade")
    assert (told.code, told.out) == (2, "")
    assert "no augmentation has jitter and marmalade" in told.err


@pytest.mark.parametrize("columns", [20, 40, 100])
def test_a_narrow_list_loses_nothing(harkd: Any, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    wide = harkd("augment", "list").out
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = harkd("augment", "list").out
    assert max(map(len, narrow.splitlines())) <= columns
    if columns == 100:  # in words, as cells are wrapped; the heads of columns are those of the wide one
        assert not Counter(wide.split()) - Counter(narrow.split())
        assert "name: " not in narrow
    else:
        squeezed = "".join(narrow.split())
        assert all("".join(word.split()) in squeezed for word in wide.split())


# harkd augment preview


def test_a_gallery(harkd: Any, world: Any) -> None:
    told = harkd("augment", "preview", "time_warp(0.2)+jitter(0.05)", *world.data, "--windows", "3", "--draws", "2")
    assert (told.code, told.err) == (0, "")
    first, *more = told.out.splitlines()
    assert first == "wrote swings-augment.html: 3 windows, 2 draws of each"
    assert more[0].startswith("harkd train would refuse it: time_warp(0.2) assumes that pace does not change the class")
    assert re.match(r"The page shows 3 windows of recorded signals of [1-3] subjects?: pass it on as", more[1])
    page = Path("swings-augment.html").read_text()
    for name in world.people:
        assert name not in page + told.out
    assert re.search(r"Person-[1-5]\.", page)
    # The training part of the split, not those who validate and test.
    assert "36 training windows" in page
    assert not re.search(r"Person-[24]\.", page)


def test_the_same_twice(harkd: Any, world: Any) -> None:
    pages = []
    for seed in ("0", "0", "1"):
        assert harkd("augment", "preview", "jitter", *world.data, "--windows", "1", "--seed", seed).code == 0
        pages.append(Path("swings-augment.html").read_text())
    assert pages[0] == pages[1] != pages[2]


def test_page_and_picture(harkd: Any, world: Any) -> None:
    words = ["--out", "a/b.html", "--png", "a/b.png", "--windows", "1", "--draws", "1", "--dark", "--json"]
    told = harkd("augment", "preview", "rotate(15)", *world.data, *words)
    assert told.json == {"files": ["a/b.html", "a/b.png"], "windows": told.json["windows"], "draws": 1, "refused": ""}
    assert set(told.json["windows"]) <= {"slow", "medium", "fast"}
    assert Path("a/b.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert Path("a/b.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jiter(0.05)"], "position 1: unknown augmentation 'jiter': did you mean 'jitter'?"),
        (["jitter(0.05"], "position 12: expected ',' or ')', found the end"),
        (["rotate_vertical"], "RotateVertical changes sensors of kind skeleton only; these windows have acc (acc), gyro (gyro)"),
        (["jitter", "--windows", "37"], "37 windows are asked for, but the training part of swings has only 36"),
        (["jitter", "--draws", "0"], "--draws is at least 1, got 0"),
        (["jitter", "--windows", "-1"], "--windows is at least 0, got -1"),
        (["jitter", "--out", "a.pdf"], "--out a.pdf: the name ends in .html"),
        (["jitter", "--png", "a.svg"], "--png a.svg: the name ends in .png"),
        (["--steps"], "--steps takes a strategy apart, and none is given"),
        (["jitter", "--split", "kfold"], "unknown split 'kfold'"),
        (["jitter", "jitter"], "harkd augment preview has no use for 'jitter'"),
    ],
)
def test_what_is_wrong_is_said(harkd: Any, world: Any, words: list[str], message: str) -> None:
    told = harkd("augment", "preview", *words, *world.data)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message in told.err
    assert not list(Path().glob("*.html"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "harkd augment needs ACTION: list, preview; see harkd augment --help"),
        (["--json"], "harkd augment needs ACTION before options: list, preview"),
        (["previw"], "unknown ACTION of harkd augment 'previw': did you mean 'preview'?"),
        (["preview", "--data", "swigns"], "unknown data set 'swigns'"),
    ],
)
def test_actions(harkd: Any, words: list[str], message: str) -> None:
    told = harkd("augment", *words)
    assert told.code == 2
    assert message in told.err


def test_help(harkd: Any) -> None:
    told = harkd("augment", "--help").out
    assert re.search(r"^  list +all ops", told, re.MULTILINE)
    assert "--steps" in harkd("augment", "preview", "--help").out
