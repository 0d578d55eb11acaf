"""Objectives on answers that are given by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch
from harkd.errors import UsageError
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Distillation, Objective, Terms, Together
from harkd.schedule import Progress

TEACHER, STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])


def context(y: Tensor | None = None, step: int = 0, seed: int = 0, **outputs: Tensor) -> Context:
    number = torch.arange(2)
    batch = Batch({}, {"other": number, "movement": torch.tensor([0, 2]) if y is None else y}, number, number, number)
    answers = {name: Outputs(logits) for name, logits in ({"student": STUDENT, "teacher": TEACHER} | outputs).items()}
    return Context(batch, answers, {}, Progress(0, 1, step, 10), "movement", seed)


@pytest.mark.parametrize(
    ("objective", "known"),
    [
        (CrossEntropy(), {"ce": [2.407606, 1.098612]}),
        (CrossEntropy("teacher"), {"ce teacher": [0.407606, 1.098612]}),
        (CrossEntropy(smoothing=0.3), {"ce": [0.7 * 2.407606 + 0.3 * 1.407606, 1.098612]}),
        (Distillation(), {"kl": [1.319630, 0.0]}),
        (Distillation(temperature=1.0), {"kl": [1.150421, 0.0]}),
        (Distillation(temperature=lambda progress: 1.0 + progress.step), {"kl": [1.280627, 0.0]}),
        (Distillation(reduction="mean"), {"kl": [1.319630 / 3, 0.0]}),
        (Distillation("teacher", "student"), {"kl": [1.319630, 0.0]}),
        (Together(Distillation(), CrossEntropy()), {"kl": [1.319630, 0.0], "ce": [2.407606, 1.098612]}),
    ],
)
def test_terms(objective: Objective, known: dict[str, list[float]]) -> None:
    terms = objective(context(step=1))
    assert list(terms) == list(known)
    for name, values in known.items():
        assert terms[name].tolist() == pytest.approx(values, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("reduction", "known"), [("batchmean", 1.646023), ("mean", 1.030195)])
def test_the_sum_of_distillation_is_the_worked_number(reduction: Any, known: float) -> None:
    terms = Together(CrossEntropy(), Distillation(reduction=reduction))(context())
    assert (0.3 * terms["ce"] + 0.7 * terms["kl"])[0].item() == pytest.approx(known, rel=1e-5)


def test_soft_labels() -> None:
    shares = torch.tensor([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]])
    terms = CrossEntropy()(context(shares))
    assert terms["ce"].tolist() == pytest.approx([0.25 * 2.407606 + 0.75 * 0.407606, 1.098612], rel=1e-5)


def test_half_precision_answers_are_compared_in_float32() -> None:
    terms = Together(CrossEntropy(), Distillation())(context(student=STUDENT.bfloat16(), teacher=TEACHER.bfloat16()))
    assert {name: term.dtype for name, term in terms.items()} == {"ce": torch.float32, "kl": torch.float32}
    assert terms["kl"][0].item() == pytest.approx(1.319630, rel=1e-5)


class Named(Objective):
    needs = frozenset({"features"})

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.bound = name, 0

    def bind(self, context: Context, train: Any) -> None:
        self.bound += 1

    def forward(self, context: Context) -> Terms:
        return {self.name: torch.ones(2)}


def test_together_binds_all_and_needs_what_any_needs() -> None:
    one, other = Named("a"), Named("b")
    both = Together(one, Together(other, CrossEntropy()))
    both.bind(context(), None)  # type: ignore[arg-type]
    assert (one.bound, other.bound) == (1, 1)
    assert both.needs == {"features", "logits"}
    assert list(both(context())) == ["a", "b", "ce"]


def test_two_terms_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two objectives give a term 'ce'"):
        Together(CrossEntropy(), CrossEntropy(smoothing=0.1))(context())


def test_an_objectives_generator_depends_on_seed_and_step_alone() -> None:
    def draw(step: int, seed: int = 0) -> list[float]:
        torch.rand(3)
        return torch.rand(3, generator=context(step=step, seed=seed).rng).tolist()

    assert draw(4) == draw(4)
    assert len({tuple(draw(step, seed)) for step in range(5) for seed in range(5)}) == 25
    one = context()
    assert torch.rand(3, generator=one.rng).tolist() != torch.rand(3, generator=one.rng).tolist()


def test_labels_are_those_of_the_cards_target() -> None:
    assert context().y.tolist() == [0, 2]
