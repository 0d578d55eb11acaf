"""Made-up studies of which the truth is known: false alarms, power and coverage, in the long run."""

import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import binom

from harkd.compare import contrast
from harkd.compare.contrast import contrasts, interval
from harkd.compare.omnibus import omnibus
from harkd.compare.power import subjects_needed
from harkd.compare.scores import Scores

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """statsmodels collects garbage in every correction: with all that is loaded, most of the time of a short study."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def study(values: np.ndarray) -> Scores:
    subjects, levels = values.shape
    return Scores("accuracy", tuple("abcdef"[:levels]), tuple(map(str, range(subjects))), values, "a")


def equal_strategies(rng: np.random.Generator, subjects: int = 20, levels: int = 6, windows: int = 40) -> Scores:
    """Subjects differ, levels do not; binomial scores of 40 windows have many ties."""
    ability = np.clip(0.8 + rng.normal(0, 0.08, (subjects, 1)), 0, 1)
    return study(rng.binomial(windows, np.tile(ability, levels)) / windows)


@pytest.fixture
def tests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the numbers beside the p-values, which would take most of the time of 1,000 studies."""
    monkeypatch.setattr(contrast, "interval", lambda *_: (0.0, 0.0))
    monkeypatch.setattr(contrast, "subjects_needed", lambda *_: None)
    monkeypatch.setattr(contrast, "signed_rank", lambda *_: (0.0, 1.0, 0.0))


def most(studies: int, rate: float) -> int:
    """What a count of this rate exceeds once in a thousand times."""
    return int(binom.ppf(0.999, studies, rate))


@pytest.mark.usefixtures("tests_only")
def test_equal_strategies_are_called_different_in_at_most_the_nominal_share() -> None:
    rng = np.random.default_rng(2026)
    equal = [contrasts(equal_strategies(rng)) for _ in range(1000)]
    assert 15 <= sum(any(c.different for c in found) for found in equal) <= most(1000, 0.05)
    # Without Holm's correction the same five comparisons would alarm far more often.
    assert sum(any((c.p or 0) <= 0.05 for c in found) for found in equal) > 2 * most(1000, 0.05)


@pytest.mark.usefixtures("tests_only")
def test_missing_cells_raise_no_false_alarms() -> None:
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(500):
        scores = equal_strategies(rng, levels=4)
        scores.values[rng.random(scores.values.shape) < 0.2] = np.nan
        alarms += any(c.different for c in contrasts(scores))
    assert 5 <= alarms <= most(500, 0.05)


def test_friedman_and_nemenyi_alarm_in_at_most_the_nominal_share() -> None:
    rng = np.random.default_rng(6)
    found = [omnibus(equal_strategies(rng, levels=4)) for _ in range(300)]
    assert 3 <= sum(o.p is not None and o.p <= 0.05 for o in found) <= most(300, 0.05)
    assert sum(o.groups != (tuple(sorted(o.ranks, key=o.ranks.__getitem__)),) for o in found) <= most(300, 0.05)


@pytest.mark.usefixtures("tests_only")
@pytest.mark.parametrize(("levels", "dz"), [(2, 0.8), (4, 1.0)])
def test_a_real_effect_is_found_at_the_predicted_rate(levels: int, dz: float) -> None:
    """With the subjects that 80 % power needs at the first step of Holm's correction; later steps ask for less."""
    subjects = subjects_needed(dz, 0.05 / (levels - 1))
    assert subjects is not None
    rng, found, effect, noise = np.random.default_rng(8), 0, np.zeros(levels), 0.03
    effect[1] = dz * noise * np.sqrt(2)
    for _ in range(600):
        values = rng.normal(0.5, 0.05, (subjects, 1)) + rng.normal(effect, noise, (subjects, levels))
        found += contrasts(study(np.clip(values, 0, 1)))[0].different
    assert 0.75 <= found / 600 <= 0.86


def no_difference(rng: np.random.Generator, subjects: int) -> np.ndarray:
    """Two levels of a study of equal strategies, moved by the 0.02 that all three kinds share."""
    values = equal_strategies(rng, subjects, levels=2).values
    return 0.02 + values[:, 1] - values[:, 0]


def normal(rng: np.random.Generator, subjects: int) -> np.ndarray:
    return rng.normal(0.02, 0.05, subjects)


def mostly_ties(rng: np.random.Generator, subjects: int) -> np.ndarray:
    """Twenty windows near the ceiling: differences of -0.05, 0, 0.05 and 0.1."""
    return (rng.binomial(20, 0.96, subjects) - rng.binomial(20, 0.94, subjects)) / 20


@pytest.mark.parametrize("subjects", [8, 10, 20, 30])
@pytest.mark.parametrize("make", [normal, no_difference, mostly_ties])
def test_intervals_cover_the_truth(make: Callable[[np.random.Generator, int], np.ndarray], subjects: int) -> None:
    rng = np.random.default_rng(subjects)
    found = [interval(make(rng, subjects), samples=600) for _ in range(800)]
    assert 0.92 <= np.mean([low - 1e-12 <= 0.02 <= high + 1e-12 for low, high in found]) <= 0.98
