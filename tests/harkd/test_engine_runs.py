"""Runs: streams that do not touch each other, what players are shown, what hooks see, phases in a row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from harkd.augment import Augmenter, Spec, parse
from harkd.curriculum import Shuffle
from harkd.engine import At, Moment, Phase, Step
from harkd.errors import TrainingError
from harkd.hooks import BestOnValidation, Snapshots
from harkd.losses import cross_entropy
from harkd.nets import Net, PooledHead, staged
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.optimiser import Optimiser
from harkd.stage import Stage

PLAIN = Optimiser("sgd", rate=0.5, weight_decay=0.0, momentum=0.0, clip=0.0)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


class Noisy(Objective):
    """Draws from everywhere, and gives a term that nobody weights."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, context: Context) -> Terms:
        torch.rand(11)
        return {"noise": self.drop(torch.rand(len(context.y), generator=context.rng))}


class Careless(nn.Module):
    """Drops out without a dropout module."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, num_layers=2, dropout=0.5, batch_first=True)
        self.attention = nn.MultiheadAttention(5, 1, dropout=0.5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lstm(x.transpose(1, 2))[0]
        return nn.functional.dropout(self.attention(x, x, x)[0], 0.5, self.training).transpose(1, 2)


def careless() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return staged(Careless(), [nn.Identity()], PooledHead(5, 3))


@pytest.mark.parametrize("foreign", [False, True])
def test_the_same_seed_gives_the_same_numbers(toy: Any, foreign: bool) -> None:
    def run(seed: int, augment_seed: int = 0) -> tuple[dict[str, Tensor], Any, dict[str, Tensor]]:
        torch.rand(3)
        student = toy.player(careless() if foreign else toy.net(dropout=0.5), augment=parse("jitter(0.1)"))
        phases = toy.phases("kd", student, toy.teacher())
        return toy.state(student.net), toy.fit(phases, seed=seed, augment_seed=augment_seed), toy.state(student.net)

    start, history, end = run(0)
    assert not toy.equal(start, end)
    again = run(0)
    assert toy.equal(again[2], end)
    assert again[1] == history
    for other in (run(1), run(0, augment_seed=1)):
        assert toy.equal(other[0], start)
        assert not toy.equal(other[2], end)


def test_training_leaves_the_global_generator_alone(toy: Any) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    toy.fit(toy.phases("ce", toy.player(toy.net(dropout=0.5)), epochs=1))
    assert torch.equal(torch.rand(4), wanted)


class Everyone(Objective):
    """Cross-entropy of each player, under its name."""

    def forward(self, context: Context) -> Terms:
        return {name: cross_entropy(context.y, answer.logits) for name, answer in context.outputs.items()}


@pytest.mark.parametrize("company", ["frozen helper", "second learner", "second learner first", "noisy objective"])
def test_company_changes_nobodys_numbers(toy: Any, company: str) -> None:
    def run(*names: str, noisy: bool = False) -> tuple[dict[str, Tensor], list[float]]:
        players = {"student": toy.player(toy.net(dropout=0.5), augment=parse("jitter(0.1)+shifting(0.5)"))}
        players |= {"helper": toy.teacher(mode="frozen"), "peer": toy.player(toy.net(dropout=0.3, seed=4))}
        players = {name: players[name] for name in names}
        objective = Together(Everyone(), Noisy()) if noisy else Everyone()
        movers = tuple(name for name in names if name != "helper")
        steps = [Step(dict.fromkeys(movers, 1.0), movers)]
        history = toy.fit([Phase(2, players, objective, steps, Shuffle(16), Optimiser(rate=0.01, clip=0.0))])
        return toy.state(players["student"].net), [record["terms"]["student"] for record in history]

    with_company = {
        "frozen helper": lambda: run("helper", "student"),
        "second learner": lambda: run("student", "peer"),
        "second learner first": lambda: run("peer", "student"),
        "noisy objective": lambda: run("student", noisy=True),
    }[company]()
    alone = run("student")
    assert toy.equal(alone[0], with_company[0])
    assert alone[1] == with_company[1]


class Blurred(Objective):
    """Cross-entropy of the student's answer through a dropout of the objective's own."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, context: Context) -> Terms:
        return {"ce": cross_entropy(context.y, self.drop(context.outputs["student"].logits))}


