"""The picture of decisions."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from harkd.export.decide import decide
from harkd.export.timeline import clock, timeline

SVG = "{http://www.w3.org/2000/svg}"


def drawn(labels: list[int], threshold: float = 0.0, step: float = 1.0) -> ElementTree.Element:
    start = step * np.arange(len(labels))
    spans = np.stack([start, start + 2 * step], 1)
    logits = 5 * np.eye(2, dtype=np.float32)[labels]
    return ElementTree.fromstring(timeline("a <recording> & more", decide(logits, spans, ("sit", "walk & run"), threshold)))


def bars(root: ElementTree.Element) -> list[tuple[float, float]]:
    """Left and right end of each bar: closed shapes that are filled."""
    paths = [path for path in root.iter(f"{SVG}path") if "fill: var(--distilled" in path.attrib.get("style", "")]
    ends = []
    for path in paths:
        xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", path.attrib["d"])]
        ends.append((min(xs), max(xs)))
    return ends


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    """Windows of 2 s every second, 4, 4, 2 and 3 of a class in turn: they change after 4.5, 8.5 and 10.5 of 14 s."""
    found = np.array(sorted(bars(drawn([0] * 4 + [1] * 4 + [0] * 2 + [1] * 3))))
    assert found[1:, 0] == pytest.approx(found[:-1, 1], abs=0.02)
    assert (found[:, 1] - found[0, 0]) / np.ptp(found) == pytest.approx(np.array([4.5, 8.5, 10.5, 14]) / 14, abs=1e-4)
    assert np.ptp(found) > 600


def test_it_is_a_document_that_follows_light_and_dark_and_asks_for_nothing() -> None:
    root = drawn([0, 1])
    text = ElementTree.tostring(root, encoding="unicode")
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r'(href|src)="(?!#)|url\((?!#)', text)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "a <recording> & more: sit 0:01.5, walk & run 0:01.5"
    texts = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert "a <recording> & more" in texts
    assert "walk & run" in texts
    assert "unknown" not in texts


def test_hours_stay_small() -> None:
    """Eight hours that change every second: some hundred kilobytes at most, and few ticks."""
    rng = np.random.default_rng(0)
    root = drawn(rng.integers(0, 2, 8 * 3600).tolist(), 0.5)
    assert len(ElementTree.tostring(root)) < 300_000
    ticks = [
        text for text in ("".join(each.itertext()) for each in root.iter(f"{SVG}text")) if re.fullmatch(r"[\d:]+:\d\d", text)
    ]
    assert ticks[1] == "1:00:00"
    assert len(ticks) == 9


def test_times_are_rounded_and_not_cut() -> None:
    assert [clock(seconds) for seconds in (0, 59.96, 3599.96, 7325.04)] == ["0:00.0", "1:00.0", "1:00:00.0", "2:02:05.0"]
