"""Baselines of methods with several teachers: their mean, their entropies, and gradients that agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from harkd.augment import parse
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods import METHODS
from harkd.methods.aekd import ByGradient, shortest
from harkd.methods.ebkd import ByEntropy
from harkd.objectives import Context
from harkd.options import AEKD, EBKD, KD, Average
from harkd.teachers import Weighted, seeing

TWO, THREE = ("teacher-1", "teacher-2"), ("teacher-1", "teacher-2", "teacher-3")


def weights(objective: Weighted, given: Context) -> list[list[float]]:
    told = torch.stack([given.outputs[name].logits for name in objective.teachers])
    return objective.weigh(given, told, seeing(given, objective.teachers)).T.tolist()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The mean of the teachers


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
@pytest.mark.parametrize("key", ["average", "ebkd"])
def test_two_equal_teachers_are_one(toy: Any, key: str, draws: int, dropout: float) -> None:
    ends = []
    for name, options in ((key, METHODS[key].options()), ("kd", KD())):
        student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
        teachers = {place: toy.teacher() for place in (TWO if name == key else ("teacher",))}
        history = toy.fit(METHODS[name]({"student": student, **teachers}, options, toy.plan(draws=draws)))
        ends.append((toy.state(student.net), [record["terms"]["kl"] for record in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_the_mean_of_distances_has_the_gradient_of_the_mean_answer(context: Callable[..., Context]) -> None:
    logits, told = draw(6, 4).requires_grad_(), [draw(6, 4, seed=n) for n in (1, 2, 3)]
    given = context({"student": logits, **dict(zip(THREE, told, strict=True))})
    mean = torch.stack([(each / 4).softmax(1) for each in told]).mean(0).log() * 4
    (wanted,) = torch.autograd.grad(kl(mean, logits, 4.0).sum(), logits)
    (found,) = torch.autograd.grad(Weighted(THREE, Average())(given)["kl"].sum(), logits)
    torch.testing.assert_close(found, wanted)


# Entropies


def test_weights_by_entropy(context: Callable[..., Context]) -> None:
    """Entropies of ln 2, ln 2 and ln 4 are a quarter, a quarter and a half of the doubt. Then one is sure, and two are not."""
    two_of_four, four, one = [30.0, 30.0, 0.0, 0.0], [0.0] * 4, [60.0, 0.0, 0.0, 0.0]
    told = {"teacher-1": [two_of_four, one, one], "teacher-2": [two_of_four, four, one], "teacher-3": [four, four, one]}
    given = context({"student": torch.zeros(3, 4), **told})
    found = weights(ByEntropy(THREE, EBKD()), given)
    assert found == [pytest.approx(row, abs=1e-6) for row in ([0.375, 0.375, 0.25], [0.5, 0.25, 0.25], [1 / 3] * 3)]


# Gradients


def closed(products: np.ndarray, most: float) -> float:
    """The weight of the first of two vectors: where the derivative along the line between them is zero, or the end before it."""
    return float(np.clip((products[1, 1] - products[0, 1]) / (products.trace() - 2 * products[0, 1]), 1 - most, most))


@pytest.mark.parametrize("most", [0.6, 0.75, 1.0])
def test_the_shortest_mixture_of_two_in_closed_form(most: float) -> None:
    for seed in range(20):
        vectors = np.random.default_rng(seed).normal(size=(2, 3)) * 10.0 ** (seed % 5 - 2)
        products = vectors @ vectors.T
        found = shortest(products, most)
        assert found[0] == pytest.approx(closed(products, most), abs=1e-6)
        assert found.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("number", [3, 5])
def test_the_shortest_mixture_is_what_a_general_solver_finds(number: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vectors, most = rng.normal(size=(number, 4)), rng.uniform(1 / number + 0.01, 1)
        products = vectors @ vectors.T
        whole = {"type": "eq", "fun": lambda w: w.sum() - 1}
        start, bounds, options = np.full(number, 1 / number), [(0, most)] * number, {"ftol": 1e-14, "maxiter": 500}
        reference = minimize(lambda w, p=products: w @ p @ w, start, bounds=bounds, constraints=whole, options=options)
        found = shortest(products, most)
        assert found.min() >= 0
        assert found.max() <= most + 1e-9
        assert found @ products @ found == pytest.approx(reference.fun, rel=1e-6, abs=1e-9)


def test_where_there_is_no_choice_all_count_equally() -> None:
    assert shortest(np.diag([1.0, 2.0, 3.0]), 1 / 3).tolist() == [1 / 3] * 3
    assert shortest(np.diag([1.0, 2.0, 3.0]), 0.1).tolist() == [1 / 3] * 3
    assert shortest(np.zeros((3, 3)), 0.6).tolist() == [1 / 3] * 3


@pytest.mark.parametrize(("tolerance", "away"), [(1.0, False), (1 / 3, True)])
def test_the_student_moves_away_from_no_teacher(context: Callable[..., Context], tolerance: float, away: bool) -> None:
    """Two teachers are sure and a third, who contradicts them, is not: equal weights lead away from the third."""
    sure, other = torch.tensor([[8.0, 0.0, 0.0]]).repeat(2, 1), torch.tensor([[0.0, 1.0, 0.0]]).repeat(2, 1)
    logits = torch.zeros(2, 3, requires_grad=True)
    given = context({"student": logits, "teacher-1": sure, "teacher-2": sure, "teacher-3": other})
    (step,) = torch.autograd.grad(ByGradient(THREE, AEKD(tolerance=tolerance))(given)["kl"].mean(), logits)
    gradients = [torch.autograd.grad(kl(told, logits, 4.0).mean(), logits)[0] for told in (sure, sure, other)]
    products = [float((step * gradient).sum()) for gradient in gradients]
    assert (min(products) < -1e-4) is away
    if not away:  # the shortest vector of a hull is at least as long in the direction of each of its corners
        assert min(products) >= float(step.square().sum()) - 1e-7


def test_gradients_are_those_of_the_logits(context: Callable[..., Context]) -> None:
    """The weights follow the closed form of autograd's own gradients."""
    logits, told = draw(6, 4).requires_grad_(), [draw(6, 4, seed=n) for n in (1, 2)]
    given = context({"student": logits, **dict(zip(TWO, told, strict=True))})
    gradients = torch.stack([torch.autograd.grad(kl(each, logits, 2.0).mean(), logits)[0].flatten() for each in told])
    wanted = closed((gradients @ gradients.T).double().numpy(), 0.9)
    found = weights(ByGradient(TWO, AEKD(temperature=2.0, tolerance=0.9)), given)
    assert [row[0] for row in found] == pytest.approx([wanted] * 6, abs=1e-5)


@pytest.mark.parametrize("tolerance", [0.0, 1.5])
def test_a_tolerance_out_of_range(tolerance: float) -> None:
    with pytest.raises(UsageError, match=rf"^tolerance is above 0 and at most 1, got {tolerance}$"):
        AEKD(tolerance=tolerance)
