"""Curvature and sharpness: quadratic bowls whose answers are known, a net beside the whole Hessian, and scales that drop out."""

from __future__ import annotations

import copy
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from harkd.evaluation import evaluate
from harkd.flatness import Loss, Plane, filterwise_direction, flatness, largest_eigenvalue, plane, sharpness, trace
from harkd.losses import cross_entropy
from harkd.report.landscape import landscape

EIGENVALUES = torch.tensor([1.0, 2.0, 5.0]).double()


def bowl(matrix: Tensor, at: list[float]) -> tuple[Loss, list[Tensor]]:
    """w A w / 2, with the weights in two parts."""
    w = torch.tensor(at).double()
    parts = [torch.nn.Parameter(w[:1].clone()), torch.nn.Parameter(w[1:].clone())]

    def loss() -> Tensor:
        whole = torch.cat(parts)
        return whole @ matrix @ whole / 2

    return loss, parts


def turned(eigenvalues: Tensor) -> Tensor:
    """A matrix with these eigenvalues and no zero in it."""
    basis = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()).Q
    return basis @ eigenvalues.diag() @ basis.T


def error(matrix: Tensor, probes: int) -> float:
    """Standard error of a trace that is estimated with random signs: all that is not on the diagonal."""
    return float((2 * (matrix.square().sum() - matrix.diagonal().square().sum()) / probes).sqrt())


@pytest.mark.parametrize("matrix", [EIGENVALUES.diag(), turned(EIGENVALUES)], ids=["along the axes", "turned"])
def test_a_bowl_of_known_curvature(matrix: Tensor) -> None:
    loss, weights = bowl(matrix, [0.3, -1.0, 2.0])
    assert largest_eigenvalue(loss, weights) == pytest.approx(5.0, rel=1e-4)
    assert abs(trace(loss, weights, probes=200) - 8.0) <= max(0.02 * 8, 4 * error(matrix, 200))


def test_the_largest_eigenvalue_is_not_the_farthest_from_zero() -> None:
    matrix = turned(torch.tensor([-9.0, 2.0, 3.0]).double())
    loss, weights = bowl(matrix, [1.0, 1.0, 1.0])
    assert largest_eigenvalue(loss, weights) == pytest.approx(3.0, rel=1e-4)
    assert abs(trace(loss, weights, probes=400) + 4.0) < 4 * error(matrix, 400)


def test_sharpness_of_a_bowl() -> None:
    """((1 + radius)^2 - 1) / 2 at (1, 0, 0); at the bottom there is no direction to go."""
    loss, weights = bowl(EIGENVALUES.diag(), [1.0, 0.0, 0.0])
    assert sharpness(loss, weights, radius=0.05) == pytest.approx(0.05125, rel=1e-6)
    assert sharpness(loss, weights, radius=0.5) == pytest.approx((1.5**2 - 1) / 2, rel=1e-6)
    assert [weight.tolist() for weight in weights] == [[1.0], [0.0, 0.0]], "the weights are where they were"
    loss, weights = bowl(EIGENVALUES.diag(), [0.0, 0.0, 0.0])
    assert sharpness(loss, weights) == 0.0


def test_filters_may_be_scaled() -> None:
    """Two layers, the first ten times as large and the second a tenth: the same function, and as sharp by their filters."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 4, generator=generator), torch.arange(8) % 3
    first, second = torch.randn(5, 4, generator=generator), torch.randn(3, 5, generator=generator)
    found = {}
    for factor in (1.0, 10.0):
        weights = [torch.nn.Parameter(first * factor), torch.nn.Parameter(second / factor)]

        def loss(weights: list[Tensor] = weights) -> Tensor:
            return cross_entropy(y, (x @ weights[0].T).relu() @ weights[1].T).mean()

        found[factor] = [sharpness(loss, weights, filterwise=filterwise) for filterwise in (True, False)]
    assert found[10.0][0] == pytest.approx(found[1.0][0], rel=1e-4)
    assert found[10.0][1] != pytest.approx(found[1.0][1], rel=0.1)


def test_a_net_beside_its_whole_hessian(toy: Any) -> None:
    """A small net in double precision, and torch's own Hessian of all its weights."""
    player = toy.player(toy.net(3, width=2), sees="acc")
    player.net.double()
    signals = {name: x.double() for name, x in toy.train.gather(torch.arange(63)).items()}
    x, y, net = player.sees(signals), toy.train.labels, player.net.eval()
    names, start = [name for name, _ in net.named_parameters()], torch.nn.utils.parameters_to_vector(net.parameters()).detach()

    def of(vector: Tensor) -> Tensor:
        parts = vector.split([p.numel() for p in net.parameters()])
        named = {n: part.view_as(p) for n, part, p in zip(names, parts, net.parameters(), strict=True)}
        return cross_entropy(y, torch.func.functional_call(net, named, (x,)).logits).mean()

    whole = torch.autograd.functional.hessian(of, start)
    weights = list(net.parameters())

    def loss() -> Tensor:
        return cross_entropy(y, net(x).logits).mean()

    assert largest_eigenvalue(loss, weights) == pytest.approx(float(torch.linalg.eigvalsh(whole)[-1]), rel=1e-3)
    assert abs(trace(loss, weights, probes=200) - float(whole.trace())) < 4 * error(whole, 200)