def test_company_does_not_change_an_objectives_own_dropout(toy: Any) -> None:
    ends = []
    for company in ({}, {"peer": toy.player(toy.net(dropout=0.3))}):
        student = toy.player(toy.net(dropout=0.5))
        toy.fit([Phase(1, {"student": student, **company}, Blurred(), [Step({"ce": 1.0})], Shuffle(16))])
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def watch_modes(net: nn.Module) -> list[bool]:
    modes: list[bool] = []
    net.register_forward_hook(lambda module, given, made: modes.append(module.training))
    return modes


@pytest.mark.parametrize("draws", [0, 2])
def test_frozen_players_stay_as_they_are(toy: Any, draws: int) -> None:
    student, teacher = toy.player(), toy.teacher()
    teacher.net.train()(torch.randn(8, 6, 32))
    before, modes = toy.state(teacher.net), watch_modes(teacher.net.stem[1])
    toy.fit(toy.phases("kd", student, teacher, draws=draws))
    assert toy.equal(before, toy.state(teacher.net))
    assert modes
    assert not any(modes)
    assert not teacher.net.training
    assert all(parameter.grad is None for parameter in teacher.net.parameters())


def test_an_adapter_moves_and_its_net_stays(toy: Any) -> None:
    net = toy.net(norm=False)
    net.adapters = ("head.",)
    player = toy.player(net, mode="adapter")
    before = toy.state(net)
    toy.fit(toy.phases("ce", player))
    moved = {name for name, tensor in toy.state(net).items() if not torch.equal(tensor, before[name])}
    assert moved == {"head.inner.linear.weight", "head.inner.linear.bias"}


@pytest.mark.parametrize("augment", ["same", "clean", "own"])
@pytest.mark.parametrize("draws", [0, 2])
def test_what_the_teacher_is_shown(toy: Any, augment: str, draws: int) -> None:
    own = parse("jitter(0.3)+removal(0.5)")
    strategy = parse("shifting(0.5)+jitter(0.1)|mixup(0.5)")
    student = toy.player(sees="acc", augment=strategy)
    teacher = toy.player(toy.net(3), sees="gyro@25Hz", augment=own if augment == "own" else augment)
    shown: list[Tensor] = []
    batches: list[Any] = []

    class Spy(CrossEntropy):
        needs = frozenset({"features"})  # so that the teacher is asked at every step

        def forward(self, context: Context) -> Terms:
            batches.append(context.batch)
            return super().forward(context)

    teacher.net.register_forward_pre_hook(lambda module, given: shown.append(given[0][:16]))
    phase = Phase(2, {"student": student, "teacher": teacher.frozen()}, Spy(), [Step({"ce": 1.0})], Shuffle(16, draws))
    toy.fit([phase], augment_seed=5)
    assert len(batches) == 8
    spec = Spec.of(toy.train)
    for batch, x in zip(batches, shown[1:], strict=True):  # the first call was the dry run
        wanted = {
            "same": lambda batch=batch: Augmenter(strategy, toy.train, spec, 5)(batch.index, batch.draw).x,
            "clean": lambda batch=batch: toy.train.gather(batch.index),
            "own": lambda batch=batch: Augmenter(own, toy.train, spec, 5)(batch.index, batch.draw).x,
        }[augment]()
        assert torch.equal(x, teacher.sees(wanted))


def test_mixed_labels_reach_the_objective(toy: Any) -> None:
    labels: list[tuple[Tensor, Tensor]] = []

    class Spy(CrossEntropy):
        def forward(self, context: Context) -> Terms:
            labels.append((context.y, context.batch.index))
            return super().forward(context)

    student = toy.player(augment=parse("jitter(0.1)|mixup(0.5, p=0.5)"))
    history = toy.fit([Phase(2, {"student": student}, Spy(), [Step({"ce": 1.0})], Shuffle(16))])
    shares, index = (torch.cat(column) for column in zip(*labels, strict=True))
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))
    own = shares.gather(1, toy.train.labels[index][:, None])
    assert own.min() >= 0.5
    assert 0.3 < (own == 1).double().mean() < 0.9
    assert all(math.isfinite(record["terms"]["ce"]) for record in history)


