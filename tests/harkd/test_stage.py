"""A phase at work: batches of other domains, answers for some rows, parts of players that move alone or without decay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Compose, parse
from harkd.curriculum import Shuffle
from harkd.engine import Phase, Round, Step
from harkd.errors import Interrupted, UsageError
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Objective, Terms
from harkd.optimiser import Optimiser
from harkd.runs import Checkpoint, Run
from harkd.stage import Domain, PlayersAnswer

# Domains


def order(toy: Any, name: str = "domain-1", seed: int = 0, batch: int = 16, number: int = 12) -> Tensor:
    """The windows of a domain in the order in which they come."""
    made = Domain(toy.train, Compose(()), batch, (seed, 0), name)
    return torch.cat([made.batch(step).index for step in range(number)])


def test_every_domain_has_an_order_of_its_own(toy: Any) -> None:
    mine = order(toy)
    for turn in range(3):  # 12 batches of 16 are three passes of 63 windows, and three more
        assert mine[63 * turn : 63 * (turn + 1)].sort().values.tolist() == list(range(63))
    shuffle = Shuffle(16)
    shuffle.begin(63, 0, torch.device("cpu"))
    student = torch.cat([shuffle.take(step).index for step in range(12)])
    others = [student, order(toy, "domain-2"), order(toy, seed=1)]
    assert all(not torch.equal(mine, other) for other in others)
    assert torch.equal(mine, order(toy))
    made = Domain(toy.train, Compose(()), 16, (0, 0), "domain-1")
    assert torch.equal(made.batch(7).index, mine[7 * 16 : 8 * 16]), "whatever was asked for before"


def test_a_domain_is_augmented_by_its_own_visits(toy: Any) -> None:
    made = Domain(toy.train, parse("jitter(0.1)"), 16, (0, 5), "domain-1")
    batch = made.batch(4)  # from position 64 on, of an order of 63: all for the second time
    assert batch.draw.tolist() == [1] * 16
    assert torch.equal(batch.x["acc"], made.augmenter(batch.index, batch.draw).x["acc"])
    other = Domain(toy.train, parse("jitter(0.1)"), 16, (0, 6), "domain-1")
    assert torch.equal(other.batch(4).index, batch.index), "the seed of the augmentation leaves the order alone"
    assert not torch.equal(other.batch(4).x["acc"], batch.x["acc"])


class Looks(Objective):
    """Cross-entropy that remembers which windows it saw of whom."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.labels = CrossEntropy()

    def forward(self, context: Context) -> Terms:
        other = context.elsewhere["domain-1"]
        self.seen.append((context.batch.index.clone(), other.index.clone()))
        assert torch.equal(context.y_of("domain-1"), other.targets["movement"])
        assert torch.equal(context.y_of("student"), context.batch.targets["movement"])
        return self.labels(context) | CrossEntropy("domain-1")(context)


def test_what_an_objective_sees_of_a_domain(toy: Any) -> None:
    players, looks = toy.cast("ummkd"), Looks()
    few = toy.train.subset(torch.arange(40))
    names = ("student", "domain-1")
    step = Step({"ce": 1.0, "ce domain-1": 1.0}, names)
    cast = {name: players[name] for name in names}
    toy.fit([Phase(2, cast, looks, [step], Shuffle(16), domains={"domain-1": few})])
    mine, theirs = (torch.cat(each) for each in zip(*looks.seen, strict=True))
    assert len(mine) == len(theirs) == 2 * 4 * 16
    assert torch.equal(theirs, order(replace(toy, train=few), number=8)), "its epochs are those of the student"
    assert mine[:63].sort().values.tolist() == list(range(63))


@pytest.mark.parametrize("step", [3, 6])
def test_a_run_with_domains_that_was_stopped_ends_like_one_that_was_not(toy: Any, tmp_path: Path, step: int) -> None:
    """Stopped in the middle of an epoch of four steps; the state passes through files."""

    def go(folder: str, stop: int = 0) -> tuple[dict[str, Tensor], Any]:
        players = toy.cast("ummkd", toy.player(toy.net(dropout=0.3), augment=parse("jitter(0.1)")))
        phases = toy.play("ummkd", players)
        steps = [0]

        class Keeper(Checkpoint):
            def due(self) -> bool:
                steps[0] += 1
                return steps[0] == stop

        history = toy.fit(phases, keeper=Keeper(Run(tmp_path / folder), "ummkd", lambda: True))
        return {f"{name}.{key}": v for name, each in players.items() for key, v in toy.state(each.net).items()}, history

    with pytest.raises(Interrupted):
        go("stopped", step)
    again, resumed = go("stopped")
    whole, history = go("whole")
    assert toy.equal(again, whole)
    assert resumed == history


def test_a_domain_is_nobodys_teacher(toy: Any) -> None:
    """It may see sensors that the training windows lack: a curriculum that asks a teacher is refused."""
    players = toy.cast("ummkd")
    answer = PlayersAnswer(players, toy.train, "float32")
    assert answer.teacher is None
    assert PlayersAnswer(players | {"peer-1": toy.player()}, toy.train, "float32").teacher == "peer-1"
    frozen = {"student": toy.player(), "peer-1": toy.player(), "teacher": toy.teacher(mode="frozen")}
    assert PlayersAnswer(frozen, toy.train, "float32").teacher == "teacher"


# Looking at some rows


ROWS = torch.tensor([5, 0, 11, 3])


