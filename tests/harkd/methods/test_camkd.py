"""Several teachers and what each of them weighs: CA-MKD, and the mean, entropies and gradients as baselines."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods import METHODS
from harkd.methods.aekd import ByGradient
from harkd.methods.camkd import ByLoss, Maps, confidence
from harkd.methods.ebkd import ByEntropy
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import AEKD, CAMKD, EBKD, Average
from harkd.schedule import Progress, value
from harkd.teachers import Weighted, latest, seeing, trust

TWO, THREE = ("teacher-1", "teacher-2"), ("teacher-1", "teacher-2", "teacher-3")
KEYS = ("average", "ebkd", "aekd", "camkd")


def everybody(number: int, batch: int = 1) -> Tensor:
    return torch.ones(number, batch, dtype=torch.bool)


def weights(objective: Weighted, given: Context) -> list[list[float]]:
    told = torch.stack([given.outputs[name].logits for name in objective.teachers])
    return objective.weigh(given, told, seeing(given, objective.teachers)).T.tolist()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# CA-MKD


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ([0.0, math.log(2), math.log(3)], [5 / 12, 4 / 12, 3 / 12]),
        ([0.7, 0.7, 0.7, 0.7], [0.25] * 4),
        ([0.5, 1e4], [1.0, 0.0]),
        ([1e4, 0.0, 1e4], [0.25, 0.5, 0.25]),
    ],
)
def test_confidence(loss: list[float], wanted: list[float]) -> None:
    # The softmax of the first row is (1, 2, 3) / 6; what is left to 1 is shared by one less than three.
    found = confidence(torch.tensor(loss)[:, None].double(), everybody(len(loss)))
    assert found[:, 0].tolist() == pytest.approx(wanted, rel=1e-6)


def test_the_label_decides_whom_to_trust(context: Callable[..., Context]) -> None:
    """Losses of ln 2 and ln 3, then the other way round; with half a label of each class, of ln 2 and ln(9 / 2) / 2."""
    half, third = ([math.log(share), math.log(1 - share)] for share in (1 / 2, 1 / 3))
    outputs = {"student": torch.zeros(2, 2), "teacher-1": [half, third], "teacher-2": [third, half]}
    one, other = weights(ByLoss(TWO, CAMKD()), context(outputs, [0, 0]))
    assert (one, other) == (pytest.approx([3 / 5, 2 / 5]), pytest.approx([2 / 5, 3 / 5]))
    one, other = weights(ByLoss(TWO, CAMKD()), context(outputs, torch.full((2, 2), 0.5)))
    share = 2 / (2 + math.sqrt(4.5))
    assert (one, other) == (pytest.approx([1 - share, share]), pytest.approx([share, 1 - share]))


def test_who_does_not_see_a_window_has_no_weight(context: Callable[..., Context]) -> None:
    logits = torch.zeros(4, 2)
    masks = {"teacher-1": [False, False, True, False], "teacher-2": [True, False, True, False]}
    given = context({"student": logits, **dict.fromkeys(THREE, logits)}, masks={n: torch.tensor(m) for n, m in masks.items()})
    given.masks = {**given.masks, "teacher-3": torch.tensor([True, True, True, False])}
    wanted = [[0, 0.5, 0.5], [0, 0, 1], [1 / 3] * 3, [0, 0, 0]]
    for objective in (Weighted(THREE, Average()), ByEntropy(THREE, EBKD()), ByLoss(THREE, CAMKD())):
        assert weights(objective, given) == [pytest.approx(row) for row in wanted]
        assert objective(given)["kl"].isfinite().all()


def test_of_teachers_who_say_the_same_the_weights_do_not_matter(context: Callable[..., Context]) -> None:
    told, mine = draw(5, 4), draw(5, 4, seed=1)
    given = context({"student": mine, **dict.fromkeys(THREE, told)}, [0, 1, 2, 3, 0])
    for objective in (Weighted(THREE, Average()), ByEntropy(THREE, EBKD()), ByLoss(THREE, CAMKD()), ByGradient(THREE, AEKD())):
        torch.testing.assert_close(objective(given)["kl"], kl(told, mine, 4.0))


def test_the_reduction_divides_by_the_classes(context: Callable[..., Context]) -> None:
    given = context({"student": draw(5, 4), **{name: draw(5, 4, seed=n) for n, name in enumerate(THREE, 1)}})
    one, other = (Weighted(THREE, Average(reduction=word))(given)["kl"] for word in ("batchmean", "mean"))
    torch.testing.assert_close(other, one / 4)


def phase_of(toy: Any, options: CAMKD, number: int = 2) -> Any:
    players = {f"teacher-{place}": toy.teacher(place) for place in range(1, number + 1)}
    (phase,) = METHODS["camkd"]({"student": toy.player(), **players}, options, toy.plan(epochs=3))
    return phase


@pytest.mark.parametrize("number", [2, 4])
def test_maps_count_from_the_second_epoch_on(toy: Any, number: int) -> None:
    """The released code divides by the number of teachers what is a weighted mean already."""
    for options, share in ((CAMKD(), 1.0), (CAMKD(as_released=True), 1 / number)):
        (step,) = phase_of(toy, options, number).steps
        each = [
            {name: value(weight, Progress(epoch, 3, epoch, 3)) for name, weight in step.weights.items()} for epoch in range(3)
        ]
        assert each == [{"ce": 1.0, "kl": share, "maps": maps * share} for maps in (0.0, 50.0, 50.0)]


def test_without_maps_nobody_is_asked_for_them(toy: Any) -> None:
    phase = phase_of(toy, CAMKD(feature_weight=0.0))
    assert phase.objective.needs == {"logits"}
    assert set(phase.steps[0].weights) == {"ce", "kl"}


def maps_of(context: Callable[..., Context], lengths: tuple[int, ...], options: CAMKD, seed: int = 0) -> tuple[Maps, Context]:
    """A student's map of 8 moments and teachers' of some lengths; adapters that change nothing; heads that sum over time."""
    names = tuple(f"teacher-{length}" for length in lengths)
    maps = {"student": draw(3, 2, 8, seed=seed), **{name: draw(3, 2, n, seed=n) for name, n in zip(names, lengths, strict=True)}}
    outputs = {name: Outputs(torch.zeros(3, 2), (torch.zeros(3, 9, 9), each)) for name, each in maps.items()}
    net = SimpleNamespace(head=lambda x: (x.sum(2), None))
    given = context(outputs, [0, 1, 0], nets=dict.fromkeys(names, net))
    objective = Maps(names, options)
    objective.bind(given, None)  # type: ignore[arg-type]
    objective.adapters = nn.ModuleList([nn.Identity() for _ in names])
    return objective, given


def test_maps_by_hand(context: Callable[..., Context]) -> None:
    objective, given = maps_of(context, (8, 4), CAMKD())
    mine, (one, other) = given.outputs["student"].features[-1], (given.outputs[name].features[-1] for name in objective.teachers)
    half = mine.unflatten(2, (4, 2)).mean(3)
    losses = torch.stack([-x.sum(2).log_softmax(1)[torch.arange(3), torch.tensor([0, 1, 0])] for x in (mine, half)])
    weight = 1 - losses.softmax(0)
    errors = torch.stack([(mine - one).square().mean((1, 2)), (half - other).square().mean((1, 2))])
    torch.testing.assert_close(objective(given)["maps"], (weight * errors).sum(0))


def test_the_order_of_teachers_matters_only_as_released(context: Callable[..., Context]) -> None:
    """The released code resizes the map that was resized for the teacher before: averaged to 2 moments, then stretched to 8."""
    found = {}
    for released in (False, True):
        for lengths in ((8, 2), (2, 8)):
            objective, given = maps_of(context, lengths, CAMKD(as_released=released))
            found[released, lengths] = objective(given)["maps"]
    torch.testing.assert_close(found[False, (8, 2)], found[False, (2, 8)])
    torch.testing.assert_close(found[True, (8, 2)], found[False, (8, 2)])
    assert not torch.allclose(found[True, (2, 8)], found[True, (8, 2)])


def test_gradients_pass_through_the_weights_only_as_released(context: Callable[..., Context]) -> None:
    """As our design has it, the gradient is that of the errors under constant weights."""
    found = {}
    for released in (False, True):
        objective, given = maps_of(context, (8, 8), CAMKD(as_released=released))
        objective.adapters = nn.ModuleList([nn.Conv1d(2, 2, 1, bias=False) for _ in range(2)])
        for number, adapter in enumerate(objective.adapters):
            adapter.weight.data = draw(2, 2, 1, seed=number)
        objective(given)["maps"].sum().backward()
        found[released] = torch.stack([adapter.weight.grad for adapter in objective.adapters])
        guesses = [adapter(given.outputs["student"].features[-1]) for adapter in objective.adapters]
        losses = [-x.sum(2).log_softmax(1)[torch.arange(3), torch.tensor([0, 1, 0])] for x in guesses]
        weight = (1 - torch.stack(losses).softmax(0)).detach()
        told = [given.outputs[name].features[-1] for name in objective.teachers]
        errors = torch.stack([(x - y).square().mean((1, 2)) for x, y in zip(guesses, told, strict=True)])
        wanted = torch.autograd.grad((weight * errors).sum(), [adapter.weight for adapter in objective.adapters])
        assert torch.allclose(found[released], torch.stack(wanted)) is not released


@pytest.mark.parametrize("adapter", ["conv", "bottleneck"])
def test_adapters_lead_to_each_teachers_width(context: Callable[..., Context], adapter: Any) -> None:
    outputs = {"student": Outputs(torch.zeros(3, 2), (draw(3, 5, 8),))}
    outputs |= {name: Outputs(torch.zeros(3, 2), (draw(3, width, 4),)) for name, width in zip(TWO, (6, 1), strict=True)}
    objective = Maps(TWO, CAMKD(adapter=adapter))
    objective.bind(context(outputs), None)  # type: ignore[arg-type]
    found = [each(draw(3, 5, 4)) for each in objective.adapters]
    assert [tuple(each.shape) for each in found] == [(3, 6, 4), (3, 1, 4)]
    assert all((each >= 0).all() for each in found), "they end in ReLU"
    inner = 5 * 2 + 3 * 2 * 2 + 2 * (2 + 2)  # half as wide as the student's map
    wanted = {"conv": [5 * 6 + 2 * 6, 5 + 2], "bottleneck": [inner + 2 * 6 + 2 * 6, inner + 2 + 2]}
    assert [sum(p.numel() for p in each.parameters()) for each in objective.adapters] == wanted[adapter]


def test_adapters_are_trained_and_heads_are_not(toy: Any) -> None:
    phase = phase_of(toy, CAMKD())
    before = {name: toy.state(player.net) for name, player in phase.players.items()}
    toy.fit([phase])
    for name, adapter in zip(TWO, phase.objective.objectives[2].adapters, strict=True):
        assert not torch.equal(adapter[1].weight, torch.ones(24)), "batch norm begins with ones"
        assert toy.equal(toy.state(phase.players[name].net), before[name])
        assert all(parameter.grad is None for parameter in phase.players[name].net.parameters())


# All of them


@pytest.mark.parametrize("key", KEYS)
def test_one_teacher_is_too_few(toy: Any, key: str) -> None:
    with pytest.raises(UsageError, match=f"^{key} needs at least two teachers, got one$"):
        METHODS[key]({"student": toy.player(), "teacher": toy.teacher()})


@pytest.mark.parametrize("key", KEYS)
def test_the_history_says_what_each_teacher_weighed(toy: Any, key: str) -> None:
    teachers = {name: toy.teacher(seed) for seed, name in enumerate(THREE)}
    history = toy.fit(METHODS[key]({"student": toy.player(), **teachers}, plan=toy.plan()))
    for record in history:
        shares = [record["terms"][f"share {name}"] for name in THREE]
        assert sum(shares) == pytest.approx(1.0)
        assert min(shares) >= 0


def test_shares_that_are_all_zero_blame_nobody() -> None:
    assert trust(torch.zeros(3, 1), everybody(3))[:, 0].tolist() == pytest.approx([1 / 3] * 3)


def test_of_a_window_that_stands_twice_in_a_batch_the_last_place_counts() -> None:
    assert latest(torch.tensor([4, 7, 4, 9, 7, 7])).tolist() == [2, 5, 2, 3, 5, 5]
