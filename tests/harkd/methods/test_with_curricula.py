"""Curricula go with any method: what holds for every row of `METHODS` without a line of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from harkd.curricula import ListenLater, Ranked, SelfPaced, Stretch, curriculum, student_loss
from harkd.curriculum import Curriculum, Shuffle
from harkd.errors import UsageError
from harkd.methods import METHODS
from harkd.player import Player

EPOCHS, BATCH = 3, 16
ORDERING = {"iskd"}
"""Methods that are a curriculum themselves."""
TAUGHT = [key for key, entry in METHODS.items() if entry.teachers[1] != 0]
"""Methods with somebody to ask; of selfkd the generation before."""


def go(toy: Any, key: str, made: Curriculum, players: dict[str, Player] | None = None) -> tuple[dict[str, Tensor], Any]:
    """What all players are after a short run with a curriculum, and its history."""
    players = toy.cast(key) if players is None else players
    domains = {name: toy.train for name in players if name.startswith("domain")}
    phases = METHODS[key](players, None, replace(toy.plan(epochs=EPOCHS, domains=domains), curriculum=made))
    history = toy.fit(phases)
    state = {f"{who}.{name}": value for who, player in players.items() for name, value in toy.state(player.net).items()}
    return state, history


@pytest.mark.parametrize("key", [key for key in METHODS if key not in ORDERING])
def test_every_method_takes_pools_and_is_itself_without_them(toy: Any, key: str) -> None:
    """Of three epochs the second one shows the easier half. In one stretch of all windows there is nothing to say: then students,
    peers and online teachers are the same to the last bit as with windows in random order."""
    _, history = go(toy, key, curriculum("iskd", BATCH, 0, EPOCHS))
    assert [record["taught"]["share"] for record in history] == [1.0, 32 / 63, 1.0]
    ends = [record["step"] for record in history]
    starts = [0 if not at or record["phase"] != history[at - 1]["phase"] else ends[at - 1] for at, record in enumerate(history)]
    assert [end - start for start, end in zip(starts, ends, strict=True)] == [4, 2, 4]
    assert all(math.isfinite(number) for record in history for number in record["terms"].values())
    plain, told = go(toy, key, Shuffle(BATCH))
    quiet, silent = go(toy, key, Ranked(BATCH, 0, [Stretch(EPOCHS)], student_loss))
    assert toy.equal(quiet, plain)
    assert [{name: value for name, value in record.items() if name != "taught"} for record in silent] == told
    assert all(record["taught"] == {"share": 1.0, "classes": [1.0] * 3} for record in silent)


@pytest.mark.parametrize("key", [key for key in TAUGHT if key not in ORDERING])
def test_a_teacher_who_is_heard_from_the_start_changes_nothing(toy: Any, key: str) -> None:
    """`ces` weighs everything but the labels, here with ones."""
    plain, told = go(toy, key, Shuffle(BATCH))
    heard, history = go(toy, key, ListenLater(BATCH, 0, EPOCHS, first=1.0))
    assert toy.equal(heard, plain)
    assert [record["terms"] for record in history] == [record["terms"] for record in told]


@pytest.mark.parametrize("key", ["ce", "kd", "fitnet", "dml", "ummkd", "selfkd"])
def test_a_curriculum_makes_a_difference(toy: Any, key: str) -> None:
    plain, _ = go(toy, key, Shuffle(BATCH))
    paced, history = go(toy, key, SelfPaced(BATCH, 0, EPOCHS))
    assert not toy.equal(paced, plain)
    assert all(0 < record["taught"]["share"] < 1 for record in history)


@pytest.mark.parametrize("key", sorted(ORDERING))
@pytest.mark.parametrize("make", [lambda: curriculum("iskd", BATCH, 0, EPOCHS), lambda: SelfPaced(BATCH, 0, EPOCHS)])
def test_a_method_that_is_a_curriculum_takes_no_other(toy: Any, key: str, make: Callable[[], Curriculum]) -> None:
    with pytest.raises(UsageError, match=rf"^{key} orders the windows by itself; leave the curriculum at shuffle, or take the"):
        go(toy, key, make())


@pytest.mark.parametrize("key", ["ce", "ummkd"])
@pytest.mark.parametrize("name", ["ces", "teacher-confidence"])
def test_a_method_without_a_teacher_has_nobody_to_ask(toy: Any, key: str, name: Any) -> None:
    """Not the player of a domain either, who may see sensors that the student's windows lack."""
    with pytest.raises(
        UsageError, match=r"^this curriculum asks a teacher, and the method has none; iskd and self-paced need none$"
    ):
        go(toy, key, curriculum(name, BATCH, 0, EPOCHS))


def test_it_is_the_same_from_the_command_line(world: Any, harkd: Any) -> None:
    """An `iskd` of one epoch is its warm-up: the weights of a run are those of one without."""
    ends = []
    for words in ([], ["--curriculum", "iskd"], ["--curriculum", "self-paced"]):
        out = f"run-{len(ends)}"
        assert harkd(*world.distill, "--teacher-epochs", "1", "--epochs", "1", *words, "--out", f"{out}/student").code == 0
        with open(f"{out}/student/last.safetensors", "rb") as file:
            ends.append(file.read())
    assert ends[0] == ends[1] != ends[2]
