"""Offsets that walk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Augmenter, Spec
from harkd.augment.hardware import BiasDrift
from harkd.errors import UsageError


@pytest.mark.parametrize("rate", [25.0, 100.0])
def test_the_variance_grows_with_time_whatever_the_rate(bench, rate):
    sensor, seconds = replace(bench.gyro, rate=rate), 2.0
    windows = bench.windows((sensor,), int(seconds * rate), n=3000)
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))["wrist_gyro"]
    drift = (bench.augment("bias_drift(0.1)", windows).x["wrist_gyro"] - x) / spec.std("wrist_gyro", x)
    at = torch.arange(drift.shape[2]) / rate
    torch.testing.assert_close(drift.double().var((0, 1)), 0.01 * (1 + at).double(), rtol=0.12, atol=0)
    steps = drift.diff(dim=2).double()
    assert float(steps.std()) == pytest.approx(0.1 / rate**0.5, rel=0.02)
    followed = (steps[..., 1:] * steps[..., :-1]).mean() / steps.square().mean()
    assert abs(float(followed)) < 4 / steps.numel() ** 0.5


def test_gyros_only_or_all(bench):
    windows = bench.windows()
    x = windows.gather(torch.arange(len(windows)))
    gyro, every = bench.augment("bias_drift(0.1)", windows).x, bench.augment("bias_drift(0.1, sensors=all)", windows).x
    assert torch.equal(gyro["wrist_acc"], x["wrist_acc"])
    assert not torch.equal(gyro["wrist_gyro"], x["wrist_gyro"])
    assert all(not torch.equal(every[name], signal) for name, signal in x.items())


def test_windows_without_a_gyro_are_refused(bench):
    windows = bench.windows((bench.acc,))
    with pytest.raises(UsageError, match="BiasDrift moves the bias of gyros; these windows have wrist_acc; or say sensors=all"):
        Augmenter(BiasDrift(), windows)
    Augmenter(BiasDrift(sensors="all"), windows)
