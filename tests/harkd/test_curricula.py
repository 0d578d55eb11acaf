"""Curricula by difficulty: pools, order, weights, and what they do to a run."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from harkd.augment import parse
from harkd.curricula import (
    ByClass,
    ListenLater,
    Ranked,
    SelfPaced,
    Stretch,
    curriculum,
    self_paced,
    stretches,
    student_doubt,
    student_loss,
    teacher_loss,
)
from harkd.curriculum import Curriculum, Shuffle
from harkd.datasets import IGNORE
from harkd.engine import fit
from harkd.errors import UsageError
from harkd.methods import METHODS
from harkd.options import KD, Curricula

CPU = torch.device("cpu")
NAMES = get_args(Curricula)


class Asked:
    """Answers with fixed losses of the student, and of a teacher who is sure of what the student doubts."""

    def __init__(self, losses: list[float], labels: list[int] | None = None) -> None:
        self.losses = torch.tensor(losses, dtype=torch.float64)
        self.labels = torch.tensor(labels or [0] * len(losses))
        self.asked = Counter[str]()
        self.teacher: str | None = "teacher"

    def logits(self, name: str) -> Tensor:
        self.asked[name] += 1
        sure = (-self.losses).exp() if name == "student" else (-self.losses.flip(0)).exp()
        classes = max(2, int(self.labels.max()) + 1)
        rest = ((1 - sure) / (classes - 1))[:, None].expand(-1, classes)
        return rest.scatter(1, self.labels[:, None], sure[:, None]).log()


def begun(made: Curriculum, length: int, seed: int = 0) -> Any:
    made.begin(length, seed, CPU)
    return made


def epoch_of(made: Curriculum, epoch: int, asked: Asked) -> list[int]:
    """The windows of an epoch, batch after batch."""
    made.start(epoch, asked)
    first = sum(map(made.steps, range(epoch)))
    return [int(at) for step in range(made.steps(epoch)) for at in made.take(first + step).index]


LOSSES = [0.7, 0.1, 0.9, 0.3, 0.5, 0.2, 0.8, 0.4, 0.6, 1.0]
EASY_FIRST = [1, 5, 3, 7, 4, 8, 0, 6, 2, 9]


def test_pools_of_ten_windows_grow_as_specified() -> None:
    """N = 10, four phases, the first pool a half: 5, 8, 10 after the warm-up, each within the next."""
    plan = stretches(4, 3, first=0.5, warm_up=1)
    assert [(stretch.epochs, stretch.share) for stretch in plan] == [(1, 1.0), (1, 0.5), (1, 0.75), (1, 1.0)]
    made = begun(Ranked(1, 0, plan, lambda asked: asked.losses, groups=10, stratify=False), 10)
    asked = Asked(LOSSES)
    pools = [epoch_of(made, epoch, asked) for epoch in range(4)]
    assert [len(pool) for pool in pools] == [10, 5, 8, 10]
    assert sorted(pools[0]) == list(range(10))
    assert pools[1:] == [EASY_FIRST[:5], EASY_FIRST[:8], EASY_FIRST]


def test_groups_come_from_easy_to_hard_and_are_shuffled_inside() -> None:
    asked = Asked(LOSSES)
    made = begun(Ranked(2, 0, [Stretch(40)], lambda asked: asked.losses, groups=2, stratify=False, warm_up=False), 10)
    passes = [epoch_of(made, epoch, asked) for epoch in range(40)]
    assert all(set(one[:5]) == set(EASY_FIRST[:5]) and set(one[5:]) == set(EASY_FIRST[5:]) for one in passes)
    assert len({tuple(one) for one in passes}) == 40


def test_ties_keep_the_order_of_the_windows() -> None:
    made = begun(Ranked(1, 0, [Stretch(1)], lambda asked: asked.losses, groups=4, stratify=False, warm_up=False), 4)
    assert epoch_of(made, 0, Asked([0.5, 0.1, 0.5, 0.1])) == [1, 3, 0, 2]


def test_a_stratified_pool_keeps_the_shares_of_the_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [0] * 60 + [1] * 30 + [2] * 7
    losses = (torch.rand(97, generator=generator) + 5 * torch.tensor(labels)).tolist()  # the rare classes are the hard ones
    for share in (0.1, 0.31, 0.5, 0.77):
        made = begun(Ranked(1, 0, [Stretch(1, share)], lambda asked: asked.losses, warm_up=False), 97)
        pool = epoch_of(made, 0, Asked(losses, labels))
        assert len(pool) == math.ceil(share * 97)
        assert len(set(pool)) == len(pool)
        for label, number in Counter(labels).items():
            mine = [at for at in pool if labels[at] == label]
            assert abs(len(mine) - share * number) <= 1
            easiest = sorted((losses[at], at) for at in range(97) if labels[at] == label)[: len(mine)]
            assert sorted(mine) == sorted(at for _, at in easiest)
        assert made.told()["classes"] == pytest.approx(
            [Counter(labels[at] for at in pool)[c] / labels.count(c) for c in range(3)]
        )


def test_it_is_judged_once_for_each_stretch_and_not_again_when_a_run_goes_on() -> None:
    plan = [Stretch(2), Stretch(3, 0.5), Stretch(1)]
    asked = Asked(LOSSES)
    made = begun(Ranked(5, 0, plan, lambda a: a.logits("student")[:, 0]), 10)
    for epoch in range(6):
        made.start(epoch, asked)
        made.start(epoch, asked)
    assert asked.asked["student"] == 2


def test_draws_count_the_passes() -> None:
    plan = [Stretch(2), Stretch(3, 0.5), Stretch(2)]
    made, asked = begun(Ranked(4, 3, plan, lambda asked: asked.losses), 10), Asked(LOSSES)
    seen = Counter[tuple[int, int]]()
    for epoch in range(7):
        made.start(epoch, asked)
        first = sum(map(made.steps, range(epoch)))
        taken = [made.take(first + step) for step in range(made.steps(epoch))]
        draws = {int(draw) for drawn in taken for draw in drawn.draw}
        assert draws <= set(made.draws_of(epoch)) <= {0, 1, 2}
        seen.update((int(at), int(draw)) for drawn in taken for at, draw in zip(drawn.index, drawn.draw, strict=True))
    unlimited = begun(Ranked(4, 0, plan, lambda asked: asked.losses), 10)
    pairs = []
    for epoch in range(7):
        unlimited.start(epoch, asked)
        first = sum(map(unlimited.steps, range(epoch)))
        for step in range(unlimited.steps(epoch)):
            drawn = unlimited.take(first + step)
            pairs += list(zip(drawn.index.tolist(), drawn.draw.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)  # no window twice in one draw


def test_weights_of_self_paced_learning() -> None:
    losses = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
    told = self_paced(losses, 1.0, "log")
    assert told.tolist() == pytest.approx([1.0, 0.851449, 0.683940, 0.367879, 0.163055], abs=1e-6)
    assert self_paced(losses, 2.0, "log").tolist() == pytest.approx([1, 0.928221, 0.829997, 0.567668, 0.305339], abs=1e-6)
    assert self_paced(losses, 1.0, "hard").tolist() == [1, 1, 0, 0, 0]
    assert self_paced(losses, 1.0, "soft").tolist() == [1, 0.5, 0, 0, 0]
    assert self_paced(losses, 0.0, "soft").tolist() == [1, 0, 0, 0, 0]


def test_the_threshold_of_self_paced_learning_is_a_quantile_that_rises() -> None:
    made, asked = begun(SelfPaced(10, 0, epochs=10, first=0.5, kind="hard"), 10), Asked(LOSSES)
    shares = []
    for epoch in range(10):
        made.start(epoch, asked)
        weight = made.take(epoch).weight
        assert weight is not None
        shares.append(made.told()["share"])
    assert shares == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])  # the largest is not below itself


def test_the_teacher_is_heard_later_where_it_doubts() -> None:
    made, asked = begun(ListenLater(10, 0, epochs=10), 10), Asked(LOSSES)
    hard_for_the_teacher = torch.argsort(asked.losses.flip(0)).tolist()
    for epoch, heard in ((0, 3), (1, 4), (2, 5), (3, 7), (4, 8), (5, 10), (9, 10)):
        made.start(epoch, asked)
        drawn = made.take(epoch)
        assert isinstance(drawn.weight, dict)
        assert drawn.weight["ce"] is None
        listening = {int(at) for at, weight in zip(drawn.index, drawn.weight[""], strict=True) if weight}
        assert listening == set(hard_for_the_teacher[:heard])
    assert asked.asked == {"teacher": 1}


def test_a_curriculum_that_asks_a_teacher_needs_one(toy: Any) -> None:
    phases = toy.phases("ce", toy.player())
    phases[0].curriculum = curriculum("teacher-confidence", 16, 0, 2)
    with pytest.raises(UsageError, match="asks a teacher, and the method has none"):
        toy.fit(phases)


def with_curriculum(toy: Any, name: Any, epochs: int = 6, **more: Any) -> tuple[Any, Any]:
    student = toy.player(augment=parse("jitter(0.1)"))
    phases = toy.phases("kd", student, toy.teacher(), epochs=epochs, options=KD(weight=0.5))
    phases[0].curriculum = name if isinstance(name, Curriculum) else curriculum(name, 16, 0, epochs)
    return student, fit(phases, toy.train, toy.val, device="cpu", **more)


def test_one_stage_is_plain_distillation_to_the_bit(toy: Any) -> None:
    one, mine = with_curriculum(toy, Ranked(16, 0, [Stretch(6)], lambda asked: asked.logits("student")[:, 0]))
    other, theirs = with_curriculum(toy, Shuffle(16))
    assert toy.equal(toy.state(one.net), toy.state(other.net))
    assert [record["terms"] for record in mine] == [record["terms"] for record in theirs]


def test_fewer_updates_than_without(toy: Any) -> None:
    """As many as the pools say: sum over stages of epochs times ceil(pool / batch)."""
    _, history = with_curriculum(toy, "iskd")
    plan = stretches(6, 3, first=0.5, warm_up=1)
    pools = [math.ceil(stretch.share * 63) for stretch in plan for _ in range(stretch.epochs)]
    steps = [math.ceil(pool / 16) for pool in pools]
    assert [record["step"] for record in history] == torch.tensor(steps).cumsum(0).tolist()
    assert history[-1]["step"] < 6 * 4


@pytest.mark.parametrize("stop", [1, 7, 11])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(toy: Any, goes_on: Any, name: Any, stop: int) -> None:
    (whole, history), (again, resumed) = goes_on(lambda keeper: with_curriculum(toy, name, keeper=keeper), stop)
    assert toy.equal(toy.state(again.net), toy.state(whole.net))
    assert resumed == history


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("shuffle", "by-class")])
def test_it_makes_a_difference_and_says_what_was_taught(toy: Any, name: Any) -> None:
    student, history = with_curriculum(toy, name)
    plain, _ = with_curriculum(toy, "shuffle")
    assert not toy.equal(toy.state(student.net), toy.state(plain.net))
    assert all(0 < record["taught"]["share"] <= 1 for record in history)
    assert all(len(record["taught"]["classes"]) == 3 for record in history)
    shares = [record["taught"]["share"] for record in history]
    assert min(shares) < 0.9
    assert shares[-1] == pytest.approx(1) or name == "self-paced"


# Several of a class together


def test_a_pass_shows_every_window_once_in_groups_of_a_class() -> None:
    """Of 21, 8 and 3 windows: five, two and no groups of four; what is left of the first and the last class comes at the end."""
    labels = [0] * 21 + [1] * 8 + [2] * 3
    made = begun(ByClass(8, 0), 32)
    passes = [epoch_of(made, epoch, Asked([0.0] * 32, labels)) for epoch in range(40)]
    assert all(sorted(one) == list(range(32)) for one in passes)
    told = [[labels[at] for at in one] for one in passes]
    assert all(len(set(one[start : start + 4])) == 1 for one in told for start in range(0, 28, 4))
    assert all(one[28:] in ([0, 2, 2, 2], [2, 2, 2, 0]) for one in told)
    orders = [tuple(one[:28:4]) for one in told]
    assert len(set(orders)) > 10
    assert sum(order[0] for order in orders) / 40 == pytest.approx(2 / 7, abs=0.2)
    assert len({frozenset(one[start : start + 4]) for one in passes for start in range(0, 28, 4)}) > 200


def test_groups_go_on_from_one_pass_into_the_next() -> None:
    """12 windows in batches of 8: passes end within a batch, and draws count them."""
    labels = [0, 1, 2] * 4
    made = begun(ByClass(8, 2), 12)
    made.start(0, Asked([0.0] * 12, labels))
    taken = [made.take(step) for step in range(3)]
    shown = torch.cat([drawn.index for drawn in taken])
    assert sorted(shown[:12].tolist()) == sorted(shown[12:].tolist()) == list(range(12))
    assert torch.cat([drawn.draw for drawn in taken]).tolist() == [0] * 12 + [1] * 12
    assert all(len({labels[at] for at in shown[start : start + 4].tolist()}) == 1 for start in range(0, 24, 4))


# Windows without a label


def test_without_a_label_a_window_is_as_difficult_as_the_student_is_uncertain() -> None:
    """Both windows have the answer (0.1, 0.9); one is labelled as the unlikelier class, the other not at all."""
    asked = Asked([0.1, 0.1], [0, 0])
    answers = torch.tensor([[0.1, 0.9], [0.1, 0.9]]).double().log()
    asked.labels, asked.logits = torch.tensor([0, IGNORE]), lambda name: answers  # type: ignore[method-assign]
    for measure in (student_loss, teacher_loss):
        assert measure(asked).tolist() == pytest.approx([-math.log(0.1), -math.log(0.9)])
    assert student_doubt(asked).tolist() == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize("name", NAMES)
def test_few_labels(toy: Any, name: Curricula) -> None:
    """Two of three windows have none; they are shown all the same."""
    train = toy.few_labels()
    made = curriculum(name, 16, 0, 4)
    history = toy.fit(METHODS["kd"](toy.cast("kd"), None, replace(toy.plan(epochs=4), curriculum=made)), train=train)
    told = [record["taught"] for record in history if "taught" in record]
    assert len(told) == (4 if name not in ("shuffle", "by-class") else 0)
    for each in told:
        assert len(each["classes"]) == 3
        assert all(0 <= share <= 1 for share in each["classes"])
    assert not told or told[-1]["share"] > 0.5
    begin = sum(map(made.steps, range(3)))
    last = torch.cat([made.take(begin + step).index for step in range(made.steps(3))])
    assert (train.labels[last] == IGNORE).any()
