"""One step of each optimiser against its formula, decay on matrices alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harkd.optimiser import Optimiser

RATE = 0.1


def parameters() -> dict[str, nn.Parameter]:
    made = {
        "matrix": torch.tensor([[1.0, -2.0]]),
        "kernel": torch.full((2, 1, 3), 3.0),
        "bias": torch.tensor([4.0]),
        "scale": torch.tensor(5.0),
    }
    return {name: nn.Parameter(tensor.double()) for name, tensor in made.items()}


def moved(optimiser: Optimiser, steps: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters before and after some steps with gradient 0.5."""
    named = parameters()
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    built = optimiser.build(named.values())
    for group in built.param_groups:
        group["lr"] = RATE
    for _ in range(steps):
        for parameter in named.values():
            parameter.grad = torch.full_like(parameter, 0.5)
        built.step()
    return before, {name: parameter.detach() for name, parameter in named.items()}


@pytest.mark.parametrize("name", ["matrix", "kernel", "bias", "scale"])
def test_sgd(name: str) -> None:
    before, after = moved(Optimiser("sgd", weight_decay=0.01, momentum=0.9), 2)
    decay = 0.01 if before[name].dim() > 1 else 0.0
    weight, velocity = before[name], 0.0
    for _ in range(2):
        velocity = 0.9 * velocity + (0.5 + decay * weight)
        weight = weight - RATE * velocity
    torch.testing.assert_close(after[name], weight, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["matrix", "kernel", "bias", "scale"])
def test_adamw(name: str) -> None:
    before, after = moved(Optimiser("adamw", weight_decay=0.01), 2)
    decay = 0.01 if before[name].dim() > 1 else 0.0
    weight, first, second = before[name], 0.0, 0.0
    for step in (1, 2):
        first, second = 0.9 * first + 0.1 * 0.5, 0.999 * second + 0.001 * 0.25
        change = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-8)
        weight = weight * (1 - RATE * decay) - RATE * change
    torch.testing.assert_close(after[name], weight, rtol=1e-12, atol=0)


def test_a_net_of_vectors_alone_has_one_group() -> None:
    built = Optimiser().build([nn.Parameter(torch.ones(3))])
    assert [group["weight_decay"] for group in built.param_groups] == [0.0]
