"""MIX-KD: the published example, scales that do not matter, how many windows are mixed and what the teacher sees of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Augmenter, Batch, Spec, parse, to_text
from harkd.engine import At, Moment
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.methods.mixkd import Scaled, mixes, scaled, to_unit_spread
from harkd.nets import Outputs
from harkd.objectives import Context, CrossEntropy, Distillation, Terms, Together
from harkd.options import MixKD
from harkd.player import Player, predict
from harkd.schedule import Progress


def terms(told: Tensor, mine: Tensor, y: Tensor, heads: tuple[Tensor, ...] = ()) -> Terms:
    number = torch.arange(len(mine))
    outputs = {"student": Outputs(mine, heads=heads), "teacher": Outputs(told)}
    context = Context(Batch({}, {"y": y}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y")
    return Scaled(Together(CrossEntropy(), Distillation(temperature=1.0)))(context)


TOLD, MINE, Y = torch.tensor([[4.0, 0.0, -4.0]]), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])


def test_the_published_example() -> None:
    assert TOLD.std().item() == 4.0
    assert MINE.std().item() == 1.0
    found = terms(TOLD, MINE, Y)
    assert found["ce"].item() == pytest.approx(2.407606, abs=1e-6)
    assert found["kl"].item() == pytest.approx(1.150421, abs=1e-6)
    weight = MixKD().weight
    assert (1 - weight) * found["ce"].item() + weight * found["kl"].item() == pytest.approx(1.276139, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_the_scale_of_the_logits_does_not_matter(factor: float) -> None:
    found, plain = terms(factor * TOLD, factor * MINE, Y), terms(TOLD, MINE, Y)
    for name in plain:
        torch.testing.assert_close(found[name], plain[name], rtol=1e-5, atol=1e-6)


def test_the_gradient_passes_through_the_spread() -> None:
    """So it never changes the scale; with the spread detached it would."""
    mine = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    told = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    losses = terms(told, mine, torch.arange(5) % 4)
    torch.stack(list(losses.values())).sum().backward()
    assert mine.grad is not None
    along = (mine.grad * (mine - mine.mean(1, keepdim=True))).sum(1)
    torch.testing.assert_close(along, torch.zeros(5), atol=1e-5, rtol=0)
    detached = cross_entropy(torch.arange(5) % 4, mine / mine.std(1, keepdim=True).detach()).sum()
    (other,) = torch.autograd.grad(detached, mine)
    assert bool(((other * mine).sum(1).abs() > 1e-3).any())


def test_a_net_that_tells_nothing_apart() -> None:
    flat = torch.full((2, 3), 5.0, requires_grad=True)
    assert torch.equal(scaled(flat), torch.full((2, 3), 5e6))
    found = terms(TOLD.expand(2, 3), flat, torch.tensor([0, 1]))
    assert all(bool(loss.isfinite().all()) for loss in found.values())


def test_auxiliary_heads_are_scaled_too() -> None:
    other = torch.tensor([[0.0, 5.0, 1.0]])
    found = terms(TOLD, MINE, Y, heads=(other,))["ce"]
    torch.testing.assert_close(found, cross_entropy(Y, MINE) + cross_entropy(Y, other / other.std()))


def test_mixed_labels_by_hand() -> None:
    shares = torch.tensor([[0.7, 0.0, 0.3]])
    found = terms(TOLD, MINE, shares)["ce"].item()
    assert found == pytest.approx(-(0.7 * MINE.log_softmax(1)[0, 0] + 0.3 * MINE.log_softmax(1)[0, 2]).item(), abs=1e-6)


# Who is mixed


@pytest.mark.parametrize(
    ("options", "batch", "share"),
    [
        (MixKD(), 64, 0.1),
        (MixKD(clean_share=0.0), 64, 1.0),
        (MixKD(clean_share=1.0), 64, 0.0),
        (MixKD(pmu_replacement=True), 64, (63 / 64) ** 57),  # 57 draws of 64 miss a window with this chance: 41 %
        (MixKD(pmu_replacement=True, clean_share=0.0), 64, 1.0),
        (MixKD(pmu_replacement=True, clean_share=1.0), 10, 0.9**10),
    ],
)
def test_how_many_are_mixed(toy: Any, options: MixKD, batch: int, share: float) -> None:
    op = mixes(options, batch)
    assert op.share == pytest.approx(share, abs=1e-6)
    augmenter = Augmenter(op, toy.train, Spec.of(toy.train))
    index = torch.arange(63).repeat(40)
    batch_ = augmenter(index, torch.arange(40).repeat_interleave(63))
    mixed = (batch_.x["acc"] != toy.train.gather(index)["acc"]).flatten(1).any(1)
    found = mixed.double().mean().item()
    assert abs(found - share) <= 4 * (share * (1 - share) / len(index)) ** 0.5 + share / 63  # a partner may be the window itself
    labels = torch.nn.functional.one_hot(toy.train.labels[index], 3).float()
    if op.share:
        assert torch.equal(batch_.targets["movement"][~mixed], labels[~mixed])
    else:
        assert not bool(mixed.any())
        assert torch.equal(batch_.targets["movement"], labels), "what stays clean has its own label"


def test_with_replacement_41_per_cent_are_mixed() -> None:
    assert mixes(MixKD(pmu_replacement=True), 64).share == pytest.approx(0.4075, abs=1e-4)
    drawn = torch.randint(0, 64, (4000, 57), generator=torch.Generator().manual_seed(0))
    left = torch.ones(4000, 64).scatter_(1, drawn, 0.0).mean().item()
    assert left == pytest.approx(mixes(MixKD(pmu_replacement=True), 64).share, abs=3e-3)


def test_the_students_own_strategy_comes_first(toy: Any) -> None:
    student = toy.player(augment=parse("jitter(0.1)+rotate(15)"))
    (phase,) = toy.phases("mixkd", student, toy.teacher(), options=MixKD(clean_share=0.75, alpha=0.4, partner="same_subject"))
    strategy = phase.players["student"].augment
    assert to_text(strategy) == "jitter(0.1)+rotate(15)|partial_mixup(0.25, alpha=0.4, partner=same_subject)"
    assert to_text(student.augment) == "jitter(0.1)+rotate(15)", "the player itself is what it was"
    (phase,) = toy.phases("mixkd", toy.player(), toy.teacher())
    assert to_text(phase.players["student"].augment) == "none|partial_mixup(0.1)"


def test_the_teacher_answers_for_the_mixtures(toy: Any) -> None:
    """Banked or asked anew; the loss of a run is that of the same windows."""
    seen = []
    (phase,) = toy.phases("mixkd", toy.player(), toy.teacher(), options=MixKD(clean_share=0.0), draws=1, epochs=1)
    ask, outputs = phase.players["teacher"].answer, phase.outputs

    def noted(game: Any) -> dict[str, Outputs]:
        told = outputs(game)
        seen.append((told["teacher"].logits, ask(game.batch.x).logits, ask(toy.train.gather(game.batch.index)).logits))
        return told

    phase.outputs = noted
    toy.fit([phase])
    assert len(seen) == 4
    for banked, live, clean in seen:
        assert torch.equal(banked, live)
        assert not torch.allclose(banked, clean)


class Inline(Distillation):
    """Both terms, as anybody would write them."""

    def forward(self, context: Context) -> Terms:
        told, mine = (context.outputs[name].logits for name in ("teacher", "student"))
        told, mine = (z / z.std(1, keepdim=True) for z in (told, mine))
        return {"ce": cross_entropy(context.y, mine), "kl": kl(told, mine)}


def test_a_run_is_plain_distillation_of_mixed_windows_with_scaled_answers(toy: Any) -> None:
    ends = []
    for key in ("mixkd", "kd"):
        student = toy.player(augment=parse("none|partial_mixup(0.5)") if key == "kd" else "same")
        (phase,) = toy.phases(key, student, toy.teacher(), options=MixKD(clean_share=0.5) if key == "mixkd" else None)
        if key == "kd":
            phase.objective, phase.at = Inline(), [At("epoch", to_unit_spread)]
        toy.fit([phase])
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


@pytest.mark.parametrize("net", ["dscnn-xs", "dscnn-xs~mean16~meanmax8"])
def test_a_students_answers_have_the_spread_of_the_loss(toy: Any, net: str) -> None:
    """In the mean over training windows; the loss before and after is the same."""
    student = Player.create(net, "all", toy.train)
    (phase,) = toy.phases("mixkd", student, toy.teacher())
    (unit, *_) = phase.at
    before = predict(student, toy.train)
    unit.do(Moment(phase, Progress(0, 1, 0, 1), toy.train, None, {}))
    after = predict(student, toy.train)
    assert after.std(1).mean().item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(scaled(after), scaled(before))
    toy.fit([phase])
    assert predict(student, toy.train).std(1).mean().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("augment", ["clean", parse("jitter(0.1)")], ids=["clean", "own"])
def test_a_teacher_that_would_not_see_the_mixtures(toy: Any, augment: Any) -> None:
    says = "^mixkd: the teacher has to see the mixtures that the student sees; leave teacher_augment at 'same'$"
    with pytest.raises(UsageError, match=says):
        toy.phases("mixkd", toy.player(), toy.teacher(augment=augment))


@pytest.mark.parametrize("wrong", [{"clean_share": 1.5}, {"alpha": 0.0}, {"weight": -0.1}], ids=str)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        MixKD(**wrong)
