"""Teachers who join one by one, and a choice for each window: the table of choices, the stages, and what it reduces to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, one_hot

from harkd.augment import parse
from harkd.datasets import IGNORE
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.methods import METHODS
from harkd.methods.pskd import Chosen
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import KD, PSKD

TWO, THREE = ("teacher-1", "teacher-2"), ("teacher-1", "teacher-2", "teacher-3")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def chooses(knows: list[float], right: list[bool], mine: float, sees: list[bool] | None = None, **more: Any) -> list[float]:
    """The shares of the teachers, of one window."""
    columns = [torch.tensor(values)[:, None] for values in (right, knows, sees or [True] * len(knows))]
    chosen = Chosen(THREE[: len(knows)], PSKD(**more))
    return chosen.choose(columns[0], columns[1], torch.tensor([mine]), columns[2])[:, 0].tolist()


@pytest.mark.parametrize(
    ("knows", "right", "mine", "wanted"),
    [
        pytest.param([0.9, 0.6], [True, True], 0.3, [1, 0], id="both are right"),
        pytest.param([0.6, 0.9], [True, True], 0.3, [0, 1], id="the second knows better"),
        pytest.param([0.4, 0.45], [True, True], 0.3, [0, 0], id="nobody is sure enough"),
        pytest.param([0.45, 0.4], [False, True], 0.1, [0, 0], id="the one who knows best is wrong"),
        pytest.param([0.5, 0.5], [False, True], 0.1, [0, 0], id="the one who knows best is wrong, though sure enough"),
        pytest.param([0.9, 0.6], [True, True], 0.95, [0, 0], id="the student knows better"),
        pytest.param([0.9, 0.6], [True, True], 0.9, [1, 0], id="the student knows as well"),
        pytest.param([0.5, 0.5], [True, True], 0.2, [1, 0], id="equal to the level, and to each other"),
    ],
)
def test_the_table_of_choices(knows: list[float], right: list[bool], mine: float, wanted: list[float]) -> None:
    assert chooses(knows, right, mine) == wanted


def test_only_those_who_see_the_window_are_chosen() -> None:
    assert chooses([0.9, 0.6], [True, True], 0.3, [False, True]) == [0, 1]
    assert chooses([0.9, 0.6], [True, True], 0.3, [False, False]) == [0, 0]
    assert chooses([0.9, 0.6], [True, True], 0.3, [False, False], confidence=0.0) == [0, 0]


def test_soft_choices() -> None:
    """Softmax of (0.9, 0.6, 0.5), the last being the label's."""
    whole = sum(map(math.exp, (0.9, 0.6, 0.5)))
    assert chooses([0.9, 0.6], [True, False], 1.0, soft=True) == pytest.approx([math.exp(0.9) / whole, math.exp(0.6) / whole])
    left = math.exp(0.6) + math.exp(0.5)
    assert chooses([0.9, 0.6], [True, True], 1.0, [False, True], soft=True) == pytest.approx([0, math.exp(0.6) / left])


def bound(context: Callable[..., Context], options: PSKD, y: Any, **more: Any) -> tuple[Chosen, Context]:
    """Two teachers who are sure of class 0 and of class 1, and a student of doubt."""
    sure = {TWO[0]: [2.0, 0.0], TWO[1]: [0.0, 3.0]}
    outputs = {
        name: Outputs(torch.tensor([logits] * 3), embedding=draw(3, 4, seed=n)) for n, (name, logits) in enumerate(sure.items())
    }
    outputs["student"] = Outputs(torch.tensor([[0.0, 0.0], [0.0, 4.0], [0.5, 0.0]]), embedding=draw(3, 2, seed=9))
    given = context(outputs, y, **more)
    chosen = Chosen(TWO, options)
    chosen.bind(given, None)  # type: ignore[arg-type]
    return chosen, given


