"""ISKD: pools and stages of some options, what a snapshot says, fewer updates, and plain distillation in one stage."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from harkd.curricula import Ranked, SelfPaced, curriculum
from harkd.errors import UsageError
from harkd.losses import cross_entropy
from harkd.methods import METHODS
from harkd.methods.iskd import ranked
from harkd.options import ISKD, KD
from harkd.player import predict


def begun(options: ISKD, length: int, **plan: Any) -> Ranked:
    made = ranked(options, plan.pop("toy").plan(**plan))
    made.begin(length, 0, torch.device("cpu"))
    return made


def test_pools_by_hand(toy: Any) -> None:
    """Ten windows, four stages from one half on: all in the warm-up, then 5, 8 and 10."""
    made = begun(ISKD(), 10, toy=toy, epochs=24, batch=2)
    assert [stretch.epochs for stretch in made.plan] == [4, 7, 6, 7]
    assert made.sizes == [10, 5, 8, 10]
    assert [stretch.share for stretch in begun(ISKD(stages=2), 10, toy=toy, epochs=12).plan] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("epochs", "stages", "wanted"),
    [
        (60, 4, [10, 17, 16, 17]),
        (7, 4, [1, 2, 2, 2]),
        (4, 4, [1, 1, 1, 1]),
        (3, 4, [1, 1, 1]),
        (1, 4, [1]),
        (9, 1, [9]),
        (2, 2, [1, 1]),
    ],
)
def test_stages_take_the_epochs_of_the_plan(toy: Any, epochs: int, stages: int, wanted: list[int]) -> None:
    made = begun(ISKD(stages=stages), 63, toy=toy, epochs=epochs)
    assert sorted(stretch.epochs for stretch in made.plan) == sorted(wanted)
    assert made.plan[0].epochs == wanted[0]
    assert made.plan[-1].share == 1.0


def test_options_reach_the_curriculum(toy: Any) -> None:
    made = begun(ISKD(groups=3, stratify=False, first_share=0.25, warm_up=0.5), 40, toy=toy, epochs=12, draws=2, batch=4)
    assert (made.groups, made.stratify, made.draws, made.batch) == (3, False, 2, 4)
    assert made.sizes == [40, 10, 25, 40]
    assert made.plan[0].epochs == 6


def run(toy: Any, key: str, options: Any, **more: Any) -> tuple[dict[str, torch.Tensor], list[Any]]:
    student = toy.player(toy.net(dropout=0.3))
    history = toy.fit(toy.phases(key, student, toy.teacher(), options=options, **more))
    return toy.state(student.net), history


@pytest.mark.parametrize("draws", [0, 2])
def test_one_stage_is_plain_distillation(toy: Any, draws: int) -> None:
    (mine, here), (theirs, there) = (
        run(toy, key, options, epochs=3, draws=draws) for key, options in (("iskd", ISKD(stages=1)), ("kd", KD()))
    )
    assert toy.equal(mine, theirs)
    assert [(r["terms"], r["scores"]) for r in here] == [(r["terms"], r["scores"]) for r in there]


def test_the_defaults_are_those_of_the_curriculum(toy: Any) -> None:
    ends = []
    for key in ("iskd", "kd"):
        student = toy.player()
        plan = toy.plan(epochs=12)
        if key == "kd":
            plan.curriculum = curriculum("iskd", 16, 0, 12)
        toy.fit(METHODS[key]({"student": student, "teacher": toy.teacher()}, None, plan))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_fewer_updates_than_plain_distillation_of_as_many_epochs(toy: Any) -> None:
    (phase,) = toy.phases("iskd", toy.player(), toy.teacher(), epochs=12)
    history = toy.fit([phase])
    wanted = sum(stretch.epochs * math.ceil(math.ceil(stretch.share * 63) / 16) for stretch in phase.curriculum.plan)
    assert history[-1]["step"] == wanted == 2 * 4 + 3 * 2 + 4 * 3 + 3 * 4
    assert wanted < 12 * 4
    assert [record["taught"]["share"] for record in history][::3] == pytest.approx([1.0, 32 / 63, 48 / 63, 1.0], abs=0.01)


def test_the_last_stage_shows_every_window_once(toy: Any) -> None:
    made = begun(ISKD(), 64, toy=toy, epochs=12)
    made.rank.copy_(torch.randperm(64, generator=torch.Generator().manual_seed(0)))
    made.judged.fill_(3)
    first = sum(map(made.steps, range(9)))
    shown = torch.cat([made.take(step).index for step in range(first, first + made.steps(9))])
    assert sorted(shown.tolist()) == list(range(64))


@pytest.mark.parametrize("difficulty", ["loss", "doubt", "disagreement"])
def test_the_snapshot_orders_the_windows(toy: Any, difficulty: Any) -> None:
    """After a warm-up without a stage more, the order is that of the student as it is then."""
    (phase,) = toy.phases(
        "iskd", toy.player(), toy.teacher(), options=ISKD(stages=2, difficulty=difficulty, stratify=False), epochs=2
    )
    curriculum, student = phase.curriculum, phase.players["student"]
    snapshot: dict[str, torch.Tensor] = {}
    start = curriculum.start

    def noted(epoch: int, examiner: Any) -> None:
        if epoch == 1:
            snapshot["logits"] = predict(student, toy.train)
        start(epoch, examiner)

    curriculum.start = noted  # type: ignore[method-assign]
    toy.fit([phase])
    logits = snapshot["logits"].double()
    told = predict(phase.players["teacher"], toy.train).double()
    measure = {
        "loss": cross_entropy(toy.train.labels, logits),
        "doubt": 1 - logits.softmax(1).gather(1, toy.train.labels[:, None])[:, 0],
        "disagreement": (told.softmax(1) * (told.log_softmax(1) - logits.log_softmax(1))).sum(1),
    }
    assert torch.equal(curriculum.rank.argsort(), measure[difficulty].argsort(stable=True))


def test_a_plan_that_orders_the_windows_already(toy: Any) -> None:
    says = "^iskd orders the windows by itself; leave the curriculum at shuffle, or take the method kd with another$"
    for other in (SelfPaced(16, 0, 4), curriculum("iskd", 16, 0, 12)):
        plan = toy.plan(epochs=4)
        plan.curriculum = other
        with pytest.raises(UsageError, match=says):
            METHODS["iskd"]({"student": toy.player(), "teacher": toy.teacher()}, ISKD(), plan)


@pytest.mark.parametrize("wrong", [{"stages": 0}, {"groups": 0}, {"first_share": 0.0}, {"warm_up": 1.5}], ids=str)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ISKD(**wrong)
