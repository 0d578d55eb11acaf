"""Losses: worked numbers, torch's own losses, and stacked nets."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from harkd.datasets import IGNORE
from harkd.losses import cross_entropy, difficulty, entropy, kl


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TWO, NONE = numbers(2, 0), numbers(0, 0)
DOWN, UP = numbers(2, 1, 0), numbers(0, 1, 2)
THREE, ONE = numbers(3, 0, 0), numbers(1, 0, 0)
TEACHERS, STUDENTS = drawn(5, 4), drawn(5, 4, seed=1)
LABELS = torch.tensor([3, 0, 1, 1, 2])
SHARES = drawn(5, 4, seed=2).softmax(-1)


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (kl(TWO, NONE), 0.327813),
        (kl(NONE, TWO), 0.433781),
        (kl(TWO, NONE, 2), 0.443776),
        (kl(TWO, NONE, 4), 0.484798),
        (entropy(TWO), 0.365334),
        (entropy(NONE), math.log(2)),
        (cross_entropy(torch.tensor(0), UP), 2.407606),
        (kl(DOWN, UP), 1.150421),
        (kl(DOWN, UP, 2) / 4, 0.320157),
        (kl(DOWN, UP, 4) / 16, 0.082477),
        (kl(DOWN, UP, 2), 1.280627),
        (kl(DOWN, UP, 4), 1.319630),
        (cross_entropy(torch.tensor(0), numbers(1, 2, 3)), 2.407606),
        (entropy(THREE), 0.366594),
        (entropy(ONE), 0.975328),
        (kl(THREE, ONE), 0.275408),
        (kl(ONE, THREE), 0.391244),
        (0.3 * cross_entropy(torch.tensor(0), UP) + 0.7 * kl(DOWN, UP, 4), 1.646023),
        (0.3 * cross_entropy(torch.tensor(0), UP) + 0.7 * kl(DOWN, UP, 4) / 3, 1.030195),
    ],
)
def test_worked_numbers(found: Tensor, known: float) -> None:
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert found.item() == pytest.approx(known, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("target", [LABELS, LABELS.where(LABELS != 1, IGNORE), SHARES], ids=["hard", "ignore", "soft"])
def test_cross_entropy_and_its_gradient_are_torchs(target: Tensor, smoothing: float) -> None:
    ours, theirs = STUDENTS.clone().requires_grad_(), STUDENTS.clone().requires_grad_()
    found = cross_entropy(target, ours, smoothing)
    known = F.cross_entropy(theirs, target, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(found, known, rtol=1e-12, atol=1e-14)
    weights = numbers(1, 2, 3, 4, 5)
    (found * weights).sum().backward()
    (known * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-14)


def test_an_ignored_label_costs_nothing_and_teaches_nothing() -> None:
    logits = STUDENTS.clone().requires_grad_()
    loss = cross_entropy(torch.tensor([IGNORE, 0, 1, 1, 2]), logits, 0.1)
    loss.sum().backward()
    assert loss[0] == 0
    assert not logits.grad[0].any()
    assert logits.grad[1:].abs().amin(1).gt(0).all()


def test_half_a_label_costs_half() -> None:
    """What was mixed with a window of unknown class has half a label, and smoothing adds no more of one."""
    whole, logits = SHARES[1:2], STUDENTS[1:2]
    for part in (0.0, 0.5):
        torch.testing.assert_close(cross_entropy(part * whole, logits, 0.1), part * cross_entropy(whole, logits, 0.1))


def test_without_a_label_difficulty_is_that_of_the_likeliest_class() -> None:
    hard = torch.tensor([IGNORE, 0, 1, IGNORE, 2])
    found, labels = difficulty(hard, STUDENTS), torch.where(hard == IGNORE, STUDENTS.argmax(1), hard)
    assert torch.equal(found, cross_entropy(labels, STUDENTS))
    assert torch.equal(difficulty(SHARES, STUDENTS), cross_entropy(SHARES, STUDENTS))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_kl_and_its_gradient_are_torchs(temperature: float) -> None:
    ours, theirs = STUDENTS.clone().requires_grad_(), STUDENTS.clone().requires_grad_()
    found = kl(TEACHERS, ours, temperature)
    log_q = F.log_softmax(theirs / temperature, -1)
    known = temperature**2 * F.kl_div(log_q, F.softmax(TEACHERS / temperature, -1), reduction="none").sum(-1)
    torch.testing.assert_close(found, known, rtol=1e-12, atol=1e-14)
    found.sum().backward()
    known.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-14)


def test_kl_of_equal_answers_is_exactly_zero() -> None:
    assert torch.equal(kl(TEACHERS, TEACHERS, 4), torch.zeros(5, dtype=torch.float64))


def test_kl_takes_a_temperature_per_sample() -> None:
    temperatures = numbers(1, 2, 3, 4, 5)
    one_by_one = torch.stack([kl(t, s, float(tau)) for t, s, tau in zip(TEACHERS, STUDENTS, temperatures, strict=True)])
    torch.testing.assert_close(kl(TEACHERS, STUDENTS, temperatures[:, None]), one_by_one, rtol=1e-14, atol=0)


LOSSES = [
    pytest.param(lambda t, s: cross_entropy(t.argmax(-1), s, 0.1), id="hard"),
    pytest.param(lambda t, s: cross_entropy(t.softmax(-1), s, 0.1), id="soft"),
    pytest.param(lambda t, s: kl(t, s, 4.0), id="kl"),
    pytest.param(lambda t, s: entropy(s), id="entropy"),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_stacked_answers_give_what_a_loop_gives(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    teachers, students = drawn(2, 3, 5, 4), drawn(2, 3, 5, 4, seed=1)
    loop = torch.stack(
        [torch.stack([loss(t, s) for t, s in zip(*pair, strict=True)]) for pair in zip(teachers, students, strict=True)]
    )
    assert torch.equal(loss(teachers, students), loop)


@pytest.mark.parametrize("loss", LOSSES)
def test_vmap_has_a_rule_for_everything(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    teachers, students = drawn(3, 5, 4), drawn(3, 5, 4, seed=1)
    loop = torch.stack([loss(t, s) for t, s in zip(teachers, students, strict=True)])
    assert torch.equal(vmap(loss)(teachers, students), loop)  # a warning of a missing rule is an error here


def test_a_missing_vmap_rule_would_be_noticed() -> None:
    with pytest.warns(UserWarning, match="performance drop"):
        vmap(partial(F.kl_div, reduction="none"))(drawn(3, 5), drawn(3, 5).exp())
