"""A bandit over ops."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Evidence, parse
from harkd.errors import UsageError

from .conftest import NAMES, POOL


def evidence(windows, index, draw, student, right=True):
    """A teacher that is sure (of the right class, or of another), and a student with these logits."""
    labels = windows.labels[index]
    told = torch.nn.functional.one_hot(labels if right else (labels + 1) % 4, 4) * 20.0
    return Evidence(index, draw, labels, student, told)


def test_at_first_all_ops_have_equal_chances(bench, many, seen):
    bench.augment(f"adaptive({POOL})", many)
    met = seen.counts(len(many))
    assert torch.equal(sum(met.values()), torch.ones(len(many), dtype=torch.int64))
    assert stats.chisquare([int(count.sum()) for count in met.values()]).pvalue > 0.001


def test_the_op_that_the_student_does_not_understand_wins(bench, many, seen):
    """The student is undecided about windows that were turned, and of the teacher's mind about all others."""
    augmenter = Augmenter(parse(f"adaptive({POOL})"), many)
    index = torch.arange(len(many))
    for step in range(5):
        seen.ops.clear()
        augmenter(index, index * 0 + step)
        turned = seen.counts(len(many))["rotate"] > 0
        sure = torch.nn.functional.one_hot(many.labels, 4) * 20.0
        augmenter.learn(evidence(many, index, index * 0 + step, torch.where(turned[:, None], 0.0, sure)))
    chances = augmenter.memory.learners[0].chances(augmenter.memory[0])
    assert NAMES[int(chances.argmax())] == "rotate"
    # The share of pure chance stays: gamma / 4 for each of the others.
    torch.testing.assert_close(chances, torch.tensor([0.025, 0.025, 0.925, 0.025], dtype=torch.float64), atol=1e-3, rtol=0)
    assert f"chance of {'rotate(15)'}" in augmenter.told()


def test_one_step_of_exp3_by_hand(bench):
    """Two ops with equal chances 1/2; every window of the first op pays log(4) clipped to 1, of the second nothing."""
    windows = bench.windows((bench.acc,), 8, n=16, classes=4)
    augmenter = Augmenter(parse("adaptive(jitter(0.3)+scaling(0.3), gamma=0.2)"), windows)
    learner, index = augmenter.memory.learners[0], torch.arange(16)
    state = augmenter.memory[0]
    choice = torch.tensor([0] * 10 + [1] * 6)
    after = learner._paid(state, choice, torch.where(choice == 0, 1.0, 0.0).double())
    # Weight of the first op: gamma / 2 * 10 / (1/2) = 2; the largest is moved to 0.
    torch.testing.assert_close(after["weights"], torch.tensor([0.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(learner.chances(after)[0].item(), 0.8 / (1 + torch.tensor(-2.0).double().exp().item()) + 0.1)
    assert len(index) == 16


def test_a_teacher_that_is_wrong_pays_nothing(bench, many):
    augmenter = Augmenter(parse(f"adaptive({POOL})"), many)
    index = torch.arange(64)
    augmenter.learn(evidence(many, index, index * 0, torch.zeros(64, 4), right=False))
    assert torch.equal(augmenter.memory[0]["weights"], torch.zeros(4, dtype=torch.float64))


def test_what_was_learnt_is_in_the_key(bench, many):
    augmenter = Augmenter(parse(f"adaptive({POOL})"), many)
    index = torch.arange(64)
    before = augmenter(index, index)
    again = augmenter(index, index)
    assert torch.equal(before.x["wrist_acc"], again.x["wrist_acc"])
    augmenter.learn(evidence(many, index, index, torch.zeros(64, 4)))
    after = augmenter(index, index)
    assert not torch.equal(before.x["wrist_acc"], after.x["wrist_acc"])
    # Another augmenter with the same memory goes on alike.
    other = Augmenter(parse(f"adaptive({POOL})"), many)
    other.memory.load_state_dict(augmenter.memory.state_dict())
    assert torch.equal(other(index, index).x["wrist_acc"], after.x["wrist_acc"])


def test_by_validation_one_op_has_an_epoch_and_gains_pay_it(bench, many, seen):
    augmenter = Augmenter(parse(f"adaptive({POOL}, reward=validation)"), many)
    augmenter(torch.arange(100), torch.arange(100))
    assert {name for name, _, _ in seen.ops} == {NAMES[0]}
    augmenter.finish_epoch(0.05)
    state = augmenter.memory[0]
    # A gain of 5 points is half of what can be told apart: gamma / 4 * 0.5 / (1/4) = 0.05 more than the others.
    torch.testing.assert_close(state["weights"], torch.tensor([0.0, -0.05, -0.05, -0.05], dtype=torch.float64))
    arms = []
    for _ in range(40):
        augmenter.finish_epoch(0.05)  # no gain any more
        arms.append(int(augmenter.memory[0]["arm"]))
    assert len(set(arms)) == 4
    assert torch.equal(augmenter.memory[0]["weights"], state["weights"])


@pytest.mark.parametrize("gamma", [0, 1.5, float("nan")])
def test_gamma_is_a_share(gamma):
    with pytest.raises(UsageError, match="gamma is a share of pure chance"):
        parse("adaptive(jitter(0.3))").ops[0].__class__((parse("jitter(0.3)"),), gamma=gamma)
