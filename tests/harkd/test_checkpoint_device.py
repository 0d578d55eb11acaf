"""A run may be stopped on one device and go on on another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import parse
from harkd.engine import fit
from harkd.errors import Interrupted
from harkd.methods import METHODS
from harkd.optimiser import Optimiser

EPOCHS, STOP = 3, 6  # in the middle of the second of three epochs


class Kept:
    """A keeper that stops the run after some steps, and hands over what it has to the next one."""

    def __init__(self, stop: int, saved: tuple[dict[str, Tensor], dict[str, Any]] | None = None) -> None:
        self.stop, self.saved, self.steps = stop, saved, 0

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return self.saved

    def due(self) -> bool:
        self.steps += 1
        return self.steps == self.stop

    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.saved = ({name: tensor.clone() for name, tensor in tensors.items()}, meta)

    def checked(self) -> None:
        raise Interrupted("stopped")


def run(toy: Any, method: str, device: str, keeper: Kept | None = None) -> dict[str, Tensor]:
    augment = parse("jitter(0.1)+shifting(0.5)|mixup(0.2)")
    student = toy.player(seed=1, augment=augment)
    players = toy.cast(method, student)
    phases = toy.play(method, players, epochs=EPOCHS, optimiser=Optimiser("sgd", rate=0.01, weight_decay=0.0, clip=1.0))
    fit(phases, toy.train, toy.val, device=device, keeper=keeper)
    return {f"{name}/{key}": tensor for name, player in players.items() for key, tensor in toy.state(player.net).items()}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_checkpoint_holds_nothing_of_its_device(toy: Any, method: str) -> None:
    """Tensors on the CPU, and plain numbers: whoever reads it puts them where the run is."""
    keeper = Kept(STOP)
    with pytest.raises(Interrupted):
        run(toy, method, "cpu", keeper)
    assert keeper.saved is not None
    tensors, meta = keeper.saved
    assert {tensor.device.type for tensor in tensors.values()} == {"cpu"}
    assert any(name.startswith("optimiser/") for name in tensors)
    assert "device" not in str(meta)
    assert toy.equal(run(toy, method, "cpu", Kept(0, keeper.saved)), run(toy, method, "cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_another_device(toy: Any, method: str, first: str, second: str) -> None:
    keeper = Kept(STOP)
    with pytest.raises(Interrupted):
        run(toy, method, first, keeper)
    torch.testing.assert_close(run(toy, method, second, Kept(0, keeper.saved)), run(toy, method, "cpu"), rtol=1e-2, atol=1e-3)
