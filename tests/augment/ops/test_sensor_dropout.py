"""Devices that are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Augmenter, Spec
from harkd.augment.channel import SensorDropout
from harkd.errors import UsageError

N = 6000


def three(bench):
    """Two sensors on one segment, and two segments with one each."""
    return bench.windows((bench.acc, bench.gyro, bench.ankle, replace(bench.ankle, name="hip_acc", segment="hip")))


def test_sensors_of_a_segment_go_together(bench):
    windows = three(bench)
    spec, x = Spec.of(windows), windows.gather(torch.arange(2))
    gone = {"gone": torch.tensor([[True, False, False], [False, True, True]])}
    moved = SensorDropout(fill="zero").apply(x, gone, spec)
    dropped = {name: [not rows.any() for rows in signal] for name, signal in moved.items()}
    wrist, other = [True, False], [False, True]
    assert dropped == {"wrist_acc": wrist, "wrist_gyro": wrist, "ankle_acc": other, "hip_acc": other}
    assert all(torch.equal(moved[name][~torch.tensor(dropped[name])], x[name][~torch.tensor(dropped[name])]) for name in x)


def test_the_mean_is_the_training_mean(bench):
    windows = three(bench)
    spec, x = Spec.of(windows), windows.gather(torch.arange(2))
    moved = SensorDropout().apply(x, {"gone": torch.tensor([[True, False, False]] * 2)}, spec)
    assert torch.equal(moved["wrist_gyro"], spec.mean("wrist_gyro", x["wrist_gyro"]).expand(2, 3, 64))


@pytest.mark.parametrize("share", [0.2, 0.7])
@pytest.mark.parametrize(("by", "groups"), [("segment", 3), ("sensor", 4)])
def test_one_group_is_always_kept(bench, by, groups, share):
    gone = bench.draw(SensorDropout(share, by=by), Spec.of(three(bench)), N)["gone"]
    assert gone.shape == (N, groups)
    assert not gone.all(1).any()
    expected = share - share**groups / groups
    assert (gone.double().mean(0) - expected).abs().max() < 4 * (expected * (1 - expected) / N) ** 0.5


def test_at_share_1_a_random_group_is_left(bench):
    gone = bench.draw(SensorDropout(1.0), Spec.of(three(bench)), N)["gone"]
    assert torch.equal(gone.sum(1), torch.full((N,), 2))
    assert ((~gone).double().mean(0) - 1 / 3).abs().max() < 4 * (2 / 9 / N) ** 0.5


def test_a_single_group_is_refused(bench):
    with pytest.raises(UsageError, match=r"keeps one segment at least, .* \(wrist_acc, wrist_gyro\); by=sensor drops single"):
        Augmenter(SensorDropout(), bench.windows())
    Augmenter(SensorDropout(by="sensor"), bench.windows())
    with pytest.raises(UsageError, match=r"keeps one sensor at least, .* \(wrist_acc\)$"):
        Augmenter(SensorDropout(by="sensor"), bench.windows((bench.acc,)))
