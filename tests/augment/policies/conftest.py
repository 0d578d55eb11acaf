"""Who met which op, and how strong it was."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from harkd.augment import OPS
from harkd.augment.flow import Executor

POOL = "jitter(0.3)+scaling(0.3, share=sensor)+rotate(15)+shifting(0.5)"
NAMES = ["jitter", "scaling", "rotate", "shifting"]


@dataclass
class Seen:
    """Every op that was applied: its name, the windows' positions, and their magnitudes."""

    ops: list[tuple[str, Tensor, Tensor | None]] = field(default_factory=list)

    def counts(self, windows: int) -> dict[str, Tensor]:
        """(window,) how often each window met each op."""
        met = {name: torch.zeros(windows, dtype=torch.int64) for name in NAMES}
        for name, index, _ in self.ops:
            met[name] += torch.bincount(index, minlength=windows)
        return met

    def magnitudes(self, name: str | None = None) -> Tensor:
        return torch.cat([m[:, 0] for op, _, m in self.ops if m is not None and name in (None, op)])


@pytest.fixture
def seen(monkeypatch) -> Seen:
    found, act = Seen(), Executor.act
    names = {kind: name for name, kind in OPS.items()}

    def spy(self, op, flow, gate, draws):
        found.ops.append((names[type(op)], flow.index, flow.magnitude))
        return act(self, op, flow, gate, draws)

    monkeypatch.setattr(Executor, "act", spy)
    return found


@pytest.fixture(scope="module")
def many(bench):
    """4,000 short windows of one sensor."""
    return bench.windows((bench.acc,), 8, n=4000, classes=4, subjects=10)
