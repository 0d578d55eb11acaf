"""The critical-difference diagram: where scikit-posthocs' marks and bars stand once they are dressed for the page."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from harkd.compare.omnibus import Omnibus, omnibus
from harkd.compare.scores import Scores
from harkd.report.diagram import paint_ranks, ranks
from harkd.report.drawing import COLOURS

NAMES = ("none", "a", "b", "c", "d", "e", "f", "g")


@pytest.fixture(scope="module")
def together() -> Omnibus:
    """Eight levels in steps of two points, 30 subjects: several bars, none over all of them."""
    rng = np.random.default_rng(0)
    values = 0.5 + 0.02 * np.arange(len(NAMES)) + rng.normal(0, 0.04, (30, len(NAMES)))
    return omnibus(Scores("accuracy", NAMES, tuple(map(str, range(30))), values, "none"))


@pytest.fixture(scope="module")
def drawn(together: Omnibus) -> dict[str, list]:
    return paint_ranks(Figure().add_subplot(), together, "none")


def test_marks_stand_at_the_ranks(together: Omnibus, drawn: dict[str, list]) -> None:
    places = sorted(float(mark.get_offsets()[0, 0]) for mark in drawn["markers"])
    assert places == pytest.approx(sorted(together.ranks.values()))


def test_bars_span_exactly_the_groups(together: Omnibus, drawn: dict[str, list]) -> None:
    spans = [(min(line.get_xdata()), max(line.get_xdata())) for (line,) in drawn["crossbars"]]
    wanted = [(together.ranks[group[0]], together.ranks[group[-1]]) for group in together.groups]
    assert len(wanted) > 2
    assert np.array(spans) == pytest.approx(np.array(wanted))
    members = [sorted(line.get_xdata()) for (line,) in drawn["crossbars"]]
    assert members == [sorted(together.ranks[level] for level in group) for group in together.groups]


def test_bars_have_rows_of_their_own_above_the_names(together: Omnibus, drawn: dict[str, list]) -> None:
    rows = [line.get_ydata()[0] for (line,) in drawn["crossbars"]]
    assert rows == [-row for row in range(1, len(together.groups) + 1)]
    names = [label.get_position()[1] for label in drawn["labels"]]
    assert max(names) < min(rows)
    assert max(line.get_ydata()[0] for line in drawn["elbows"]) == max(names)


def test_names_stand_in_the_order_of_the_ranks(together: Omnibus, drawn: dict[str, list]) -> None:
    """Down the left side, then up the right side; each beside its own rank."""
    sides: dict[str, list[tuple[float, str]]] = {"right": [], "left": []}
    for label in drawn["labels"]:
        words = label.get_text().split()
        name, rank = words if label.get_ha() == "right" else words[::-1]
        assert rank == f"{together.ranks[name]:.2f}"
        sides[label.get_ha()].append((-label.get_position()[1], name))
    read = [name for _, name in sorted(sides["right"])] + [name for _, name in sorted(sides["left"], reverse=True)]
    assert read == sorted(together.ranks, key=lambda level: together.ranks[level])


def test_only_the_control_is_marked(drawn: dict[str, list]) -> None:
    marked = [label.get_text() for label in drawn["labels"] if label.get_color() == COLOURS["alone"]]
    assert len(marked) == 1
    assert "none" in marked[0]


def test_the_ruler_is_as_long_as_the_critical_difference(together: Omnibus) -> None:
    axes = Figure().add_subplot()
    paint_ranks(axes, together, "none")
    lengths = [line.get_xdata()[-1] - line.get_xdata()[0] for line in axes.lines if line.get_ydata()[0] > 0]
    assert lengths == pytest.approx([together.critical_difference] * 2)


def test_the_drawing_tells_all_of_it(together: Omnibus) -> None:
    svg = ranks("ranks", together, "none")
    assert f"Ranks closer than {together.critical_difference:.2f} cannot be told apart." in svg
    for level, rank in together.ranks.items():
        assert f"{level} {rank:.2f}" in svg


@pytest.mark.parametrize("levels", [3, 12])
def test_long_names_are_clipped_and_equal_ranks_drawn(levels: int, study: Callable[..., object]) -> None:
    names = tuple(f"trivial(har_safe)+jitter(0.0{number})+rotate(15)/fitnet" for number in range(levels))
    same = np.full((8, levels), 0.5)
    together = omnibus(Scores("accuracy", names, tuple(map(str, range(8))), same, names[0]))
    drawn = paint_ranks(Figure().add_subplot(), together, names[0])
    assert together.groups == (names,)
    assert {float(mark.get_offsets()[0, 0]) for mark in drawn["markers"]} == {(levels + 1) / 2}
    assert all("…" in label.get_text() for label in drawn["labels"])
