"""FTSurrogate: other phases, the same spectrum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.frequency import FTSurrogate


def moved(bench, op, length=128, **more):
    """Windows of fast and slow sensors before and after, and the angles."""
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), length, **more)
    spec = Spec.of(windows)
    x = {name: signal.double() for name, signal in windows.gather(torch.arange(len(windows))).items()}
    params = bench.draw(op, spec, len(windows))
    return x, op.apply(x, params, spec), params


def spectra(x):
    return {name: torch.fft.rfft(signal) for name, signal in x.items()}


@pytest.mark.parametrize("length", [64, 65, 127])
@pytest.mark.parametrize("share", ["all", "channel"])
def test_magnitudes_are_kept_and_phases_turn_by_what_was_drawn(bench, length, share):
    """The reference is NumPy's transform, with the same angles."""
    x, y, params = moved(bench, FTSurrogate(share=share), length)
    for name, signal in x.items():
        time = signal.shape[-1]
        spectrum = np.fft.rfft(signal)
        np.testing.assert_allclose(np.abs(np.fft.rfft(y[name])), np.abs(spectrum), rtol=0, atol=1e-4)
        spectrum[..., 1 : (time + 1) // 2] *= np.exp(1j * params[name].double().numpy())
        np.testing.assert_allclose(y[name], np.fft.irfft(spectrum, time), atol=1e-6)


@pytest.mark.parametrize("length", [64, 65])
def test_the_offset_and_the_nyquist_frequency_stay(bench, length):
    x, y, _ = moved(bench, FTSurrogate(), length)
    for name, before in spectra(x).items():
        after = spectra(y)[name]
        torch.testing.assert_close(after[..., 0], before[..., 0])
        if x[name].shape[-1] % 2 == 0:
            torch.testing.assert_close(after[..., -1], before[..., -1])


def test_a_shared_phase_keeps_all_cross_spectra(bench):
    """Between channels, between sensors, and between sensors of different rates, bin k of which is the same frequency."""
    x, y, _ = moved(bench, FTSurrogate(), 128)
    before, after = (torch.cat([s[..., 1:31] for s in spectra(signals).values()], 1) for signals in (x, y))
    cross = [s[:, :, None] * s[:, None].conj() for s in (before, after)]
    torch.testing.assert_close(cross[1], cross[0], rtol=1e-5, atol=1e-4)
    assert not torch.allclose(after, before, rtol=0.1)


def test_phases_of_their_own_do_not(bench):
    x, y, params = moved(bench, FTSurrogate(share="channel"), 128)
    before, after = (s["wrist_acc"][..., 1:63] for s in (spectra(x), spectra(y)))
    turned = (after[:, :2] * before[:, :2].conj()).angle()
    assert stats.kstest((turned[:, 0] - turned[:, 1]).flatten() % (2 * math.pi), "uniform", (0, 2 * math.pi)).pvalue > 0.001
    angles = torch.cat([part.flatten(1) for part in params.values()], 1)
    assert angles.shape[1] == 3 * 63 + 3 * 63 + 3 * 31
    assert len(angles.unique()) > 0.999 * angles.numel()


@pytest.mark.parametrize("phase", [1.0, 0.25])
def test_angles_are_uniform(bench, phase):
    _, _, params = moved(bench, FTSurrogate(phase), 128, n=600)
    angles = params["wrist_acc"].flatten()
    assert stats.kstest(angles.double(), "uniform", (0, 2 * math.pi * phase)).pvalue > 0.001


def test_it_assumes_that_the_order_does_not_matter():
    assert FTSurrogate().assumes == {"order"}
