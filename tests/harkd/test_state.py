"""The state of a run: out and back in, to the bit, and not into another net; stopped runs that go on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.augment import parse
from harkd.curriculum import Shuffle
from harkd.engine import At, Moment, Phase, Step
from harkd.errors import Interrupted, TrainingError
from harkd.hooks import BestOnValidation
from harkd.objectives import Context, CrossEntropy, Objective, Terms, Together
from harkd.optimiser import Optimiser
from harkd.state import collect, collect_optimiser, restore, restore_optimiser


def test_modules_come_back_to_the_bit(toy: Any) -> None:
    nets = {"student": toy.net(seed=1), "of / odd name": toy.net(seed=2)}
    for net in nets.values():
        net(torch.randn(8, 6, 32))
    kept = collect(nets, "net")
    assert "net/student/head.inner.linear.weight" in kept
    assert "net/of / odd name/stem.1.running_mean" in kept
    others = {name: toy.net(seed=9) for name in nets}
    restore(others, kept, "net")
    assert all(toy.equal(toy.state(others[name]), toy.state(nets[name])) for name in nets)


def test_kinds_and_names_that_begin_alike_stay_apart() -> None:
    modules = {name: nn.Linear(1, 1) for name in ("a", "ab")}
    kept = collect(modules, "net") | collect({"a": nn.Linear(1, 1)}, "stage")
    other = nn.Linear(1, 1)
    restore({"a": other}, kept, "net")
    assert torch.equal(other.weight, modules["a"].weight)


@pytest.mark.parametrize("change", [{"width": 9}, {"deeper": 1}, {"norm": False}], ids=str)
def test_another_nets_state_is_refused(toy: Any, change: dict[str, Any]) -> None:
    kept = collect({"student": toy.net()}, "net")
    with pytest.raises(TrainingError, match=r"^the checkpoint does not fit this run \(student: "):
        restore({"student": toy.net(**change)}, kept, "net")


def test_a_missing_module_is_refused(toy: Any) -> None:
    with pytest.raises(TrainingError, match=r"does not fit this run \(teacher: "):
        restore({"teacher": toy.net()}, collect({"student": toy.net()}, "net"), "net")


@pytest.mark.parametrize("optimiser", [Optimiser("adamw"), Optimiser("sgd"), Optimiser("sgd", momentum=0.0)], ids=str)
def test_optimisers_go_on_to_the_bit(toy: Any, optimiser: Optimiser) -> None:
    def walk(built: torch.optim.Optimizer, net: nn.Module, steps: range) -> None:
        for step in steps:
            generator = torch.Generator().manual_seed(step)
            for group in built.param_groups:
                group["lr"] = 0.1
                for parameter in group["params"]:
                    parameter.grad = torch.randn(parameter.shape, generator=generator)
            built.step()

    straight = toy.net()
    walk(optimiser.build(straight.parameters()), straight, range(6))
    first = toy.net()
    built = optimiser.build(first.parameters())
    walk(built, first, range(3))
    kept = {name: tensor.clone() for name, tensor in (collect_optimiser(built) | collect({"n": first}, "net")).items()}
    second = toy.net(seed=5)
    built = optimiser.build(second.parameters())
    restore({"n": second}, kept, "net")
    restore_optimiser(built, kept)
    walk(built, second, range(3, 6))
    assert toy.equal(toy.state(straight), toy.state(second))
    assert not toy.equal(toy.state(straight), toy.state(first))


class Diary:
    """A keeper that saves at every step, as a file would (meta as JSON), and stops the run at the n-th."""

    def __init__(self, stop: int = 0, saved: Any = None) -> None:
        self.stop, self.saved, self.pages = stop, saved, dict[tuple[int, int], Any]()

    def load(self) -> Any:
        if self.saved is None:
            return None
        tensors, meta = self.saved
        return {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(meta)

    def due(self) -> bool:
        return True

    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        page = {name: tensor.detach().clone() for name, tensor in tensors.items()}, json.dumps(meta)
        self.pages[meta["phase"], meta["step"]] = page

    def checked(self) -> None:
        if len(self.pages) == self.stop:
            raise Interrupted("enough for today")


class Remembering(Objective):
    """An objective with a projection, dropout and a memory: everything that has to come back."""

    def bind(self, context: Context, train: Any) -> None:
        self.project = nn.Linear(16, 3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("memory", torch.zeros(len(train)))

    def forward(self, context: Context) -> Terms:
        memory = self.get_buffer("memory")
        memory[context.batch.index] += torch.rand(len(context.y), generator=context.rng)
        told = self.project(self.drop(context.outputs["student"].embedding))
        return {"own": (told - memory[context.batch.index, None]).square().mean(1)}


class Chain:
    """A teacher is trained and a student learns from it: two phases, dropout, mixing, the best epochs of both."""

    def __init__(self, toy: Any) -> None:
        self.toy = toy
        strategy = parse("jitter(0.1)|mixup(0.4)")
        teacher, student = toy.player(toy.net(width=12, dropout=0.3)), toy.player(toy.net(dropout=0.5), augment=strategy)
        self.best = [BestOnValidation("student", player.net) for player in (teacher, student)]
        self.phases = [
            *toy.phases("ce", teacher, batch=24, at=[self.best[0].at()]),
            *toy.phases("kd", student, teacher, batch=24, draws=2, at=[self.best[1].at()]),
        ]
        self.phases[1].objective = Together(self.phases[1].objective, Remembering())
        self.phases[1].steps = [*self.phases[1].steps, Step({"own": 0.1}, every=2, fresh=True)]
        self.nets = [teacher.net, student.net]

    def run(self, diary: Diary | None = None) -> Any:
        history = self.toy.fit(self.phases, keeper=diary, seed=3)
        return [self.toy.state(net) for net in self.nets], [(b.epoch, self.toy.state(b.best)) for b in self.best], history


@pytest.fixture(scope="module")
def straight(toy: Any) -> Any:
    """The run that nobody stops, and all its pages."""
    diary = Diary()
    return Chain(toy).run(diary), diary.pages


def test_saving_changes_nothing(toy: Any, straight: Any) -> None:
    nets, best, history = Chain(toy).run()
    assert all(map(toy.equal, nets, straight[0][0]))
    assert [epoch for epoch, _ in best] == [epoch for epoch, _ in straight[0][1]]
    assert history == straight[0][2]
    assert list(straight[1]) == [(phase, step) for phase in (0, 1) for step in range(1, 7)]


@pytest.mark.parametrize("stop", range(1, 13))
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_end(toy: Any, straight: Any, stop: int) -> None:
    known, pages = straight
    first = Diary(stop)
    with pytest.raises(Interrupted):
        Chain(toy).run(first)
    assert list(first.pages) == list(pages)[:stop]
    second = Diary(saved=list(first.pages.values())[-1])
    nets, best, history = Chain(toy).run(second)
    assert list(second.pages) == list(pages)[stop:]
    for place, (tensors, meta) in (first.pages | second.pages).items():
        assert toy.equal(tensors, pages[place][0]), place
        assert meta == pages[place][1]
    assert history == known[2]
    assert all(map(toy.equal, nets, known[0]))
    for (epoch, weights), (known_epoch, known_weights) in zip(best, known[1], strict=True):
        assert epoch == known_epoch
        assert toy.equal(weights, known_weights)


def test_a_page_holds_everything_that_remembers(straight: Any) -> None:
    tensors, meta = list(straight[1].values())[-1]
    kinds = {"/".join(name.split("/")[:2]) for name in tensors if not name.startswith("optimiser/")}
    assert kinds == {"lasting/0 student", "lasting/0 hook 0", "lasting/1 student", "lasting/1 hook 0", "stage/objective"}
    assert {"stage/objective/objectives.1.project.weight", "stage/objective/objectives.1.memory"} <= set(tensors)
    moments = [name for name in tensors if name.startswith("optimiser/") and name.endswith("/exp_avg")]
    assert len(moments) == 16  # 14 of the student and two of the projection
    assert json.loads(meta)["phase"] == 1


def test_a_checkpoint_of_another_net_is_refused(toy: Any, straight: Any) -> None:
    chain = Chain(toy)
    chain.phases[0].players["student"].net.head.inner.linear = nn.Linear(24, 4)
    with pytest.raises(TrainingError, match=r"does not fit this run \(0 student: "):
        chain.run(Diary(saved=next(iter(straight[1].values()))))


@pytest.mark.parametrize("stop", [5, 6, 7, 8])
def test_the_wish_to_stop_early_is_remembered(toy: Any, stop: int) -> None:
    def chain() -> list[Phase]:
        def enough(moment: Moment) -> None:
            if moment.progress.step == 6:
                moment.stop()

        student = toy.player()
        return [Phase(5, {"student": student}, CrossEntropy(), [Step({"ce": 1.0})], Shuffle(16), at=[At(2, enough)])]

    known = toy.fit(chain())
    assert len(known) == 2
    first = Diary(stop)
    with pytest.raises(Interrupted):
        toy.fit(chain(), keeper=first)
    assert toy.fit(chain(), keeper=Diary(saved=list(first.pages.values())[-1])) == known
