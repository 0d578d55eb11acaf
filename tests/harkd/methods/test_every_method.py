"""What holds for every method there is: a new row in `METHODS` is tested here without a line of its own."""

from __future__ import annotations

import ast
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import harkd
from harkd.augment import parse
from harkd.bank import HELD
from harkd.datasets import Sees
from harkd.methods import METHODS, Method
from harkd.nets import Inputs, build
from harkd.nets.fusion import fusion
from harkd.player import Player
from harkd.schedule import Progress, value

Make = Callable[[Any], Player]


def create(toy: Any, net: str, sees: str, name: str = "student") -> Player:
    return Player.create(net, sees, toy.train, name=name)


def fused(toy: Any) -> Player:
    """A teacher with one net for each sensor; its only map is their joint embedding, one step long."""
    view = Sees.parse("all", toy.train.sensors, toy.train.lengths)
    parts = [("dscnn-xs", frozenset({"acc"})), ("wrn1d-10-1", frozenset({"gyro"}))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return toy.player(fusion(parts, Inputs.of(view), 3, build))


PAIRS: dict[str, tuple[Make, Make]] = {
    "equal": (lambda toy: toy.player(toy.net(width=12)), lambda toy: toy.teacher()),
    "narrower": (lambda toy: toy.player(), lambda toy: toy.teacher()),
    "wider": (lambda toy: toy.player(toy.net(width=20)), lambda toy: toy.teacher()),
    "deeper": (lambda toy: toy.player(toy.net(deeper=2)), lambda toy: toy.teacher()),
    "shallower": (lambda toy: toy.player(), lambda toy: toy.player(toy.net(deeper=2, width=12, seed=100))),
    "shorter windows": (lambda toy: toy.player(sees="all@20Hz"), lambda toy: toy.teacher()),
    "longer windows": (lambda toy: toy.player(sees="acc@80Hz"), lambda toy: toy.teacher()),
    "another sensor": (lambda toy: toy.player(toy.net(1), sees="gyro[z]"), lambda toy: toy.teacher()),
    "from a transformer": (lambda toy: toy.player(), lambda toy: create(toy, "patchformer-xs", "all", "teacher")),
    "to a transformer": (lambda toy: create(toy, "patchformer-xs", "acc"), lambda toy: toy.teacher()),
    "from a fused net": (lambda toy: create(toy, "dscnn-xs", "acc"), fused),
}


def told(players: dict[str, Player]) -> dict[str, dict[str, Tensor]]:
    return {name: {key: v.detach().clone() for key, v in player.net.state_dict().items()} for name, player in players.items()}


def trained(entry: Method, players: dict[str, Player]) -> set[str]:
    """Who the method says that it trains."""
    online = () if entry.role == "frozen" else [name for name in players if name.startswith("teacher")]
    return {"student", *online, *(name for name in players if name.startswith(("peer", "domain")))}


def run(toy: Any, key: str, players: dict[str, Player], *, options: Any = None, precision: str = "float32", **more: Any) -> None:
    """Train; who trains has moved, everybody else is the same to the bit, and all that is written down is finite."""
    entry, train = METHODS[key], more.pop("train", toy.train)
    before = told(players)
    phases = toy.play(key, players, options=options, **more)
    history = toy.fit(phases, train=train, precision=precision)
    assert sum(phase.epochs for phase in phases) == len(history) == 3
    assert all(math.isfinite(number) for record in history for number in record["terms"].values())
    after, moving = told(players), trained(entry, players)
    for name, player in players.items():
        same = [key for key in after[name] if torch.equal(after[name][key], before[name][key])]
        if name in moving:
            assert len(same) < len(after[name]), f"{name} did not learn"
            assert {"scaler.mean", "scaler.std"} & set(after[name]) <= set(same)
        else:
            assert len(same) == len(after[name]), f"{name} changed"
            assert all(parameter.grad is None for parameter in player.net.parameters())
        assert all(after[name][key].dtype == before[name][key].dtype for key in after[name])


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("key", METHODS)
def test_students_and_teachers_of_all_shapes(toy: Any, key: str, pair: str) -> None:
    if METHODS[key].reuses_heads:
        pytest.skip("its own tests have other nets: heads of nets by name")
    student, teacher = PAIRS[pair]
    run(toy, key, toy.cast(key, student(toy), teacher(toy)), draws=2, batch=24)


@pytest.mark.parametrize("key", METHODS)
def test_bfloat16(toy: Any, key: str) -> None:
    run(toy, key, toy.cast(key), precision="bfloat16")


@pytest.mark.parametrize("key", METHODS)
def test_soft_labels(toy: Any, key: str) -> None:
    run(toy, key, toy.cast(key, toy.player(augment=parse("jitter(0.1)|mixup(0.4)"))))


@pytest.mark.parametrize("key", METHODS)
def test_fewer_windows_than_a_batch(toy: Any, key: str) -> None:
    run(toy, key, toy.cast(key), train=toy.train.subset(torch.arange(9) * 7))


@pytest.mark.parametrize("key", METHODS)
def test_a_class_that_is_missing(toy: Any, key: str) -> None:
    run(toy, key, toy.cast(key), train=toy.train.subset(torch.nonzero(toy.train.labels != 1)[:, 0]))


@pytest.mark.parametrize("key", METHODS)
def test_windows_without_a_label(toy: Any, key: str) -> None:
    run(toy, key, toy.cast(key), train=toy.few_labels())


@pytest.mark.parametrize("key", METHODS)
def test_the_student_moves_as_often_as_in_any_other_method(toy: Any, key: str) -> None:
    """The plan's epochs are those of all phases together; one phase at most is shorter in steps, if its pool is smaller."""
    phases = toy.play(key, toy.cast(key), epochs=12)
    assert sum(phase.epochs for phase in phases) == 12
    assert all(any("student" in step.players for step in phase.steps) for phase in phases)
    assert len({phase.name for phase in phases}) == len(phases)


@pytest.mark.parametrize("key", METHODS)
def test_the_bank_is_used_where_the_table_says_so(toy: Any, key: str) -> None:
    phases = toy.play(key, toy.cast(key))
    frozen = [player for phase in phases for player in phase.players.values() if player.mode == "frozen"]
    can = all(phase.objective.needs <= HELD for phase in phases)
    assert METHODS[key].bankable == (can and METHODS[key].role == "frozen"), "what the objective reads decides it"
    assert bool(frozen) == (
        METHODS[key].role == "frozen"
        and any(high != 0 for kind, (_, high) in METHODS[key].wanted.items() if kind in ("teacher", "assistant"))
    )


@pytest.mark.parametrize("key", METHODS)
def test_every_weighted_term_exists_and_every_hook_counts(toy: Any, key: str) -> None:
    players = toy.cast(key)
    phases = toy.play(key, players)
    history = toy.fit(phases)
    for phase in phases:
        given = set().union(*(record["terms"] for record in history if record["phase"] == phase.name))
        ever = {
            name
            for step in phase.steps
            for name, weight in step.weights.items()
            if any(value(weight, Progress(epoch, phase.epochs, epoch, phase.epochs)) for epoch in range(phase.epochs))
        }
        assert ever <= given
        assert all(term.split()[0] not in players or term in ("student",) for term in given)


@pytest.mark.parametrize("key", METHODS)
def test_the_page_of_a_method(key: str) -> None:
    """What a reader needs: idea, equation, advice, source; and no method that leans on another's file."""
    module = sys.modules[METHODS[key].recipe.__module__]
    source = inspect.getsource(module)
    assert Path(inspect.getfile(module)).name == f"{key}.py"
    assert module.METHOD is METHODS[key]
    assert len(source.splitlines()) <= 120
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name and name.startswith("harkd.methods.") and name != "harkd.methods.method"}
    assert not {"harkd.methods", "harkd.runs", "harkd.training"} & imported
    assert ".backward(" not in source, "only the engine has a loop"
    about = inspect.getdoc(module) or ""
    assert len(about.splitlines()[0]) <= 130
    assert METHODS[key].source
    assert METHODS[key].evidence
    if key != "ce":
        assert "    " in about, "an equation"


def test_no_method_needs_a_line_elsewhere() -> None:
    """A method is a file, a row, and options with a row."""
    files = {path.stem for path in Path(harkd.methods.__path__[0]).glob("*.py")} - {"__init__", "method"}
    assert files == set(METHODS)
