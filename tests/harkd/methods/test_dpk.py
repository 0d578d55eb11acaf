"""DPK: the share that the student fills, the mask, who gets a gradient where, and what the method reduces to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.augment import Batch, parse
from harkd.errors import UsageError
from harkd.methods.dpk import ENOUGH, Prior
from harkd.nets import Outputs
from harkd.nets.patchformer import Block
from harkd.objectives import Context
from harkd.options import CE, DPK
from harkd.relations import cka
from harkd.schedule import Progress


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def context(mine: list[Tensor], told: list[Tensor], masks: dict[str, Tensor] | None = None, step: int = 0) -> Context:
    number = torch.arange(len(mine[0]))
    logits = torch.zeros(len(number), 3)
    outputs = {"student": Outputs(logits, tuple(mine)), "teacher": Outputs(logits, tuple(told))}
    batch = Batch({}, {"y": number}, number, number, number)
    return Context(batch, outputs, {}, Progress(0, 1, step, 99), "y", masks=masks or {})


def bound(given: Context, plain: bool = False, **options: Any) -> Prior:
    """The objective; plain ones hand through what their encoders and decoders get."""
    objective = Prior(DPK(**options))
    objective.bind(given, None)  # type: ignore[arg-type]
    if plain:
        for parts in (objective.encode, objective.encode_teacher, objective.decode):
            for place in range(len(parts)):
                parts[place] = nn.Identity()
    return objective


def normal(maps: Tensor) -> Tensor:
    return (maps - maps.mean(1, keepdim=True)) / (maps.var(1, correction=0, keepdim=True) + 1e-5).sqrt()


def ratios(objective: Prior) -> list[float]:
    return objective.get_buffer("ratio").tolist()


# The ratio


def test_the_ratio_follows_the_alignment_by_a_tenth() -> None:
    maps = draw(20, 4, 6)
    objective = bound(context([maps], [maps]))
    objective.follow(0, maps, maps)
    assert ratios(objective) == pytest.approx([0.55])


def test_the_ratio_goes_to_a_constant_alignment_geometrically() -> None:
    told, mine = draw(20, 4, 6), draw(20, 3, 6, seed=1)
    aligned = cka(told.flatten(1), mine.flatten(1)).item()
    objective = bound(context([mine], [told]), ratio=0.1, momentum=0.8)
    for times in range(1, 30):
        objective.follow(0, told, mine)
        assert ratios(objective) == pytest.approx([aligned + (0.1 - aligned) * 0.8**times], rel=1e-4)


def test_few_windows_say_nothing() -> None:
    for batch, moves in ((ENOUGH - 1, False), (ENOUGH, True)):
        given = context([draw(batch, 4, 6)], [draw(batch, 5, 6, seed=1)])
        objective = bound(given)
        objective(given)
        assert (ratios(objective) != [0.5]) == moves
    masked = context([draw(20, 4, 6)], [draw(20, 5, 6, seed=1)], {"teacher": torch.arange(20) < ENOUGH - 1})
    objective = bound(masked)
    objective(masked)
    assert ratios(objective) == [0.5], "windows that the teacher does not see do not count"


def test_every_stage_has_a_ratio_which_is_told_as_it_was_used() -> None:
    given = context([draw(20, 4, 6), draw(20, 4, 3)], [draw(20, 4, 6, seed=1), draw(20, 4, 3)])
    objective = bound(given, plain=True, ratio=0.4)
    first = objective(given)
    assert [first[f"ratio {place}"].item() for place in (1, 2)] == pytest.approx([0.4, 0.4])
    after = ratios(objective)
    assert after[1] == pytest.approx(0.9 * 0.4 + 0.1), "student and teacher are the same there"
    assert after[0] < 0.9 * 0.4 + 0.1
    second = objective(given)
    assert [second[f"ratio {place}"].item() for place in (1, 2)] == pytest.approx(after)
    still = bound(given, dynamic=False, ratio=0.4)
    still(given)
    assert ratios(still) == pytest.approx([0.4, 0.4])


# The mask


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("span", [1, 3])
def test_the_teachers_share_is_one_minus_the_ratio(ratio: float, span: int) -> None:
    objective = Prior(DPK(span=span))
    masks = [objective.from_teacher(10, torch.tensor(ratio), torch.Generator().manual_seed(seed)) for seed in range(3000)]
    share = torch.stack(masks).float().mean(0)
    assert share.tolist() == pytest.approx([1 - ratio] * 10, abs=4 * math.sqrt(ratio * (1 - ratio) / 3000))


def test_the_mask_is_a_function_of_seed_and_step() -> None:
    objective, ratio = Prior(DPK()), torch.tensor(0.5)
    given = [context([draw(2, 1, 1)], [draw(2, 1, 1)], step=step) for step in (3, 3, 4)]
    one, again, other = (objective.from_teacher(64, ratio, each.rng) for each in given)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_neighbouring_moments_stay_together() -> None:
    mask = Prior(DPK(span=4)).from_teacher(30, torch.tensor(0.5), torch.Generator().manual_seed(0))
    assert mask.shape == (30,)
    assert all(len(set(part.tolist())) == 1 for part in mask.split(4))
    assert mask.any()
    assert not mask.all()


# The loss


def test_all_teacher_is_no_task_and_all_student_is_the_whole() -> None:
    told, mine = draw(20, 4, 6), draw(20, 4, 6, seed=1).requires_grad_()
    given = context([mine], [told])
    assert bound(given, plain=True, ratio=0.0)(given)["prior"].tolist() == [0.0] * 20
    alone = bound(given, plain=True, ratio=1.0)(given)["prior"]
    torch.testing.assert_close(alone, (normal(mine) - normal(told)).square().mean((1, 2)))
    alone.sum().backward()
    assert mine.grad is not None
    assert (mine.grad.abs().amax((0, 1)) > 0).all(), "a gradient at every moment"


def test_no_gradient_where_the_teacher_stands_in() -> None:
    told, mine = draw(20, 4, 40).requires_grad_(), draw(20, 4, 40, seed=1).requires_grad_()
    given = context([mine], [told])
    objective = bound(given, plain=True, ratio=0.3)
    mask = objective.from_teacher(40, torch.tensor(0.3), context([mine], [told]).rng)
    loss = objective(given)["prior"]
    wanted = (normal(mine) - normal(told)).square().mean(1) * ~mask
    torch.testing.assert_close(loss, wanted.mean(1))
    loss.sum().backward()
    assert mine.grad is not None
    assert torch.equal(mine.grad.abs().sum((0, 1)) > 0, ~mask)
    assert told.grad is None, "the target is fixed"


def test_encoders_and_decoder_train() -> None:
    given = context([draw(20, 8, 10)], [draw(20, 6, 14, seed=1)])
    objective = bound(given, blocks=2)
    assert [len([m for m in part.modules() if isinstance(m, Block)]) for part in (objective.encode, objective.decode)] == [2, 2]
    objective(given)["prior"].sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in objective.parameters())
    for part in (objective.encode, objective.encode_teacher, objective.decode):
        assert any(parameter.grad.any() for parameter in part.parameters())


def test_nothing_drops_out_by_chance() -> None:
    given = context([draw(20, 8, 10)], [draw(20, 6, 10, seed=1)])
    objective = bound(given, dynamic=False, ratio=1.0)
    assert torch.equal(objective(given)["prior"], objective(given)["prior"])


@pytest.mark.parametrize(("width", "heads"), [(8, 4), (6, 2), (9, 1), (1, 1)])
@pytest.mark.parametrize(("time", "other"), [(10, 10), (10, 4), (4, 10), (7, 1)])
def test_any_width_and_length(width: int, heads: int, time: int, other: int) -> None:
    given = context([draw(16, width, time)], [draw(16, 5, other, seed=1)])
    objective = bound(given)
    assert {module.heads for module in objective.modules() if isinstance(module, Block)} == {heads}
    assert objective(given)["prior"].isfinite().all()
    assert objective(given)["prior"].shape == (16,)


@pytest.mark.parametrize(("mine", "told", "pairs"), [(3, 4, ([1, 2], [2, 3])), (2, 2, ([0, 1], [0, 1])), (3, 1, ([2], [0]))])
def test_the_last_two_stages_are_compared(mine: int, told: int, pairs: tuple[list[int], list[int]]) -> None:
    given = context([draw(2, 4, 4)] * mine, [draw(2, 4, 4)] * told)
    assert tuple(Prior(DPK()).stages(given, name) for name in ("student", "teacher")) == pairs


@pytest.mark.parametrize("blind", ["student", "teacher"])
def test_windows_that_somebody_does_not_see_count_zero(blind: str) -> None:
    there = torch.arange(20) % 3 > 0
    maps = [draw(20, 4, 6)], [draw(20, 4, 6, seed=1)]
    whole, part = (bound(given, plain=True)(given)["prior"] for given in (context(*maps), context(*maps, {blind: there})))
    assert part.tolist() == (whole * there).tolist()
    assert whole.all()


# The method


@pytest.mark.parametrize(
    ("options", "weights"),
    [(DPK(), {"ce": 1.0, "kl": 1.0, "prior": 1.0}), (DPK(weight=0.5, prior_weight=3.0), {"ce": 1.0, "kl": 0.5, "prior": 3.0})],
)
def test_weights(toy: Any, options: DPK, weights: dict[str, float]) -> None:
    (phase,) = toy.phases("dpk", toy.player(), toy.teacher(), options=options)
    assert phase.steps[0].weights == weights
    assert (options.temperature, options.ratio, options.momentum, options.heads, options.blocks) == (4.0, 0.5, 0.9, 4, 1)


@pytest.mark.parametrize(
    "options", [{"ratio": 1.1}, {"momentum": -0.1}, {"span": 0}, {"blocks": 0}, {"heads": 0}, {"prior_weight": -1.0}], ids=str
)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        DPK(**options)  # type: ignore[arg-type]


def test_without_teacher_it_is_ce_to_the_bit(toy: Any) -> None:
    ends = []
    for key, options in (("dpk", DPK(weight=0.0, prior_weight=0.0)), ("ce", CE())):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(key, student, toy.teacher() if key == "dpk" else None, options=options))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_features_are_completed_and_help_is_withdrawn(toy: Any) -> None:
    student, teacher = toy.player(sees="acc@25Hz"), toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=3))
    history = toy.fit(toy.phases("dpk", student, teacher, epochs=10))
    terms = [record["terms"] for record in history]
    assert terms[-1]["prior"] < 0.7 * terms[0]["prior"]
    assert set(terms[0]) == {"ce", "kl", "prior", "ratio 1", "ratio 2", "gradient norm"}
    assert all(0 <= each[f"ratio {place}"] <= 1 for each in terms for place in (1, 2))
    assert terms[-1]["ratio 2"] != terms[0]["ratio 2"]


@pytest.mark.parametrize("step", [1, 6])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Any, step: int) -> None:
    """Ratios and encoders with it."""

    def run(keeper: Any = None) -> dict[str, Tensor]:
        student = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))
        (phase,) = toy.phases("dpk", student, toy.teacher(), epochs=2)
        toy.fit([phase], keeper=keeper)
        return toy.state(student.net) | toy.state(phase.objective)

    assert toy.equal(*goes_on(run, step))