def test_terms_by_hand(context: Callable[..., Context]) -> None:
    """The first window follows the first teacher; the second the label, as the student knows it better; the third the second."""
    chosen, given = bound(context, PSKD(temperature=2.0), [0, 1, 1])
    terms, (one, two, mine) = chosen(given), (given.outputs[name] for name in (*TWO, "student"))
    labels = cross_entropy(torch.tensor([0, 1, 1]), mine.logits)
    torch.testing.assert_close(terms["ce"], labels * torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(terms["ce alone"], labels * torch.tensor([0.0, 1.0, 0.0]))
    distances = [kl(told.logits, mine.logits, 2.0) for told in (one, two)]
    assert distances[0][0].item() == pytest.approx(0.443776, abs=1e-6)
    torch.testing.assert_close(terms["kl"], torch.stack([distances[0][0], torch.tensor(0.0), distances[1][2]]))
    turned = [
        1 - cosine_similarity(told.embedding, chosen.adapters[name](mine.embedding))
        for name, told in zip(TWO, (one, two), strict=True)
    ]
    torch.testing.assert_close(terms["semantic"], torch.stack([turned[0][0], torch.tensor(0.0), turned[1][2]]))
    shares = [terms[f"share {name}"].item() for name in (*TWO, "labels")]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    torch.testing.assert_close(
        bound(context, PSKD(temperature=2.0, reduction="mean"), [0, 1, 1])[0](given)["kl"], terms["kl"] / 2
    )


def test_a_window_that_no_teacher_sees_is_left_to_the_label(context: Callable[..., Context]) -> None:
    masks = {TWO[0]: torch.tensor([False, True, True]), "student": torch.tensor([True, True, False])}
    chosen, given = bound(context, PSKD(), [0, 0, 1], masks=masks)
    terms = chosen(given)
    assert (terms["ce alone"] > 0).tolist() == [True, False, False]
    assert (terms["kl"] > 0).tolist() == [False, True, False], "and what the student does not see teaches nothing"
    assert (terms["semantic"] > 0).tolist() == [False, True, False]
    assert (terms["ce"] > 0).tolist() == [False, True, False]


def test_mixed_labels_and_none(context: Callable[..., Context]) -> None:
    """What a teacher gives to a mixed label is exp(-CE): of (0.9, 0.1), 0.72 by the first teacher, and 0.5 by the student."""
    chosen, given = bound(context, PSKD(), torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.0, 1.0]]))
    assert (chosen(given)["kl"] > 0).tolist() == [True, False, True]
    chosen, given = bound(context, PSKD(confidence=0.73), torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.0, 1.0]]))
    assert (chosen(given)["kl"] > 0).tolist() == [False, False, True]
    chosen, given = bound(context, PSKD(), [0, IGNORE, 1])
    terms = chosen(given)
    assert [terms[name][1].item() for name in ("ce", "ce alone", "kl", "semantic")] == [0, 0, 0, 0]


# Stages


@pytest.mark.parametrize(
    ("number", "options", "wanted"),
    [
        (3, PSKD(), [3, 3, 4]),
        (1, PSKD(), [10]),
        (2, PSKD(), [3, 7]),
        (5, PSKD(), [2, 2, 2, 2, 2]),
        (2, PSKD(stage_share=0.0), [1, 9]),
    ],
)
def test_stages_take_the_epochs_of_the_plan(toy: Any, number: int, options: PSKD, wanted: list[int]) -> None:
    names = [f"teacher-{n}" for n in range(1, number + 1)] if number > 1 else ["teacher"]
    phases = METHODS["pskd"]({"student": toy.player(), **{n: toy.teacher() for n in names}}, options, toy.plan(epochs=10))
    assert [(phase.name, phase.epochs) for phase in phases] == [(f"stage {n}", epochs) for n, epochs in enumerate(wanted, 1)]
    for phase in phases:
        assert phase.steps[0].weights == {"ce": pytest.approx(0.3), "ce alone": 1.0, "kl": 0.7, "semantic": 0.7}


def test_teachers_join_one_by_one(toy: Any) -> None:
    asked: dict[str, list[int]] = {name: [] for name in THREE}
    teachers = {name: toy.teacher(seed) for seed, name in enumerate(THREE)}
    student = toy.player(augment=parse("shifting(0.5)"))  # otherwise the bank answers for them
    phases = METHODS["pskd"]({"student": student, **teachers}, PSKD(), toy.plan(epochs=10))
    for name, player in teachers.items():
        player.net.register_forward_pre_hook(lambda module, given, name=name: asked[name].append(1))
    history = toy.fit(phases)
    dry_runs, steps = 3, 4
    assert [len(asked[name]) - dry_runs for name in THREE] == [10 * steps, 7 * steps, 4 * steps]
    for record in history:
        stage = int(record["phase"].split()[1])
        shares = [f"share {name}" for name in (*THREE[:stage], "labels")]
        assert sum(record["terms"][name] for name in shares) == pytest.approx(1.0)
        assert {name for name in record["terms"] if name.startswith("share")} == set(shares)


