"""Search spaces, and a sampler that can be asked again."""

import sys
from collections.abc import Mapping, Sequence

import pytest

from harkd.compare.search import TOGETHER, Dimension, Sampler, search
from harkd.errors import HarkdError, UsageError

Asked = Sequence[tuple[int, Mapping[str, str]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate=1e-4..1e-2:log", Dimension("rate", (), 1e-4, 1e-2, log=True)),
        ("rate=0.001..0.01", Dimension("rate", (), 0.001, 0.01)),
        ("weight-decay = 0..0.5", Dimension("weight_decay", (), 0.0, 0.5)),
        ("batch=16..64:log", Dimension("batch", (), 16, 64, log=True, whole=True)),
        ("epochs=5..9", Dimension("epochs", (), 5, 9, whole=True)),
        ("kd.weight=0.1..0.9", Dimension("kd.weight", (), 0.1, 0.9)),
        ("augment=none,jitter(0.1, p=0.5)", Dimension("augment", ("none", "jitter(0.1, p=0.5)"))),
        ("schedule=onecycle", Dimension("schedule", ("onecycle",))),
    ],
)
def test_spaces(text: str, expected: Dimension) -> None:
    assert Dimension.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate", "--search takes OPTION=LOW..HIGH, OPTION=LOW..HIGH:log or OPTION=LEVEL,LEVEL; got 'rate'"),
        ("rate= ", "--search takes OPTION=LOW..HIGH, OPTION=LOW..HIGH:log or OPTION=LEVEL,LEVEL; got 'rate= '"),
        ("rate=low..high", "--search rate: 'low'..'high' are not two numbers"),
        ("rate=2..1", "--search rate: the range goes from a number to a larger one; got 'rate=2..1'"),
        ("rate=1..1", "--search rate: the range goes from a number to a larger one; got 'rate=1..1'"),
        ("rate=nan..1", "--search rate: the range goes from a number to a larger one; got 'rate=nan..1'"),
        ("rate=0.1..inf", "--search rate: the range goes from a number to a larger one; got 'rate=0.1..inf'"),
        ("rate=0..1:log", "--search rate: the range goes from a number above 0 to a larger one; got 'rate=0..1:log'"),
        ("rte=1..2", "unknown option in --search 'rte': did you mean 'rate'?"),
        ("kd.wieght=0.1..0.2", "unknown option of kd in --search 'wieght': did you mean 'weight'?"),
        ("seed=1..9", "--search seed: it says what is compared on, and is the same for all; use --seeds"),
        ("augment=none,none", "--search augment: level 'none' stands there twice"),
        ("augment=none,,um2017", "--search augment: a level is empty; got 'none,,um2017'"),
    ],
)
def test_spaces_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Dimension.parse(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


SPACE = [Dimension.parse(text) for text in ("rate=1e-4..1e-1:log", "batch=16..64", "augment=none,um2017")]


def quality(chosen: Mapping[str, str]) -> float | None:
    """A score that is best at a rate of 0.01 with an augmentation; the largest batches fail."""
    if int(chosen["batch"]) > 60:
        return None
    return (0.5 if chosen["augment"] == "um2017" else 0.3) - abs(float(chosen["rate"]) - 0.01)


def run(seed: int, trials: int, tried: list[Mapping[str, str]] | None = None) -> list[tuple[dict[str, str], float | None]]:
    def score(asked: Asked) -> list[float | None]:
        if tried is not None:
            tried.extend(chosen for _, chosen in asked)
        return [quality(chosen) for _, chosen in asked]

    return search(Sampler(SPACE, seed), trials, score)


@pytest.fixture(autouse=True, scope="module")
def optuna() -> None:
    pytest.importorskip("optuna")


def test_the_same_seed_and_scores_give_the_same_trials() -> None:
    assert run(0, 18) == run(0, 18)
    assert run(0, 18) != run(1, 18)


def test_trials_lie_in_the_space() -> None:
    told = run(3, 30)
    assert len(told) == 30
    for chosen, value in told:
        assert list(chosen) == ["rate", "batch", "augment"]
        assert 1e-4 <= float(chosen["rate"]) <= 1e-1
        assert 16 <= int(chosen["batch"]) <= 64
        assert chosen["augment"] in ("none", "um2017")
        assert value == quality(chosen)


def test_scores_are_learnt_from() -> None:
    """The last of many trials are better than the first ones, which are drawn at random."""

    def mean(values: Sequence[float | None]) -> float:
        there = [value for value in values if value is not None]
        return sum(there) / len(there)

    values = [value for _, value in run(0, 60)]
    assert mean(values[40:]) > mean(values[:10]) + 0.05


def test_some_are_tried_together_and_numbered() -> None:
    asked: list[list[int]] = []

    def score(some: Asked) -> list[float | None]:
        asked.append([number for number, _ in some])
        return [0.5] * len(some)

    assert len(search(Sampler(SPACE, 0), 2 * TOGETHER + 1, score)) == 2 * TOGETHER + 1
    assert asked == [list(range(TOGETHER)), list(range(TOGETHER, 2 * TOGETHER)), [2 * TOGETHER]]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_search_that_was_stopped_asks_for_the_same_and_goes_on(stop: int) -> None:
    """What it asks for again is found among the finished runs: nothing is tried twice."""
    whole: list[Mapping[str, str]] = []
    expected = run(0, 4 * TOGETHER, whole)

    class Stopped(Exception):
        pass

    first: list[Mapping[str, str]] = []

    def score(asked: Asked) -> list[float | None]:
        if len(first) == stop * TOGETHER:
            raise Stopped
        first.extend(chosen for _, chosen in asked)
        return [quality(chosen) for _, chosen in asked]

    with pytest.raises(Stopped):
        search(Sampler(SPACE, 0), 4 * TOGETHER, score)
    again: list[Mapping[str, str]] = []
    assert run(0, 4 * TOGETHER, again) == expected
    assert again[: len(first)] == first == whole[: len(first)]


def test_more_trials_begin_with_the_same() -> None:
    assert run(0, 3 * TOGETHER)[: 2 * TOGETHER] == run(0, 2 * TOGETHER)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(HarkdError, match=r"^optuna is not installed: pip install -c constraints\.txt 'harkd\[search\]'$"):
        Sampler(SPACE, 0)
