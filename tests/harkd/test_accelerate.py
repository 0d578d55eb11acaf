"""Devices, generators and compilation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from harkd.accelerate import accelerate, pick_device, seed_everything
from harkd.augment import parse
from harkd.datasets import Windows
from harkd.engine import fit
from harkd.errors import UsageError
from harkd.methods import METHODS, Plan
from harkd.player import Player

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu-pod", "cuda:99", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^device '{name}' cannot be used here \(.+\); try cpu or auto$"):
        pick_device(name)


@pytest.mark.gpu
@needs_cuda
def test_cuda_is_made_deterministic() -> None:
    assert pick_device("cuda").type == "cuda"
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark


def test_seeding_is_torchs() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2**63 - 1)
        wanted = torch.rand(5)
        torch.rand(1)
        seed_everything(2**63 - 1, torch.device("cpu"))
        assert torch.equal(torch.rand(5), wanted)


@pytest.mark.gpu
@needs_cuda
def test_seeding_reaches_the_gpu() -> None:
    drawn = []
    for _ in range(2):
        seed_everything(7, torch.device("cuda"))
        drawn.append((torch.rand(5, device="cuda").cpu(), torch.rand(5)))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])


def test_what_is_not_compiled_is_left_alone() -> None:
    def plain(x: int) -> int:
        return x

    assert accelerate(plain, compiled=False) is plain


def test_a_compiled_run_gives_the_numbers_of_a_plain_one(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for Inductor, in one graph, but run by torch: Inductor itself takes a minute."""
    calls: list[Callable[..., Any]] = []
    compile_with_torch = partial(torch.compile, backend="eager")

    def traced(fn: Callable[..., Any], **options: Any) -> Any:
        assert options == {"fullgraph": True}
        calls.append(fn)
        return compile_with_torch(fn, **options)

    monkeypatch.setattr(torch, "compile", traced)
    ends, histories = [], []
    for compiled in (False, True):
        net = toy.net(3, dropout=0.3)
        student, teacher = toy.player(net, "acc@20Hz"), toy.teacher()
        histories.append(toy.fit(toy.phases("kd", student, teacher), compiled=compiled))
        ends.append(toy.state(net))
    assert len(calls) == 1  # the student's net; the teacher's answers go chunk by chunk
    assert histories[0] == histories[1]
    assert toy.equal(*ends)


@pytest.mark.system
def test_a_compiled_run_equals_an_eager_one(watch: Windows) -> None:
    if " " in torch.__file__:
        pytest.skip("torch.compile passes its own path to the compiler unquoted, and this one has a space")
    few = watch.subset(torch.arange(0, len(watch), 20))
    players = [Player.create("dscnn-xs", "all", few, augment=parse("jeon_mix1")) for _ in range(2)]
    histories = [
        fit(METHODS["ce"]({"student": player}, plan=Plan(epochs=1)), few, device="cpu", compiled=compiled)
        for player, compiled in zip(players, (False, True), strict=True)
    ]
    assert histories[1][0]["terms"]["ce"] == pytest.approx(histories[0][0]["terms"]["ce"], abs=1e-4)
    for eager, compiled in zip(players[0].net.parameters(), players[1].net.parameters(), strict=True):
        torch.testing.assert_close(compiled, eager, atol=2e-3, rtol=0)
