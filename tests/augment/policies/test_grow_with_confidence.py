"""Windows that the student is sure of are changed more."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Augmenter, Evidence, parse
from harkd.errors import UsageError


def test_confidence_is_smoothed_over_the_visits_of_a_window(bench):
    windows = bench.windows(n=12)
    augmenter = Augmenter(parse("grow_with_confidence(jitter(0.3), memory=0.75)"), windows)
    index = torch.tensor([5, 2])
    for _ in range(2):
        augmenter.learn(Evidence(index, index, windows.labels[index], torch.zeros(2, 3)))
    # Probability 1/3 twice: 0.25/3, then 0.75 * 0.25/3 + 0.25/3.
    wanted = torch.zeros(12)
    wanted[index] = 0.4375 / 3
    torch.testing.assert_close(augmenter.memory[0]["confidence"], wanted)


def test_each_window_has_its_own_magnitude(bench):
    windows = bench.windows((bench.acc,), 128, n=24)
    index = torch.arange(24)
    augmenter = Augmenter(parse("grow_with_confidence(jitter(0.3, exact=true))"), windows)
    confidence = torch.linspace(0, 1, 24)
    augmenter.memory.write(0, {"confidence": confidence})
    noise = augmenter(index, index).x["wrist_acc"] - windows.gather(index)["wrist_acc"]
    spread = (noise / augmenter.spec.std("wrist_acc", noise)).flatten(1).std(1)
    torch.testing.assert_close(spread, 0.3 * confidence, rtol=0.2, atol=1e-6)


def test_memory_is_a_weight():
    with pytest.raises(UsageError, match="memory is a weight from 0 to below 1; got 1"):
        parse("grow_with_confidence(jitter(0.1), memory=1)")
