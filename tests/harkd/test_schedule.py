"""Schedules at points that can be worked out by hand."""

from __future__ import annotations

import math

import pytest

from harkd.schedule import Cosine, OneCycle, Progress, Schedule, Stairs, Until, value


def at(step: int, steps: int = 100) -> Progress:
    return Progress(0, 1, step, steps)


def epoch(number: int, epochs: int) -> Progress:
    return Progress(number, epochs, number * 7, epochs * 7)


@pytest.mark.parametrize(
    ("schedule", "progress", "known"),
    [
        (0.3, at(17), 0.3),
        (lambda p: p.done, at(17), 0.17),
        (Cosine(2.0), at(0), 2.0),
        (Cosine(2.0), at(25), 1 + math.sqrt(0.5)),
        (Cosine(2.0), at(50), 1.0),
        (Cosine(2.0), at(100), 0.0),
        (OneCycle(1.0, 0.2), at(0), 0.04),
        (OneCycle(1.0, 0.2), at(10), 0.52),
        (OneCycle(1.0, 0.2), at(20), 1.0),
        (OneCycle(1.0, 0.2), at(60), 0.50005),
        (OneCycle(1.0, 0.2), at(100), 1e-4),
        (OneCycle(1.0, 0.0), at(0), 1.0),
        (OneCycle(3.0), at(15), 3.0),
    ],
)
def test_known_points(schedule: Schedule, progress: Progress, known: float) -> None:
    assert value(schedule, progress) == pytest.approx(known, rel=1e-12, abs=1e-15)


def test_one_cycle_rises_and_then_falls() -> None:
    rates = [OneCycle(1.0, 0.15)(at(step)) for step in range(101)]
    assert rates[:16] == sorted(rates[:16])
    assert rates[15:] == sorted(rates[15:], reverse=True)
    assert max(rates) == 1.0


@pytest.mark.parametrize(
    ("number", "known"),
    [(0, 0.05), (10, 0.05), (11, 0.01), (65, 0.01), (66, 0.001), (132, 0.001), (133, 0.0001), (199, 0.0001)],
)
def test_stairs_are_those_of_the_published_logs(number: int, known: float) -> None:
    assert Stairs(0.05)(epoch(number, 200)) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "known"),
    [
        (Until(0.9), [0.9] * 10),
        (Until(0.9, stop=0.0), [0.0] * 10),
        (Until(0.9, stop=0.5), [0.9] * 5 + [0.0] * 5),
        (Until(0.8, stop=0.8, decay=0.4), [0.8] * 5 + [0.6, 0.4, 0.2, 0.0, 0.0]),
        (Until(1.0, stop=1.0, decay=0.5), [1.0] * 6 + [0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_until(schedule: Until, known: list[float]) -> None:
    assert [schedule(epoch(number, 10)) for number in range(10)] == pytest.approx(known, abs=1e-12)
    assert [schedule(epoch(number, 10)) == 0 for number in range(10)] == [level == 0 for level in known]


@pytest.mark.parametrize("epochs", [3, 7, 10, 49, 60, 200])
def test_until_counts_whole_epochs(epochs: int) -> None:
    for stop in range(epochs + 1):
        heard = [number for number in range(epochs) if Until(1.0, stop / epochs)(epoch(number, epochs))]
        assert heard == list(range(stop))