def test_by_gap_the_nearest_to_the_student_joins_next(toy: Any, saying: Callable[[Tensor], Any]) -> None:
    """The first teacher is right, and the student follows it; of the others the one who is sure of another class joins last."""
    y = toy.train.labels
    right, wrong = (8.0 * one_hot(answers, 3).float() for answers in (y, (y + 1) % 3))
    teachers = {f"teacher-{n}": saying(logits) for n, logits in enumerate((right, wrong, 0.9 * right, 0 * right), 1)}
    found = {}
    for order in ("given", "gap"):
        phases = METHODS["pskd"]({"student": toy.player(), **teachers}, PSKD(order=order), toy.plan(epochs=12))
        toy.fit(phases, validation=None)
        found[order] = phases[0].objective.order.tolist()
        assert all(phase.objective is phases[0].objective for phase in phases)
    assert found["given"] == [0, 1, 2, 3]
    assert found["gap"] in ([0, 2, 3, 1], [0, 3, 2, 1])


def test_the_gap_is_measured_on_validation_windows(toy: Any) -> None:
    student, teachers = toy.player(), {name: toy.teacher(seed) for seed, name in enumerate(THREE)}
    phases = METHODS["pskd"]({"student": student, **teachers}, PSKD(order="gap", stage_share=0.0), toy.plan(epochs=6))
    told: dict[str, Any] = {}
    hook = phases[0].at[0]
    phases[0].at[0] = replace(
        hook, do=lambda moment: (told.update(moment=moment, student=toy.state(student.net)), hook.do(moment))
    )
    toy.fit(phases)
    player = toy.player()
    player.net.load_state_dict(told["student"])
    mine, others = (
        player.answer(toy.val.gather(torch.arange(21))).logits,
        [teachers[name].answer(toy.val.gather(torch.arange(21))).logits for name in THREE[1:]],
    )
    gaps = [kl(each, mine, 4.0).mean().item() for each in others]
    nearest = 1 + gaps.index(min(gaps))
    assert phases[0].objective.order.tolist() == [0, nearest, 3 - nearest]


# Whole runs


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
def test_with_one_teacher_who_is_always_right_it_is_kd(
    toy: Any, saying: Callable[[Tensor], Any], draws: int, dropout: float
) -> None:
    """To the bit: such a teacher gives the true class all its probability, so the student never knows better."""
    right = 300.0 * one_hot(toy.train.labels, 3).float()
    ends = []
    for key, options in (("pskd", PSKD(confidence=0.0, semantic_weight=0.0)), ("kd", KD(weight=0.7))):
        student = toy.player(toy.net(dropout=dropout))
        history = toy.fit(toy.phases(key, student, saying(right), options=options, draws=draws, epochs=3))
        ends.append((toy.state(student.net), [(r["terms"]["kl"], r["terms"]["ce"], r["scores"]) for r in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_the_student_that_is_kept_knows_nothing_of_the_other_sensor(toy: Any) -> None:
    student = toy.player(toy.net(3), sees="acc")
    names = {name for name, _ in student.net.named_parameters()}
    teachers = {TWO[0]: toy.player(toy.net(3, width=12), sees="acc"), TWO[1]: toy.player(toy.net(3, width=12), sees="gyro")}
    phases = METHODS["pskd"]({"student": student, **teachers}, PSKD(), toy.plan())
    toy.fit(phases)
    assert {name for name, _ in student.net.named_parameters()} == names
    assert {name.split(".")[0] for name, _ in phases[0].objective.named_parameters()} == {"adapters"}


def test_a_net_without_an_embedding(toy: Any) -> None:
    from torch import nn

    from harkd.nets import staged

    foreign = staged(nn.Conv1d(6, 8, 3), [nn.ReLU()], nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3)))
    with pytest.raises(UsageError, match=r"^this method compares embeddings, and the head of 'teacher' gives logits alone, not"):
        toy.fit(toy.phases("pskd", toy.player(), toy.player(foreign)))


@pytest.mark.parametrize("step", [3, 4, 5, 11])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Callable[..., Any], step: int) -> None:
    """4 steps an epoch, an epoch for each stage; the order is part of the state."""

    def run(keeper: Any) -> dict[str, Tensor]:
        student = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))
        teachers = {name: toy.teacher(seed) for seed, name in enumerate(THREE)}
        phases = METHODS["pskd"]({"student": student, **teachers}, PSKD(order="gap", confidence=0.1), toy.plan(epochs=3))
        toy.fit(phases, keeper=keeper)
        return toy.state(student.net) | {f"objective {name}": each for name, each in toy.state(phases[2].objective).items()}

    assert toy.equal(*goes_on(run, step))


@pytest.mark.parametrize("options", [{"confidence": 1.1}, {"stage_share": -0.1}, {"semantic_weight": -1.0}], ids=str)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        PSKD(**options)
