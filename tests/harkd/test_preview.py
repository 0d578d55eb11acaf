"""harkd data preview: a window of every class, as a page or a picture."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from harkd.datasets import Recording, Segment, Sensor, Windows
from harkd.report.preview import to_page, to_picture
from harkd.report.recordings import edges, examples, thinned


def test_examples_are_what_was_recorded(toy_windows: Windows) -> None:
    """Sample t of channel c of recording r is 10000 r + 1000 c + t: everything shown says where it comes from."""
    found = examples(toy_windows)
    assert [example.name for example in found] == ["rest", "walk", "run"]
    for number, example in enumerate(found):
        acc, gyro = example.shown
        r = int(acc.x[0, 0]) // 10_000
        assert r % 3 == number  # the class
        first = int(acc.x[0, 0]) % 1000
        np.testing.assert_array_equal(acc.x[2], 10_000 * r + 2_000 + first + np.arange(acc.x.shape[1]))
        np.testing.assert_array_equal(gyro.x, -acc.x)
        assert acc.start == first / 50
        np.testing.assert_allclose(acc.at, (first + np.arange(acc.x.shape[1])) / 50)
        start = round(acc.window[0] * 50)
        assert start % 10 == 0
        assert acc.cut.shape == (3, 20)
        assert acc.cut[0, 0] == 10_000 * r + start
        assert first == max(0, start - 20)  # a window's length before it, if there is as much
    assert sum(example.count for example in found) == len(toy_windows)


def test_the_seed_draws(toy_windows: Windows) -> None:
    picks = {tuple((*example.shown[0].window, example.recording) for example in examples(toy_windows, seed)) for seed in range(5)}
    assert len(picks) == 5
    assert examples(toy_windows, 3)[0].recording == examples(toy_windows, 3)[0].recording


def test_a_class_without_windows_is_told(toy_windows: Windows) -> None:
    part = toy_windows.subset(np.flatnonzero(toy_windows.labels.numpy() != 1))
    assert [bool(example.shown) for example in examples(part)] == [True, False, True]
    page = to_page(part)
    assert "No window is of walk." in page
    assert page.count("<svg") == 4


def test_the_page_needs_nothing_else(toy_windows: Windows) -> None:
    page = to_page(toy_windows)
    assert page.count("<svg viewBox=") == 6  # three classes, two sensors
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert "var(--distilled" in page  # colours of the page, light and dark
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "SYNTHETIC" not in page
    assert "acc, g, 50 Hz" in page
    assert to_page(toy_windows) == page
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    texts = [text.text for text in svg.iter("text")]
    assert {"x", "y", "z", "g", "time, s"} <= set(texts)


def test_synthetic_data_say_so(toy_windows: Windows) -> None:
    made_up = replace(toy_windows, card=replace(toy_windows.card, synthetic=True))
    assert to_page(made_up).count("SYNTHETIC") == 2
    assert b"SYNTHETIC" in _texts(to_picture(made_up, ".svg"))


def _texts(svg: bytes) -> bytes:
    """Texts of a picture; matplotlib writes them as comments beside their outlines."""
    return b"\n".join(re.findall(rb"<!-- (.*?) -->", svg))


def test_people_are_named_only_where_names_are_codes(toy_windows: Windows) -> None:
    named = replace(toy_windows, card=replace(toy_windows.card, subjects_are_codes=False))
    named = replace(named, subjects=np.array([f"Kunigunde{s}" for s in named.subjects]))
    named = replace(named, recordings=np.array([f"Kunigunde{r}" for r in named.recordings]))
    for told in (to_page(named), _texts(to_picture(named, ".svg")).decode()):
        assert "Kunigunde" not in told
        assert "one of" in told
    assert re.search(r"subject [1-6], recording [1-6]-[ap]m", to_page(toy_windows))


@pytest.mark.parametrize("dark", [False, True])
def test_pictures(toy_windows: Windows, dark: bool) -> None:
    from matplotlib.image import imread

    png = to_picture(toy_windows, ".png", dark=dark)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert png == to_picture(toy_windows, ".png", dark=dark)
    import io

    pixels = imread(io.BytesIO(png))
    assert (pixels[0, 0, :3].mean() < 0.2) == dark
    assert pixels.shape[0] < 65_000
    ElementTree.fromstring(to_picture(toy_windows, ".svg", dark=dark))


def _windows(card: Any, sensor: Sensor, x: np.ndarray) -> Windows:
    recordings = [
        Recording(
            str(n), "1", {sensor.name: x.astype(np.float32)}, segments=(Segment(0.0, x.shape[1] / sensor.rate, {"activity": n}),)
        )
        for n in range(3)
    ]
    return Windows.cut(recordings, replace(card, sensors=(sensor,), counts=type(card.counts)()))


def test_many_channels_are_traces(toy_card: Any) -> None:
    names = tuple(f"E{n}" for n in range(64))
    eeg = Sensor("eeg", "eeg", "uV", 100.0, names)
    x = 20 * np.sin(np.arange(100) / 5 + np.arange(64)[:, None])
    page = to_page(_windows(toy_card, eeg, x))
    assert page.count(">E0<") == 3
    assert page.count(">E2<") == 3  # every second one has room for its name
    assert page.count(">E1<") == 0
    assert page.count(">50 uV<") == 3  # the distance of two traces, about twice what they reach


def test_skeletons_are_stick_figures(toy_card: Any) -> None:
    joints = {
        "head": (0, 1.7),
        "neck": (0, 1.5),
        "left_hand": (-0.4, 1.0),
        "left_foot": (-0.1, 0.0),
        "right_foot": (0.1, 0.0),
        "pelvis": (0, 1),
    }
    skeleton = Sensor("skeleton", "skeleton", "m", 25.0, tuple(f"{joint}_{axis}" for joint in joints for axis in "xyz"))
    x = np.array([[value] * 100 for a, b in joints.values() for value in (a, b, 2.0)])
    windows = _windows(toy_card, skeleton, x)
    page = to_page(windows)
    assert len(re.findall(r">\d\.\d s<", page)) == 3 * 9
    to_picture(windows, ".png")


def test_edges_follow_the_names() -> None:
    from harkd.datasets.synthetic.skeleton import JOINTS

    lines = {frozenset((JOINTS[a], JOINTS[b])) for a, b in edges(JOINTS)}
    assert len(lines) == len(JOINTS) - 1  # a tree over all joints
    for pair in (
        ("head", "shoulder_center"),
        ("left_elbow", "left_wrist"),
        ("right_knee", "right_ankle"),
        ("hip_center", "left_hip"),
    ):
        assert frozenset(pair) in lines
    assert edges(["a", "b", "c"]) == []


def test_thinning_keeps_the_extremes() -> None:
    x = np.zeros(10_000, np.float32)
    x[1234], x[8765] = 5, -5
    at, kept = thinned(np.arange(10_000) / 10, x)
    assert len(kept) <= 1200
    assert (kept.max(), kept.min()) == (5, -5)
    assert at[kept.argmax()] == 123.4


def test_the_command(harkd: Callable[..., Any], world: Any) -> None:
    told = harkd("data", "preview", world.card, "--data-folder", world.folder)
    assert (told.code, told.err) == (0, "")
    assert told.out == "wrote swings-preview.html: 3 classes, acc, gyro\n"
    page = Path("swings-preview.html").read_text()
    for name in world.people:
        assert name not in page
    words = ["--out", "a/b.png", "--seed", "3", "--json"]
    told = harkd("data", "preview", world.card, "--data-folder", world.folder, *words)
    assert told.json == {"out": "a/b.png", "classes": 3, "sensors": ["acc", "gyro"]}
    assert Path("a/b.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.pdf"], "the name ends in .html, .png, .svg"),
        (["--seed", "-1"], "--seed is 0 or more"),
    ],
)
def test_what_is_wrong_is_said(harkd: Callable[..., Any], world: Any, words: list[str], message: str) -> None:
    told = harkd("data", "preview", world.card, "--data-folder", world.folder, *words)
    assert told.code == 2
    assert message in told.err
