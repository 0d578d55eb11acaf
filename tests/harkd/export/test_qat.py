"""Quantisation-aware training: what is simulated, what gradients see, and a training that is stopped, kept and found again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import harkd.exporting
from harkd.datasets import Scaler
from harkd.errors import HarkdError, Interrupted
from harkd.export.deploy import Deployed
from harkd.export.package import Wanted
from harkd.export.qat import Rounded, SimulatedInt8, rounded_weights
from harkd.exporting import trained_for_int8
from harkd.nets import build, staged
from harkd.options import QAT, Machine
from harkd.parts import data_of
from harkd.progress import Display
from harkd.runs import Run, tensor_bytes
from harkd.training import Session


def test_weights_are_rounded_by_channel() -> None:
    """Steps of 1, of 0.1, none, and 2**-12, which is the smallest one that the converter writes."""
    weight = torch.tensor([[127.0, -63.6, 0.4], [12.7, 0.06, 0.04], [0.0, 0.0, 0.0], [3.4 / 4096, -1.6 / 4096, 0.4 / 4096]])
    expected = torch.tensor([[127.0, -64, 0], [12.7, 0.1, 0], [0, 0, 0], [3 / 4096, -2 / 4096, 0]])
    assert torch.allclose(rounded_weights(weight), expected, rtol=1e-6)
    assert torch.allclose(rounded_weights(weight[:, :, None, None]).squeeze(), expected, rtol=1e-6)


def test_gradients_pass_through_the_rounding_of_weights() -> None:
    weight = torch.randn(4, 3, 1, 5, requires_grad=True)
    given = torch.randn(4, 3, 1, 5)
    (rounded_weights(weight) * given).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, given)


def test_gradients_pass_through_the_rounding_of_activations_inside_its_range() -> None:
    rounds = Rounded()
    rounds(torch.tensor([-1.0, 2.0]))
    rounds.eval()
    x = torch.tensor([-3.0, -0.9, 0.0, 1.234, 1.9, 5.0], requires_grad=True)
    y = rounds(x)
    (y * torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]
    assert y[[0, -1]].tolist() == pytest.approx([-1, 2], abs=3 / 255)
    assert (y[1:5] - x[1:5]).abs().max() <= 1.5 / 255 + 1e-6
    assert y[2] == 0


def test_ranges_follow_what_was_seen_and_hold_zero() -> None:
    """The first batch counts whole, each later one a hundredth; zero is in the range whether or not it was seen."""
    rounds = Rounded()
    rounds(torch.tensor([0.5, 2.5]))
    assert (float(rounds.low), float(rounds.high)) == (0, 2.5)
    rounds(torch.tensor([-1.0, 1.0]))
    assert (float(rounds.low), float(rounds.high)) == pytest.approx((-0.01, 0.99 * 2.5 + 0.01))
    rounds.eval()
    assert rounds(torch.zeros(3)).tolist() == [0, 0, 0]
    rounds(torch.tensor([-100.0]))
    assert float(rounds.low) == pytest.approx(-0.01), "in evaluation nothing is learnt"
    steps = rounds(torch.linspace(-0.01, 2.485, 5000)).unique()
    assert len(steps) == 256


def test_the_first_answers_are_those_of_the_float_net_but_for_rounding() -> None:
    """One convolution y = w x + b: x is off by half a step of the input, w by half a step of its channel, y by half a step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = staged(nn.Conv1d(6, 4, 5), [], nn.Flatten(), Scaler(torch.randn(6), torch.rand(6) + 0.5)).eval()
        x = torch.randn(8, 6, 40)
    scale = torch.full((6,), 3.0)
    simulated = SimulatedInt8(net, scale).train()
    expected, found = net(x).logits.unflatten(1, (4, 36)), simulated(x).logits.unflatten(1, (4, 36))
    (weight,) = (part.weight for part in simulated.deployed.modules() if isinstance(part, nn.Conv2d))
    seen = x / 3
    step_x = (seen.max() - seen.min()) / 255
    step_w = weight.flatten(1).abs().amax(1) / 127
    step_y = (expected.max() - expected.min()) / 255
    bound = weight.flatten(1).abs().sum(1) * step_x / 2 + 30 * seen.abs().max() * step_w / 2 + 30 * step_x * step_w / 4
    # Zero has to be one of the steps, which moves the ends of both ranges by up to half of one more.
    bound = 2 * (bound + step_y)
    error = (found - expected).abs().amax((0, 2))
    assert (error > 0).all()
    assert (error <= bound).all()


