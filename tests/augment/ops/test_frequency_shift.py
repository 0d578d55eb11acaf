"""FrequencyShift: every frequency by the same number of hertz."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal as reference
from scipy import stats

from harkd.augment import Spec
from harkd.augment.frequency import FrequencyShift


def sines(spec, hertz, n):
    """A sine of a frequency in every channel, around an offset of 1 that must stay."""
    x = {}
    for name, sensor in spec.sensors.items():
        seconds = torch.arange(spec.lengths[name], dtype=torch.float64) / sensor.rate
        x[name] = (1 + torch.sin(2 * math.pi * hertz * seconds)).expand(n, len(sensor.channels), -1)
    return x


def peaks(x, rate):
    """(batch, channel) frequency of the largest peak, to a few millihertz."""
    swing = (x - x.mean(-1, keepdim=True)) * torch.hann_window(x.shape[-1], dtype=x.dtype)
    return torch.fft.rfft(swing, n=2**15).abs().argmax(-1) * rate / 2**15


@pytest.mark.parametrize("length", [512, 500])
def test_a_peak_moves_by_the_shift(bench, length):
    """A sine of 10 Hz, with fast and slow sensors alike."""
    op = FrequencyShift(2.0)
    spec = Spec.of(bench.windows((bench.acc, bench.ankle), length))
    params = bench.draw(op, spec, 40)
    y = op.apply(sines(spec, 8.0, 40), params, spec)
    for name, signal in y.items():
        torch.testing.assert_close(peaks(signal, spec.sensors[name].rate), (8 + params["shift"]).expand(-1, 3), rtol=0, atol=0.02)


@pytest.mark.parametrize("length", [64, 65, 127])
def test_it_is_the_analytic_signal_turned(bench, length):
    """SciPy's analytic signal, padded with zeros to a power of two, as braindecode has it."""
    op = FrequencyShift(2.0)
    windows = bench.windows((bench.acc,), length)
    spec = Spec.of(windows)
    params = bench.draw(op, spec, len(windows))
    x = windows.gather(torch.arange(len(windows)))["wrist_acc"].double()
    mean = x.mean(-1, keepdim=True)
    analytic = reference.hilbert((x - mean).numpy(), 64 if length == 64 else 128)[..., :length]
    turn = np.exp(2j * np.pi * params["shift"].double().numpy() * np.arange(length) / 50)
    expected = (analytic * turn[:, None]).real + mean.numpy()
    np.testing.assert_allclose(op.apply({"wrist_acc": x}, params, spec)["wrist_acc"], expected, atol=1e-9)


def test_gravity_does_not_start_to_swing(bench):
    op = FrequencyShift(2.0)
    spec = Spec.of(bench.windows((bench.acc,), 100))
    still = {"wrist_acc": torch.tensor([0.0, -0.6, 0.8])[:, None].expand(20, 3, 100)}
    torch.testing.assert_close(op.apply(still, bench.draw(op, spec, 20), spec), still, rtol=0, atol=1e-6)


def test_shifts_are_uniform(bench):
    shift = bench.draw(FrequencyShift(0.5), Spec.of(bench.windows()), 5000)["shift"][:, 0]
    assert stats.kstest(shift.double(), "uniform", (-0.5, 1.0)).pvalue > 0.001


def test_beyond_1_hz_bands_change():
    assert FrequencyShift(1.0).assumes == frozenset()
    assert FrequencyShift(1.01).assumes == {"frequency"}
