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


def run(toy: Any, method: str, device: str, kept: Any = None) -> dict[str, Tensor]:
    augment = parse("jitter(0.1)+shifting(0.5)|mixup(0.2)")
    student = toy.player(seed=1, augment=augment)
    players = toy.cast(method, student)
    phases = toy.play(method, players, epochs=EPOCHS, optimiser=Optimiser("sgd", rate=0.01, weight_decay=0.0, clip=1.0))
    fit(phases, toy.train, toy.val, device=device, keeper=kept)
    return {f"{name}/{key}": tensor for name, player in players.items() for key, tensor in toy.state(player.net).items()}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_checkpoint_holds_nothing_of_its_device(toy: Any, keeper: Any, method: str) -> None:
    """Tensors on the CPU, and plain numbers: whoever reads it puts them where the run is."""
    kept = keeper(STOP)
    with pytest.raises(Interrupted):
        run(toy, method, "cpu", kept)
    tensors, meta = kept.saved
    assert {tensor.device.type for tensor in tensors.values()} == {"cpu"}
    assert any(name.startswith("optimiser/") for name in tensors)
    assert "device" not in str(meta)
    assert toy.equal(run(toy, method, "cpu", kept), run(toy, method, "cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_another_device(toy: Any, keeper: Any, method: str, first: str, second: str) -> None:
    kept = keeper(STOP)
    with pytest.raises(Interrupted):
        run(toy, method, first, kept)
    torch.testing.assert_close(run(toy, method, second, kept), run(toy, method, "cpu"), rtol=1e-2, atol=1e-3)
