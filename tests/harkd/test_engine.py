"""The loop: updates worked out by hand, who moves when, and what an objective keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.curriculum import Drawn, Shuffle
from harkd.engine import Phase, Step, reduce
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.nets import PooledHead, staged
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.optimiser import Optimiser

PLAIN = Optimiser("sgd", rate=0.5, weight_decay=0.0, momentum=0.0, clip=0.0)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


class Peers(Objective):
    """Deep mutual learning: each peer learns from labels and from what the other said before it moved."""

    def forward(self, context: Context) -> Terms:
        a, b = (context.outputs[name].logits for name in "ab")
        return {
            "a": cross_entropy(context.y, a) + kl(b.detach(), a),
            "b": cross_entropy(context.y, b) + kl(a.detach(), b),
        }


class ByHand:
    """Linear peers on the mean of each standardised window, in float64, with gradients written out."""

    def __init__(self, toy: Any) -> None:
        self.players = {name: toy.player(staged(nn.Identity(), [nn.Identity()], PooledHead(6, 3))) for name in "ab"}
        for number, player in enumerate(self.players.values()):
            linear = player.net.head.inner.linear
            generator = torch.Generator().manual_seed(number)
            linear.weight.data = torch.randn(3, 6, generator=generator)
            linear.bias.data = torch.randn(3, generator=generator)
        everything = self.players["a"].sees(toy.train.gather(torch.arange(len(toy.train))))
        mean = self.players["a"].net.scaler(everything).mean(2).double()
        self.x = torch.cat([mean, torch.ones(len(mean), 1)], 1)
        self.y = torch.eye(3, dtype=torch.float64)[toy.train.labels]
        self.weights = {name: self.found(name) for name in "ab"}

    def found(self, name: str) -> Tensor:
        linear = self.players[name].net.head.inner.linear
        return torch.cat([linear.weight, linear.bias[:, None]], 1).detach().double()

    def gradient(self, name: str) -> Tensor:
        mine, other = ((self.x @ self.weights[n].T).softmax(1) for n in (name, "b" if name == "a" else "a"))
        return ((mine - self.y) + (mine - other)).T @ self.x / len(self.x)

    def move(self, *names: str, rate: float = 0.5) -> None:
        gradients = {name: self.gradient(name) for name in names}
        for name in names:
            self.weights[name] = self.weights[name] - rate * gradients[name]

    def check(self) -> None:
        for name in "ab":
            torch.testing.assert_close(self.found(name), self.weights[name], rtol=0, atol=2e-6)


A, B = Step({"a": 1.0}, ("a",)), Step({"b": 1.0}, ("b",))


@pytest.mark.parametrize(
    ("steps", "rounds"),
    [
        pytest.param([Step({"a": 1.0, "b": 1.0}, ("a", "b"))], ["ab"], id="one step"),
        pytest.param([A, B], ["ab"], id="simultaneous"),
        pytest.param([A, replace(B, fresh=True)], ["a", "b"], id="fresh"),
        pytest.param([replace(A, fresh=True), B], ["ab"], id="nothing waits for the first"),
        pytest.param([replace(A, repeat=3)], ["a", "a", "a"], id="repeat"),
        pytest.param([A, replace(B, repeat=2)], ["ab", "b"], id="repeat the second"),
        pytest.param([replace(A, repeat=2), B], ["a", "ab"], id="repeat the first"),
        pytest.param([replace(A, repeat=2), replace(B, fresh=True)], ["a", "a", "b"], id="repeat, then fresh"),
        pytest.param([B, Step({"a": 0.0}, ("a",))], ["b"], id="weight zero"),
    ],
)
def test_updates_of_a_batch(toy: Any, steps: Sequence[Step], rounds: Sequence[str]) -> None:
    hand = ByHand(toy)
    toy.fit([Phase(2, hand.players, Peers(), steps, Shuffle(63), PLAIN)])
    for names in [*rounds, *rounds]:
        hand.move(*names)
    hand.check()


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [
        ([replace(A, every=2)], ["a", "", "a", "", "a"]),
        ([replace(A, every=3), B], ["ab", "b", "b", "ab", "b"]),
        ([replace(A, from_epoch=2)], ["", "", "a", "a", "a"]),
        ([A, replace(B, from_epoch=1, every=2)], ["a", "a", "ab", "a", "ab"]),
    ],
)
def test_steps_that_come_now_and_then(toy: Any, steps: Sequence[Step], epochs: Sequence[str]) -> None:
    hand = ByHand(toy)
    history = toy.fit([Phase(5, hand.players, Peers(), steps, Shuffle(63), PLAIN)])
    for names in epochs:
        hand.move(*names)
    hand.check()
    assert ["gradient norm" in record["terms"] for record in history] == [bool(names) for names in epochs]
    assert all({"a", "b"} <= set(record["terms"]) for record in history)


def test_weights_are_schedules(toy: Any) -> None:
    hand = ByHand(toy)
    steps = [Step({"a": lambda progress: progress.epoch / 2}, ("a",))]
    history = toy.fit([Phase(3, hand.players, Peers(), steps, Shuffle(63), PLAIN)])
    for weight in (0.0, 0.5, 1.0):
        hand.move("a", rate=0.5 * weight)
    hand.check()
    assert ["gradient norm" in record["terms"] for record in history] == [False, True, True]


def test_learning_rates_are_schedules(toy: Any) -> None:
    hand = ByHand(toy)
    optimiser = replace(PLAIN, rate=lambda progress: 0.1 * (1 + progress.step))
    history = toy.fit([Phase(3, hand.players, Peers(), [replace(A, repeat=2)], Shuffle(63), optimiser)])
    for rate in (0.1, 0.1, 0.2, 0.2, 0.3, 0.3):
        hand.move("a", rate=rate)
    hand.check()
    assert [record["rate"] for record in history] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("clip", [0.0, 0.01, 1e6])
def test_clipping(toy: Any, clip: float) -> None:
    hand = ByHand(toy)
    norm = math.hypot(hand.gradient("a").norm().item(), hand.gradient("b").norm().item())
    history = toy.fit([Phase(1, hand.players, Peers(), [A, B], Shuffle(63), replace(PLAIN, clip=clip))])
    assert history[0]["terms"]["gradient norm"] == pytest.approx(norm, rel=1e-5)
    hand.move("a", "b", rate=0.5 * (min(1.0, clip / norm) if clip else 1.0))
    hand.check()


class Weighted(Shuffle):
    """Counts window i (i % 3) times, in all terms or in some."""

    def __init__(self, terms: Sequence[str] = ()) -> None:
        super().__init__(63)
        self.terms = terms

    def take(self, step: int) -> Drawn:
        drawn = super().take(step)
        weight = drawn.index.float() % 3
        return replace(drawn, weight=dict.fromkeys(self.terms, weight) if self.terms else weight)


class Thrice(Objective):
    """The same loss as two terms per sample and one scalar."""

    def forward(self, context: Context) -> Terms:
        loss = cross_entropy(context.y, context.outputs["a"].logits)
        return {"one": loss, "two": loss, "scalar": loss.mean()}


@pytest.mark.parametrize(("terms", "own", "plain"), [((), 11.0, 100.0), (("one",), 1.0, 110.0), (("two", "scalar"), 10.0, 101.0)])
def test_weights_per_sample(toy: Any, terms: Sequence[str], own: float, plain: float) -> None:
    hand = ByHand(toy)
    step = Step({"one": 1e-2, "two": 1e-1, "scalar": 1.0}, ("a",))
    history = toy.fit([Phase(1, hand.players, Thrice(), [step], Weighted(terms), PLAIN)])
    each = (own * (torch.arange(63) % 3) + plain) / 100
    log_p = (hand.x @ hand.weights["a"].T).log_softmax(1)
    gradient = (each[:, None] * (log_p.exp() - hand.y)).T @ hand.x / 63
    hand.weights["a"] = hand.weights["a"] - 0.5 * gradient
    hand.check()
    loss = -(hand.y * log_p).sum(1)
    weighted, mean = (loss * (torch.arange(63) % 3)).mean().item(), loss.mean().item()
    known = {
        name: weighted if name in (terms or ("one", "two")) and name != "scalar" else mean for name in ("one", "two", "scalar")
    }
    assert {name: history[0]["terms"][name] for name in known} == pytest.approx(known, rel=1e-5)


def test_reduction() -> None:
    term, weight = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([3.0, 0.0, 1.0])
    assert reduce(term, None, "ce") == 3.0
    assert reduce(term, weight, "ce") == 3.0
    assert reduce(term, {"ce": weight, "kl": term}, "ce") == 3.0
    assert reduce(term, {"kl": weight}, "ce") == 3.0
    assert reduce(torch.tensor(5.0), weight, "ce") == 5.0


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Step({"kd": 1.0}), "phase 'train' weights the term 'kd'; its objective gives ce"),
        (Step({"ce": 1.0}, ("teacher",)), "a step moves 'teacher', who is not among the players that train"),
        (Step({"ce": 1.0}, ("pupil",)), "a step moves 'pupil', who is not among the players that train"),
    ],
)
def test_steps_that_cannot_be(toy: Any, step: Step, says: str) -> None:
    players = {"student": toy.player(), "teacher": toy.teacher(mode="frozen")}
    with pytest.raises(UsageError, match=says):
        toy.fit([Phase(1, players, CrossEntropy(), [step], Shuffle(16))])


class Hint(Objective):
    """A projection of the student's embedding to the teacher's logits, made when the shapes are known."""

    def bind(self, context: Context, train: Any) -> None:
        student, teacher = context.outputs["student"], context.outputs["teacher"]
        assert student.embedding is not None
        self.seen = (len(context.batch.index), len(train), student.logits.requires_grad)
        self.project = nn.Linear(student.embedding.shape[1], teacher.logits.shape[1])
        self.drop = nn.Dropout(0.5)
        self.fixed = nn.Parameter(torch.ones(()), requires_grad=False)
        self.start = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    def forward(self, context: Context) -> Terms:
        told = self.project(self.drop(context.outputs["student"].embedding)) * self.fixed
        return {"hint": (told - context.outputs["teacher"].logits).square().mean(1)}


class Last:
    """A keeper that only remembers."""

    def load(self) -> None:
        return None

    def due(self) -> bool:
        return True

    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.tensors, self.meta = {name: tensor.clone() for name, tensor in tensors.items()}, dict(meta)

    def checked(self) -> None:
        return None


def test_an_objectives_own_parameters_train_and_are_saved(toy: Any) -> None:
    ends = []
    for _ in range(2):
        torch.rand(len(ends) + 1)  # whatever the global generator did before
        student, hint, keeper = toy.player(), Hint(), Last()
        players = {"student": student, "teacher": toy.teacher(mode="frozen")}
        objective = Together(CrossEntropy(), hint)
        toy.fit([Phase(2, players, objective, [Step({"ce": 1.0, "hint": 0.1})], Shuffle(16))], keeper=keeper)
        assert hint.seen == (16, 63, False)
        assert not torch.equal(hint.project.weight, hint.start["project.weight"])
        assert torch.equal(keeper.tensors["stage/objective/objectives.1.project.weight"], hint.project.weight)
        ends.append(toy.state(hint) | toy.state(student.net))
    assert toy.equal(*ends)
