"""Hooks on scores that are given by hand; the engine's tests have them in real runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harkd.errors import UsageError
from harkd.hooks import BestOnValidation, Snapshots
from harkd.phase import Moment
from harkd.schedule import Progress


def moments(toy: Any, player: Any, scores: list[tuple[float, float]], seen_by: str = "student") -> list[Moment]:
    (phase,) = toy.phases("ce", player)
    made = []
    for epoch, (accuracy, nll) in enumerate(scores):
        found = {seen_by: {"accuracy": accuracy, "nll": nll}}
        made.append(Moment(phase, Progress(epoch, len(scores), epoch, len(scores)), toy.train, toy.val, found))
    return made


def mark(player: Any, number: float) -> None:
    with torch.no_grad():
        player.net.head.inner.linear.bias.fill_(number)


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("accuracy", [(0.1, 1.0), (0.5, 9.0), (0.4, 0.1)], 1),
        ("accuracy", [(0.5, 1.0), (0.5, 0.9), (0.5, 0.95)], 1),
        ("accuracy", [(0.5, 1.0), (0.5, 1.0), (0.5, 1.0)], 0),
        ("accuracy", [(0.0, 5.0), (0.0, 6.0)], 0),
        ("nll", [(0.1, 1.0), (0.9, 2.0), (0.0, 0.5), (0.9, 0.5)], 2),
    ],
)
def test_the_best_epoch_and_its_weights(toy: Any, metric: Any, scores: list[tuple[float, float]], best: int) -> None:
    player = toy.player()
    hook = BestOnValidation("student", player.net, metric)
    assert hook.epoch == -1
    for moment in moments(toy, player, scores):
        mark(player, moment.progress.epoch)
        hook(moment)
        assert not moment.stopped
    assert hook.epoch == best
    assert hook.weights()["head.inner.linear.bias"].tolist() == [best] * 3
    assert player.net.head.inner.linear.bias.tolist() == [len(scores) - 1] * 3


@pytest.mark.parametrize(("patience", "stops"), [(0, []), (1, [2, 4, 5, 6]), (2, [5, 6]), (3, [6]), (4, [])])
def test_patience(toy: Any, patience: int, stops: list[int]) -> None:
    player = toy.player()
    hook = BestOnValidation("student", player.net, "accuracy", patience)
    scores = [(a, 1.0) for a in (0.1, 0.3, 0.2, 0.4, 0.4, 0.1, 0.0)]
    stopped = []
    for moment in moments(toy, player, scores):
        hook(moment)
        stopped += [moment.progress.epoch] if moment.stopped else []
    assert stopped == stops


def test_the_best_epoch_is_part_of_the_state(toy: Any) -> None:
    player = toy.player()
    hook, other = (BestOnValidation("student", player.net) for _ in range(2))
    for moment in moments(toy, player, [(0.5, 1.0), (0.75, 0.5), (0.6, 0.7)]):
        mark(player, 3)
        hook(moment)
    other.load_state_dict(hook.state_dict())
    assert other.epoch == 1
    assert toy.equal(other.weights(), hook.weights())
    (worse,) = moments(toy, player, [(0.75, 0.6)])
    other(worse)
    assert other.epoch == 1


def test_without_scores_there_is_no_best(toy: Any) -> None:
    player = toy.player()
    (moment,) = moments(toy, player, [(0.5, 1.0)], seen_by="teacher")
    with pytest.raises(UsageError, match="needs validation windows; give a split with validation subjects"):
        BestOnValidation("student", player.net)(moment)


def test_snapshots_count_epochs_from_one(toy: Any) -> None:
    player = toy.player()
    hook = Snapshots("student", player.net, (1, 3))
    for moment in moments(toy, player, [(0.5, 1.0)] * 4):
        mark(player, moment.progress.epoch + 1)
        hook(moment)
    assert {name: net.head.inner.linear.bias[0].item() for name, net in hook.kept.items()} == {"1": 1.0, "3": 3.0}


def test_hooks_come_after_every_epoch(toy: Any) -> None:
    player = toy.player()
    for hook in (BestOnValidation("student", player.net), Snapshots("student", player.net, ())):
        assert (hook.at().when, hook.at().do) == ("epoch", hook)
