"""The tally: means of what came, and a guard that says where it went wrong."""

from __future__ import annotations

import pytest
import torch

from harkd.errors import TrainingError
from harkd.history import LOOK, Tally


def test_means_are_over_the_steps_that_had_the_term() -> None:
    tally = Tally()
    for step in range(3 * LOOK + 1):
        tally.add(step, {"ce": torch.tensor(float(step))} | ({"norm": torch.tensor(step / 2)} if step % 2 == 0 else {}))
    assert tally.means() == {"ce": 1.5 * LOOK, "norm": 0.75 * LOOK}
    assert tally.means() == {}


def test_nothing_is_read_back_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    stack = torch.stack
    monkeypatch.setattr(torch, "stack", lambda tensors: looks.append(len(tensors)) or stack(tensors))
    tally = Tally()
    for step in range(2 * LOOK + 3):
        tally.add(step, {"ce": torch.tensor(1.0), "kl": torch.tensor(2.0)})
    assert looks == [2 * LOOK, 2 * LOOK]
    tally.flush()
    assert looks[2:] == [6]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [0, 7, LOOK, LOOK + 3])
def test_the_guard_names_term_and_step(bad: float, at: int) -> None:
    tally = Tally()

    def train() -> None:
        for step in range(2 * LOOK):
            tally.add(step, {"ce": torch.tensor(1.0), "kl": torch.tensor(bad if step >= at else 1.0)})

    with pytest.raises(TrainingError, match=rf"^kl became {bad} at step {at}: lower the learning rate"):
        train()


def test_numbers_are_summed_in_double_precision() -> None:
    tally = Tally()
    for step, number in enumerate([1e8, 1.0, 1.0, 1.0]):
        tally.add(step, {"ce": torch.tensor(number)})
    assert tally.means() == {"ce": (1e8 + 3) / 4}
