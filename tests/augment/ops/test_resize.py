"""resize: what a lower rate loses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.resolution import Resize, resample_linear
from harkd.errors import UsageError


def resized(bench, op, length=65, n=12, **more):
    windows = bench.windows((bench.acc, bench.ankle), length, n=n, **more)
    x, spec = windows.gather(torch.arange(n)), Spec.of(windows)
    return op.apply(x, bench.draw(op, spec, n), spec), x


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 513])
def test_there_and_back_equals_numpy(bench, share, length):
    moved, x = resized(bench, Resize(share), length)
    for name, signal in x.items():
        time = signal.shape[2]
        left = max(int(np.floor(share * time + 1e-4)), 1)
        for before, after in zip(signal.flatten(0, 1).numpy(), moved[name].flatten(0, 1), strict=True):
            short = np.interp(np.linspace(0, time - 1, left), np.arange(time), before)
            short = short if left > 1 else np.array([(before[0] + before[-1]) / 2])
            there = np.interp(np.arange(time), np.linspace(0, time - 1, left), short) if left > 1 else np.repeat(short, time)
            np.testing.assert_allclose(after, there, atol=3e-4)


def test_a_straight_line_stays_and_fast_waves_do_not(bench):
    moved, x = resized(bench, Resize(0.3), fill=lambda s, total, label: np.tile(np.arange(total) % 65, (3, 1)))
    torch.testing.assert_close(moved["wrist_acc"], x["wrist_acc"], rtol=0, atol=1e-3)
    moved, x = resized(bench, Resize(0.3), fill=lambda s, total, label: np.tile(np.sin(np.arange(total) * 2.5), (3, 1)))
    assert float(moved["wrist_acc"].std()) < 0.8 * float(x["wrist_acc"].std())


def test_resample_by_hand():
    x = torch.tensor([[[0.0, 10.0, 20.0, 40.0]]])
    assert resample_linear(x, 7).flatten().tolist() == [0, 5, 10, 15, 20, 30, 40]
    assert resample_linear(x, 2).flatten().tolist() == [0, 40]
    assert resample_linear(x, 1).flatten().tolist() == [20]
    assert torch.equal(resample_linear(x, 4), x)
    assert resample_linear(x[..., :1], 3).flatten().tolist() == [0, 0, 0]


def test_a_signal_has_a_sample():
    with pytest.raises(UsageError, match="resample_linear: a signal has at least 1 sample; got a size of 0"):
        resample_linear(torch.zeros(1, 1, 4), 0)
