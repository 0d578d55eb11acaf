"""Deep mutual learning: worked divergences, who learns from whom, and what a peer that sees other sensors leaves out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods.dml import Mutual
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.optimiser import Optimiser
from harkd.options import CE, DML
from harkd.schedule import Progress

NAMES = ("student", "peer-1", "peer-2")


def terms(logits: dict[str, Tensor], temperature: float = 1.0, masks: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    number = torch.arange(len(logits["student"]))
    outputs = {name: Outputs(z) for name, z in logits.items()}
    batch = Batch({}, {"y": number}, number, number, number)
    return Mutual(tuple(logits), temperature)(Context(batch, outputs, {}, Progress(0, 1, 0, 1), "y", masks=masks or {}))


def draws(*names: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: 2 * torch.randn(5, 4, generator=generator) for name in names}


def test_two_nets_by_hand() -> None:
    found = terms({"student": torch.tensor([[0.0, 0.0]]), "peer-1": torch.tensor([[2.0, 0.0]])})
    assert found["kl"].item() == pytest.approx(0.327813, abs=1e-6)
    assert found["kl peer-1"].item() == pytest.approx(0.433781, abs=1e-6)
    hot = terms({"student": torch.tensor([[0.0, 0.0]]), "peer-1": torch.tensor([[2.0, 0.0]])}, 2.0)
    assert hot["kl"].item() == pytest.approx(0.443776, abs=1e-6)


def test_of_several_others_the_mean_counts() -> None:
    logits = draws(*NAMES)
    found = terms(logits)
    for name in NAMES:
        one, two = (kl(logits[other], logits[name]) for other in NAMES if other != name)
        torch.testing.assert_close(found["kl" if name == "student" else f"kl {name}"], (one + two) / 2)
    alike = terms(dict.fromkeys(NAMES, logits["student"]))
    assert all(torch.equal(loss, torch.zeros(5)) for loss in alike.values())


def test_each_term_moves_one_net() -> None:
    logits = {name: z.requires_grad_() for name, z in draws(*NAMES).items()}
    for name, loss in terms(logits).items():
        mine = name.partition(" ")[2] or "student"
        gradients = torch.autograd.grad(loss.sum(), list(logits.values()), allow_unused=True)
        assert [other for other, g in zip(logits, gradients, strict=True) if g is not None] == [mine]


def test_windows_that_a_peer_cannot_see() -> None:
    there = torch.tensor([True, False, True, True, False])
    logits = draws("student", "peer-1")
    found, whole = terms(logits, masks={"peer-1": there}), terms(logits)
    assert all(torch.equal(found[name], torch.where(there, whole[name], torch.zeros(5))) for name in whole)


def test_of_several_peers_those_who_see_a_window_count() -> None:
    there, logits = torch.tensor([True, False, True, True, False]), draws(*NAMES)
    found, whole, pair = terms(logits, masks={"peer-2": there}), terms(logits), terms({n: logits[n] for n in NAMES[:2]})
    for name in ("kl", "kl peer-1"):
        torch.testing.assert_close(found[name], torch.where(there, whole[name], pair[name]))
    torch.testing.assert_close(found["kl peer-2"], torch.where(there, whole["kl peer-2"], torch.zeros(5)))


def test_all_move_and_are_scored(toy: Any) -> None:
    players = toy.cast("dml")
    before = {name: toy.state(player.net) for name, player in players.items()}
    history = toy.fit(toy.play("dml", players))
    assert all(not toy.equal(toy.state(player.net), before[name]) for name, player in players.items())
    given = {"ce", "kl", "ce peer-1", "kl peer-1", "ce peer-2", "kl peer-2", "gradient norm"}
    assert all(set(record["terms"]) == given and set(record["scores"]) == set(players) for record in history)


def test_nets_that_do_not_listen_learn_as_they_do_alone(toy: Any) -> None:
    """Clipping looks at all gradients together, so it is off."""
    ends, optimiser = [], Optimiser(rate=0.01, clip=0.0)
    for key in ("dml", "ce"):
        student = toy.player(toy.net(dropout=0.3))
        players = {"student": student} | ({"peer-1": toy.player(seed=1)} if key == "dml" else {})
        toy.fit(toy.play(key, players, options=DML(peer_weight=0.0) if key == "dml" else CE(), optimiser=optimiser))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


@pytest.mark.parametrize("wrong", [{"peer_weight": -1.0}, {"temperature": 0.0}, {"smoothing": 2.0}], ids=str)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DML(**wrong)


def test_a_peer_is_needed(toy: Any) -> None:
    with pytest.raises(UsageError, match=r"^dml needs at least one peer, got none$"):
        toy.play("dml", {"student": toy.player()})
