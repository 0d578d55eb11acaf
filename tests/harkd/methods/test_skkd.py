"""Windows that are alike to a teacher, in three forms: worked values, NumPy beside them, what drops out, and whole runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harkd.augment import Batch, parse
from harkd.errors import UsageError
from harkd.methods.skkd import FORMS
from harkd.nets import Outputs
from harkd.objectives import Context, MapRelation
from harkd.options import CE, KD, SKKD, SP
from harkd.player import Player
from harkd.relations import correlation_gram, cosine_gram, gram_distance, similarity_gram
from harkd.schedule import Progress

every = pytest.mark.parametrize("form", FORMS)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def distance(form: str, told: Tensor, mine: Tensor) -> float:
    return float(gram_distance(told, mine, FORMS[form]))


# The matrices


def test_correlations_of_a_worked_example() -> None:
    """A teacher for whom two trials go together, and a student for whom they go against each other: (2^2 + 2^2) / 4."""
    told = torch.tensor([[[1.0, 2.0, 3.0]], [[2.0, 4.0, 6.0]]])
    mine = torch.tensor([[[1.0, 2.0, 3.0, 4.0]], [[9.0, 8.0, 7.0, 6.0]]])
    torch.testing.assert_close(correlation_gram(told), torch.ones(2, 2))
    torch.testing.assert_close(correlation_gram(mine), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    assert distance("maps", told, mine) == pytest.approx(2.0)


def test_cosines_of_a_worked_example() -> None:
    told = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).double()[:, None]
    mine = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).double()[:, None]
    assert distance("cosine", told, mine) == pytest.approx(0.444444, rel=1e-5)
    assert float((cosine_gram(told) - cosine_gram(mine)).square().sum()) == pytest.approx(4.0)


def test_products_of_a_worked_example() -> None:
    """Rows (1, 0, 1), (0, 1, 1) and (1, 1, 2), each at length 1."""
    told = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[:, None]
    wanted = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0]]) / torch.tensor([[2.0], [2.0], [6.0]]).sqrt()
    torch.testing.assert_close(similarity_gram(told), wanted)


def reference(form: str, maps: Tensor) -> np.ndarray:
    x = maps.numpy()
    if form == "maps":
        return np.mean([np.corrcoef(x[:, k]) for k in range(x.shape[1])], axis=0)
    flat = x.reshape(len(x), -1)
    if form == "cosine":
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return flat @ flat.T
    gram = flat @ flat.T
    return gram / np.linalg.norm(gram, axis=1, keepdims=True)


@every
def test_numpy_says_the_same_of_nets_of_other_width_and_length(form: str) -> None:
    told, mine = 2 + draw(7, 5, 40), draw(7, 3, 26, seed=1)
    np.testing.assert_allclose(FORMS[form](told).numpy(), reference(form, told), rtol=1e-10, atol=1e-12)
    wanted = np.mean((reference(form, told) - reference(form, mine)) ** 2)
    assert distance(form, told, mine) == pytest.approx(wanted, rel=1e-10)


@every
def test_equal_features_have_no_distance_at_all(form: str) -> None:
    maps = draw(6, 4, 20).float()
    assert distance(form, maps, maps.clone()) == 0.0


def test_gain_and_offset_of_a_map_drop_out() -> None:
    maps = draw(6, 4, 20)
    gain, offset = draw(6, 4, 1, seed=1).exp(), 10 * draw(6, 4, 1, seed=2)
    assert distance("maps", maps, gain * maps + offset) < 1e-25
    assert distance("sp", maps, gain * maps + offset) > 1e-3
    assert distance("cosine", maps, gain * maps + offset) > 1e-3


@pytest.mark.parametrize(("form", "factors"), [("maps", (3.0, 1e-4)), ("sp", (3.0, -2.0, 1e-4)), ("cosine", (3.0, -2.0, 1e-4))])
def test_one_factor_for_all_features_drops_out(form: str, factors: tuple[float, ...]) -> None:
    maps = draw(6, 4, 20)
    assert all(distance(form, maps, factor * maps) < 1e-25 for factor in factors)


@every
def test_the_order_of_a_batch_does_not_matter(form: str) -> None:
    told, mine, order = draw(6, 4, 20), draw(6, 3, 11, seed=1), torch.tensor([3, 0, 5, 1, 4, 2])
    assert distance(form, told[order], mine[order]) == pytest.approx(distance(form, told, mine), rel=1e-12)
    assert distance(form, told[order], mine) != pytest.approx(distance(form, told, mine), rel=1e-3)


@every
def test_one_window_alone_has_nothing_to_be_alike_to(form: str) -> None:
    assert distance(form, draw(1, 4, 20), draw(1, 3, 11, seed=1)) == pytest.approx(0.0, abs=1e-25)
    assert distance(form, draw(0, 4, 20), draw(0, 3, 11)) == 0.0


@every
@pytest.mark.parametrize("level", [0.0, 0.1, -1234.567])
def test_what_is_constant_says_nothing_and_harms_nothing(form: str, level: float) -> None:
    maps = draw(5, 4, 562).float()
    maps[:, 1] = level  # a map that is dead in all windows
    maps[2] = level  # a window of which no map says anything
    maps.requires_grad_()
    gram = FORMS[form](maps)
    assert gram.isfinite().all()
    if form == "maps":
        assert not gram[2].any(), "and rounding is not taken for a signal"
        assert gram.diagonal().tolist() == pytest.approx([0.75, 0.75, 0.0, 0.75, 0.75])
    gram_distance(draw(5, 3, 20).float(), maps, FORMS[form]).backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    assert maps.grad.abs().max() < 10
    if form == "maps":
        assert not maps.grad[2].any()


def test_a_small_signal_on_a_large_offset_is_a_signal() -> None:
    maps = draw(5, 4, 200).float()
    torch.testing.assert_close(correlation_gram(maps + 500), correlation_gram(maps), rtol=0, atol=1e-3)


def test_maps_of_one_moment_are_correlated_along_their_channels() -> None:
    maps = draw(5, 30, 1)
    np.testing.assert_allclose(correlation_gram(maps).numpy(), np.corrcoef(maps[..., 0].numpy()), rtol=1e-10, atol=1e-12)


@every
def test_gradients_are_those_of_finite_differences(form: str) -> None:
    mine = draw(4, 3, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(gram_distance, draw(4, 2, 5), gram=FORMS[form]), mine)


@every
def test_stacked_batches_are_compared_each_for_itself(form: str) -> None:
    told, mine = draw(2, 5, 4, 20), draw(2, 5, 3, 11, seed=1)
    each = [distance(form, *pair) for pair in zip(told, mine, strict=True)]
    assert gram_distance(told, mine, FORMS[form]).tolist() == pytest.approx(each, rel=1e-12)


# The objective


def context(mine: list[Tensor], told: list[Tensor], masks: dict[str, Tensor] | None = None) -> Context:
    number = torch.arange(len(mine[0]))
    outputs = {name: Outputs(torch.zeros(2, 3), tuple(maps)) for name, maps in (("student", mine), ("teacher", told))}
    return Context(Batch({}, {"y": number}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y", masks=masks or {})


def of_phase(toy: Any, key: str, options: Any = None) -> MapRelation:
    (phase,) = toy.phases(key, toy.player(), toy.teacher(), options=options)
    (found,) = (part for part in phase.objective.modules() if isinstance(part, MapRelation))
    return found


@pytest.mark.parametrize(
    ("key", "options", "mine", "told", "pairs"),
    [
        ("skkd", SKKD(), 3, 4, [(1, 2), (2, 3)]),
        ("skkd", SKKD(), 2, 2, [(0, 0), (1, 1)]),
        ("skkd", SKKD(), 3, 1, [(2, 0)]),
        ("skkd", SKKD(student_stages=(0, -1, 1), teacher_stages=(3, 3, -4)), 3, 4, [(0, 3), (2, 3), (1, 0)]),
        ("sp", SP(), 3, 4, [(2, 3)]),
        ("sp", SP(student_stages=(0,), teacher_stages=(1,)), 3, 4, [(0, 1)]),
    ],
)
def test_the_last_maps_are_compared_or_those_that_are_named(
    toy: Any, key: str, options: Any, mine: int, told: int, pairs: list[tuple[int, int]]
) -> None:
    """EEG nets have two maps: the ones that the authors' code compares."""
    maps = [draw(6, 2 + k, 20, seed=k) for k in range(mine)], [draw(6, 3 + k, 31, seed=9 + k) for k in range(told)]
    form = "sp" if key == "sp" else "maps"
    wanted = sum(distance(form, maps[1][theirs], maps[0][ours]) for ours, theirs in pairs)
    objective = of_phase(toy, key, options)
    given = context(*maps)
    objective.bind(given, None)  # type: ignore[arg-type]
    assert objective(given)["similarity"].item() == pytest.approx(wanted, rel=1e-5)
    assert not list(objective.parameters())


