"""Methods: what they ask for, who moves, what they reduce to, and that they teach."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import harkd
from harkd.augment import parse
from harkd.curriculum import Shuffle
from harkd.datasets import IGNORE
from harkd.engine import Phase, score
from harkd.errors import UsageError
from harkd.methods import METHODS, method
from harkd.nets import staged
from harkd.objectives import Context, Objective, Terms
from harkd.optimiser import Optimiser
from harkd.options import CE, ESKD, KD, METHOD_OPTIONS

DISTILLING = [key for key, entry in METHODS.items() if entry.teachers[1]]


def test_the_table() -> None:
    assert {key: entry.key for key, entry in METHODS.items()} == {key: key for key in METHODS}
    assert {key: entry.options for key, entry in METHODS.items()} == METHOD_OPTIONS
    assert method("kd") is METHODS["kd"]
    with pytest.raises(UsageError, match="unknown method 'kdd': did you mean"):
        method("kdd")


@pytest.mark.parametrize(
    ("key", "names", "options", "says"),
    [
        ("kd", ["student"], None, "kd needs one teacher, got none"),
        ("kd", ["student", "teacher-1", "teacher-2"], None, "kd needs one teacher, got two"),
        ("kd", ["teacher"], None, "kd needs a player named 'student', got teacher"),
        ("kd", [], None, "kd needs a player named 'student', got none"),
        ("kd", ["student", "coach"], None, "kd: players are student, teacher, assistant-1, peer-1 ...; got 'coach'"),
        ("ce", ["student", "teacher"], None, "ce needs no teachers, got one"),
        ("eskd", ["student"], None, "eskd needs one teacher, got none"),
        ("kd", ["student", "teacher"], CE(), "kd takes options of type KD, got CE"),
        ("kd", ["student", "teacher"], ESKD(stop=0.5), "kd takes options of type KD, got ESKD"),
        ("eskd", ["student", "teacher"], KD(), "eskd takes options of type ESKD, got KD"),
    ],
)
def test_what_is_missing_is_said_before_the_first_batch(toy: Any, key: str, names: list[str], options: Any, says: str) -> None:
    with pytest.raises(UsageError, match=f"^{says}$"):
        METHODS[key]({name: toy.player() for name in names}, options)


def test_teacher_and_student_know_the_same_classes(toy: Any) -> None:
    with pytest.raises(UsageError, match=r"^kd: teacher tells 4 classes apart and the student 3; they must be the same$"):
        toy.phases("kd", toy.player(), toy.player(toy.net(classes=4)))


def test_a_foreign_head_need_not_be_linear(toy: Any) -> None:
    def convolutional() -> Any:
        return toy.player(staged(nn.Identity(), [nn.ReLU()], nn.Sequential(nn.Conv1d(6, 3, 32), nn.Flatten())))

    for student, teacher in ((convolutional(), toy.teacher()), (toy.player(), convolutional())):
        toy.fit(toy.phases("kd", student, teacher, epochs=1))


@pytest.mark.parametrize(
    "options", [{"weight": 1.1}, {"weight": -0.1}, {"temperature": 0.0}, {"stop": 1.5}, {"decay": -0.1}], ids=str
)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        ESKD(**options)


def weights_at(phase: Phase, epoch: int) -> dict[str, float]:
    (step,) = phase.steps
    progress = harkd.schedule.Progress(epoch, phase.epochs, epoch, phase.epochs)
    return {name: harkd.schedule.value(weight, progress) for name, weight in step.weights.items()}


@pytest.mark.parametrize(
    ("options", "teacher", "labels"),
    [
        (ESKD(weight=0.9), [0.9] * 4, [0.1] * 4),
        (ESKD(weight=0.6, stop=0.5), [0.6, 0.6, 0.0, 0.0], [0.4, 0.4, 1.0, 1.0]),
        (ESKD(weight=0.8, stop=1.0, decay=0.5), [0.8, 0.8, 0.8, 0.4], [0.2, 0.2, 0.2, 0.6]),
    ],
)
def test_weights_of_early_stopping(toy: Any, options: ESKD, teacher: list[float], labels: list[float]) -> None:
    (phase,) = toy.phases("eskd", toy.player(), toy.teacher(), options=options, epochs=4)
    weights = [weights_at(phase, epoch) for epoch in range(4)]
    assert [w["kl"] for w in weights] == pytest.approx(teacher)
    assert [w["ce"] for w in weights] == pytest.approx(labels)


class Listening(Objective):
    """Writes down the gradient that arrives at every term, by epoch."""

    def __init__(self, inner: Objective) -> None:
        super().__init__()
        self.inner, self.needs = inner, inner.needs
        self.heard: dict[str, list[tuple[int, float]]] = {}

    def forward(self, context: Context) -> Terms:
        terms = self.inner(context)
        for name, term in terms.items():
            heard, epoch = self.heard.setdefault(name, []), context.progress.epoch
            term.register_hook(lambda g, heard=heard, epoch=epoch: heard.append((epoch, float(g.sum()))))
        return terms


def test_after_the_stop_nothing_comes_from_the_teacher(toy: Any) -> None:
    (phase,) = toy.phases("eskd", toy.player(), toy.teacher(), options=ESKD(weight=0.75, stop=0.5), epochs=4)
    phase.objective = Listening(phase.objective)
    toy.fit([phase])
    assert phase.objective.heard["kl"] == [(epoch, 0.75) for epoch in (0, 1) for _ in range(4)]
    assert phase.objective.heard["ce"] == [(epoch, 0.25 if epoch < 2 else 1.0) for epoch in range(4) for _ in range(4)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("draws", [0, 2])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("kd", KD(weight=0.0)), ("ce", CE()), id="kd without teacher is ce"),
        pytest.param(("eskd", ESKD(stop=0.0)), ("ce", CE()), id="eskd that never listens is ce"),
        pytest.param(("eskd", ESKD(stop=1.0, decay=0.0)), ("kd", KD()), id="eskd that always listens is kd"),
        pytest.param(("eskd", ESKD(weight=0.0, smoothing=0.2)), ("ce", CE(smoothing=0.2)), id="smoothing"),
    ],
)
def test_equal_methods_are_equal_to_the_bit(toy: Any, one: Any, other: Any, draws: int, dropout: float) -> None:
    ends = []
    for key, options in (one, other):
        student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
        teacher = toy.teacher() if METHODS[key].teachers[1] else None
        history = toy.fit(toy.phases(key, student, teacher, options=options, draws=draws))
        ends.append((toy.state(student.net), [(r["terms"]["ce"], r["terms"].get("kl"), r["scores"]) for r in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    for mine, theirs in zip(ends[0][1], ends[1][1], strict=True):
        assert mine[0] == theirs[0]
        assert mine[2] == theirs[2]
        assert other[0] == "ce" or mine[1] == theirs[1]


def test_the_teachers_weight_and_the_reduction_matter(toy: Any) -> None:
    ends = []
    for options in (KD(), KD(weight=0.5), KD(temperature=1.0), KD(reduction="mean"), KD(smoothing=0.1)):
        student = toy.player()
        toy.fit(toy.phases("kd", student, toy.teacher(), options=options, epochs=1))
        ends.append(student.net.head.inner.linear.weight.detach().clone())
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])


def test_few_labels_and_a_teacher_that_is_right(toy: Any) -> None:
    """Nine of 63 windows have labels; the teacher, trained on other people, comments on all of them."""
    many, test = (toy.windows(each=10, subjects=tuple(map(str, numbers))) for numbers in (range(5, 25), range(25, 35)))
    teacher = toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=6, batch=32), train=many, validation=None)
    told = score(teacher, test)["accuracy"]
    target = toy.train.targets["movement"]
    gains = []
    for seed in range(5):
        labels = torch.full_like(target.values, IGNORE)
        for number in range(3):
            mine = torch.nonzero(target.values == number)[:, 0]
            labels[mine[torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))[:3]]] = number
        train = replace(toy.train, targets={"movement": replace(target, values=labels)})
        found = {}
        for key in ("ce", "kd"):
            student = toy.player(seed=seed)
            phases = toy.phases(key, student, teacher if key == "kd" else None, epochs=10)
            toy.fit(phases, train=train, validation=None, seed=seed)
            found[key] = score(student, test)["accuracy"]
        gains.append(found["kd"] - found["ce"])
    mean, spread = torch.tensor(gains).mean().item(), torch.tensor(gains).std().item()
    half = 2.776 * spread / math.sqrt(len(gains))  # Student's t, 4 degrees of freedom, 95 %
    print(f"teacher {told:.3f}; gain {mean:.3f} [{mean - half:.3f}, {mean + half:.3f}] of {gains}")
    assert told > 0.95
    assert min(gains) > 0
    assert mean > 0.08
    assert mean - half > 0.02


def test_ten_lines(watch: Any) -> None:
    train, val, test = harkd.split(watch)
    few = train.subset(torch.arange(0, len(train), 16))
    teacher = harkd.Player.create("dscnn-xs", "all", few, name="teacher")
    student = harkd.Player.create("dscnn-xs", "wrist_acc@25Hz", few, augment=harkd.parse("jeon_mix1"))
    plan = harkd.Plan(epochs=2, curriculum=Shuffle(32), optimiser=Optimiser(rate=0.01))
    phases = harkd.METHODS["ce"]({"student": teacher}, plan=plan)
    phases += harkd.METHODS["kd"]({"student": student, "teacher": teacher}, plan=plan)
    history = harkd.fit(phases, few, val, device="cpu")
    assert [record["phase"] for record in history] == ["train", "train", "distil", "distil"]
    assert history[1]["terms"]["ce"] < history[0]["terms"]["ce"]
    assert history[3]["terms"]["kl"] < history[2]["terms"]["kl"]
    assert score(student, test)["accuracy"] > 1 / 7


def test_evaluate_can_be_called_twice() -> None:
    assert all(callable(harkd.evaluate) for _ in range(2))
