"""How alike two nets are: alignment by hand and its invariances, decisions counted, the line between weights point by point."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.evaluation import evaluate
from harkd.likeness import likeness, linear_cka, together, way
from harkd.player import predict


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_alignment_by_hand() -> None:
    """(1, -1, 0) and (1, 0, -1) have the product 1, and 2 each with themselves: 1 / 4."""
    x, y = torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([[1.0], [0.0], [-1.0]])
    assert linear_cka(x, y) == pytest.approx(0.25)
    assert linear_cka(x, torch.tensor([[1.0], [1.0], [-2.0]])) == pytest.approx(0.0)
    assert linear_cka(x, torch.ones(3, 2)) == 0.0


def test_alignment_does_not_see_turns_scales_and_shifts() -> None:
    x = draw(40, 6, seed=0)
    turn = torch.linalg.qr(draw(6, 6, seed=1)).Q
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1.0)
    stretched = x * torch.tensor([9.0, 1, 1, 1, 1, 1]).double()
    assert 0 < linear_cka(x, stretched) < 0.9
    assert linear_cka(stretched, x) == pytest.approx(linear_cka(x, stretched))


def test_alignment_is_that_of_the_gram_matrices() -> None:
    """The definition: the centred matrices of similarities between windows, as vectors, and the cosine between them."""
    x, y = draw(20, 4, seed=0), draw(20, 7, seed=1)
    centre = torch.eye(20).double() - 1 / 20
    one, other = (centre @ each @ each.T @ centre for each in (x, y))
    assert linear_cka(x, y) == pytest.approx(float((one * other).sum() / one.norm() / other.norm()))


def test_a_net_beside_itself_and_beside_another(toy: Any) -> None:
    one, other = toy.player(seed=1), toy.player(seed=2)
    same = likeness(one, one, toy.val)
    assert (same.churn, same.cka) == (0.0, pytest.approx(1.0))
    assert same.way == pytest.approx([evaluate(one, toy.val).nll] * 11, rel=1e-5)
    found = likeness(one, other, toy.val)
    decided = [[int(row.argmax()) for row in predict(player, toy.val)] for player in (one, other)]
    assert found.churn == sum(a != b for a, b in zip(*decided, strict=True)) / len(toy.val)
    assert 0 < found.churn < 1
    assert 0 < found.cka < 1


def test_the_way_between_two_nets(toy: Any) -> None:
    one, other = toy.player(seed=1), toy.player(seed=2)
    before = toy.state(one.net)
    found = way(one, other, toy.val, points=3)
    assert found is not None
    between = toy.player(copy.deepcopy(one.net))
    with torch.no_grad():
        for mine, theirs in zip(between.net.parameters(), other.net.parameters(), strict=True):
            mine.copy_((mine + theirs) / 2)
    assert found == pytest.approx([evaluate(player, toy.val).nll for player in (one, between, other)], rel=1e-5)
    assert toy.equal(toy.state(one.net), before)


def test_there_is_no_way_to_a_net_of_another_kind(toy: Any) -> None:
    assert way(toy.player(), toy.teacher(), toy.val) is None
    assert way(toy.player(), toy.player(toy.net(3), sees="acc"), toy.val) is None
    assert way(toy.player(toy.net(3), sees="acc"), toy.player(toy.net(3), sees="gyro"), toy.val) is None


def test_together_they_say_the_mean_of_their_logits(toy: Any) -> None:
    players = [toy.player(seed=1), toy.teacher(seed=2)]
    expected = (predict(players[0], toy.val) + predict(players[1], toy.val)) / 2
    torch.testing.assert_close(together(players, toy.val), expected)
