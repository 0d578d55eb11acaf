"""Whom to follow is learned: the mixture by hand, what it reduces to, and that the adapter stays when it should."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harkd.augment import parse
from harkd.engine import Phase
from harkd.errors import UsageError
from harkd.losses import kl
from harkd.methods import METHODS
from harkd.methods.amtml import Guide, Mixture
from harkd.methods.method import in_turn, split_epochs, taught
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.optimiser import Optimiser
from harkd.options import AMTML, KD
from harkd.relations import rkd_angle, rkd_distance
from harkd.teachers import Adapter

TWO = ("teacher-1", "teacher-2")
ALONE = {"relation_weight": 0.0, "hint_weight": 0.0}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mixture(
    context: Callable[..., Context], teachers: dict[str, Tensor], logits: Tensor, options: AMTML, **more: Any
) -> tuple[Mixture, Context]:
    given = context({"student": Outputs(logits, (draw(len(logits), 5, 7),)), **teachers}, **more)
    objective = Mixture(tuple(teachers), options)
    objective.bind(given, None)  # type: ignore[arg-type]
    return objective, given


# The weights


def test_weights_are_a_softmax_of_products() -> None:
    adapter, sees = Adapter(2, 3), torch.ones(2, 2, dtype=torch.bool)
    adapter.vector.data, adapter.latents.data = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    found = adapter(torch.tensor([[1.0, 1.0, 1.0], [2.0, 0.5, 0.0]]), sees).exp()
    ahead = math.e / (1 + math.e)
    assert found.T.tolist() == [pytest.approx([0.5, 0.5]), pytest.approx([ahead, 1 - ahead])]  # scores 2, 2 and 2, 1


@pytest.mark.parametrize("zero", ["latents", "vector"])
@pytest.mark.parametrize("number", [2, 4])
def test_without_latents_or_vector_all_count_equally(zero: str, number: int) -> None:
    adapter, x = Adapter(number, 6), draw(10, 6)
    adapter.vector.data, adapter.latents.data = draw(6, seed=1), draw(number, 6, seed=2)
    sees = torch.ones(number, 10, dtype=torch.bool)
    assert (adapter(x, sees).exp().std(0) > 0.01).all()
    torch.testing.assert_close(adapter(x, sees).exp().sum(0), torch.ones(10))
    getattr(adapter, zero).data.zero_()
    assert torch.equal(adapter(x, sees), torch.full((number, 10), 1 / number).log())
    assert torch.equal(Adapter(number, 6)(x, sees), torch.full((number, 10), 1 / number).log()), "as it begins"


def test_who_does_not_see_a_window_has_no_weight() -> None:
    adapter = Adapter(3, 4)
    adapter.latents.data = draw(3, 4, seed=1)
    sees = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    found = adapter(draw(3, 4), sees).exp()
    assert torch.equal(found > 0, sees)
    torch.testing.assert_close(found.sum(0), torch.ones(3))
    assert adapter(draw(3, 4), torch.zeros(3, 3, dtype=torch.bool)).isfinite().all()


# The mixed answer


@pytest.mark.parametrize(("reduction", "divisor"), [("batchmean", 1), ("mean", 2)])
def test_the_mixture_by_hand(context: Callable[..., Context], reduction: Any, divisor: int) -> None:
    """Tempered answers (3/4, 1/4) and (1/4, 3/4) mix to (1/2, 1/2); its divergence from that of (2, 0) is 0.433781."""
    three = 5 * math.log(3)
    teachers = {TWO[0]: torch.tensor([[three, 0.0]]), TWO[1]: torch.tensor([[0.0, three]])}
    objective, given = mixture(context, teachers, torch.tensor([[10.0, 0.0]]), AMTML(reduction=reduction))
    assert objective(given)["kl"].item() == pytest.approx(25 * 0.433781 / divisor, rel=1e-5)


def test_equal_teachers_are_one_whatever_their_weights(context: Callable[..., Context]) -> None:
    told, mine = draw(8, 4, seed=1), draw(8, 4)
    objective, given = mixture(context, dict.fromkeys(TWO, told), mine, AMTML())
    objective.adapter.vector.data, objective.adapter.latents.data = draw(5, seed=2), draw(2, 5, seed=3)
    torch.testing.assert_close(objective(given)["kl"], kl(told, mine, 5.0))
    shares = [objective(given)[f"share {name}"].item() for name in TWO]
    assert abs(shares[0] - shares[1]) > 0.05
    assert sum(shares) == pytest.approx(1.0)


def test_a_student_who_gives_the_mixed_answer_has_nothing_to_learn(context: Callable[..., Context]) -> None:
    teachers = {name: draw(8, 4, seed=n) for n, name in enumerate(TWO, 1)}
    mixed = torch.stack([(each / 5).softmax(1) for each in teachers.values()]).mean(0)
    torch.testing.assert_close(mixed.sum(1), torch.ones(8))
    objective, given = mixture(context, teachers, 5 * mixed.log() + draw(8, 1), AMTML())
    for name in ("kl", "distance", "angle"):
        torch.testing.assert_close(objective(given)[name], torch.zeros_like(objective(given)[name]), rtol=0, atol=1e-5)


def test_relations_are_of_probabilities(context: Callable[..., Context]) -> None:
    told, mine = draw(8, 4, seed=1), draw(8, 4)
    objective, given = mixture(context, dict.fromkeys(TWO, told), mine, AMTML(temperature=2.0))
    pair = (told / 2).softmax(1), (mine / 2).softmax(1)
    torch.testing.assert_close(objective(given)["distance"], rkd_distance(*pair))
    torch.testing.assert_close(objective(given)["angle"], rkd_angle(*pair))
    assert "distance" not in mixture(context, dict.fromkeys(TWO, told), mine, AMTML(**ALONE))[0](given)


def test_windows_that_nobody_or_the_student_does_not_see(context: Callable[..., Context]) -> None:
    told, mine = draw(8, 4, seed=1), draw(8, 4)
    lacks = {"student": torch.arange(8) != 0, TWO[0]: torch.arange(8) > 1, TWO[1]: torch.arange(8) > 2}
    objective, given = mixture(context, dict.fromkeys(TWO, told), mine, AMTML(), masks=lacks)
    terms = objective(given)
    # The first window the student does not see; the second no teacher; the third one of them does.
    torch.testing.assert_close(terms["kl"], torch.where(torch.arange(8) > 1, kl(told, mine, 5.0), torch.zeros(8)))
    pair = (told[2:] / 5).softmax(1), (mine[2:] / 5).softmax(1)
    torch.testing.assert_close(terms["angle"], rkd_angle(*pair))


def test_the_ridge_is_of_all_that_the_weights_are_made_from(context: Callable[..., Context]) -> None:
    objective, given = mixture(context, dict.fromkeys(TWO, draw(3, 4)), draw(3, 4), AMTML())
    objective.adapter.vector.data, objective.adapter.latents.data = torch.full((5,), 2.0), torch.full((2, 5), -1.0)
    assert objective(given)["ridge"].item() == 5 * 4 + 10


# Hints


def test_a_hint_by_hand(context: Callable[..., Context]) -> None:
    """Columns (3, 4) and (0, 2) become (0.6, 0.8) and (0, 1); a projection to one channel that adds the two, against (1, 1)."""
    mine = torch.tensor([[[3.0, 0.0], [4.0, 2.0]]])
    outputs = {
        "student": Outputs(torch.zeros(1, 2), (mine, torch.zeros(1, 3, 3))),
        TWO[0]: Outputs(torch.zeros(1, 2), (torch.full((1, 1, 2), 9.0),)),
    }
    guide = Guide(TWO[0], 0)
    given = context(outputs)
    guide.bind(given, None)  # type: ignore[arg-type]
    (align,) = guide.aligns
    assert align.project.bias is None
    align.project.weight.data = torch.ones(1, 2, 1)
    assert guide(given)[f"hint {TWO[0]}"].tolist() == pytest.approx([(0.4**2 + 0.0) / 2])


@pytest.mark.parametrize(("stages", "wanted"), [((), [0, 1]), ((1, 0), [1, 0]), ((-1, -1), [1, 1])])
def test_which_stage_each_teacher_guides(toy: Any, stages: tuple[int, ...], wanted: list[int]) -> None:
    teachers = {name: toy.teacher(seed) for seed, name in enumerate(TWO)}
    phases = METHODS["amtml"]({"student": toy.player(), **teachers}, AMTML(student_stages=stages), toy.plan(epochs=5))
    toy.fit(phases)
    hints = phases[0].objective.objectives[2:]
    assert [hint.aligns[0].project.weight.shape[1] for hint in hints] == [8 if place == 0 else 16 for place in wanted]
    assert all(hint is again for hint, again in zip(hints, phases[1].objective.objectives[2:], strict=True)), "they learn on"


def test_more_teachers_than_stages(toy: Any) -> None:
    teachers = {f"teacher-{n}": toy.teacher(n) for n in (1, 2, 3, 4)}
    phases = METHODS["amtml"]({"student": toy.player(), **teachers}, AMTML(), toy.plan(epochs=5))
    assert [hint.given["student"] for hint in phases[0].objective.objectives[2:]] == [(-2,), (-2,), (-2,), (-1,)]


@pytest.mark.parametrize(
    ("options", "number", "says"),
    [
        (AMTML(), 1, "^amtml needs at least two teachers, got one$"),
        (AMTML(student_stages=(0,)), 2, "^amtml: 2 teachers guide a stage of the student each; got 1 student_stages$"),
        (AMTML(student_stages=(0, 7)), 2, "^a hint needs stage 7 of 'student', whose net has 2 stages with features$"),
    ],
)
def test_what_cannot_be_is_said_before_the_first_batch(toy: Any, options: AMTML, number: int, says: str) -> None:
    names = [f"teacher-{n}" for n in range(1, number + 1)] if number > 1 else ["teacher"]
    with pytest.raises(UsageError, match=says):
        toy.fit(METHODS["amtml"]({"student": toy.player(), **{name: toy.teacher() for name in names}}, options, toy.plan()))


# Whole runs


def test_both_phases_take_the_epochs_of_the_plan(toy: Any) -> None:
    teachers = {name: toy.teacher(seed) for seed, name in enumerate(TWO)}
    for share, wanted in ((0.2, [("adapt", 2), ("distil", 8)]), (0.0, [("distil", 10)])):
        phases = METHODS["amtml"]({"student": toy.player(), **teachers}, AMTML(adapter_share=share), toy.plan(epochs=10))
        assert [(phase.name, phase.epochs) for phase in phases] == wanted
        rest = {"ce": pytest.approx(0.3), "kl": 1.4, "distance": 1.0, "angle": 1.0, "hint teacher-1": 1.0, "hint teacher-2": 1.0}
        assert phases[-1].steps[0].weights == rest
        assert len(phases) == 1 or phases[0].steps[0].weights == {**rest, "ridge": 0.1}


def kd_with(toy: Any, player: Any, plan: Any) -> Phase:
    """Plain distillation with the constants of this method."""
    return taught({"student": player, "teacher": toy.teacher()}, KD(weight=0.7, temperature=5.0), plan, weights={"kl": 1.4})


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_with_one_teacher_it_is_kd_with_the_same_constants(toy: Any, share: float, draws: int, dropout: float) -> None:
    """To the bit, with the adapter and without; the ridge is no business of the student's."""
    ends = []
    for mine in (True, False):
        student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
        plan = toy.plan(epochs=5, draws=draws, optimiser=Optimiser(rate=0.01, clip=0.0))
        if mine:
            phases = METHODS["amtml"].recipe(
                {"student": student, "teacher": toy.teacher()}, AMTML(adapter_share=share, **ALONE), plan
            )
        elif share:
            phases = [kd_with(toy, student, plan), kd_with(toy, student, plan)]
            phases[0].epochs, phases[1].epochs = split_epochs(plan, share, 1 - share)
            phases[0].name = "adapt"
            phases = in_turn(phases, plan)
        else:
            phases = [kd_with(toy, student, plan)]
        history = toy.fit(phases)
        ends.append((toy.state(student.net), [(r["terms"]["kl"], r["terms"]["ce"], r["scores"]) for r in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_the_adapter_learns_and_then_stays(toy: Any) -> None:
    student, teachers = toy.player(), {name: toy.teacher(seed) for seed, name in enumerate(TWO)}
    phases = METHODS["amtml"]({"student": student, **teachers}, AMTML(adapter_share=0.5), toy.plan(epochs=4))
    seen: list[dict[str, Tensor]] = []
    mixture = phases[0].objective.objectives[0]
    for phase in phases:
        phase.objective.register_forward_pre_hook(lambda module, given: seen.append(toy.state(mixture.adapter)))
    toy.fit(phases)
    assert len(seen) == 16
    start, middle, end = seen[0], seen[8], toy.state(mixture.adapter)
    assert torch.equal(start["latents"], torch.zeros(2, 16))
    assert all(not torch.equal(start[name], middle[name]) for name in start)
    assert all(toy.equal(each, middle) for each in seen[8:])
    assert toy.equal(end, middle)
    assert not any(parameter.requires_grad for parameter in mixture.adapter.parameters())
    assert phases[1].objective.objectives[0].learned is mixture


def test_a_teacher_who_is_right_comes_to_count_more(toy: Any, saying: Callable[[Tensor], Any]) -> None:
    """One is always right; the other is wrong about every second window, which nobody can foresee."""
    y = toy.train.labels
    half = torch.arange(len(y)) % 2 == 1
    right, wrong = (6.0 * one_hot(answers, 3).float() for answers in (y, torch.where(half, (y + 1) % 3, y)))
    for seed in range(3):
        students = {"student": toy.player(seed=seed), TWO[0]: saying(right), TWO[1]: saying(wrong)}
        phases = METHODS["amtml"](students, AMTML(adapter_share=0.9, hint_weight=0.0), toy.plan(epochs=10))
        toy.fit(phases[:1], validation=None)
        maps = students["student"].answer(toy.train.gather(torch.arange(len(y)))).features[-1]
        found = phases[0].objective.objectives[0].adapter(maps.amax(2), torch.ones(2, len(y), dtype=torch.bool)).exp()
        assert found[0, half].mean().item() > 0.6


@pytest.mark.parametrize("step", [3, 8, 9, 13])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Callable[..., Any], step: int) -> None:
    """4 steps an epoch; two epochs with the adapter, two without."""

    def run(keeper: Any) -> dict[str, Tensor]:
        student = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))
        teachers = {name: toy.teacher(seed) for seed, name in enumerate(TWO)}
        phases = METHODS["amtml"]({"student": student, **teachers}, AMTML(adapter_share=0.5), toy.plan(epochs=4))
        toy.fit(phases, keeper=keeper)
        return toy.state(student.net) | {f"objective {name}": each for name, each in toy.state(phases[1].objective).items()}

    assert toy.equal(*goes_on(run, step))
