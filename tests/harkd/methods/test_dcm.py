"""Dense cross-layer mutual distillation: how many terms, who moves, what the branches are, and mutual learning without them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.methods import dcm
from harkd.methods.dcm import PAIR, Branch, CrossLayer
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import DCM, DML
from harkd.player import Player
from harkd.schedule import Progress


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs(seed: int, width: int = 4, stages: int = 3, time: int = 32) -> Outputs:
    """A net whose stages halve the time, from logits and maps that are leaves."""
    features = tuple(draw(6, width * 2**k, time // 2**k, seed=seed + k).requires_grad_() for k in range(stages))
    return Outputs(draw(6, 3, seed=seed).requires_grad_(), features)


def context(student: Outputs, peer: Outputs) -> Context:
    number = torch.arange(6)
    batch = Batch({}, {"y": number % 3}, number, number, number)
    return Context(batch, dict(zip(PAIR, (student, peer), strict=True)), {}, Progress(0, 1, 0, 1), "y")


def bound(given: Context, seed: int = 0, **options: Any) -> CrossLayer:
    objective = CrossLayer(DCM(**options))
    torch.manual_seed(seed)
    objective.ready(given, None)  # type: ignore[arg-type]
    return objective


@pytest.mark.parametrize("branches", [0, 1, 2])
def test_how_many_terms_there_are(monkeypatch: pytest.MonkeyPatch, branches: int) -> None:
    """2 (Q + 1) labels and 2 (Q + 1)^2 divergences: 6 and 18 with two branches, 6 of them between equal depths."""
    given = context(outputs(0), outputs(50, width=5))
    objective, asked = bound(given, branches=branches), list[tuple[Tensor, Tensor]]()
    heads = {name: objective.heads(given, name) for name in PAIR}
    monkeypatch.setattr(objective, "heads", lambda context, name: heads[name])
    monkeypatch.setattr(dcm, "kl", lambda told, mine, temperature: asked.append((told, mine)) or kl(told, mine, temperature))
    objective(given)
    assert len(asked) == 2 * (branches + 1) ** 2
    depth = {
        z.data_ptr(): (name, place) for name in PAIR for place, z in enumerate(heads[name])
    }  # detached, it is the same memory
    pairs = {(depth[told.data_ptr()], depth[mine.data_ptr()]) for told, mine in asked}
    assert len(pairs) == len(asked)
    assert all(told[0] != mine[0] for told, mine in pairs), "nobody learns from a head of the same net"
    assert sum(told[1] == mine[1] for told, mine in pairs) == 2 * (branches + 1)


def test_the_sums_by_hand() -> None:
    given = context(outputs(0), outputs(50, width=5))
    objective = bound(given, temperature=2.0).eval()
    heads = {name: objective.heads(given, name) for name in PAIR}
    found = objective(given)
    for name, other, mark in (("student", "peer-1", ""), ("peer-1", "student", " peer-1")):
        torch.testing.assert_close(found[f"ce{mark}"], sum(cross_entropy(given.y, z) for z in heads[name]))
        torch.testing.assert_close(found[f"kl{mark}"], sum(kl(told, mine, 2.0) for told in heads[other] for mine in heads[name]))


def test_equal_heads_have_nothing_to_tell() -> None:
    given = context(*[outputs(0)] * 2)
    objective = bound(given).eval()
    objective.branches["peer-1"].load_state_dict(objective.branches["student"].state_dict())
    for branch in objective.branches["student"], objective.branches["peer-1"]:
        for each in branch:  # every head says what the last one says
            each.linear.weight.data.zero_()
            each.linear.bias.data.zero_()
    flat = Outputs(torch.zeros(6, 3), given.outputs["student"].features)
    found = objective(context(flat, flat))
    assert torch.equal(found["kl"], torch.zeros(6))
    assert torch.equal(found["kl peer-1"], torch.zeros(6))


def test_the_divergence_of_a_net_moves_that_net_and_its_branches() -> None:
    given = context(outputs(0), outputs(50, width=5))
    objective = bound(given)
    found = objective(given)
    leaves = {
        name: [told.logits, *told.features[:-1], *objective.branches[name].parameters()] for name, told in given.outputs.items()
    }
    for term, mine, other in (("kl", *PAIR), ("kl peer-1", *reversed(PAIR)), ("ce", *PAIR), ("ce peer-1", *reversed(PAIR))):
        own = torch.autograd.grad(found[term].sum(), leaves[mine], retain_graph=True, allow_unused=True)
        assert all(gradient is not None for gradient in own)
        assert all(bool(gradient.any()) for gradient in own[:3])
        foreign = torch.autograd.grad(found[term].sum(), leaves[other], retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in foreign)


def test_swapping_the_nets_leaves_the_total() -> None:
    one, two = outputs(0), outputs(50, width=5)
    first, second = bound(context(one, two)), bound(context(two, one), seed=1)
    for name, other in (PAIR, PAIR[::-1]):
        second.branches[name].load_state_dict(first.branches[other].state_dict())
    found, swapped = first(context(one, two)), second(context(two, one))
    for term in ("ce", "kl"):
        torch.testing.assert_close(found[term], swapped[f"{term} peer-1"])
        torch.testing.assert_close(found[f"{term} peer-1"], swapped[term])


@pytest.mark.parametrize(("time", "last", "blocks"), [(32, 8, 2), (32, 16, 1), (16, 16, 1), (1, 1, 1), (25, 4, 3)])
def test_a_branch_halves_the_time_as_often_as_the_net(time: int, last: int, blocks: int) -> None:
    branch = Branch(draw(4, 6, time), draw(4, 10, last), 3)
    assert sum(isinstance(layer, torch.nn.Conv1d) and layer.groups > 1 for layer in branch.body) == blocks
    assert branch.body(draw(4, 6, time)).shape[1:] == (10, -(-time // 2**blocks))
    assert branch(draw(4, 6, time)).shape == (4, 3)


def test_which_stages_have_branches(toy: Any) -> None:
    deep, shallow = outputs(0, stages=4), outputs(50, stages=2)
    made = bound(context(deep, shallow)).branches
    assert [branch.body[0].in_channels for branch in made["student"]] == [8, 16]
    assert [branch.body[0].in_channels for branch in made["peer-1"]] == [4]
    fused = Outputs(draw(6, 3), (draw(6, 7, 1),))
    assert len(bound(context(deep, fused)).branches["peer-1"]) == 0


@pytest.mark.parametrize("draws", [0, 2])
def test_without_branches_it_is_mutual_learning_of_two(toy: Any, draws: int) -> None:
    ends, told = [], []
    for key, options in (("dcm", DCM(branches=0)), ("dml", DML())):
        players = {"student": toy.player(toy.net(dropout=0.3)), "peer-1": toy.player(toy.net(3, dropout=0.2), sees="gyro")}
        history = toy.fit(toy.play(key, players, options=options, draws=draws))
        ends.append({f"{name} {k}": v for name, player in players.items() for k, v in toy.state(player.net).items()})
        told.append([record["terms"] for record in history])
    assert toy.equal(*ends)
    assert told[0] == told[1]


def test_the_nets_are_what_they_are_with_and_without_branches(toy: Any) -> None:
    """Branches belong to the objective: they learn, and what is exported knows nothing of them."""
    players = toy.cast("dcm")
    names = {name: set(player.net.state_dict()) for name, player in players.items()}
    (phase,) = toy.play("dcm", players)
    toy.fit([phase])
    assert {name: set(player.net.state_dict()) for name, player in players.items()} == names
    before = toy.state(phase.objective)
    assert any(key.startswith("branches.student.0.linear") for key in before)
    toy.fit([phase])
    learnt = [key for key, v in toy.state(phase.objective).items() if not torch.equal(v, before[key])]
    assert {key.split(".")[1] for key in learnt} == {"student", "peer-1"}


def test_the_last_head_is_the_net_itself_to_the_bit(toy: Any) -> None:
    """Branches read the stages of a net, and change nothing of what it answers."""
    players = toy.cast("dcm")
    (phase,) = toy.play("dcm", players)
    seen = []
    phase.objective.register_forward_hook(lambda module, given, told: seen.append((given[0], module)))
    toy.fit([phase])
    given, objective = seen[-1]
    for name in PAIR:
        *hidden, last = objective.heads(given, name)
        assert len(hidden) == 1
        assert torch.equal(last, given.outputs[name].logits)


def test_another_net_with_other_sensors(toy: Any) -> None:
    players = {
        "student": Player.create("dscnn-xs", "acc", toy.train),
        "peer-1": Player.create("patchformer-xs", "gyro", toy.train),
    }
    history = toy.fit(toy.play("dcm", players))
    assert all(record["terms"]["kl"] > 0 for record in history)


def test_exactly_one_peer(toy: Any) -> None:
    for number, found in ((0, "none"), (2, "two")):
        players = {"student": toy.player()} | {f"peer-{n}": toy.player() for n in range(1, number + 1)}
        with pytest.raises(UsageError, match=f"^dcm needs one peer, got {found}$"):
            toy.play("dcm", players)
    with pytest.raises(UsageError, match="branches"):
        DCM(branches=-1)
