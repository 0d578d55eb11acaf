"""BD-KD: the published examples, which divergence is stressed, who learns from whom, and the Jeffreys divergence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch
from harkd.errors import UsageError
from harkd.losses import entropy, kl
from harkd.methods.bdkd import Balanced
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.options import BDKD
from harkd.schedule import Progress, value


def terms(options: BDKD, told: Tensor, mine: Tensor) -> dict[str, Tensor]:
    number = torch.arange(len(mine))
    outputs = {"student": Outputs(mine), "teacher": Outputs(told)}
    context = Context(Batch({}, {"y": number}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y")
    return Balanced(options)(context)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_worked_values() -> None:
    told, mine = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert (entropy(mine) > entropy(told)).all()
    assert terms(BDKD(temperature=1.0), told, mine)["kl"].item() == pytest.approx(1.195375, abs=1e-6)
    assert terms(BDKD(temperature=1.0, delta=3.0), told, mine)["kl"].item() == pytest.approx(1.629156, abs=1e-6)
    told, mine = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    assert entropy(told).item() == pytest.approx(0.366594, abs=1e-6)
    assert entropy(mine).item() == pytest.approx(0.975328, abs=1e-6)
    assert kl(told, mine).item() == pytest.approx(0.275408, abs=1e-6)
    assert kl(mine, told).item() == pytest.approx(0.391244, abs=1e-6)
    found = terms(BDKD(temperature=1.0), told, mine)
    assert found["kl"].item() == pytest.approx(1.057896, abs=1e-6)
    assert found["kl teacher"].item() == pytest.approx(0.391244, abs=1e-6)
    assert found["reverse"].item() == 1.0
    swapped = terms(BDKD(temperature=1.0), mine, told)
    assert swapped["kl"].item() == pytest.approx(0.391244 * 2 + 0.275408, abs=1e-6)  # now the forward one, which was the reverse
    assert swapped["reverse"].item() == 0.0


def test_temperature_comes_with_its_square_and_leaves_the_entropies_alone() -> None:
    told, mine = draw(50, 4, seed=1).float(), draw(50, 4).float()
    hot = terms(BDKD(temperature=4.0), told, mine)
    stressed = (entropy(mine) > entropy(told)).float()
    wanted = (2 - stressed) * kl(told, mine, 4.0) + (1 + stressed) * kl(mine, told, 4.0)
    torch.testing.assert_close(hot["kl"], wanted)
    assert torch.equal(hot["reverse"], stressed)
    assert 0 < float(stressed.mean()) < 1
    fewer = terms(BDKD(temperature=4.0, reduction="mean"), told, mine)
    torch.testing.assert_close(fewer["kl"], wanted / 4)


def test_weights_swap_with_the_players() -> None:
    balanced = Balanced(BDKD(delta=2.5))
    told, mine = draw(50, 4, seed=1), draw(50, 4)
    spreads, sharpens = balanced.weights(told, mine)
    other_spreads, other_sharpens = balanced.weights(mine, told)
    assert torch.equal(spreads, other_sharpens)
    assert torch.equal(sharpens, other_spreads)
    assert {*spreads.tolist(), *sharpens.tolist()} == {1.0, 2.5}
    assert torch.equal(spreads + sharpens, torch.full((50,), 3.5).double())


@pytest.mark.parametrize("balance", ["hard", "soft"])
def test_weights_carry_no_gradient(balance: Any) -> None:
    told, mine = draw(5, 4, seed=1).requires_grad_(), draw(5, 4).requires_grad_()
    assert not any(weight.requires_grad for weight in Balanced(BDKD(balance=balance)).weights(told, mine))


def test_equal_answers_are_at_rest() -> None:
    mine = draw(5, 4).requires_grad_()
    found = terms(BDKD(), mine.detach(), mine)
    assert torch.equal(found["kl"], torch.zeros(5))
    found["kl"].sum().backward()
    assert mine.grad is not None
    torch.testing.assert_close(mine.grad, torch.zeros(5, 4).double(), atol=1e-6, rtol=0)
    spreads, sharpens = Balanced(BDKD()).weights(mine, mine)
    assert torch.equal(spreads, torch.ones(5).double())
    assert torch.equal(sharpens, torch.ones(5).double())


@pytest.mark.parametrize("balance", ["hard", "soft"])
def test_without_stress_it_is_the_jeffreys_divergence(balance: Any) -> None:
    told, mine = draw(20, 4, seed=1).float(), draw(20, 4).float()
    found = terms(BDKD(delta=1.0, balance=balance, temperature=2.0), told, mine)["kl"]
    assert torch.equal(found, kl(told, mine, 2.0) + kl(mine, told, 2.0))


def test_soft_weights_lie_between_and_become_hard() -> None:
    told, mine = draw(50, 4, seed=1), draw(50, 4)
    soft = Balanced(BDKD(balance="soft", sharpness=2.0))
    spreads, sharpens = soft.weights(told, mine)
    torch.testing.assert_close(spreads + sharpens, torch.full((50,), 3.0).double())
    assert bool(((sharpens > 1) & (sharpens < 2)).all())
    assert torch.equal(sharpens.argsort(), (entropy(mine) - entropy(told)).argsort())
    doubt = entropy(mine) - entropy(told)
    torch.testing.assert_close(sharpens, 1 + 1 / (1 + (-2.0 * doubt).exp()))
    steep = Balanced(BDKD(balance="soft", sharpness=1e6)).weights(told, mine)
    for found, wanted in zip(steep, Balanced(BDKD()).weights(told, mine), strict=True):
        torch.testing.assert_close(found, wanted)


def test_each_learns_from_the_other_and_moves_itself_alone() -> None:
    told, mine = draw(5, 4, seed=1).requires_grad_(), draw(5, 4).requires_grad_()
    found = terms(BDKD(), told, mine)
    found["kl"].sum().backward(retain_graph=True)
    assert told.grad is None
    assert mine.grad is not None
    mine.grad = None
    found["kl teacher"].sum().backward()
    assert mine.grad is None
    assert told.grad is not None


def test_online_both_move_and_offline_the_student(toy: Any) -> None:
    for mode, moves in (("online", True), ("offline", False)):
        teacher = toy.teacher()
        before = toy.state(teacher.net)
        (phase,) = toy.phases("bdkd", toy.player(), teacher, options=BDKD(mode=mode))
        history = toy.fit([phase])
        assert toy.equal(toy.state(teacher.net), before) != moves
        given = {"ce", "kl", "kl teacher", "reverse", "gradient norm"} | ({"ce teacher"} if moves else set())
        assert set(history[0]["terms"]) == given
        assert 0 <= history[0]["terms"]["reverse"] <= 1


def test_the_weight_of_the_divergences_rises(toy: Any) -> None:
    (phase,) = toy.phases("bdkd", toy.player(), toy.teacher(), options=BDKD(weight=0.8, warm_up=0.5), epochs=8)
    (step,) = phase.steps
    levels = [{name: value(weight, Progress(epoch, 8, epoch, 8)) for name, weight in step.weights.items()} for epoch in range(6)]
    assert [level["kl"] for level in levels] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert [level["kl teacher"] for level in levels] == [level["kl"] for level in levels]
    assert {round(level["ce"], 9) for level in levels} == {0.2} == {round(level["ce teacher"], 9) for level in levels}


class Jeffreys(Objective):
    """Both divergences of teacher and student, as anybody would write them."""

    def forward(self, context: Context) -> Terms:
        told, mine = (context.outputs[name].logits for name in ("teacher", "student"))
        return {"kl": kl(told, mine, 4.0) + kl(mine, told, 4.0)}


def test_a_run_without_stress_is_one_with_the_jeffreys_divergence(toy: Any) -> None:
    ends = []
    for jeffreys in (False, True):
        student = toy.player(toy.net(dropout=0.3))
        options = BDKD(delta=1.0, mode="offline", warm_up=0.0)
        (phase,) = toy.phases("bdkd", student, toy.teacher(), options=options)
        if jeffreys:
            phase = replace(phase, objective=Together(CrossEntropy(), Jeffreys()))
        toy.fit([phase])
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


@pytest.mark.parametrize("wrong", [{"delta": 0.5}, {"sharpness": 0.0}, {"warm_up": 1.5}, {"weight": -0.5}], ids=str)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        BDKD(**wrong)
