"""Devices that did not start together."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from harkd.augment import Augmenter, Spec
from harkd.augment.clock import InterSensorShift
from harkd.errors import UsageError


def ramps(windows, n):
    return {name: torch.arange(float(t)).expand(n, 3, t) for name, t in windows.lengths.items()}


def test_a_segment_shifts_as_one_at_each_sensors_rate_and_holds_the_open_end(bench):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle))
    lag = {"lag": torch.tensor([[0.2, -0.4], [-0.06, 0.0]])}
    moved = InterSensorShift().apply(ramps(windows, 2), lag, Spec.of(windows))
    wrist, ankle = torch.arange(64.0), torch.arange(32.0)
    for name in ("wrist_acc", "wrist_gyro"):  # 50 Hz: 10 samples later, 3 earlier
        assert torch.equal(moved[name][0, 0], (wrist - 10).clamp_min(0))
        assert torch.equal(moved[name][1, 2], (wrist + 3).clamp_max(63))
    assert torch.equal(moved["ankle_acc"][0, 1], (ankle + 10).clamp_max(31))  # 25 Hz: 10 samples earlier
    assert torch.equal(moved["ankle_acc"][1, 1], ankle)


def test_lags_are_uniform_and_independent(bench):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle))
    lag = bench.draw(InterSensorShift(0.1), Spec.of(windows), 3000)["lag"].double()
    assert lag.shape == (3000, 2)
    for segment in lag.T:
        assert kstest(segment.numpy(), "uniform", (-0.1, 0.2)).pvalue > 0.01
    assert abs(float(torch.corrcoef(lag.T)[0, 1])) < 4 / 3000**0.5


def test_dense_labels_stay(bench):
    windows = bench.windows((bench.acc, bench.ankle), dense=lambda total: torch.arange(total).numpy() // 7 % 3)
    labels = bench.augment("inter_sensor_shift(0.3)", windows).targets["phase"]
    assert torch.equal(labels, windows.targets["phase"].values)


def test_a_single_segment_has_nothing_to_shift_against(bench):
    with pytest.raises(UsageError, match="shifts body segments against each other; these windows have one, wrist"):
        Augmenter(InterSensorShift(), bench.windows())
