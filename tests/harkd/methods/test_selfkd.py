"""Self-distillation: who teaches, the two controls by hand, and the generations as they are trained one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch
from harkd.cast import helpers
from harkd.errors import UsageError
from harkd.evaluation import evaluate
from harkd.losses import cross_entropy, kl
from harkd.methods.selfkd import Certainty, Generations, shuffled_others
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import CE, KD, Distill, SelfKD, Train
from harkd.player import Player
from harkd.schedule import Progress

NAMES = ("teacher", "assistant-1", "assistant-2")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def context(mine: Tensor, *told: Tensor, step: int = 0) -> Context:
    number = torch.arange(len(mine))
    outputs = {"student": Outputs(mine)} | {name: Outputs(z) for name, z in zip(NAMES, told, strict=False)}
    return Context(Batch({}, {"y": number % 3}, number, number, number), outputs, {}, Progress(0, 1, step, 9), "y")


def cast(toy: Any, generations: int) -> dict[str, Player]:
    players = {"student": toy.player(toy.net(dropout=0.3))}
    return players | {name: toy.player(seed=100 + n) for n, name in enumerate(NAMES[:generations])}


# Who teaches


def test_the_mean_answer_by_hand() -> None:
    """(3/4, 1/4) and (1/4, 3/4) make (1/2, 1/2), which a student that tells nothing apart says already."""
    told = [torch.tensor([p]).log() for p in ([0.75, 0.25], [0.25, 0.75])]
    ensemble = Generations(NAMES[:2], SelfKD(temperature=1.0))
    assert ensemble(context(torch.zeros(1, 2), *told))["kl"].item() == pytest.approx(0.0, abs=1e-7)
    mine = torch.tensor([[2.0, 0.0]])
    assert ensemble(context(mine, *told))["kl"].item() == pytest.approx(0.433781, abs=1e-6)
    last = Generations(NAMES[1:2], SelfKD(temperature=1.0))
    assert last(context(torch.zeros(1, 2), *told))["kl"].item() == pytest.approx(0.130812, abs=1e-6)  # ln 2 - H(1/4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_mean_is_one_of_tempered_probabilities(temperature: float) -> None:
    told, mine = [draw(5, 4, seed=n) for n in range(3)], draw(5, 4, seed=9)
    found = Generations(NAMES, SelfKD(temperature=temperature))(context(mine, *told))["kl"]
    mean = torch.stack([(z / temperature).softmax(1) for z in told]).mean(0)
    torch.testing.assert_close(found, kl(temperature * mean.log(), mine, temperature), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("chain", "asked"), [("last", {"assistant-2"}), ("ensemble", set(NAMES))])
def test_who_is_asked(toy: Any, chain: Any, asked: set[str]) -> None:
    (phase,) = toy.play("selfkd", cast(toy, 3), options=SelfKD(chain=chain))
    assert set(phase.players) == {"student", *asked}
    assert all(phase.players[name].mode == "frozen" for name in asked)


def test_the_generation_that_is_best_on_validation_windows_is_asked(toy: Any) -> None:
    told = set()
    for seed in range(6):
        players = {"student": toy.player()} | {name: toy.player(seed=10 * seed + n) for n, name in enumerate(NAMES)}
        scores = {name: evaluate(players[name], toy.val).accuracy for name in NAMES}
        (phase,) = toy.play("selfkd", players, options=SelfKD(chain="best"), validation=toy.val)
        (asked,) = set(phase.players) - {"student"}
        assert scores[asked] == max(scores.values())
        told.add(asked)
    assert len(told) > 1


def test_of_equally_good_generations_the_first_is_asked(toy: Any) -> None:
    players = {"student": toy.player()} | {name: toy.player(seed=3) for name in NAMES}
    (phase,) = toy.play("selfkd", players, options=SelfKD(chain="best"), validation=toy.val)
    assert set(phase.players) == {"student", "teacher"}


def test_without_validation_windows_none_is_best(toy: Any) -> None:
    with pytest.raises(UsageError, match="this split has none: take last or ensemble"):
        toy.play("selfkd", cast(toy, 2), options=SelfKD(chain="best"))
    (phase,) = toy.play("selfkd", cast(toy, 0), options=SelfKD(chain="best"))
    assert set(phase.players) == {"student"}


def test_one_generation_is_plain_distillation_and_none_is_cross_entropy(toy: Any) -> None:
    for key, options, generations, chain in (("kd", KD(), 1, "last"), ("kd", KD(), 1, "ensemble"), ("ce", CE(), 0, "last")):
        ends = []
        for name in ("selfkd", key):
            players = cast(toy, generations)
            history = toy.fit(toy.play(name, players, options=options if name == key else SelfKD(chain=chain), draws=2))
            ends.append((toy.state(players["student"].net), [(r["terms"], r["scores"]) for r in history]))
        assert toy.equal(ends[0][0], ends[1][0])
        assert ends[0][1] == ends[1][1]


# Controls


def test_others_are_shuffled_and_the_largest_stays() -> None:
    logits = draw(2000, 5)
    found = shuffled_others(logits, torch.Generator().manual_seed(0))
    top = logits.argmax(1)
    assert torch.equal(found.argmax(1), top)
    assert torch.equal(found.amax(1), logits.amax(1))
    assert torch.equal(found.sort(1).values, logits.sort(1).values)
    others = [k for k in range(5) if k != 0]
    mine = top == 0
    places = (found[mine][:, others, None] == logits[mine][:, None, others]).double().mean(0)
    torch.testing.assert_close(places, torch.full((4, 4), 0.25).double(), atol=0.06, rtol=0)


def test_two_equal_logits_and_two_classes() -> None:
    tied = torch.tensor([[1.0, 1.0, 0.0]])
    found = shuffled_others(tied, torch.Generator().manual_seed(0))
    assert sorted(found[0].tolist()) == [0.0, 1.0, 1.0]
    assert found[0, 0] == 1.0
    two = draw(5, 2)
    assert torch.equal(shuffled_others(two, torch.Generator().manual_seed(0)), two)


def test_dark_knowledge_is_permuted_anew_at_every_step() -> None:
    told, mine = draw(6, 5), draw(6, 5, seed=1)
    permuted, plain = (Generations(NAMES[:1], SelfKD(control=control)) for control in ("dkpp", "none"))
    first, again, later = (permuted(context(mine, told, step=step))["kl"] for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, plain(context(mine, told))["kl"])
    flat = told.clone()
    flat[flat < flat.amax(1, keepdim=True)] = -1.0  # nothing to permute
    torch.testing.assert_close(permuted(context(mine, flat))["kl"], plain(context(mine, flat))["kl"])


def test_labels_weighted_by_the_teachers_certainty_by_hand() -> None:
    """Certainties 3/4 and 1/2 are 6/5 and 4/5 of their mean."""
    told, mine = torch.tensor([[0.75, 0.25, 1e-9], [0.25, 0.5, 0.25]]).log(), draw(2, 3)
    found = Certainty(NAMES[:1])(context(mine, told))["kl"]
    torch.testing.assert_close(found, torch.tensor([1.2, 0.8]) * cross_entropy(torch.tensor([0, 1]), mine), rtol=1e-4, atol=1e-5)
    told = [draw(6, 3, seed=n) for n in range(2)]
    most = torch.stack([z.softmax(1) for z in told]).mean(0).amax(1)
    mine = draw(6, 3, seed=9)
    found = Certainty(NAMES[:2])(context(mine, *told))["kl"]
    torch.testing.assert_close(found.sum() / 6, (most / most.sum() * cross_entropy(torch.arange(6) % 3, mine)).sum())


@pytest.mark.parametrize("control", ["cwtm", "dkpp"])
@pytest.mark.parametrize("chain", ["last", "ensemble"])
def test_controls_train(toy: Any, control: Any, chain: Any) -> None:
    history = toy.fit(toy.play("selfkd", cast(toy, 2), options=SelfKD(control=control, chain=chain)))
    assert all(set(record["terms"]) == {"ce", "kl", "gradient norm"} for record in history)


# Generations


def test_generations_of_a_run() -> None:
    """Each is the student's own net with other first weights, and differs from the next in nothing but that."""
    options = Distill(
        method="selfkd", method_options=SelfKD(generations=3, weight=0.5), student="dscnn-s", student_sees="acc", seed=4
    )
    found = helpers(options, validates=True)
    assert [helper.name for helper in found] == ["teacher", "assistant-1", "assistant-2"]
    first, *later = (helper.training for helper in found)
    assert isinstance(first, Train)
    assert (first.net, first.sees) == ("dscnn-s", "acc")
    assert all(isinstance(training, Distill) for training in later)
    assert [training.method_options for training in later] == [SelfKD(generations=n, weight=0.5) for n in (1, 2)]
    assert len({training.seed for training in (first, *later)}) == 3
    assert helpers(Distill(method="selfkd", method_options=SelfKD(generations=0)), validates=True) == ()


def test_a_run_is_taught_by_its_best_generation(world: Any, harkd: Any) -> None:
    words = ["distill", *world.data, "--student", "dscnn-xs", "--epochs", "2", "--batch", "12", "--method", "selfkd"]
    said = harkd(*words, "--teacher-epochs", "2", "--generations", "2", "--chain", "best", "--out", "best/student")
    assert said.code == 0, said.err
    assert len(list(Path("best").iterdir())) == 3


def test_a_run_from_the_command_line(world: Any, harkd: Any) -> None:
    words = ["distill", *world.data, "--student", "dscnn-xs", "--epochs", "2", "--batch", "12", "--method", "selfkd"]
    for generations, runs in ((0, 0), (2, 2)):
        out = Path(f"made-{generations}") / "student"
        said = harkd(*words, "--teacher-epochs", "2", "--generations", str(generations), "--out", str(out))
        assert said.code == 0, said.err
        assert len([folder for folder in out.parent.iterdir() if folder != out]) == runs
        assert json.loads((out / "result.json").read_text())["net"] == "dscnn-xs"


def test_options_out_of_range() -> None:
    with pytest.raises(UsageError, match="generations"):
        SelfKD(generations=-1)
