"""All larger nets at once: how many terms, who is left out, and what it reduces to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch

from harkd.augment import parse
from harkd.cast import helpers
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods import METHODS
from harkd.methods.dgkd import Dense
from harkd.options import DGKD, KD, TAKD, Distill

SOURCES = ("teacher", "assistant-1", "assistant-2", "assistant-3")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("draws", [0, 2])
@pytest.mark.parametrize("more", [{}, {"drop": "bernoulli", "survival": 0.1}, {"total": "sum"}, {"reduction": "mean"}], ids=str)
def test_without_assistants_it_is_takd_without_assistants_and_kd(toy: Any, more: dict[str, Any], draws: int) -> None:
    ends = []
    reduction = {"reduction": more["reduction"]} if "reduction" in more else {}
    for key, options in (("dgkd", DGKD(**more)), ("takd", TAKD(**reduction)), ("kd", KD(**reduction))):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)|mixup(0.4)"))
        history = toy.fit(toy.phases(key, student, toy.teacher(), options=options, draws=draws))
        ends.append((toy.state(student.net), history))
    for state, history in ends[1:]:
        assert toy.equal(state, ends[0][0])
        assert history == ends[0][1]


def test_a_chain_with_three_assistants_has_ten_distances() -> None:
    """Net j learns from j larger ones: 1 + 2 + 3 + 4."""
    options = Distill(method="dgkd", method_options=DGKD(), assistants="wrn1d-16-3,wrn1d-16-2,wrn1d-16-1")
    runs = [*(helper.training for helper in helpers(options, validates=True)[1:]), options]
    assert [run.method for run in runs] == ["takd", "dgkd", "dgkd", "dgkd"]
    sources = [[helper.folder for helper in helpers(run, validates=True)] for run in runs]
    assert [len(each) for each in sources] == [1, 2, 3, 4]
    assert all(mine == theirs[:-1] for mine, theirs in pairwise(sources)), "and what it becomes joins them"


def test_of_four_sources_one_is_left_out_each_as_often() -> None:
    dense, rng = Dense(SOURCES, DGKD()), generator()
    counts = Counter(tuple(sorted(dense.kept(rng).tolist())) for _ in range(4000))
    assert set(counts) == set(combinations(range(4), 3))
    assert all(abs(count / 4000 - 0.25) < 0.03 for count in counts.values()), "four standard errors are 0.027"


def test_each_source_stays_with_its_probability_and_one_always_does() -> None:
    """Of two, one stays with 0.75, or was drawn for the 0.25^2 in which none would: 0.78125."""
    dense, rng = Dense(SOURCES[:2], DGKD(drop="bernoulli")), generator()
    kept = [dense.kept(rng).tolist() for _ in range(4000)]
    assert all(kept)
    for place in (0, 1):
        assert abs(sum(place in each for each in kept) / 4000 - 0.78125) < 0.027


@pytest.mark.parametrize("options", [DGKD(drop_number=9), DGKD(drop="bernoulli", survival=1e-9)], ids=["count", "bernoulli"])
def test_there_is_always_a_source(options: DGKD) -> None:
    dense, rng = Dense(SOURCES, options), generator()
    assert Counter(len(dense.kept(rng)) for _ in range(200)) == {1: 200}


def test_equal_sources_count_as_often_as_they_are_left(context: Callable[..., Any]) -> None:
    """They are left out by place: an equal one stays."""
    told, mine = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    given = context({"student": mine, **dict.fromkeys(SOURCES, told)})
    once = float(kl(told, mine, 2.0))
    assert once == pytest.approx(0.443776, abs=1e-6)
    for options, times in (
        (DGKD(temperature=2.0, total="sum"), 3),
        (DGKD(temperature=2.0, total="sum", drop_number=0), 4),
        (DGKD(temperature=2.0, total="sum", drop_number=2), 2),
        (DGKD(temperature=2.0), 1),
        (DGKD(temperature=2.0, reduction="mean"), 0.5),
    ):
        assert float(Dense(SOURCES, options)(given)["kl"]) == pytest.approx(times * once)


def test_a_source_that_lacks_a_sensor_says_nothing_of_those_windows(context: Callable[..., Any]) -> None:
    told, mine = torch.tensor([[2.0, 0.0]]).repeat(2, 1), torch.zeros(2, 2)
    given = context({"student": mine, "teacher": told, "assistant-1": told}, masks={"teacher": torch.tensor([True, False])})
    for total, wanted in (("sum", [2 * 0.327813, 0.327813]), ("mean", [0.327813] * 2)):
        loss = Dense(("teacher", "assistant-1"), DGKD(temperature=1.0, drop_number=0, total=total))(given)["kl"]  # type: ignore[arg-type]
        assert loss.tolist() == pytest.approx(wanted, abs=1e-6)
    given.masks = {"student": torch.tensor([False, True]), "teacher": torch.tensor([True, False])}
    loss = Dense(("teacher",), DGKD(temperature=1.0))(given)["kl"]
    assert loss.tolist() == [0.0, 0.0], "nothing to learn where student or teacher has no answer"


def test_all_sources_are_heard_and_none_moves(toy: Any) -> None:
    sources = {name: toy.teacher(seed) for seed, name in enumerate(SOURCES)}
    before = [toy.state(player.net) for player in sources.values()]
    (phase,) = METHODS["dgkd"]({"student": toy.player(), **sources}, DGKD(), toy.plan())
    toy.fit([phase])
    assert list(phase.players) == ["student", *SOURCES]
    assert all(toy.equal(toy.state(player.net), kept) for player, kept in zip(sources.values(), before, strict=True))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"survival": 0.0}, "^survival is above 0 and at most 1, got 0.0$"),
        ({"survival": 1.1}, "^survival is above 0 and at most 1, got 1.1$"),
        ({"drop_number": -1}, "^drop_number is at least 0, got -1$"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        DGKD(**options)