def test_a_whole_net_is_simulated_layer_by_layer() -> None:
    """In evaluation, with the ranges of these windows, the answers are near those of the float net, and not the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build("dscnn-xs", 6, 5)
        x = torch.randn(32, 6, 128)
    net(x)
    net.scaler = Scaler(torch.zeros(6), torch.ones(6))
    before = {name: tensor.clone() for name, tensor in net.eval().state_dict().items()}
    simulated = SimulatedInt8(net, torch.full((6,), 3.0))
    simulated.train()(x)
    simulated.eval()
    with torch.no_grad():
        expected, found = net(x).logits, simulated(x).logits
    assert 0 < float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())
    assert len(simulated.weights) == 10, "a stem, four blocks of two, and a linear layer"
    simulated.train()
    simulated(x).logits.square().sum().backward()
    assert all(part.grad is not None for part in simulated.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.fixture
def qat(trained: Path, tmp_path: Path) -> Callable[..., Deployed]:
    """Trains the net of a run for int8 in a copy of its folder, which stays from call to call."""

    def call(name: str = "run", stop: int = 0, **options: Any) -> Deployed:
        if not (tmp_path / name).exists():
            shutil.copytree(trained, tmp_path / name)
        asked = count(1)
        run = Run(tmp_path / name)
        with Display() as display:
            session = Session(Machine(device="cpu"), display, lambda: bool(stop) and next(asked) > stop)
            prepared = session.parts(data_of(run))
            player = run.load_player(prepared.train)
            before = tensor_bytes(player.net.state_dict())
            try:
                return trained_for_int8(run, player, prepared.train, Wanted(), QAT(epochs=4, **options), session)
            finally:
                assert tensor_bytes(player.net.state_dict()) == before, "the float net is the teacher and does not move"

    return call


def same(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_a_training_that_is_stopped_goes_on_to_the_same_bits(qat: Callable[..., Deployed], tmp_path: Path) -> None:
    peaceful = qat("peaceful")
    for stop in (3, 3):
        with pytest.raises(Interrupted, match="repeat the command to go on"):
            qat("stopped", stop)
        assert (tmp_path / "stopped" / "qat" / "checkpoint.json").is_file()
    assert same(qat("stopped"), peaceful)
    kept = {name: list((tmp_path / name / "qat").iterdir()) for name in ("peaceful", "stopped")}
    assert [len(files) for files in kept.values()] == [1, 1], "no checkpoint is left"
    assert kept["peaceful"][0].name == kept["stopped"][0].name
    assert kept["peaceful"][0].read_bytes() == kept["stopped"][0].read_bytes()


def test_it_is_trained_once(qat: Callable[..., Deployed], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = qat()
    files = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}

    def again(*given: Any, **more: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(harkd.exporting, "fit", again)
    assert same(qat(), first)
    with pytest.raises(AssertionError, match="trained again"):
        qat(rate=1e-3)
    (kept,) = (tmp_path / "run" / "qat").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-5])
    with pytest.raises(HarkdError, match=r"is damaged .*: delete it and export again"):
        qat()
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}


def test_the_trained_net_is_another_one(qat: Callable[..., Deployed], trained: Path) -> None:
    """Every layer moved from what plain quantisation takes, and not far: it began there."""
    run = Run(trained)
    with Display() as display:
        prepared = Session(Machine(device="cpu"), display).parts(data_of(run))
    player = run.load_player(prepared.train)
    after = qat()
    assert not after.training
    assert not any(part.requires_grad for part in after.parameters())
    x = player.sees(prepared.train.gather(torch.arange(len(prepared.train))))
    index = torch.arange(len(prepared.train))
    scale = harkd.exporting.gains(player.sees(prepared.train.gather(index)), [3, 3])
    start = SimulatedInt8(player.net, scale).deployed
    moved = [float((a - b).detach().abs().max()) for a, b in zip(start.parameters(), after.parameters(), strict=True)]
    assert min(moved) > 0
    with torch.no_grad():
        same_class = after((x / scale[:, None]).unsqueeze(2)).argmax(1) == player.net(x).logits.argmax(1)
    assert same_class.float().mean() > 0.9
