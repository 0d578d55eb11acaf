"""Policies that learn from the training that they are part of."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from harkd.augment import Augmenter, parse
from harkd.bank import DrawBank
from harkd.engine import At
from harkd.errors import UsageError
from harkd.losses import cross_entropy
from harkd.player import PlayerJudge
from harkd.policy_search import PolicySearch

POOL = "jitter(0.3)+scaling(0.3, share=sensor)+rotate(15)+shifting(0.5)"
LEARN = {
    "adaptive": f"adaptive({POOL})",
    "by validation": f"adaptive({POOL}, reward=validation)",
    "loss": f"grow_with_loss({POOL}, threshold=1.2, step=0.1)",
    "confidence": f"grow_with_confidence({POOL})",
    "differentiable": f"differentiable({POOL}, every=2)",
    "classwise": f"jitter(0.1)+differentiable({POOL}, classwise=true)",
}


def train(toy, text, *, teacher=True, epochs=4, draws=0, **more):
    student = toy.player(augment=parse(text))
    phases = toy.phases("kd" if teacher else "ce", student, toy.teacher() if teacher else None, epochs=epochs, draws=draws)
    return student, toy.fit(phases, **more)


@pytest.mark.parametrize("text", LEARN.values(), ids=LEARN)
def test_what_is_learnt_is_told_and_changes(toy, text):
    _, history = train(toy, text)
    first, last = history[0]["policy"], history[-1]["policy"]
    assert first.keys() == last.keys()
    assert first != last or text == LEARN["by validation"]
    chances = [value for name, value in last.items() if name.startswith("chance")]
    assert not chances or sum(chances) == pytest.approx(1)


@pytest.mark.parametrize("text", LEARN.values(), ids=LEARN)
def test_a_run_that_was_stopped_goes_on_to_the_same_result(toy, goes_on, text):
    (whole, history), (rest, resumed) = goes_on(lambda keeper: train(toy, text, keeper=keeper), 7)
    assert resumed == history
    assert toy.equal(toy.state(rest.net), toy.state(whole.net))


def test_the_bank_refuses_a_strategy_that_learns(toy):
    bank = DrawBank()
    train(toy, LEARN["loss"], draws=2, epochs=1, bank=bank)
    assert not bank._shelves
    train(toy, POOL, draws=2, epochs=1, bank=bank)
    assert bank._shelves


def test_a_filter_may_be_banked(toy):
    banked, _ = train(toy, f"filter_by_teacher({POOL})", draws=2, epochs=2)
    live, _ = train(toy, f"filter_by_teacher({POOL})", draws=2, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(banked.net.parameters(), live.net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("text", "how", "says"),
    [
        (LEARN["adaptive"], {"teacher": False}, "compares the student with a teacher, and phase 'train' has none"),
        (LEARN["by validation"], {"validation": None}, "learns from validation windows, and there are none"),
        (LEARN["differentiable"], {"validation": None}, "learns from validation windows, and there are none"),
        ("filter_by_teacher(jitter(0.1))", {"teacher": False}, "asks a trained teacher: use it with `harkd distill`"),
        ("grow(jitter(0.1))", {"draws": 3}, r"draws that come back \(--draws\) have no end: take draws 0"),
    ],
)
def test_who_is_not_there_cannot_teach_a_policy(toy, text, how, says):
    with pytest.raises(UsageError, match=says):
        train(toy, text, **how)


def test_a_teacher_of_its_own_cannot_learn_from_the_student(toy):
    students, teacher = toy.player(augment=parse("jitter(0.1)")), toy.teacher(augment=parse(LEARN["loss"]))
    with pytest.raises(UsageError, match="learns from the student: it cannot be the strategy of 'teacher' alone"):
        toy.fit(toy.phases("kd", students, teacher))


class Listener:
    """A watcher that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def step(self, phase, progress) -> None: ...

    def epoch(self, phase, record) -> None: ...

    def say(self, text: str) -> None:
        self.told.append(text)


def test_what_a_pool_leaves_out_is_said(toy):
    """The toy data have one wrist: there is no other segment that could stay."""
    listener = Listener()
    train(toy, "trivial(jitter(0.1)+sensor_dropout(0.3))", teacher=False, epochs=1, watcher=listener)
    (told,) = listener.told
    assert told.startswith("sensor_dropout(0.3) is left out of its pool: SensorDropout keeps one segment at least")


def test_a_pool_that_can_do_nothing_is_refused(toy):
    with pytest.raises(UsageError, match=r"no op of this pool can do anything with these windows\. sensor_dropout"):
        train(toy, "trivial(sensor_dropout(0.3)+channels_symmetry())")


def test_growing_begins_with_clean_windows(toy):
    """4 steps of 16 show 63 windows once: the first epoch of a growing strategy is one without augmentation."""
    clean: list[dict[str, torch.Tensor]] = []
    growing: list[dict[str, torch.Tensor]] = []
    for text, states in (("none", clean), (f"grow({POOL})", growing)):
        at = At(3, lambda moment, states=states: states.append(toy.state(moment.phase.players["student"].net)))
        toy.fit(toy.phases("ce", toy.player(augment=parse(text)), epochs=4, at=[at]))
    assert toy.equal(clean[0], growing[0])
    assert not toy.equal(clean[-1], growing[-1])


def test_the_search_finds_the_gradient_through_a_step_of_the_student(toy):
    """Against the exact gradient of L_val(w - rate dL_train(w, policy)/dw), by autograd through the step."""
    train_set, held = toy.train, toy.val
    player = toy.player(toy.net(norm=False))
    player.net.double()
    augmenter = Augmenter(parse(f"differentiable({POOL})"), train_set)
    search = PolicySearch(player, augmenter, held, train_set.card.target.name, seed=0)
    state = {name: tensor.double().requires_grad_() for name, tensor in augmenter.memory[0].items()}
    augmenter.memory.write(0, state)
    index = torch.arange(24)
    batch = augmenter(index, index)
    x, y = player.sees(batch.x).double(), train_set.labels[index]
    weights = {name: p.detach().requires_grad_() for name, p in player.net.named_parameters()}

    def loss(at, signals, labels):
        return cross_entropy(labels, functional_call(player.net, at, (signals,)).logits).mean()

    rate = 0.1
    slopes = torch.autograd.grad(loss(weights, x, y), list(weights.values()), create_graph=True)
    ahead = {name: p - rate * slope for (name, p), slope in zip(weights.items(), slopes, strict=True)}
    held_x, held_y = search._validation_batch(1, 24)
    exact = torch.autograd.grad(loss(ahead, player.sees(held_x).double(), held_y), list(state.values()), retain_graph=True)
    assert all(float(gradient.abs().max()) > 1e-7 for gradient in exact)
    found = search._gradients(batch, search._validation_batch(1, 24), list(state.values()), rate)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-11)


def test_a_judge_answers_as_its_player(toy):
    player, x = toy.player(), toy.train.gather(torch.arange(10))
    judge, told = PlayerJudge(player), player.answer(x)
    torch.testing.assert_close(judge.probabilities(x), told.logits.softmax(1))
    torch.testing.assert_close(judge.attention(x), told.features[-1].square().mean(1))
