"""Players: who trains, what they see, and answers that do not depend on how many windows are asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from harkd.datasets import Sees
from harkd.errors import UsageError
from harkd.nets import Outputs, PooledHead, staged
from harkd.player import CHUNK, Player, join, predict

CPU = torch.device("cpu")


def same(one: Outputs, other: Outputs) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tree_leaves(one), tree_leaves(other), strict=True))


def test_modes_say_who_trains(toy: Any) -> None:
    net = toy.net()
    net.adapters = ("head.", "stages.1.0")
    names = {name for name, _ in net.named_parameters()}
    adapters = {name for name in names if name.startswith(("head.", "stages.1.0"))}
    assert 0 < len(adapters) < len(names)
    for mode, wanted in (("train", names), ("frozen", set()), ("adapter", adapters), ("train", names)):
        player = toy.player(net, mode=mode)
        player.prepare(CPU)
        assert set(player.trainable()) == wanted
        assert {name for name, parameter in net.named_parameters() if parameter.requires_grad} == wanted
        assert net.training == net.stages[0].training == (mode == "train")
        assert next(net.head.children()).training == (mode != "frozen")


@pytest.mark.parametrize("adapters", [(), ("lora",)])
def test_an_adapter_without_adapters_is_refused(toy: Any, adapters: tuple[str, ...]) -> None:
    net = toy.net()
    net.adapters = adapters
    with pytest.raises(UsageError, match="needs a net that names its adapters; this Net has none"):
        toy.player(net, mode="adapter").prepare(CPU)


def test_frozen_is_the_same_net_in_another_mode(toy: Any) -> None:
    player = toy.player(augment="clean")
    frozen = player.frozen()
    assert (frozen.mode, frozen.augment, player.mode) == ("frozen", "clean", "train")
    assert frozen.net is player.net


@pytest.mark.parametrize("sees", ["all", "gyro", "acc@20Hz", "acc[x]@25Hz"])
def test_an_answer_does_not_depend_on_the_number_of_windows(toy: Any, sees: str) -> None:
    player = toy.player(sees=sees)
    many = toy.train.subset(torch.arange(200) % len(toy.train))
    index = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    everything = player.answer(many.gather(torch.arange(200)))
    for n in (1, 2, 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 150, 200):
        part = index[:n]
        answer = player.answer(many.gather(part))
        assert len(answer.features) == 2
        assert same(answer, everything.map(lambda rows, part=part: rows[part]))


def test_an_answer_leaves_the_net_as_it_was(toy: Any) -> None:
    player = toy.player(toy.net(dropout=0.5))
    player.net.train()
    before = toy.state(player.net)
    answers = [player.answer(toy.train.gather(torch.arange(9))) for _ in range(2)]
    assert player.net.training
    assert toy.equal(before, toy.state(player.net))
    assert same(*answers)
    assert not any(leaf.requires_grad for leaf in tree_leaves(answers[0]))
    player.net.eval()
    assert not (player.answer(toy.train.gather(torch.arange(9))), player.net.training)[1]


@pytest.mark.parametrize("adapters", [("head.",), ("head.", "stages.1.0"), ("stages.0.",)])
def test_an_answer_leaves_every_module_in_its_mode(toy: Any, adapters: tuple[str, ...]) -> None:
    """Also where some of them train and some do not: of an adapter, of a net somebody else has switched in part."""
    net = toy.net(dropout=0.5)
    net.adapters = adapters
    player = toy.player(net, mode="adapter")
    player.prepare(CPU)
    net.stages[0].train()
    before = {name: module.training for name, module in net.named_modules()}
    assert len(set(before.values())) == 2
    first = player.answer(toy.train.gather(torch.arange(70) % 63))
    assert {name: module.training for name, module in net.named_modules()} == before
    net.eval()
    assert torch.equal(player.answer(toy.train.gather(torch.arange(70) % 63)).logits, first.logits), "it was in eval mode"
    assert not any(module.training for module in net.modules())


def test_an_answer_is_what_the_net_says_in_eval_mode(toy: Any) -> None:
    player = toy.player(toy.net(dropout=0.5))
    signals = toy.train.gather(torch.arange(CHUNK) % len(toy.train))
    answer = player.answer(signals)
    player.net.eval()
    assert same(answer, player.look(signals).detach())
    player.net.train()
    assert player.look(signals).logits.requires_grad


def test_a_foreign_net_that_gives_logits_alone_can_answer(toy: Any) -> None:
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3))
    player = toy.player(staged(nn.Identity(), [nn.ReLU()], head))
    answer = player.answer(toy.train.gather(torch.arange(70) % 63))
    assert answer.embedding is None
    assert answer.logits.shape == (70, 3)


def test_parts_are_joined_in_every_field() -> None:
    def part(start: int) -> Outputs:
        rows = torch.arange(start, start + 4)
        return Outputs(rows, (rows * 10, rows * 20), rows * 30, (rows * 40,), (rows * 50,))

    whole = join([part(0), part(4)], 6)
    rows = torch.arange(6)
    assert same(whole, Outputs(rows, (rows * 10, rows * 20), rows * 30, (rows * 40,), (rows * 50,)))


def test_predictions_cover_all_windows_in_order(toy: Any) -> None:
    player = toy.player()
    many = toy.train.subset(torch.arange(17 * CHUNK + 5) % len(toy.train))
    logits = predict(player, many)
    assert logits.shape == (17 * CHUNK + 5, 3)
    assert logits.dtype == torch.float32
    assert torch.equal(logits[: len(toy.train)], player.answer(toy.train.gather(torch.arange(len(toy.train)))).logits)
    assert torch.equal(logits[len(toy.train) :], logits[: -len(toy.train)])


def test_predictions_in_bfloat16_are_close_and_come_as_float32(toy: Any) -> None:
    player = toy.player()
    plain, short = predict(player, toy.val), predict(player, toy.val, "bfloat16")
    assert short.dtype == torch.float32
    assert not torch.equal(plain, short)
    torch.testing.assert_close(short, plain, rtol=0.05, atol=0.05)


def test_initial_weights_are_a_function_of_seed_and_name(toy: Any) -> None:
    def weights(seed: int = 0, name: str = "student") -> dict[str, torch.Tensor]:
        torch.rand(3)
        return toy.state(Player.create("dscnn-xs", "all", toy.train, seed=seed, name=name).net)

    first = weights()
    assert toy.equal(first, weights())
    for other in (weights(seed=1), weights(name="teacher")):
        assert not torch.equal(other["stem.body.0.weight"], first["stem.body.0.weight"])


def test_making_a_player_leaves_the_global_generator_alone(toy: Any) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    Player.create("dscnn-xs", "all", toy.train)
    assert torch.equal(torch.rand(4), wanted)


def test_a_new_player_standardises_what_it_sees(toy: Any) -> None:
    player = Player.create("dscnn-xs", "gyro[z],acc", toy.train, mode="frozen", augment="clean")
    assert (player.mode, player.augment) == ("frozen", "clean")
    assert player.sees.width == 4
    x = player.net.scaler(player.sees(toy.train.gather(torch.arange(len(toy.train)))))
    assert x.mean((0, 2)).abs().max() < 1e-5
    torch.testing.assert_close(x.std((0, 2), correction=0), torch.ones(4), rtol=1e-5, atol=0)
    assert player.net.head.linear.out_features == 3


def test_players_of_other_sensors_and_rates_look_at_the_same_signals(toy: Any) -> None:
    teacher, student = toy.player(sees="all"), toy.player(sees="acc@20Hz")
    signals = toy.train.gather(torch.arange(5))
    assert teacher.sees(signals).shape == (5, 6, 32)
    assert student.sees(signals).shape == (5, 3, 13)
    assert torch.equal(teacher.sees(signals)[:, :3], signals["acc"])
    # 20 Hz of 50 Hz: the offset of each channel (0, 1 and 2) survives.
    torch.testing.assert_close(student.sees(signals).mean((0, 2)), torch.tensor([0.0, 1.0, 2.0]), rtol=0, atol=0.2)
    assert student.look(signals).logits.shape == teacher.look(signals).logits.shape == (5, 3)


def test_a_player_of_two_sensors_keeps_their_order(toy: Any) -> None:
    signals = toy.train.gather(torch.arange(5))
    view = Sees.parse("gyro,acc", toy.train.sensors, toy.train.lengths)
    net = staged(nn.Identity(), [nn.Identity()], PooledHead(6, 3))
    assert torch.equal(Player(net, view).look(signals).features[0], torch.cat([signals["gyro"], signals["acc"]], 1))
