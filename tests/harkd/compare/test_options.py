"""What a comparison refuses to be asked for."""

from typing import Any

import pytest

from harkd.compare.options import Running, Study
from harkd.errors import UsageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds is at least 1, got 0"),
        ({"alpha": 0.0}, "alpha lies between 0 and 1, got 0.0"),
        ({"alpha": 1.0}, "alpha lies between 0 and 1, got 1.0"),
        ({"rope": float("nan")}, "rope lies between 0 and 1, got nan"),
        ({"halving": 1}, r"halving is 0 \(off\) or 2 to 16 \(keep one of so many\), got 1"),
        ({"halving": -2}, r"halving is 0 \(off\) or 2 to 16 \(keep one of so many\), got -2"),
        ({"halving": 17}, r"halving is 0 \(off\) or 2 to 16 \(keep one of so many\), got 17"),
        ({"halving": 2, "seeds": 1}, "halving decides after the first seed: it needs --seeds 2 or more"),
        ({"trials": -1}, "trials is at least 0, got -1"),
        ({"trials": 3}, "--trials and --search belong together: how many configurations, and from which space"),
        ({"search": ("rate=1..2",)}, "--trials and --search belong together: how many configurations, and from which space"),
        (
            {"trials": 3, "search": ("rate=1..2",), "halving": 2},
            "--trials and --halving are two ways of leaving configurations out: choose one",
        ),
    ],
)
def test_studies_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        Study(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers is at least 0, got -1"),
        ({"memory": -0.5}, "memory is at least 0 GiB, got -0.5"),
        ({"memory": float("nan")}, "memory is at least 0 GiB, got nan"),
    ],
)
def test_ways_of_running_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        Running(**options)


def test_the_ends_of_what_is_allowed() -> None:
    Study(seeds=1, alpha=1e-9, rope=0.999)
    Study(halving=2, seeds=2)
    Study(halving=16, seeds=3)
    Study(trials=1, search=("rate=1..2",))
    Running(workers=0, memory=0.0)
