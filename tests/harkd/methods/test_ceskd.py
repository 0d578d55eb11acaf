"""One expert for each window: ranks, pace and choice by hand, who is asked, and what it reduces to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harkd.augment import parse
from harkd.datasets import IGNORE
from harkd.errors import UsageError
from harkd.losses import cross_entropy, kl
from harkd.methods import METHODS
from harkd.methods.ceskd import Experts
from harkd.nets import Outputs
from harkd.options import CESKD, KD
from harkd.player import predict
from harkd.routing import Routing, by_class, ladder, mean_by, ranks

EVERY = torch.arange(63)
Saying = Callable[[Tensor], Any]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def routing(toy: Any, saying: Saying, number: int, windows: int = 63, epochs: int = 10, **more: Any) -> Routing:
    """Experts who say random things, about the first windows."""
    made = Routing([saying(draw(63, 3, seed=n)) for n in range(number)], CESKD(**more), epochs)
    made.begin(toy.train.subset(EVERY[:windows]))
    return made


def with_difficulty(made: Routing, difficulty: Sequence[float], epoch: int) -> Routing:
    made.difficulty.copy_(torch.tensor(difficulty))
    made.rank.copy_(ranks(made.difficulty))
    made.epoch.fill_(epoch)
    return made


# Ranks, pace and choice


def test_ranks_by_hand() -> None:
    assert ranks(torch.tensor([0.3, 0.1, 0.2, 0.1])).tolist() == [3, 0, 2, 1]


def test_one_expert_after_the_other_comes_into_use(toy: Any, saying: Saying) -> None:
    """1 + floor(3 min(1, (epoch + 1) / 5)), of four experts in ten epochs at half the pace."""
    made = routing(toy, saying, 4)
    found = []
    for epoch in range(10):
        made.epoch.fill_(epoch)
        found.append(made.in_use)
    assert found == [1, 2, 2, 3, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("number", "pace", "epochs", "wanted"), [(1, 0.5, 4, [1] * 4), (3, 1.0, 6, [1, 1, 2, 2, 2, 3]), (5, 0.01, 3, [5] * 3)]
)
def test_other_paces(toy: Any, saying: Saying, number: int, pace: float, epochs: int, wanted: list[int]) -> None:
    made = routing(toy, saying, number, epochs=epochs, pace=pace)
    found = []
    for epoch in range(epochs):
        made.epoch.fill_(epoch)
        found.append(made.in_use)
    assert found == wanted


@pytest.mark.parametrize(
    ("difficulty", "number", "wanted"),
    [
        ([0.0, 0.25, 0.5, 0.75], 4, [0, 1, 2, 3]),
        ([0.1, 0.2, 0.9, 0.95], 2, [0, 0, 1, 1]),
        ([0.95, 0.2, 0.1, 0.9], 2, [1, 0, 0, 1]),
    ],
)
def test_the_choice_at_full_pace(toy: Any, saying: Saying, difficulty: list[float], number: int, wanted: list[int]) -> None:
    made = with_difficulty(routing(toy, saying, number, windows=4), difficulty, epoch=9)
    assert made.choose(torch.arange(4)).tolist() == wanted
    assert made.choose(torch.tensor([3, 0])).tolist() == [wanted[3], wanted[0]]


@pytest.mark.parametrize("number", [2, 4, 5])
def test_experts_have_as_many_windows_each_and_harder_ones_the_larger(toy: Any, saying: Saying, number: int) -> None:
    made = with_difficulty(routing(toy, saying, number), draw(63, seed=9).tolist(), epoch=9)
    chosen = made.choose(EVERY)
    assert chosen[made.difficulty.argsort()].diff().min() >= 0
    counts = chosen.bincount(minlength=number)
    assert counts.max() - counts.min() <= 1
    made.epoch.fill_(0)
    assert set(made.choose(EVERY).tolist()) <= set(range(made.in_use))


# Difficulty


def test_it_begins_with_the_loss_of_the_smallest_and_follows_the_student(toy: Any, saying: Saying) -> None:
    made, y = routing(toy, saying, 3), toy.train.labels
    first = cross_entropy(y, draw(63, 3, seed=0).double())
    torch.testing.assert_close(made.difficulty, first, rtol=1e-5, atol=1e-5)
    start = made.difficulty.clone()
    made.heard(torch.tensor([5, 9, 5]), torch.tensor([1.0, 2.0, 3.0]))
    assert made.difficulty[5].item() == pytest.approx(0.9 * start[5].item() + 0.3), "the last of two"
    assert made.difficulty[9].item() == pytest.approx(0.9 * start[9].item() + 0.2)
    assert (made.difficulty == start).sum() == 61
    made.rank.zero_()
    made.refresh(None)  # type: ignore[arg-type]
    assert torch.equal(made.rank, ranks(made.difficulty))
    assert int(made.epoch) == 1


def test_the_teachers_loss_stays(toy: Any, saying: Saying) -> None:
    made = routing(toy, saying, 3, difficulty="teacher_loss")
    wanted = cross_entropy(toy.train.labels, draw(63, 3, seed=2).double())
    torch.testing.assert_close(made.difficulty, wanted, rtol=1e-5, atol=1e-5)
    made.heard(EVERY, torch.full((63,), 9.0))
    torch.testing.assert_close(made.difficulty, wanted, rtol=1e-5, atol=1e-5)


def test_the_ladder_by_hand() -> None:
    """Two experts, three windows: the first is right about one, only the last about the next, nobody about the third."""
    shares = torch.tensor(
        [[[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]], [[0.2, 0.7, 0.1], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]]]
    )
    labels = torch.tensor([0, 1, 2])
    assert ladder(labels, shares.log(), 0.0).tolist() == pytest.approx([0 + 0.8, 1 + 0.3, 1 + 0.9])
    assert ladder(labels, shares.log(), 0.35).tolist() == pytest.approx([1 + 0.8, 1 + 0.3, 1 + 0.9]), "0.6 is not far above 0.3"
    unknown = torch.tensor([IGNORE, 1, 2])
    assert ladder(unknown, shares.log(), 0.0)[0].item() == pytest.approx(1 + 0.3), "the last expert decides for the second class"


def test_disagreement_of_the_experts(toy: Any, saying: Saying) -> None:
    """Half of the windows get one answer from both, the others two answers that exclude each other: ln 2."""
    y, apart = toy.train.labels, torch.arange(63) % 2 == 1
    sure = [60.0 * one_hot(answers, 3).float() for answers in (y, torch.where(apart, (y + 1) % 3, y))]
    made = Routing([saying(logits) for logits in sure], CESKD(difficulty="disagreement"), 10)
    made.begin(toy.train)
    torch.testing.assert_close(made.difficulty, math.log(2) * apart.double())
    made.heard(EVERY, torch.full((63,), 9.0))
    assert made.difficulty.max() < 1, "the student's loss is another measure"


def test_means_of_groups() -> None:
    assert mean_by(torch.tensor([1, 0, 1, 2]), torch.tensor([1.0, 5.0, 3.0, 0.5])).tolist() == [2.0, 5.0, 2.0, 0.5]


def test_a_window_may_be_as_difficult_as_its_recording(toy: Any, saying: Saying) -> None:
    """9 recordings of 7 windows: each goes to one expert as a whole, if their numbers allow it."""
    made = routing(toy, saying, 3, by_recording=True)
    names = toy.train.recordings
    means = {name: made.difficulty[torch.from_numpy(names == name)].mean().item() for name in set(names)}
    order = sorted(means, key=means.__getitem__)
    made.epoch.fill_(9)
    chosen = made.choose(EVERY)
    for place, name in enumerate(order):
        assert set(chosen[torch.from_numpy(names == name)].tolist()) == {place // 3}
    made.difficulty.copy_(-made.difficulty)
    made.refresh(None)  # type: ignore[arg-type]
    made.epoch.fill_(9)
    assert torch.equal(made.choose(EVERY), 2 - chosen)


# The guard


def test_accuracy_by_class() -> None:
    logits = one_hot(torch.tensor([0, 1, 1, 2, 0]), 4).float()
    assert by_class(torch.tensor([0, 0, 1, 2, IGNORE]), logits).tolist() == [0.5, 1.0, 1.0, 0.0]


def moment(toy: Any, student: Any) -> Any:
    return SimpleNamespace(phase=SimpleNamespace(players={"student": student}), train=toy.train)


@pytest.mark.parametrize("guard", [True, False])
def test_a_window_goes_up_past_those_who_are_worse_at_its_class(toy: Any, saying: Saying, guard: bool) -> None:
    """The student knows classes 0 and 1; the first assistant only 1, the second only 0, and the teacher none of them."""
    y = toy.train.labels
    knows = [
        saying(9.0 * one_hot(torch.where(sum(y == k for k in some) > 0, y, (y + 1) % 3), 3).float())
        for some in ((1,), (0,), (9,))
    ]
    student = saying(9.0 * one_hot(torch.where(y < 2, y, 0), 3).float())
    made = Routing(knows, CESKD(guard=guard), 4)
    made.begin(toy.train)
    assert made.instead.tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    made.refresh(moment(toy, student))
    assert made.instead.tolist() == ([[1, 0, 0], [1, 2, 1], [2, 2, 2]] if guard else [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    made.epoch.fill_(3)
    plain = made.rank * 3 // 63
    table = made.instead
    assert torch.equal(made.choose(EVERY), table[plain, y])
    if guard:
        made.labels = torch.full_like(y, IGNORE)
        assert torch.equal(made.choose(EVERY), plain), "a window without a label stays where it is"


# Who is asked


def test_answers_come_back_in_the_order_of_the_batch(toy: Any, saying: Saying, context: Callable[..., Any]) -> None:
    """The loss of every window is that of its expert, as if all had been asked about all; nobody is asked about more."""
    names = ("assistant-2", "assistant-1", "teacher")
    told = {name: draw(8, 3, seed=n) for n, name in enumerate(names, 1)}
    experts = Experts({name: saying(draw(63, 3)) for name in names}, CESKD(), 10)
    experts.bind(None, toy.train)  # type: ignore[arg-type]
    with_difficulty(experts.routing, draw(63, seed=7).tolist(), epoch=9)
    index, asked = torch.tensor([40, 3, 62, 17, 5, 5, 33, 20]), dict[str, list[int]]()

    def look(name: str, rows: Tensor | None = None) -> Outputs:
        if rows is None:
            return Outputs(draw(8, 3))
        asked[name] = rows.tolist()
        return Outputs(told[name][rows])

    given = context(experts.outputs(SimpleNamespace(look=look, batch=SimpleNamespace(index=index))), index=index)  # type: ignore[arg-type]
    chosen = experts.routing.choose(index)
    assert set(chosen.tolist()) == {0, 1, 2}
    everything = torch.stack([kl(told[name], draw(8, 3), 4.0) for name in names])
    terms = experts(given)
    torch.testing.assert_close(terms["kl"], everything.gather(0, chosen[None])[0])
    assert sorted(place for places in asked.values() for place in places) == list(range(8))
    assert all({names[expert] for expert in chosen[rows].tolist()} == {name} for name, rows in asked.items())
    shares = torch.tensor([terms[f"share {name}"] for name in names])
    torch.testing.assert_close(shares, chosen.bincount(minlength=3) / 8)
    half = Experts({name: saying(draw(63, 3)) for name in names}, CESKD(reduction="mean"), 10)
    half.routing = experts.routing
    torch.testing.assert_close(half(given)["kl"], terms["kl"] / 3)


def test_who_is_not_in_use_is_not_asked(toy: Any) -> None:
    """One epoch of eight with the smallest alone, then two, then all three."""
    experts = {"teacher": toy.teacher(3), "assistant-1": toy.teacher(2), "assistant-2": toy.teacher(1)}
    asked: dict[str, list[int]] = {name: [] for name in experts}
    student = toy.player(augment=parse("shifting(0.5)"))  # otherwise the bank answers for them
    (phase,) = METHODS["ceskd"]({"student": student, **experts}, CESKD(pace=0.5), toy.plan(epochs=8))
    for name, player in experts.items():
        player.net.register_forward_pre_hook(lambda module, given, name=name: asked[name].append(len(given[0])))
    history = toy.fit([phase])
    shares = [[record["terms"][f"share {name}"] for name in experts] for record in history]
    assert shares[0] == [0.0, 0.0, 1.0]
    assert [sum(share > 0 for share in row) for row in shares] == [1, 2, 2, 3, 3, 3, 3, 3]
    dry_run, judges = 1, 1
    assert len(asked["assistant-2"]) == dry_run + judges + 8 * 4
    assert len(asked["assistant-1"]) == dry_run + 7 * 4
    assert len(asked["teacher"]) == dry_run + 5 * 4


def test_windows_that_their_expert_does_not_see(toy: Any, saying: Saying, context: Callable[..., Any]) -> None:
    names = ("assistant-1", "teacher")
    experts = Experts({name: saying(draw(63, 3)) for name in names}, CESKD(), 10)
    experts.bind(None, toy.train)  # type: ignore[arg-type]
    with_difficulty(experts.routing, range(63), epoch=9)
    index = torch.tensor([0, 1, 60, 61])
    masks = {"assistant-1": torch.tensor([True, False, True, False]), "teacher": torch.tensor([False, False, False, True])}
    given = context({"student": draw(4, 3), "teacher": draw(4, 3, seed=1)}, index=index, masks=masks)
    assert (experts(given)["kl"] > 0).tolist() == [True, False, False, True]


# Whole runs


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
@pytest.mark.parametrize(
    "more", [{}, {"difficulty": "ladder"}, {"difficulty": "teacher_loss", "guard": True}, {"difficulty": "disagreement"}], ids=str
)
def test_with_one_expert_it_is_kd(toy: Any, more: dict[str, Any], draws: int, dropout: float) -> None:
    ends = []
    for key, options in (("ceskd", CESKD(**more)), ("kd", KD())):
        student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
        history = toy.fit(toy.phases(key, student, toy.teacher(), options=options, draws=draws, epochs=3))
        ends.append((toy.state(student.net), [(r["terms"]["kl"], r["terms"]["ce"], r["scores"]) for r in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_ranks_are_refreshed_after_each_epoch(toy: Any) -> None:
    players = {"student": toy.player(), "teacher": toy.teacher(), "assistant-1": toy.teacher(1)}
    (phase,) = METHODS["ceskd"](players, CESKD(momentum=0.0), toy.plan(epochs=3))
    routed = phase.objective.objectives[1].routing
    seen: list[tuple[int, Tensor]] = []
    phase.objective.register_forward_pre_hook(lambda module, given: seen.append((int(routed.epoch), routed.rank.clone())))
    toy.fit([phase])
    assert [epoch for epoch, _ in seen] == [epoch for epoch in range(3) for _ in range(4)]
    assert torch.equal(seen[0][1], ranks(cross_entropy(toy.train.labels, predict(players["assistant-1"], toy.train).double())))
    for epoch in range(3):
        assert all(torch.equal(rank, seen[4 * epoch][1]) for _, rank in seen[4 * epoch : 4 * epoch + 4])
    assert not torch.equal(seen[0][1], seen[4][1])
    assert not torch.equal(seen[4][1], seen[8][1])


@pytest.mark.parametrize("step", [3, 4, 6])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Callable[..., Any], step: int) -> None:
    def run(keeper: Any) -> dict[str, Tensor]:
        players = {"student": toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))}
        players |= {"teacher": toy.teacher(), "assistant-1": toy.teacher(1), "assistant-2": toy.teacher(2)}
        (phase,) = METHODS["ceskd"](players, CESKD(guard=True), toy.plan(epochs=3))
        toy.fit([phase], keeper=keeper)
        return toy.state(players["student"].net) | {
            f"objective {name}": each for name, each in toy.state(phase.objective).items()
        }

    assert toy.equal(*goes_on(run, step))


@pytest.mark.parametrize("options", [{"pace": 0.0}, {"pace": 1.5}, {"momentum": -0.1}, {"margin": 2.0}], ids=str)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        CESKD(**options)
