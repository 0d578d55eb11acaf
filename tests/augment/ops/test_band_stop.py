"""BandStop: one band in hertz is gone, the rest stays."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.bands import BandStop
from harkd.errors import UsageError


def decibels(op, params, spec, hertz):
    """(batch, channel) what becomes of a sine of a frequency (batch,), in the middle half of a window of the first sensor."""
    name, sensor = next(iter(spec.sensors.items()))
    time = spec.lengths[name]
    seconds = torch.arange(time, dtype=torch.float64) / sensor.rate
    x = torch.sin(2 * math.pi * hertz.double()[:, None] * seconds + 1)[:, None].expand(-1, 3, -1)
    y = op.apply({name: x}, params, spec)[name]
    middle = slice(time // 4, 3 * time // 4)
    return 10 * torch.log10(y[..., middle].square().mean(-1) / x[..., middle].square().mean(-1))


@pytest.mark.parametrize("length", [512, 1000])
@pytest.mark.parametrize("width", [1.0, 5.0])
def test_a_sine_in_the_band_goes_and_one_3_hz_away_stays(bench, width, length):
    op = BandStop(width)
    spec = Spec.of(bench.windows((bench.acc,), length))
    params = bench.draw(op, spec, 200)
    centre = params["centre"][:, 0]
    assert float(decibels(op, params, spec, centre).max()) < -20
    for away in (-3 - (width - 1) / 2, 3 + (width - 1) / 2):
        there = (centre + away > 0.5) & (centre + away < 24.5)
        assert int(there.sum()) > 50
        assert float(decibels(op, params, spec, centre + away)[there].abs().max()) < 0.5


def test_the_shares_of_a_band_are_worked_out():
    """Band 4.5 to 5.5 Hz with edges of 1 Hz; a band of 0.4 Hz has edges of 0.4 Hz; none has none."""
    hertz = torch.tensor([0.0, 3.5, 4.0, 4.5, 5.0, 5.5, 5.75, 6.0, 6.5, 25.0])
    band = {"centre": torch.full((3, 1), 5.0), "width": torch.tensor([[1.0], [0.4], [0.0]])}
    expected = torch.zeros(3, 10)
    expected[0, 2:8] = torch.tensor([0.5, 1.0, 1.0, 1.0, math.cos(math.pi / 8) ** 2, 0.5])
    expected[1, 3:6] = torch.tensor([math.sin(math.pi / 8) ** 2, 1.0, math.sin(math.pi / 8) ** 2])
    torch.testing.assert_close(BandStop().removed(band, hertz), expected, rtol=0, atol=1e-6)
    narrow = {"centre": torch.full((1, 1), 5.0), "width": torch.tensor([[0.4]])}
    found = BandStop().removed(narrow, torch.tensor([4.4, 4.6, 4.8, 5.2, 5.4, 5.6]))
    torch.testing.assert_close(found, torch.tensor([[0, 0.5, 1, 1, 0.5, 0]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [1.0, 5.0, 23.0])
def test_places_are_uniform_and_keep_from_both_ends(bench, width):
    spec = Spec.of(bench.windows((bench.ankle, bench.acc)))
    op = BandStop(width)
    params = bench.draw(op, spec, 5000)
    centre = params["centre"][:, 0].double()
    assert stats.kstest(centre, "uniform", (1 + width / 2, 23 - width + 1e-9)).pvalue > 0.001 or width == 23
    assert float(op.removed(params, torch.tensor([0.0, 25.0])).max()) < 1e-9


def test_all_sensors_lose_the_same_frequencies(bench):
    """A slow sensor has nothing of a band above its Nyquist frequency, and is then left as it is."""
    windows = bench.windows((bench.acc, bench.ankle), 256, n=60)
    spec, op = Spec.of(windows), BandStop(2.0)
    x = windows.gather(torch.arange(len(windows)))
    params = bench.draw(op, spec, len(windows))
    lost = {name: 1 - (torch.fft.rfft(y).abs() / torch.fft.rfft(x[name]).abs()) for name, y in op.apply(x, params, spec).items()}
    torch.testing.assert_close(lost["wrist_acc"][:, 0, :64], lost["ankle_acc"][:, 0, :64], rtol=0, atol=1e-3)
    above = params["centre"][:, 0] > 14.5
    assert int(above.sum()) > 10
    assert float(lost["ankle_acc"][above].abs().max()) < 1e-3
    assert float(lost["wrist_acc"].amax((1, 2)).min()) > 0.99


def test_a_band_that_does_not_fit_is_refused(bench):
    BandStop(10.5).check(Spec.of(bench.windows((bench.ankle,))))
    with pytest.raises(UsageError, match=r"BandStop: a band of 11 Hz and its two edges of 1 Hz do not fit below 12.5 Hz"):
        BandStop(11.0).check(Spec.of(bench.windows((bench.ankle,))))
    BandStop(11.0).check(Spec.of(bench.windows((bench.ankle, bench.acc))))