@pytest.mark.parametrize("needs", [{"logits"}, {"logits", "features"}], ids=["from the bank", "live"])
@pytest.mark.parametrize("augment", ["none", "jitter(0.1)"])
def test_the_answers_for_some_rows_are_those_rows_of_all_answers(toy: Any, needs: set[str], augment: str) -> None:
    found: list[tuple[Outputs, Outputs]] = []

    def outputs(game: Round) -> dict[str, Outputs]:
        told = {name: game.look(name) for name in game.players}
        found.extend((told[name], game.look(name, rows=ROWS)) for name in ("teacher", "clean"))
        # A net without batch norm answers for each window by itself.
        torch.testing.assert_close(game.look("student", rows=ROWS).logits, told["student"].logits[ROWS])
        return told

    class Labels(CrossEntropy):
        pass

    Labels.needs = frozenset(needs)
    student = toy.player(toy.net(norm=False), augment=parse(augment))
    players = {"student": student, "teacher": toy.teacher(mode="frozen")}
    players["clean"] = toy.player(toy.net(3, seed=101), "acc@20Hz", mode="frozen", augment="clean")
    toy.fit([Phase(2, players, Labels(), [Step({"ce": 1.0})], Shuffle(16, 2), outputs=outputs)])
    assert len(found) == 2 * 2 * 4
    for whole, some in found:
        assert torch.equal(some.logits, whole.logits[ROWS])
        assert len(some.features) == len(whole.features)
        assert all(torch.equal(a, b[ROWS]) for a, b in zip(some.features, whole.features, strict=True))


def test_another_way_through_a_net_for_some_rows(toy: Any) -> None:
    """`forward` gets what the player would see of these rows."""
    shapes: list[torch.Size] = []

    def outputs(game: Round) -> dict[str, Outputs]:
        net = game.players["student"].net

        def through(x: Tensor) -> Outputs:
            shapes.append(x.shape)
            return Outputs(net(x).logits + 1)

        told = game.look("student")
        again = game.look("student", through, ROWS)
        torch.testing.assert_close(again.logits, told.logits[ROWS] + 1)
        return {"student": told}

    student = toy.player(toy.net(3, norm=False), "gyro@20Hz")
    toy.fit([Phase(1, {"student": student}, CrossEntropy(), [Step({"ce": 1.0})], Shuffle(16), outputs=outputs)])
    assert set(shapes) == {torch.Size([4, 3, 13])}


# Parts of players


def moved(toy: Any, *entries: str, **more: Any) -> tuple[set[str], dict[str, Tensor]]:
    """The parameters that a step of these entries moves, and the state after it."""
    player = toy.player(toy.net(norm=False))
    before = {name: p.detach().clone() for name, p in player.net.named_parameters()}
    phase = Phase(1, {"student": player}, CrossEntropy(), [Step({"ce": 1.0}, entries)], Shuffle(16), **more)
    toy.fit([phase])
    return {name for name, p in player.net.named_parameters() if not torch.equal(p, before[name])}, toy.state(player.net)


def test_head_and_body_move_alone(toy: Any) -> None:
    every = {name for name, _ in toy.net(norm=False).named_parameters()}
    head = {name for name in every if name.startswith("head.")}
    assert head
    assert every - head
    plain = {"optimiser": Optimiser(rate=0.01, clip=0.0)}
    assert moved(toy, "student.head", **plain)[0] == head
    assert moved(toy, "student.body", **plain)[0] == every - head
    whole, parts = moved(toy, "student", **plain), moved(toy, "student.body", "student.head", **plain)
    assert whole[0] == parts[0] == every
    assert toy.equal(whole[1], parts[1])


def test_a_part_of_somebody_frozen_cannot_move(toy: Any) -> None:
    players = {"student": toy.player(), "teacher": toy.teacher(mode="frozen")}
    with pytest.raises(
        UsageError, match=r"^phase 'train': a step moves 'teacher\.head', who is not among the players that train$"
    ):
        toy.fit([Phase(1, players, CrossEntropy(), [Step({"ce": 1.0}, ("student", "teacher.head"))], Shuffle(16))])


class Nothing(Objective):
    """A loss that pulls nowhere: whatever moves is weight decay."""

    def forward(self, context: Context) -> Terms:
        return {"ce": 0.0 * sum(told.logits.sum() for told in context.outputs.values())}


@pytest.mark.parametrize("undecayed", [(), ("peer-1",), ("student.head", "peer-1.body"), ("student.body", "student.head")])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_who_is_not_decayed(toy: Any, name: Any, undecayed: tuple[str, ...]) -> None:
    """Eight steps with rate 0.1 and decay 0.5 leave 0.95 ** 8 of every matrix and kernel, and all of what is spared."""
    players = {"student": toy.player(toy.net(norm=False)), "peer-1": toy.player(toy.net(norm=False, seed=1))}
    before = {name: toy.state(player.net) for name, player in players.items()}
    optimiser = Optimiser(name, rate=0.1, weight_decay=0.5, momentum=0.0)
    step = Step({"ce": 1.0}, tuple(players))
    toy.fit([Phase(2, players, Nothing(), [step], Shuffle(16), optimiser, undecayed=undecayed)])
    for who, player in players.items():
        for key, parameter in player.net.named_parameters():
            part = f"{who}.{'head' if key.startswith('head.') else 'body'}"
            if parameter.dim() <= 1 or {who, part} & set(undecayed):
                assert torch.equal(parameter, before[who][key]), (who, key)
            else:
                torch.testing.assert_close(parameter.detach(), 0.95**8 * before[who][key], rtol=1e-5, atol=0)