def test_hooks_come_when_they_are_asked_for(toy: Any) -> None:
    calls: list[tuple[str, int, int, tuple[str, ...]]] = []

    def note(name: str) -> Any:
        def hook(moment: Moment) -> None:
            assert moment.train is not moment.validation
            assert (len(moment.train), len(moment.validation)) == (63, 21)
            calls.append((name, moment.progress.epoch, moment.progress.step, tuple(moment.scores)))

        return hook

    hooks = [At("end", note("end")), At("epoch", note("epoch")), At(3, note("third")), At(8, note("eighth"))]
    (phase,) = toy.phases("kd", toy.player(), toy.teacher(), at=hooks)
    phase.watched = ("teacher", "student")
    history = toy.fit([phase])
    both = ("teacher", "student")
    assert calls == [
        ("third", 0, 3, ()),
        ("epoch", 0, 4, both),
        ("third", 1, 6, ()),
        ("eighth", 1, 8, ()),
        ("epoch", 1, 8, both),
        ("end", 1, 8, ()),
    ]
    assert [(r["phase"], r["epoch"], r["step"], r["rate"], tuple(r["scores"])) for r in history] == [
        ("distil", 0, 4, 0.01, both),
        ("distil", 1, 8, 0.01, both),
    ]
    assert history[0]["scores"]["teacher"] == history[1]["scores"]["teacher"]


def test_without_validation_windows_nobody_is_scored(toy: Any) -> None:
    assert [record["scores"] for record in toy.fit(toy.phases("ce", toy.player()), validation=None)] == [{}, {}]


@pytest.mark.parametrize(("when", "epochs"), [("epoch", 2), (7, 2), (8, 2), (9, 3)])
def test_a_hook_may_end_the_phase_after_its_epoch(toy: Any, when: Any, epochs: int) -> None:
    def stop(moment: Moment) -> None:
        if moment.progress.step >= 5:
            moment.stop()

    first = toy.phases("ce", toy.player(), epochs=5, at=[At(when, stop)])
    history = toy.fit([*first, *toy.phases("ce", toy.player(seed=1), epochs=1)])
    assert [record["step"] for record in history] == [*range(4, 4 * epochs + 1, 4), 4]


def test_the_best_epoch_is_the_one_that_the_history_says(toy: Any) -> None:
    player = toy.player()
    best, kept = BestOnValidation("student", player.net, "accuracy"), Snapshots("student", player.net, range(1, 7))
    history = toy.fit(toy.phases("ce", player, epochs=6, rate=0.03, at=[best.at(), kept.at()]))
    scores = [(r["scores"]["student"]["accuracy"], -r["scores"]["student"]["nll"]) for r in history]
    assert len(set(scores)) == 6
    assert best.epoch == scores.index(max(scores))
    assert toy.equal(best.weights(), toy.state(kept.kept[str(best.epoch + 1)]))
    assert toy.equal(toy.state(kept.kept["6"]), toy.state(player.net))
    assert not toy.equal(toy.state(kept.kept["1"]), toy.state(kept.kept["2"]))


