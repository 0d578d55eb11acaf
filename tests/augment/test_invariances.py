"""A strategy may not assume what the card denies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harkd.augment import check_invariances, parse
from harkd.datasets import read_card
from harkd.errors import UsageError

CARD = read_card("seglearn_watch")


@pytest.mark.parametrize(
    "strategy", ["none", "rotate(15)", "time_warp(0.3)", "jeon_mix1", "jeon_mix2", "jitter(0.3)+scaling(0.3)|mixup(0.2)"]
)
def test_harmless_strategies_pass(strategy):
    check_invariances(parse(strategy), CARD)


@pytest.mark.parametrize(
    "strategy", ["rotate(90)", "jitter(0.05)+rotate(90)", "one_of(none, jitter(0.05)+rotate(90))|mixup(0.2)"]
)
def test_a_free_rotation_is_refused(strategy):
    with pytest.raises(UsageError) as refused:
        check_invariances(parse(strategy), CARD)
    message = str(refused.value)
    assert message.startswith("rotate(90) assumes that rotation does not change the class")
    assert "the card of seglearn_watch denies it for pendulum, abduction" in message
    assert all(name in message for name in CARD.target.classes)
    assert "--force-augment" in message


@pytest.mark.parametrize(
    ("pace", "broken"),
    [(False, CARD.target.classes), (("pendulum",), CARD.target.classes[1:]), (CARD.target.classes[1:], ("pendulum",))],
)
def test_a_card_that_denies_pace_refuses_a_time_warp(pace, broken):
    card = replace(CARD, invariances={**CARD.invariances, "pace": pace})
    with pytest.raises(UsageError) as refused:
        check_invariances(parse("time_warp(0.1)"), card)
    assert f"time_warp(0.1) assumes that pace does not change the class, but the card of {card.name} denies it for " in str(
        refused.value
    )
    assert f"denies it for {', '.join(broken)};" in str(refused.value)
    check_invariances(parse("jitter(0.1)"), card)


def test_a_card_that_allows_rotation_lets_it_pass():
    check_invariances(parse("rotate(180)"), replace(CARD, invariances={"rotation": True}))
    every = replace(CARD, invariances={"rotation": CARD.target.classes})
    check_invariances(parse("rotate(180)"), every)


def test_what_a_card_does_not_mention_is_denied():
    with pytest.raises(UsageError, match="assumes that rotation"):
        check_invariances(parse("rotate(180)"), replace(CARD, invariances={}))
