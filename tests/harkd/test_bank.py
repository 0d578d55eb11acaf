"""The draw bank: what it holds is, to the bit, what the teacher would have said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Augmenter, Batch, Compose, Spec, parse
from harkd.augment.jitter import Jitter
from harkd.bank import HELD, DrawBank, bank_key
from harkd.curriculum import Shuffle
from harkd.datasets import Scaler, Sees, Statistics
from harkd.engine import Phase
from harkd.nets import Outputs
from harkd.player import CHUNK, Player

STRATEGY = "shifting(0.5)+rotate(15, p=0.5)+jitter(0.1)|mixup(0.4)"


def count_calls(player: Player) -> list[int]:
    """Grows by the number of windows whenever the player's net is asked."""
    calls: list[int] = []
    player.net.register_forward_pre_hook(lambda module, given: calls.append(len(given[0])))
    return calls


def live(phases: list[Phase]) -> list[Phase]:
    """The same phases, with an objective that asks for more than the bank holds."""
    for phase in phases:
        phase.objective.needs = frozenset({"logits", "features"})
    return phases


class Rubbed(Shuffle):
    """Shows windows with their second half erased."""

    def present(self, batch: Batch) -> Batch:
        keep = torch.arange(32) < 16
        return replace(batch, x={name: signal * keep for name, signal in batch.x.items()})