def test_fast_attention_has_a_second_derivative() -> None:
    weight = torch.nn.Parameter(torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0)))

    def loss() -> Tensor:
        return scaled_dot_product_attention(weight, weight, weight).square().mean()

    assert trace(loss, [weight], probes=2) != 0


def test_a_player_is_left_as_it_was(toy: Any) -> None:
    player = toy.player(toy.net(3, width=2, dropout=0.5), sees="acc")
    player.net.train()
    before = toy.state(player.net)
    found = flatness(player, toy.train, most=16, probes=2)
    assert found == flatness(player, toy.train, most=16, probes=2)
    assert found.sharpness > 0
    assert found.largest_eigenvalue > 0
    assert toy.equal(toy.state(player.net), before)
    assert player.net.training
    assert all(parameter.grad is None for parameter in player.net.parameters())


# A plane


def test_a_direction_is_as_long_as_each_filter() -> None:
    generator = torch.Generator().manual_seed(0)
    kernels, bias, head = torch.randn(5, 3, 4, generator=generator), torch.randn(5, generator=generator), torch.randn(2, 5)
    found = filterwise_direction([kernels, bias, head], generator)
    first, second, third = found.split([60, 5, 10])
    torch.testing.assert_close(first.view(5, 12).norm(dim=1), kernels.view(5, 12).norm(dim=1))
    assert not second.any()
    torch.testing.assert_close(third.view(2, 5).norm(dim=1), head.norm(dim=1))
    assert not torch.equal(found, filterwise_direction([kernels, bias, head], generator))


def test_the_loss_on_a_plane_is_that_of_the_moved_net(toy: Any) -> None:
    player = toy.player(toy.net(3, width=2, dropout=0.5), sees="acc")
    before = toy.state(player.net)
    found = plane(player, toy.train, points=5, reach=0.5, most=len(toy.train))
    assert found.steps.tolist() == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert found.loss[2, 2] == pytest.approx(evaluate(player, toy.train).nll, rel=1e-5)
    assert toy.equal(toy.state(player.net), before)
    generator, weights = torch.Generator().manual_seed(0), list(player.net.parameters())
    along, across = (filterwise_direction(weights, generator) for _ in range(2))
    moved = toy.player(copy.deepcopy(player.net), sees="acc")
    start = torch.nn.utils.parameters_to_vector(weights)
    torch.nn.utils.vector_to_parameters(start + 0.25 * along - 0.5 * across, moved.net.parameters())
    assert found.loss[3, 0] == pytest.approx(evaluate(moved, toy.train).nll, rel=1e-5)


def test_planes_are_drawn() -> None:
    """A bowl has rings; where the loss is the same everywhere there is no line to draw."""
    steps = np.linspace(-1, 1, 21)
    bowl = Plane(steps, 0.5 + steps[:, None] ** 2 + 2 * steps**2)
    drawn = [ElementTree.fromstring(landscape(each, "a net")) for each in (bowl, Plane(steps, np.full((21, 21), 0.7)))]
    told = [root.findtext("{*}desc") for root in drawn]
    assert told == [
        "a net: training loss around the weights: 0.5 at the net, 0.5 to 3.5 on the plane",
        "a net: training loss around the weights: 0.7 at the net, 0.7 to 0.7 on the plane",
    ]
    written = [{element.text for element in root.findall(".//{*}text")} for root in drawn]
    assert {"2.53"} <= written[0] - written[1]  # 0.5 * 7 ** (10 / 12)