@every
@pytest.mark.parametrize("blind", ["student", "teacher"])
def test_windows_that_somebody_does_not_see_are_compared_with_none(toy: Any, form: Any, blind: str) -> None:
    mine, told, there = draw(5, 3, 20), draw(5, 4, 11, seed=1), torch.tensor([True, False, True, True, False])
    objective = of_phase(toy, "skkd", SKKD(form=form))
    given = objective(context([mine], [told], {blind: there}))["similarity"]
    assert given.shape == ()
    assert given.item() == pytest.approx(distance(form, told[there], mine[there]), rel=1e-5)
    assert objective(context([mine], [told], {blind: there & False}))["similarity"].item() == 0


def test_a_stage_that_is_not_there(toy: Any) -> None:
    objective = of_phase(toy, "skkd", SKKD(student_stages=(2,), teacher_stages=(0,)))
    with pytest.raises(UsageError, match=r"stage 2 of 'student', whose net has 2 stages with features$"):
        objective.bind(context([draw(2, 1, 4)] * 2, [draw(2, 1, 4)]), None)  # type: ignore[arg-type]


# The methods


@pytest.mark.parametrize(
    ("key", "options", "weights"),
    [
        ("skkd", None, {"ce": 0.1, "kl": 0.9, "similarity": 450.0}),
        ("skkd", SKKD(weight=0.5, similarity_weight=7.0), {"ce": 0.5, "kl": 0.5, "similarity": 7.0}),
        ("sp", None, {"ce": 0.1, "kl": 0.9, "similarity": 1000.0}),
    ],
)
def test_weights(toy: Any, key: str, options: Any, weights: dict[str, float]) -> None:
    (phase,) = toy.phases(key, toy.player(), toy.teacher(), options=options)
    (step,) = phase.steps
    assert step.weights == pytest.approx(weights)
    assert SKKD().temperature == 4.0