TEACHERS: dict[str, Callable[[Any, Compose], Player]] = {
    "same": lambda toy, strategy: toy.teacher(),
    "clean": lambda toy, strategy: toy.teacher(augment="clean"),
    "own": lambda toy, strategy: toy.teacher(augment=parse("jitter(0.3)")),
    "the student's own": lambda toy, strategy: toy.teacher(augment=strategy),
    "another rate": lambda toy, strategy: toy.player(toy.net(3, seed=9), sees="gyro@20Hz"),
    "one channel": lambda toy, strategy: toy.player(toy.net(1, seed=9), sees="acc[y]@25Hz"),
}


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize(("draws", "epochs", "batch"), [(2, 3, 16), (3, 2, 100)])
def test_a_run_with_the_bank_is_a_run_with_the_teacher(toy: Any, teacher: str, draws: int, epochs: int, batch: int) -> None:
    # 63 windows: every pass but the first begins within a batch, and 100 take in two or three passes.
    ends, calls = [], []
    for asks in (lambda phases: phases, live):
        strategy = parse(STRATEGY)
        student, told = toy.player(augment=strategy), TEACHERS[teacher](toy, strategy)
        calls.append(count_calls(told))
        history = toy.fit(asks(toy.phases("kd", student, told, draws=draws, epochs=epochs, batch=batch)))
        ends.append((toy.state(student.net), history))
    assert ends[0][1] == ends[1][1]
    assert toy.equal(ends[0][0], ends[1][0])
    assert set(calls[0]) == set(calls[1]) == {CHUNK}
    dry_run, passes = -(-batch // CHUNK), min(draws, -(-epochs * -(-63 // batch) * batch // 63))
    if teacher == "clean":
        passes = 1  # all draws are the recorded window
    assert len(calls[0]) == dry_run + passes
    assert len(calls[1]) == dry_run * (1 + len(ends[1][1]) * -(-63 // batch))


@pytest.mark.parametrize("augment", ["same", "clean"])
def test_a_curriculum_that_changes_windows_asks_the_teacher_about_what_it_shows(toy: Any, augment: str) -> None:
    ends, calls = [], []
    for asks in (lambda phases: phases, live):
        student, teacher = toy.player(augment=parse("jitter(0.1)")), toy.teacher(augment=augment)
        calls.append(count_calls(teacher))
        phases = asks(toy.phases("kd", student, teacher))
        phases[0].curriculum = Rubbed(16, draws=2)
        toy.fit(phases)
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)
    assert len(calls[0]) == (1 + 8 if augment == "same" else 1 + 1)


def test_without_draws_that_come_back_nothing_is_kept(toy: Any) -> None:
    bank, teacher = DrawBank(), toy.teacher()
    calls = count_calls(teacher)
    toy.fit(toy.phases("kd", toy.player(augment=parse("jitter(0.1)")), teacher), bank=bank)
    assert not bank._shelves
    assert len(calls) == 1 + 8


@pytest.mark.parametrize("draws", [0, 2])
def test_without_augmentation_the_teacher_is_asked_once(toy: Any, draws: int) -> None:
    bank, teacher = DrawBank(), toy.teacher()
    toy.fit(toy.phases("kd", toy.player(), teacher, draws=draws, epochs=3), bank=bank)
    assert [sorted(shelf) for shelf in bank._shelves.values()] == [[0]]


def test_a_teacher_that_sees_clean_windows_is_asked_once(toy: Any) -> None:
    bank, teacher = DrawBank(), toy.teacher(augment="clean")
    toy.fit(toy.phases("kd", toy.player(augment=parse("jitter(0.1)")), teacher, draws=2, epochs=3), bank=bank)
    ((shelf,),) = [bank._shelves.values()]
    assert sorted(shelf) == [0]
    known = teacher.answer(toy.train.gather(torch.arange(63)))
    assert all(torch.equal(told.logits, known.logits) for told in shelf.values())


@pytest.mark.parametrize(("seeds", "again"), [((0, 0), 1), ((3, 0), 1), ((0, 1), 1 + 3)])
def test_runs_share_a_bank_if_they_share_the_augmentation_seed(toy: Any, seeds: tuple[int, int], again: int) -> None:
    bank, teacher = DrawBank(), toy.teacher()
    calls = count_calls(teacher)

    def run(seed: int, augment_seed: int, bank: DrawBank | None) -> dict[str, Tensor]:
        student = toy.player(seed=seed, augment=parse(STRATEGY))
        phases = toy.phases("kd", student, teacher, draws=3, epochs=3)
        toy.fit(phases, seed=seed, augment_seed=augment_seed, bank=bank)
        return toy.state(student.net)

    run(0, 0, bank)
    assert len(calls) == 1 + 3  # the dry run, and one chunk of 63 windows for each draw
    shared = run(*seeds, bank)
    assert len(calls) == 1 + 3 + again
    assert toy.equal(shared, run(*seeds, None))


def test_what_the_bank_holds(toy: Any) -> None:
    player, bank = toy.teacher(), DrawBank()
    asked: list[tuple[int, int, int]] = []

    def answer(index: Tensor, draw: Tensor) -> Outputs:
        asked.append((int(index[0]), len(index), int(draw[0])))
        assert draw.unique().numel() == 1
        told = player.answer(many.gather(index))
        return replace(told, logits=told.logits + 100 * draw[:, None])

    wide = 16 * CHUNK
    many = toy.train.subset(torch.arange(wide + 5) % 63)
    for draws in ([0], [0, 2], [0]):
        bank.require("key", draws, answer, many)
    assert asked == [(0, wide, 0), (wide, 5, 0), (0, wide, 2), (wide, 5, 2)]
    index = torch.tensor([3, wide + 4, 3, 7, 1000, 0])
    draw = torch.tensor([0, 2, 2, 0, 2, 0])
    told = bank.look_up("key", index, draw, [0, 2])
    known = player.answer(many.gather(index))
    assert {"logits", "embedding"} == HELD
    assert torch.equal(told.logits, known.logits + 100 * draw[:, None])
    assert told.embedding is not None
    assert torch.equal(told.embedding, known.embedding)
    assert (told.features, told.heads, told.attention) == ((), (), ())


def test_a_net_without_embedding_can_be_banked() -> None:
    bank, windows = DrawBank(), type("Five", (), {"__len__": lambda self: 5, "device": torch.device("cpu")})()
    bank.require("key", [0, 1], lambda index, draw: Outputs((10 * draw + index)[:, None]), windows)
    told = bank.look_up("key", torch.tensor([4, 2]), torch.tensor([1, 0]), [0, 1])
    assert told.logits.tolist() == [[14], [2]]
    assert told.embedding is None


def test_the_key_knows_everything_that_an_answer_depends_on(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, spec = parse("jitter(0.1)"), Spec.of(toy.train)

    def key(player: Player | None = None, windows: Any = None, augmenter: Any = "jitter", precision: Any = "float32") -> str:
        windows = windows or toy.train
        if augmenter == "jitter":
            augmenter = Augmenter(strategy, windows, spec)
        return bank_key(player or toy.teacher(), windows, augmenter, precision)

    def changed(name: str) -> Player:
        player = toy.teacher()
        player.net.state_dict()[name].flatten()[-1].add_(1e-3)
        return player

    other_scaler = toy.teacher()
    other_scaler.net.scaler = Scaler.fit(Statistics.of(toy.val), other_scaler.sees)
    other_spec = replace(spec, statistics=Statistics.of(toy.val))
    reversed_channels = Sees.parse("acc,gyro[z,y,x]", toy.train.sensors, toy.train.lengths)
    one = key()
    assert one == key()
    assert one == key(toy.player(toy.net(width=12, seed=100)), toy.train.subset(torch.arange(63)))
    others = {
        "weights": key(toy.teacher(seed=101)),
        "one weight": key(changed("head.inner.linear.bias")),
        "batch norm": key(changed("stem.1.running_var")),
        "scaler": key(other_scaler),
        "sees": key(replace(toy.teacher(), sees=reversed_channels)),
        "fewer windows": key(windows=toy.train.subset(torch.arange(62))),
        "other order": key(windows=toy.train.subset(torch.arange(63).flip(0))),
        "other windows": key(windows=toy.val),
        "strategy": key(augmenter=Augmenter(parse("jitter(0.2)"), toy.train, spec)),
        "share": key(augmenter=Augmenter(parse("jitter(0.1, p=0.5)"), toy.train, spec)),
        "no strategy": key(augmenter=Augmenter(Compose(), toy.train, spec)),
        "clean": key(augmenter=None),
        "seed": key(augmenter=Augmenter(strategy, toy.train, spec, seed=1)),
        "noise level": key(augmenter=Augmenter(strategy, toy.train, other_spec)),
        "precision": key(precision="bfloat16"),
    }
    monkeypatch.setattr(Jitter, "VERSION", 2)
    others["version"] = key()
    assert len({one, *others.values()}) == 1 + len(others)


def kept_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.safetensors"))


def test_a_folder_keeps_draws_for_other_runs(toy: Any, tmp_path: Path) -> None:
    told = toy.teacher()
    calls = count_calls(told)
    ends = []
    for folder in (None, tmp_path, tmp_path):
        student = toy.player(toy.net(6), augment=parse(STRATEGY))
        history = toy.fit(toy.phases("kd", student, told, draws=0, epochs=3, batch=16), bank=DrawBank(folder))
        ends.append((toy.state(student.net), history, len(calls)))
        calls.clear()
    assert ends[0][1] == ends[1][1] == ends[2][1]
    assert toy.equal(ends[0][0], ends[1][0])
    assert toy.equal(ends[0][0], ends[2][0])
    # Live, once a batch; then once for each of the four passes that three epochs reach into; then for the dry run alone.
    assert [number for *_, number in ends] == [1 + 12, 1 + 4, 1]
    assert kept_in(tmp_path) == ["0.safetensors", "1.safetensors", "2.safetensors", "3.safetensors"]


def test_a_damaged_draw_is_asked_for_again(toy: Any, tmp_path: Path) -> None:
    told, ends = toy.teacher(), []
    for _ in range(2):
        student = toy.player(toy.net(6), augment=parse(STRATEGY))
        toy.fit(toy.phases("kd", student, told, draws=1, epochs=1, batch=16), bank=DrawBank(tmp_path))
        ends.append(toy.state(student.net))
        (path,) = tmp_path.rglob("*.safetensors")
        path.write_bytes(path.read_bytes()[:100])
    assert toy.equal(*ends)


def test_a_folder_holds_the_draws_of_the_epoch_in_memory_only(toy: Any, tmp_path: Path) -> None:
    bank, windows = DrawBank(tmp_path), toy.train

    def answer(index: Tensor, draw: Tensor) -> Outputs:
        return Outputs(draw[:, None].float().expand(-1, 2))

    for draws in ([0, 1], [1, 2], [0]):
        bank.require("key", draws, answer, windows)
        assert sorted(bank._shelves["key"]) == draws
        index = torch.arange(5)
        for draw in draws:
            told = bank.look_up("key", index, torch.full_like(index, draw), draws)
            assert torch.equal(told.logits, torch.full((5, 2), float(draw)))