@pytest.mark.parametrize(("number", "word"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_loss_that_is_not_finite_stops_the_run(toy: Any, number: float, word: str) -> None:
    class Broken(CrossEntropy):
        def forward(self, context: Context) -> Terms:
            terms = super().forward(context)
            bad = torch.where(torch.arange(16) == 3, number, 0.0)
            return {"ce": terms["ce"] + bad} if context.progress.step == 7 else terms

    with pytest.raises(TrainingError, match=rf"^ce became {word} at step 7: "):
        toy.fit([Phase(5, {"student": toy.player()}, Broken(), [Step({"ce": 1.0})], Shuffle(16))])


@pytest.mark.parametrize("shared", [True, False])
def test_phases_in_a_row_go_on_with_nets_and_draws(toy: Any, shared: bool) -> None:
    def run(*epochs: int) -> dict[str, Tensor]:
        student, curriculum = toy.player(augment=parse("jitter(0.3)")), Shuffle(16)
        phases = []
        for number in epochs:
            walk = curriculum if shared else Shuffle(16)
            phases.append(Phase(number, {"student": student}, CrossEntropy(), [Step({"ce": 1.0})], walk, PLAIN))
        history = toy.fit(phases)
        assert [record["epoch"] for record in history] == [epoch for number in epochs for epoch in range(number)]
        return toy.state(student.net)

    # Plain SGD remembers nothing, so three phases over one curriculum are one long phase.
    assert toy.equal(run(4), run(1, 2, 1)) == shared


def test_a_later_phase_learns_from_what_an_earlier_one_trained(toy: Any) -> None:
    teacher = toy.teacher()
    toy.fit(toy.phases("ce", teacher))
    trained = toy.state(teacher.net)
    alone, chained = toy.player(), toy.player()
    toy.fit(toy.phases("kd", alone, teacher))
    fresh = toy.teacher()
    history = toy.fit([*toy.phases("ce", fresh), *toy.phases("kd", chained, fresh)])
    assert [record["phase"] for record in history] == ["train", "train", "distil", "distil"]
    assert toy.equal(trained, toy.state(fresh.net))
    assert toy.equal(toy.state(alone.net), toy.state(chained.net))


def test_bfloat16(toy: Any) -> None:
    ends = []
    for precision in ("bfloat16", "float32"):
        student = toy.player(toy.net(dropout=0.2))
        start = toy.state(student.net)
        history = toy.fit(toy.phases("kd", student, toy.teacher(), draws=2), precision=precision)
        ends.append(toy.state(student.net))
        assert {tensor.dtype for tensor in ends[-1].values()} <= {torch.float32, torch.int64}
        assert not torch.equal(ends[-1]["stem.0.weight"], start["stem.0.weight"])
        assert all(math.isfinite(number) for record in history for number in record["terms"].values())
    assert not toy.equal(*ends)
    torch.testing.assert_close(ends[0]["head.inner.linear.weight"], ends[1]["head.inner.linear.weight"], rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("strategy", "draws"),
    [
        ("none", 0),
        ("removal(0.5)+shifting(0.5)+rotate(15, p=0.5)+jitter(0.1)+magnitude_warp(0.2)+time_warp(0.2)+scaling(0.1)", 0),
        ("one_of(removal(0.5), noise_injection(0.2))", 3),
        ("jitter(0.1)|mixup(0.2, partner=other_class)", 3),
    ],
)
def test_a_step_never_waits_for_the_device(toy: Any, monkeypatch: pytest.MonkeyPatch, strategy: str, draws: int) -> None:
    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            ops[func.overloadpacket.__name__] += 1
            return func(*args, **kwargs or {})

    ops, steps, step = Counter[str](), [], Stage.step

    def counted(self: Any, epoch: int) -> Mapping[str, Tensor]:
        steps.append(epoch)
        with Count():
            return step(self, epoch)

    monkeypatch.setattr(Stage, "step", counted)
    student = toy.player(toy.net(dropout=0.3), augment=parse(strategy))
    toy.fit(toy.phases("kd", student, toy.teacher(), draws=draws))
    assert len(steps) == 8
    assert ops["convolution_backward"] == 8 * 3
    waits = {"_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "_unique2", "equal", "is_nonzero"}
    assert not any(ops[name] for name in waits)


@pytest.mark.gpu
@needs_cuda
def test_a_gpu_gives_nearly_the_numbers_of_the_cpu(toy: Any) -> None:
    ends = []
    for device in ("cpu", "cuda"):
        student = toy.player(augment=parse("jitter(0.1)+shifting(0.5)|mixup(0.2)"))
        best = BestOnValidation("student", student.net)
        phases = toy.phases("kd", student, toy.teacher(), draws=2, at=[best.at()], optimiser=PLAIN)
        history = toy.fit(phases, device=device)
        assert next(student.net.parameters()).device.type == device
        ends.append((toy.state(student.net), history[-1]["terms"]))
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=1e-2, atol=1e-3)
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-2)