@pytest.mark.parametrize("make", [SKKD, SP])
@pytest.mark.parametrize("options", [{"similarity_weight": -1.0}, {"weight": 1.5}, {"temperature": 0.0}], ids=str)
def test_options_out_of_range(make: Callable[..., object], options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        make(**options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("skkd", SKKD(similarity_weight=0.0)), ("kd", KD()), id="skkd without similarities is kd"),
        pytest.param(("sp", SP(similarity_weight=0.0)), ("kd", KD()), id="sp without similarities is kd"),
        pytest.param(("sp", SP(weight=0.0, similarity_weight=0.0)), ("ce", CE()), id="sp without teacher is ce"),
        pytest.param(
            ("sp", SP(similarity_weight=450.0)),
            ("skkd", SKKD(form="sp", student_stages=(-1,), teacher_stages=(-1,))),
            id="sp is one form of skkd",
        ),
    ],
)
def test_equal_methods_are_equal_to_the_bit(toy: Any, one: Any, other: Any) -> None:
    ends = []
    for key, options in (one, other):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(key, student, None if key == "ce" else toy.teacher(), options=options))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_a_teacher_does_not_drop_out_and_keeps_its_statistics(toy: Any) -> None:
    ends = []
    for dropout in (0.0, 0.9):
        student, teacher = toy.player(), toy.player(toy.net(width=12, dropout=dropout, seed=100))
        before = toy.state(teacher.net)
        toy.fit(toy.phases("skkd", student, teacher))
        assert toy.equal(toy.state(teacher.net), before)
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


@pytest.mark.parametrize("form", ["maps", "sp", "cosine"])
def test_similarities_are_learned(toy: Any, form: Any) -> None:
    student, teacher = toy.player(sees="acc@25Hz"), toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=3))
    history = toy.fit(toy.phases("skkd", student, teacher, options=SKKD(form=form), epochs=8))
    terms = [record["terms"]["similarity"] for record in history]
    assert terms[-1] < 0.7 * terms[0]


@pytest.mark.parametrize("student", ["sccnet", "shallowconvnet", "eegnet-4-2", "dscnn-xs"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_net_of_all_channels_teaches_nets_of_few(toy: Any, student: str, precision: Any) -> None:
    teacher = Player.create("sccnet", "all", toy.train, name="teacher")
    pupil = Player.create(student, "acc[x]", toy.train)
    start = toy.state(pupil.net)
    history = toy.fit(toy.phases("skkd", pupil, teacher), precision=precision)
    assert all(math.isfinite(number) for record in history for number in record["terms"].values())
    assert all(not torch.equal(tensor, start[name]) for name, tensor in pupil.net.named_parameters())
