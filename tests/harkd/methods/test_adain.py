"""AdaIN: what the teacher says to other statistics, where gradients go, and what the method reduces to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch, parse
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods.adain import Judged
from harkd.nets import Net, Outputs, build
from harkd.nets.fusion import fusion
from harkd.nets.net import Inputs, Seen
from harkd.objectives import Context
from harkd.options import CE, AdaIN, Stats
from harkd.player import Player
from harkd.relations import adain, statistics
from harkd.schedule import Progress


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def frozen(net: Net) -> Net:
    return net.eval().requires_grad_(False)


def context(net: Net, mine: list[Tensor], masks: dict[str, Tensor] | None = None, x: Tensor | None = None) -> Context:
    """What a frozen teacher says to some windows, beside features of a student."""
    with torch.no_grad():
        told = net(draw(len(mine[0]), 6, 32, seed=9) if x is None else x)
    number = torch.arange(len(mine[0]))
    outputs = {"student": Outputs(torch.zeros(len(number), 3), tuple(mine)), "teacher": told}
    batch = Batch({}, {"y": number}, number, number, number)
    return Context(batch, outputs, {"teacher": net}, Progress(0, 1, 0, 1), "y", masks=masks or {})


def judged(given: Context, **options: Any) -> dict[str, Tensor]:
    objective = Judged(AdaIN(**options))
    objective.bind(given, None)  # type: ignore[arg-type]
    return objective(given)


@pytest.fixture
def net(toy: Any) -> Net:
    """Two stages of width 12 and 24, 16 and 8 moments; its statistics are those of a short training."""
    made: Net = toy.net(width=12, seed=3)
    for step in range(5):
        made(draw(32, 6, 32, seed=step))
    return frozen(made)


def test_equal_statistics_are_judged_alike(net: Net) -> None:
    told = context(net, [draw(5, 12, 16)]).outputs["teacher"].features[0]
    shuffled = told[..., torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    terms = judged(context(net, [shuffled, draw(5, 24, 8)]))
    assert terms["adain"].tolist() == pytest.approx([0.0] * 5, abs=1e-8)
    assert terms["stats"].tolist() == pytest.approx([0.0] * 5, abs=1e-10)
    other = judged(context(net, [2 * shuffled, draw(5, 24, 8)]))
    assert (other["adain"] > 1e-6).all()
    assert (other["stats"] > 1e-3).all()


def test_the_rest_of_the_teacher_is_the_judge(net: Net) -> None:
    mine = draw(5, 12, 10)
    given = context(net, [mine, draw(5, 24, 8)])
    told = given.outputs["teacher"]
    verdict = net.head(net.stages[1](adain(told.features[0], mine)))[0]
    terms = judged(given)
    torch.testing.assert_close(terms["adain"], (verdict - told.logits).square().mean(1))
    mean, std = (one - other for one, other in zip(statistics(mine), statistics(told.features[0]), strict=True))
    torch.testing.assert_close(terms["stats"], (mean**2 + std**2).mean(1))
    torch.testing.assert_close(judged(given, verdict="kl", temperature=3.0)["adain"], kl(told.logits, verdict, 3.0))


def test_gradients_pass_through_the_teacher_and_reach_mean_and_spread_alone(net: Net) -> None:
    mine = draw(5, 12, 10).requires_grad_()
    judged(context(net, [mine, draw(5, 24, 8)]))["adain"].sum().backward()
    assert mine.grad is not None
    assert (mine.grad.flatten(1).norm(dim=1) > 1e-6).all()
    assert all(parameter.grad is None for parameter in net.parameters())
    # The gradient of every channel is a combination of a constant (the mean) and of the map around it (the spread).
    around = mine.detach() - mine.detach().mean(2, keepdim=True)
    rest = mine.grad - mine.grad.mean(2, keepdim=True)
    rest = rest - around * (rest * around).sum(2, keepdim=True) / around.square().sum(2, keepdim=True)
    torch.testing.assert_close(rest, torch.zeros_like(rest), rtol=0, atol=1e-7)


def test_order_in_time_and_length_do_not_matter(net: Net) -> None:
    mine, last = draw(5, 12, 10), draw(5, 24, 8)
    wanted = judged(context(net, [mine, last]))
    for other in (mine[..., torch.randperm(10, generator=torch.Generator().manual_seed(1))], mine.repeat(1, 1, 3)):
        for name, term in judged(context(net, [other, last])).items():
            torch.testing.assert_close(term, wanted[name], rtol=1e-4, atol=1e-7)


def test_other_widths_are_projected(net: Net) -> None:
    given = context(net, [draw(5, 7, 10), draw(5, 9, 5)])
    objective = Judged(AdaIN(student_stages=(0, 1), teacher_stages=(0, 1)))
    objective.bind(given, None)  # type: ignore[arg-type]
    assert [tuple(p.shape) for p in objective.parameters()] == [(12, 7, 1), (12,), (12,), (24, 9, 1), (24,), (24,)]
    objective(given)["adain"].sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in objective.parameters())


@pytest.mark.parametrize(
    ("mine", "told", "pairs"),
    [(2, 2, ([0], [0])), (3, 4, ([0, 1], [1, 2])), (4, 2, ([2], [0])), (1, 3, ([0], [2])), (3, 1, ([2], [0]))],
)
def test_all_but_the_last_stages_are_judged(mine: int, told: int, pairs: tuple[list[int], list[int]]) -> None:
    outputs = {
        name: Outputs(torch.zeros(2, 3), (torch.zeros(2, 1, 4),) * depth)
        for name, depth in (("student", mine), ("teacher", told))
    }
    number = torch.arange(2)
    given = Context(Batch({}, {}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y")
    objective = Judged(AdaIN())
    assert tuple(objective.stages(given, name) for name in ("student", "teacher")) == pairs


def test_stages_go_in_pairs() -> None:
    with pytest.raises(UsageError, match=r"0 stages of 'teacher' cannot guide 1 of 'student'"):
        Judged(AdaIN(student_stages=(1,)))


def test_a_fused_teacher_judges_the_means() -> None:
    sensors = (Seen("acc", "acc", ("x", "y", "z")), Seen("gyro", "gyro", ("x", "y", "z")))
    parts = [("dscnn-xs", frozenset({"acc"})), ("wrn1d-10-1", frozenset({"gyro"}))]
    net = frozen(fusion(parts, Inputs(6, 32, 50.0, sensors), 3, build))
    width = net(draw(2, 6, 32)).features[0].shape[1]
    mine = draw(5, width, 10).requires_grad_()
    given = context(net, [draw(5, 4, 20), mine])
    terms = judged(given)
    verdict = net.head(mine.mean(2, keepdim=True))[0]
    torch.testing.assert_close(terms["adain"], (verdict - given.outputs["teacher"].logits).square().mean(1), rtol=1e-4, atol=1e-5)
    terms["adain"].sum().backward()
    assert mine.grad is not None
    assert mine.grad.any()


@pytest.mark.parametrize("blind", ["student", "teacher"])
def test_windows_that_somebody_does_not_see_count_zero(net: Net, blind: str) -> None:
    mine, there = [draw(3, 12, 10), draw(3, 24, 8)], torch.tensor([True, False, True])
    whole, part = judged(context(net, mine)), judged(context(net, mine, {blind: there}))
    for name in ("adain", "stats"):
        assert part[name].tolist() == (whole[name] * there).tolist()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        (AdaIN(), {"ce": 1.0, "kl": 0.0, "adain": 1.0, "stats": 1.0}),
        (AdaIN(weight=0.5, adain_weight=2.0, stats_weight=0.0), {"ce": 1.0, "kl": 0.5, "adain": 2.0, "stats": 0.0}),
    ],
)
def test_weights(toy: Any, options: AdaIN, weights: dict[str, float]) -> None:
    (phase,) = toy.phases("adain", toy.player(), toy.teacher(), options=options)
    (step,) = phase.steps
    assert step.weights == weights
    assert (options.verdict, options.temperature) == ("mse", 4.0)


@pytest.mark.parametrize("options", [{"adain_weight": -1.0}, {"stats_weight": math.inf}, {"weight": 1.5}], ids=str)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        AdaIN(**options)


@pytest.mark.parametrize(
    ("options", "other"),
    [
        pytest.param(AdaIN(adain_weight=0.0, stats_weight=0.0), ("ce", CE()), id="neither is ce"),
        pytest.param(AdaIN(adain_weight=0.0), ("stats", Stats(weight=0.0)), id="statistics alone are stats"),
    ],
)
def test_equal_methods_are_equal_to_the_bit(toy: Any, options: AdaIN, other: Any) -> None:
    ends = []
    for key, chosen in (("adain", options), other):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(key, student, None if key == "ce" else toy.teacher(), options=chosen))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_a_teacher_that_judges_does_not_drop_out(toy: Any) -> None:
    ends = []
    for dropout in (0.0, 0.9):
        student = toy.player()
        toy.fit(toy.phases("adain", student, toy.player(toy.net(width=12, dropout=dropout, seed=100))))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_the_verdict_becomes_milder(toy: Any) -> None:
    student, teacher = toy.player(sees="acc@25Hz"), toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=3))
    before = toy.state(teacher.net)
    history = toy.fit(toy.phases("adain", student, teacher, epochs=8))
    assert history[-1]["terms"]["adain"] < 0.7 * history[0]["terms"]["adain"]
    assert toy.equal(toy.state(teacher.net), before)


@pytest.mark.parametrize("teacher", ["patchformer-xs", "wrn1d-10-1", "dscnn-xs"])
def test_nets_by_name(toy: Any, teacher: str) -> None:
    told = Player.create(teacher, "all", toy.train, name="teacher")
    history = toy.fit(toy.phases("adain", Player.create("dscnn-xs", "acc[x]", toy.train), told), precision="bfloat16")
    assert all(math.isfinite(number) for record in history for number in record["terms"].values())
