"""Methods that compare the answers of one teacher and one student in other ways than `kd`: worked values and identities."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harkd.augment import Batch
from harkd.datasets import IGNORE
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods.dkd import Decoupled, decoupled
from harkd.methods.logitstd import Standardised, standardised
from harkd.methods.rkl import Reverse
from harkd.nets import Outputs
from harkd.objectives import Context, Objective
from harkd.options import CE, DKD, KD, RKL, LogitStd
from harkd.schedule import Progress, value

TOLD, MINE = torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[0.0, 0.0]]).double()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def terms(objective: Objective, told: Tensor, mine: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
    number = torch.arange(len(mine))
    y = torch.zeros_like(number) if y is None else y
    outputs = {"student": Outputs(mine), "teacher": Outputs(told)}
    return objective(Context(Batch({}, {"y": y}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y"))


# Reverse divergence


def test_the_reverse_divergence_by_hand() -> None:
    assert float(kl(TOLD, MINE)) == pytest.approx(0.327813, abs=1e-6)
    assert terms(Reverse(temperature=1.0), TOLD, MINE)["kl"].item() == pytest.approx(0.433781, abs=1e-6)
    assert terms(Reverse(temperature=1.0), MINE, TOLD)["kl"].item() == pytest.approx(0.327813, abs=1e-6)
    halved = terms(Reverse(temperature=1.0, reduction="mean"), TOLD, MINE)["kl"].item()
    assert halved == pytest.approx(0.433781 / 2, abs=1e-6)


def test_the_students_answer_is_the_target_and_carries_the_gradient() -> None:
    told, mine = draw(5, 4, seed=1).requires_grad_(), draw(5, 4).requires_grad_()
    terms(Reverse(temperature=2.0), told, mine)["kl"].sum().backward()
    log_p, log_q = (z.detach().div(2).log_softmax(1) for z in (mine, told))
    apart = log_p - log_q
    p = log_p.exp()
    wanted = 2 * p * (apart - (p * apart).sum(1, keepdim=True))  # T^2 dKL / dz, by hand
    torch.testing.assert_close(mine.grad, wanted.float().double(), rtol=1e-4, atol=1e-5)
    assert told.grad is None


# Standardised logits


def test_standardised_by_hand() -> None:
    found = standardised(torch.tensor([[1.0, 2.0, 3.0], [7.0, 7.0, 7.0]]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), atol=1e-6, rtol=0)
    told, mine = torch.tensor([[4.0, 0.0, -4.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    assert terms(Standardised(temperature=1.0), told, mine)["kl"].item() == pytest.approx(1.150421, abs=1e-6)  # of (1, 0, -1)


@pytest.mark.parametrize(("scale", "shift"), [(7.0, 0.0), (0.01, 5.0), (1.0, -100.0)])
def test_scale_and_offset_of_the_students_logits_do_not_matter(scale: float, shift: float) -> None:
    told, mine = draw(6, 5, seed=1), draw(6, 5)
    objective = Standardised(temperature=2.0)
    wanted = terms(objective, told, mine)["kl"]
    torch.testing.assert_close(terms(objective, told, scale * mine + shift)["kl"], wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(terms(objective, scale * told + shift, mine)["kl"], wanted, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(kl(told, mine, 2.0), kl(told, 7.0 * mine, 2.0))


def test_the_gradient_changes_neither_scale_nor_offset() -> None:
    mine = draw(6, 5).requires_grad_()
    terms(Standardised(temperature=2.0), draw(6, 5, seed=1), mine)["kl"].sum().backward()
    assert mine.grad is not None
    torch.testing.assert_close(mine.grad.sum(1), torch.zeros(6).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close((mine.grad * mine).sum(1), torch.zeros(6).double(), atol=1e-5, rtol=0)
    assert bool((mine.grad.abs().amax(1) > 1e-3).all())


# Decoupled


def released(told: Tensor, mine: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The two losses with masks and with a huge number in place of the right class's logit, one value per window."""
    right = F.one_hot(y, told.shape[1]).double()
    two = []
    for z in (told, mine):
        p = (z / temperature).softmax(1)
        two.append(torch.stack([(p * right).sum(1), (p * (1 - right)).sum(1)], 1))
    target = (two[0] * (two[0].log() - two[1].log())).sum(1)
    rest = [(z / temperature - 1000.0 * right).log_softmax(1) for z in (told, mine)]
    others = F.kl_div(rest[1], rest[0].exp(), reduction="none").sum(1)
    return temperature**2 * target, temperature**2 * others


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_both_parts_as_others_write_them(temperature: float) -> None:
    told, mine, y = draw(40, 6, seed=1), draw(40, 6), torch.arange(40) % 6
    for found, wanted in zip(decoupled(told, mine, y, temperature), released(told, mine, y, temperature), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_both_parts_make_up_the_divergence(temperature: float) -> None:
    told, mine, y = draw(40, 6, seed=1), draw(40, 6), torch.arange(40) % 6
    target, others = decoupled(told, mine, y, temperature)
    left = 1 - (told / temperature).softmax(1).gather(1, y[:, None])[:, 0]
    torch.testing.assert_close(target + left * others, kl(told, mine, temperature), rtol=1e-9, atol=1e-9)


def test_decoupled_by_hand() -> None:
    """Of two classes nothing is left for the others; of three with p = (1/2, 3/8, 1/8) and q = (1/4, 3/8, 3/8) both count."""
    target, others = decoupled(TOLD, MINE, torch.tensor([0]), 1.0)
    assert target.item() == pytest.approx(0.327813, abs=1e-6)
    assert others.item() == 0.0
    told, mine = (torch.tensor([p]).double().log() for p in ((0.5, 0.375, 0.125), (0.25, 0.375, 0.375)))
    target, others = decoupled(told, mine, torch.tensor([0]), 1.0)
    assert target.item() == pytest.approx(0.143841, abs=1e-6)  # log(2) / 2 + log(2/3) / 2
    assert others.item() == pytest.approx(0.130812, abs=1e-6)  # 3/4 log(3/2) + 1/4 log(1/2)
    assert (target + 0.5 * others).item() == pytest.approx(kl(told, mine).item(), abs=1e-9)


def test_a_certain_teacher_still_teaches_the_other_classes() -> None:
    """Among the others it answers (3, 0, 0), whose entropy is 0.366594; the student tells none of them apart."""
    told, mine = torch.tensor([[60.0, 3.0, 0.0, 0.0]]).double(), torch.zeros(1, 4).double()
    assert decoupled(told, mine, torch.tensor([0]), 1.0)[1].item() == pytest.approx(math.log(3) - 0.366594, abs=1e-6)
    assert kl(told, mine, 1.0).item() == pytest.approx(math.log(4), abs=1e-6)
    far = decoupled(1000 * told, -1000 * told, torch.tensor([0]), 1.0)
    assert all(bool(part.isfinite().all()) for part in far)


def test_labels_that_are_mixed_or_unknown() -> None:
    told, mine = draw(3, 4, seed=1), draw(3, 4)
    hard = terms(Decoupled(4.0), told, mine, torch.tensor([2, 1, IGNORE]))
    soft = torch.tensor([[0.0, 0.3, 0.7, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    mixed = terms(Decoupled(4.0), told, mine, soft)
    for name in ("kl target", "kl others"):
        assert hard[name][2] == 0
        assert torch.equal(hard[name][:2], mixed[name][:2])
        assert mixed[name][2] > 0


def test_weights_rise_in_the_warm_up(toy: Any) -> None:
    for share, levels in ((0.5, [0.25, 0.5, 0.75, 1.0, 1.0]), (0.0, [1.0] * 5), (0.08, [1.0] * 5)):
        (phase,) = toy.phases("dkd", toy.player(), toy.teacher(), options=DKD(warm_up=share), epochs=8)
        (step,) = phase.steps
        for epoch, level in enumerate(levels):
            told = {name: value(weight, Progress(epoch, 8, epoch, 8)) for name, weight in step.weights.items()}
            assert told == pytest.approx({"ce": 1.0, "kl target": level, "kl others": 8.0 * level})


# Runs


def ends(toy: Any, key: str, options: Any) -> dict[str, Tensor]:
    student = toy.player(toy.net(dropout=0.3))
    toy.fit(toy.phases(key, student, toy.teacher() if key != "ce" else None, options=options))
    found: dict[str, Tensor] = toy.state(student.net)
    return found


@pytest.mark.parametrize(("key", "options"), [("rkl", RKL(weight=0.0)), ("logitstd", LogitStd(weight=0.0))])
def test_without_weight_it_is_cross_entropy(toy: Any, key: str, options: Any) -> None:
    assert toy.equal(ends(toy, key, options), ends(toy, "ce", CE()))


def test_without_its_weights_dkd_is_cross_entropy(toy: Any) -> None:
    assert toy.equal(ends(toy, "dkd", DKD(target_weight=0.0, others_weight=0.0)), ends(toy, "ce", CE()))


def test_they_are_all_different(toy: Any) -> None:
    found = [
        ends(toy, "kd", KD()),
        ends(toy, "rkl", RKL()),
        ends(toy, "logitstd", LogitStd(temperature=4.0)),
        ends(toy, "dkd", DKD()),
    ]
    assert all(not toy.equal(a, b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize(
    ("kind", "wrong"), [(DKD, {"others_weight": -1.0}), (DKD, {"warm_up": 1.5}), (LogitStd, {"weight": 1.5})], ids=str
)
def test_options_out_of_range(kind: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        kind(**wrong)
