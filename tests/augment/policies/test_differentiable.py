"""A policy that gradients can move."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, parse
from harkd.errors import UsageError

from .conftest import POOL


def asked(augmenter: Augmenter) -> dict[str, torch.Tensor]:
    state = {name: tensor.double().requires_grad_() for name, tensor in augmenter.memory[0].items()}
    augmenter.memory.write(0, state)
    return state


def test_one_op_is_drawn_by_its_weight_at_its_magnitude(bench, many, seen):
    augmenter = Augmenter(parse(f"differentiable({POOL})"), many)
    chances = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    augmenter.memory.write(0, {"weights": chances.log(), "magnitudes": torch.tensor([[-2.0, -1.0, 0.0, 1.0]])})
    index = torch.arange(len(many))
    augmenter(index, index)
    counts = [int(count.sum()) for count in seen.counts(len(many)).values()]
    assert stats.chisquare(counts, (chances[0] * len(many)).tolist()).pvalue > 0.001
    assert seen.magnitudes("scaling").unique().item() == pytest.approx(torch.tensor(-1.0).sigmoid().item())


def test_with_gradients_all_ops_are_mixed_by_their_weights(bench):
    windows = bench.windows((bench.acc,), 16, n=12)
    index = torch.arange(12)
    augmenter = Augmenter(parse("differentiable(scaling(0.3)+shifting(0.5))"), windows)
    state = {"weights": torch.tensor([[0.0, 3.0]]).log().clamp_min(-30), "magnitudes": torch.full((1, 2), 50.0)}
    single = []
    for number in (0, 1):
        weights = torch.full((1, 2), -50.0)
        weights[0, number] = 50.0
        augmenter.memory.write(0, {"weights": weights.requires_grad_(), "magnitudes": state["magnitudes"]})
        single.append(augmenter(index, index).x["wrist_acc"].detach())
    augmenter.memory.write(0, {"weights": torch.tensor([[0.25, 0.75]]).log().requires_grad_(), "magnitudes": state["magnitudes"]})
    torch.testing.assert_close(augmenter(index, index).x["wrist_acc"], 0.25 * single[0] + 0.75 * single[1])


def test_gradients_reach_weights_and_magnitudes(bench):
    """Of the mean square of the noise, whose level is sigmoid(magnitude) * 0.3: d/dm = 2 E x^2 (1 - sigmoid(m))."""
    windows = bench.windows((bench.acc,), 512, n=24, fill=lambda s, total, label: torch.zeros(3, total).numpy())
    index = torch.arange(24)
    augmenter = Augmenter(parse("differentiable(jitter(0.3, exact=true))"), windows)
    state = asked(augmenter)
    square = augmenter(index, index).x["wrist_acc"].double().square().mean()
    square.backward()
    assert float(state["magnitudes"].grad) == pytest.approx(float(square.detach()), rel=1e-3)
    assert float(state["weights"].grad) == pytest.approx(0, abs=1e-12)  # one op: its weight is 1 whatever its logit


def test_a_policy_for_each_class(bench, many, seen):
    augmenter = Augmenter(parse(f"differentiable({POOL}, classwise=true)"), many)
    weights = torch.full((4, 4), -50.0)
    weights.fill_diagonal_(50.0)
    augmenter.memory.write(0, {"weights": weights, "magnitudes": torch.zeros(4, 4)})
    augmenter(torch.arange(len(many)), torch.arange(len(many)))
    for number, count in enumerate(seen.counts(len(many)).values()):
        assert torch.equal(count > 0, many.labels == number)


def test_options_that_mean_nothing():
    with pytest.raises(UsageError, match="rate is from 0 up and every at least 1; got -1 and 0"):
        parse("differentiable(jitter(0.1), rate=-1, every=0)")
