"""SpecAugment: stripes of the spectrogram are gone."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.spectrogram import SpecAugment
from harkd.errors import UsageError

NOWHERE = (0.0, 0.0)


def stripes(n, time=NOWHERE, frequency=NOWHERE):
    """Params of n windows, all with one stripe of time and one of frequency."""
    start, stop = torch.tensor([[[time[0]], [frequency[0]]]]), torch.tensor([[[time[1]], [frequency[1]]]])
    return {"start": start.expand(n, -1, -1), "stop": stop.expand(n, -1, -1)}


def spec_of(bench, length=512):
    return Spec.of(bench.windows((bench.acc, bench.ankle), length))


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def sine(hertz, rate, time):
    return torch.sin(2 * math.pi * hertz * torch.arange(time, dtype=torch.float64) / rate).expand(1, 3, -1)


def test_without_a_stripe_nothing_changes(bench):
    x = {"wrist_acc": noise(2, 3, 512)}
    assert torch.equal(SpecAugment().apply(x, stripes(2), spec_of(bench))["wrist_acc"], x["wrist_acc"])


def test_a_stripe_of_time_is_gone_and_moments_a_frame_away_stay(bench):
    """From 0.4 to 0.6 of the window, in sensors of both rates; the offset stays in the gap."""
    spec = spec_of(bench, 1024)
    x = {"wrist_acc": 1 + noise(2, 3, 1024), "ankle_acc": 1 + noise(2, 3, 512)}
    y = SpecAugment().apply(x, stripes(2, time=(0.4, 0.6)), spec)
    for name, signal in y.items():
        time = signal.shape[-1]
        first, last = int(0.4 * time) + 32, int(0.6 * time) - 32
        mean = x[name].mean(-1, keepdim=True).expand(-1, -1, last - first)
        torch.testing.assert_close(signal[..., first:last], mean, rtol=0, atol=1e-9)
        kept = torch.arange(time)
        kept = (kept < 0.4 * time - 32) | (kept > 0.6 * time + 32)
        torch.testing.assert_close(signal[..., kept], x[name][..., kept], rtol=0, atol=1e-9)


def test_a_stripe_of_frequencies_is_gone_in_all_sensors(bench):
    """From 6 to 9 Hz: of sines at 3 and 7.5 Hz the first stays; both rates have both."""
    spec = spec_of(bench)
    for name, sensor in spec.sensors.items():
        time = spec.lengths[name]
        stays, goes = sine(3.0, sensor.rate, time), sine(7.5, sensor.rate, time)
        params = stripes(1, frequency=(6 / 25, 9 / 25))
        y = SpecAugment(n_fft=64, hop=16).apply({name: 2 + stays + goes}, params, spec)[name]
        middle = slice(64, -64)
        error = (y - 2 - stays)[..., middle]
        assert float(error.square().mean() / goes.square().mean()) < 0.01


def test_a_stripe_above_a_slow_sensors_nyquist_frequency_leaves_it(bench):
    x = {"ankle_acc": noise(2, 3, 256), "wrist_acc": noise(2, 3, 512)}
    y = SpecAugment().apply(x, stripes(2, frequency=(0.6, 0.9)), spec_of(bench))
    assert torch.equal(y["ankle_acc"], x["ankle_acc"])
    assert float(y["wrist_acc"].square().mean()) == pytest.approx(0.7, abs=0.1)


def test_the_mean_fill_keeps_the_stripe_alive(bench):
    """A stripe of time through steady noise: blanked it is silent; filled it has nearly pi / 4 of the power, for that is what
    the mean magnitude of noise comes to, and is no copy of the old."""
    spec, x = spec_of(bench), {"wrist_acc": noise(20, 3, 512)}
    inside = slice(200, 312)
    loud = {}
    for fill in ("zero", "mean"):
        y = SpecAugment(fill=fill).apply(x, stripes(20, time=(0.3, 0.7)), spec)["wrist_acc"][..., inside]
        loud[fill] = float(y.square().mean() / x["wrist_acc"][..., inside].square().mean())
        assert not torch.allclose(y, x["wrist_acc"][..., inside], atol=0.1)
    assert loud["zero"] < 0.01
    assert 0.5 < loud["mean"] < math.pi / 4


def test_the_mean_fill_gives_the_mean_magnitude():
    """Two frames of magnitude 5 and 1 both get 3, with their phases; one of 0.1 is raised tenfold; silence stays."""
    op, time = SpecAugment(fill="mean"), (3 + 4j, -1j)
    spectra = torch.tensor(time, dtype=torch.complex128).reshape(1, 1, 2, 1)
    filled = spectra * (1 + op._gain(spectra))
    torch.testing.assert_close(filled.flatten(), torch.tensor((1.8 + 2.4j, -3j), dtype=torch.complex128))
    faint = torch.tensor((0.1, 19.9), dtype=torch.complex128).reshape(1, 1, 2, 1)
    assert float((faint * (1 + op._gain(faint))).flatten()[0].real) == pytest.approx(1.0)
    silent = torch.zeros(1, 1, 2, 1, dtype=torch.complex128)
    assert float((silent * op._gain(silent)).abs().max()) == 0


def test_stripes_are_drawn_as_it_says(bench):
    """1 to 3 on each axis with equal odds, as wide as U(0, share), anywhere inside, the axes apart from each other."""
    params = bench.draw(SpecAugment(0.3, stripes=3), spec_of(bench), 9000)
    width = (params["stop"] - params["start"]).double()
    number = (width > 0).sum(2)
    for axis in (0, 1):
        assert stats.chisquare(torch.bincount(number[:, axis])[1:]).pvalue > 0.001
        assert stats.kstest(width[:, axis, 0], "uniform", (0, 0.3)).pvalue > 0.001
        place = params["start"][:, axis, 0] / (1 - width[:, axis, 0])
        assert stats.kstest(place.double(), "uniform").pvalue > 0.001
    assert stats.spearmanr(width[:, 0, 0], width[:, 1, 0]).pvalue > 0.001
    assert float(params["start"].min()) >= 0
    assert float(params["stop"].max()) <= 1


def test_fields_that_mean_nothing_are_refused():
    with pytest.raises(UsageError, match="SpecAugment: stripes is the largest number of stripes on an axis, at least 1; got 0"):
        SpecAugment(stripes=0)
    for n_fft, hop in ((64, 0), (64, 48), (64, 24), (16, 16)):
        with pytest.raises(UsageError, match=f"at least twice as large; got n_fft={n_fft}, hop={hop}"):
            SpecAugment(n_fft=n_fft, hop=hop)
