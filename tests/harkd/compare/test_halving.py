"""Successive halving on made-up studies whose order is known."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.compare.design import Design
from harkd.compare.halving import drop, rungs
from harkd.compare.options import Study
from harkd.compare.results import Finished, Results
from harkd.errors import UsageError
from harkd.options import Pair

Right = Mapping[str, Sequence[int]]
"""By level: right answers of the validation subjects A and B, of 20 windows each."""


@pytest.fixture
def study(tmp_path: Path, run_directory: Callable[..., Any]) -> Callable[..., Results]:
    made: list[Path] = []

    def build(right: Right, *, test: Right | None = None, seeds: int = 1) -> Results:
        """One fold; a level without right answers has no finished run."""
        made.append(tmp_path / str(len(made)))
        design = Design.of(Pair(augment=",".join(right)), Study(seeds=seeds), ("official",))
        finished = []
        for cell in design.cells:
            validation = dict(zip("AB", right[cell.level], strict=False))
            tested = dict(zip("XY", (test or right)[cell.level], strict=False)) or {"X": 1}
            if right[cell.level] or test:
                finished.append(Finished(cell, run_directory(made[-1], cell, tested, validation)))
        return Results(design, tuple(finished))

    return build


FIVE: Right = {
    "none": (10, 10),
    "jitter(0.1)": (12, 11),  # +1.5 of 20: +7.5 points
    "rotate(20)": (9, 10),  # -2.5
    "scaling(0.1)": (16, 9),  # +12.5, though one of two loses
    "jitter(0.2)": (10, 10),  # 0
}


def test_one_of_two_stays_by_the_mean_difference_on_validation_subjects(study: Callable[..., Results]) -> None:
    assert drop(study(FIVE), "accuracy", 2) == {
        "jitter(0.2)": "left out after 1 seed, place 3 of 4 on validation subjects (+0.0 points against none)",
        "rotate(20)": "left out after 1 seed, place 4 of 4 on validation subjects (-2.5 points against none)",
    }


@pytest.mark.parametrize(
    ("keep", "left_out"),
    [
        (2, ["jitter(0.2)", "rotate(20)"]),
        (3, ["jitter(0.2)", "rotate(20)"]),  # 4 / 3, rounded up: two stay
        (4, ["jitter(0.1)", "jitter(0.2)", "rotate(20)"]),
        (16, ["jitter(0.1)", "jitter(0.2)", "rotate(20)"]),  # one always stays
    ],
)
def test_how_many_stay(study: Callable[..., Results], keep: int, left_out: list[str]) -> None:
    assert list(drop(study(FIVE), "accuracy", keep)) == left_out


def test_the_control_stays_even_if_it_is_worst(study: Callable[..., Results]) -> None:
    assert list(drop(study({**FIVE, "none": (0, 0)}), "accuracy", 16)) == ["jitter(0.1)", "jitter(0.2)", "rotate(20)"]


def test_the_first_of_equal_ones_stays(study: Callable[..., Results]) -> None:
    equal = dict.fromkeys(FIVE, (10, 10))
    assert list(drop(study(equal), "accuracy", 2)) == ["scaling(0.1)", "jitter(0.2)"]


def test_two_levels_leave_nothing_to_decide(study: Callable[..., Results]) -> None:
    assert drop(study({"none": (20, 20), "rotate(20)": (0, 0)}), "accuracy", 2) == {}


def test_seeds_are_averaged(study: Callable[..., Results]) -> None:
    (reason,) = set(
        drop(study({"none": (10, 10), "rotate(20)": (11, 11), "jitter(0.1)": (9, 9)}, seeds=2), "accuracy", 2).values()
    )
    assert reason.startswith("left out after 2 seeds, place 2 of 2 ")


@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(st.integers(0, 20), min_size=2, max_size=2), min_size=5, max_size=5))
def test_test_subjects_have_no_part_in_it(
    tmp_path_factory: Any, run_directory: Callable[..., Any], scores: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("study")
    design = Design.of(Pair(augment=",".join(FIVE)), Study(seeds=1), ("official",))
    finished = [
        Finished(
            cell, run_directory(folder, cell, dict(zip("XY", test, strict=True)), dict(zip("AB", FIVE[cell.level], strict=True)))
        )
        for cell, test in zip(design.cells, scores, strict=True)
    ]
    assert list(drop(Results(design, tuple(finished)), "accuracy", 2)) == ["jitter(0.2)", "rotate(20)"]


def test_a_level_without_a_run_is_not_judged(study: Callable[..., Results]) -> None:
    """It failed; another seed may not."""
    assert list(drop(study({**FIVE, "scaling(0.1)": ()}), "accuracy", 2)) == ["rotate(20)"]


def test_without_a_run_of_the_control_nothing_is_left_out(study: Callable[..., Results]) -> None:
    assert drop(study({**FIVE, "none": ()}), "accuracy", 2) == {}


def test_without_validation_subjects_it_is_refused(study: Callable[..., Results]) -> None:
    with pytest.raises(
        UsageError, match=r"halving is judged on validation subjects, and these folds have none: choose other --folds"
    ):
        drop(study(dict.fromkeys(FIVE, ()), test=FIVE), "accuracy", 2)


@pytest.mark.parametrize(
    ("seeds", "after"), [(2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_rungs_double(seeds: int, after: list[int]) -> None:
    assert rungs(seeds) == after
