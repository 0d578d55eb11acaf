"""A magnitude that rises while the student finds it easy."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Augmenter, Evidence, parse
from harkd.errors import UsageError


def test_the_magnitude_follows_the_loss(bench):
    """Logits of 0 cost log(3) = 1.1 nats, those of a sure student nothing."""
    windows = bench.windows()
    index = torch.arange(len(windows))
    augmenter = Augmenter(parse("grow_with_loss(scaling(0.3), threshold=0.5, step=0.25)"), windows)
    sure = torch.nn.functional.one_hot(windows.labels, 3) * 20.0
    magnitudes = []
    for student in (sure, sure, sure * 0, sure, sure, sure, sure, sure * 0):
        augmenter.learn(Evidence(index, index, windows.labels, student))
        magnitudes.append(augmenter.told()["magnitude of scaling(0.3)"])
    assert magnitudes == [0.25, 0.5, 0.25, 0.5, 0.75, 1.0, 1.0, 0.75]


def test_the_strategy_inside_has_that_magnitude(bench):
    windows = bench.windows((bench.acc,), 128, n=200)
    index = torch.arange(len(windows))
    augmenter = Augmenter(parse("grow_with_loss(scaling(0.3, share=sensor))"), windows)
    clean = windows.gather(index)["wrist_acc"]
    assert torch.equal(augmenter(index, index).x["wrist_acc"], clean)
    for magnitude in (0.2, 1.0):
        augmenter.memory.write(0, {"magnitude": torch.tensor([magnitude])})
        gain = augmenter(index, index).x["wrist_acc"][:, 0, 0] / clean[:, 0, 0]
        assert float(gain.std()) == pytest.approx(0.3 * magnitude, rel=0.15)


def test_options_that_mean_nothing():
    with pytest.raises(UsageError, match="threshold is a loss from 0 up and step a share above 0; got -1 and 0"):
        parse("grow_with_loss(jitter(0.1), threshold=-1, step=0)")
