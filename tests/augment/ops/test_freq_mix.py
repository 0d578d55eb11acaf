"""FreqMix: frequencies from a partner, and a label by power."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.mix_style import FreqMix
from harkd.datasets import Statistics

P = 0.001


def sines(time, *amplitudes):
    """(1, 3, time) a mean, then whole periods: amplitude k is k periods in a window, the same in all channels."""
    at = torch.arange(time, dtype=torch.float64) / time
    return sum(a * torch.cos(2 * math.pi * k * at) for k, a in enumerate(amplitudes)).float().expand(1, 3, time)


def unit(windows):
    """Statistics of mean 0 and deviation 1."""
    return Statistics(
        {name: torch.zeros(len(s.channels)) for name, s in windows.sensors.items()},
        {name: torch.ones(len(s.channels)) for name, s in windows.sensors.items()},
    )


def masks(bins, *taken):
    return {"taken": torch.tensor([[k in taken for k in range(bins)]])}


def test_sines_change_places_and_the_label_follows_their_power(bench):
    """Own 3 at period 1 and 1 at 2; theirs 2 at period 2: taking period 2 leaves 9 of 9 + 4 parts of the power."""
    windows = bench.windows((bench.acc,))
    spec = Spec.of(windows, unit(windows))
    own, theirs = {"wrist_acc": sines(64, 0, 3, 1)}, {"wrist_acc": sines(64, 0, 5, 2)}
    mixed, share = FreqMix().mix(own, [theirs], masks(33, 2), spec)
    torch.testing.assert_close(mixed["wrist_acc"], sines(64, 0, 3, 2), rtol=0, atol=1e-5)
    assert float(share) == pytest.approx(9 / 13, rel=1e-5)


@pytest.mark.parametrize("time", [64, 65])
def test_the_mean_and_the_highest_frequency_count_once(bench, time):
    """Own mean 1 has the power 1, a sine of amplitude 1 has 1/2, and the highest of an even length 1 again."""
    windows = bench.windows((bench.acc,), time)
    spec = Spec.of(windows, unit(windows))
    last = time // 2
    own, theirs = sines(time, 1, 0), sines(time, *[0] * last, 1)
    mixed, share = FreqMix().mix({"wrist_acc": own}, [{"wrist_acc": theirs}], masks(last + 1, last), spec)
    torch.testing.assert_close(mixed["wrist_acc"], own + theirs, rtol=0, atol=1e-5)
    power = 1.0 if time % 2 == 0 else 0.5
    assert float(share) == pytest.approx(1 / (1 + power), rel=1e-5)


def test_power_is_that_of_standardised_signals(bench):
    """Gyroscope and accelerometer count alike, whatever their units and rates; the training mean counts nothing."""
    windows = bench.windows((bench.acc, bench.ankle))
    mean = {"wrist_acc": torch.full((3,), 7.0), "ankle_acc": torch.full((3,), -300.0)}
    spec = Spec.of(windows, Statistics(mean, {"wrist_acc": torch.ones(3), "ankle_acc": torch.full((3,), 100.0)}))
    x = {"wrist_acc": 7 + sines(64, 0, 1, 0), "ankle_acc": -300 + 100 * sines(32, 0, 1, 0)}
    other = {"wrist_acc": 7 + sines(64, 0, 0, 1), "ankle_acc": -300 + 100 * sines(32, 0, 0, 1)}
    _, share = FreqMix().mix(x, [other], masks(33, 2), spec)
    assert float(share) == pytest.approx(0.5, rel=1e-4)


def test_the_same_frequencies_in_all_sensors_and_at_all_rates(bench):
    """A chosen frequency comes from the partner in every sensor, the others stay; frequencies are those of the window."""
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), n=60)
    spec, index = Spec.of(windows), torch.arange(60)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    params = bench.draw(FreqMix(0.5), spec, 60)
    mixed, _ = FreqMix(0.5).mix(x, [other], params, spec)
    for name, moved in mixed.items():
        taken = params["taken"][:, None, : moved.shape[2] // 2 + 1]
        expected = torch.where(taken, torch.fft.rfft(other[name].double()), torch.fft.rfft(x[name].double()))
        torch.testing.assert_close(torch.fft.rfft(moved.double()), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_frequency_is_taken_with_its_share(bench, share):
    n = 20_000
    taken = bench.draw(FreqMix(share), Spec.of(bench.windows((bench.acc,), 16)), n)["taken"]
    assert taken.shape == (n, 9)
    for counts in (taken.sum(0), (taken[:, 1:] & taken[:, :-1]).sum(0).div(share)):  # each, and neighbours apart
        spread = n * share * (1 - share) if len(counts) == 9 else n * (1 - share**2)
        assert bool(((counts - n * share).abs() < 4.5 * spread**0.5).all())


def test_all_or_nothing(bench):
    windows = bench.windows(n=24)
    spec, index = Spec.of(windows), torch.arange(24)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    for op, expected, weight in ((FreqMix(1.0), other, 0.0), (FreqMix(0.0), x, 1.0)):
        mixed, share = op.mix(x, [other], bench.draw(op, spec, 24), spec)
        for name, moved in mixed.items():
            torch.testing.assert_close(moved, expected[name], rtol=0, atol=1e-5)
        torch.testing.assert_close(share, torch.full((24,), weight), rtol=0, atol=1e-4)


def test_windows_without_power_keep_their_label(bench):
    windows = bench.windows((bench.acc,), fill=lambda sensor, total, label: torch.full((3, total), 2.0).numpy())
    assert bool((bench.augment("none|freq_mix(0.5, partner=other_class)", windows).targets["activity"].max(1).values == 1).all())


def test_labels_by_power_average_to_the_share_of_white_noise(bench):
    """Of white noise every frequency has the same power."""
    windows = bench.windows((bench.acc, bench.gyro), 128, n=600, fill=white)
    spec, index = Spec.of(windows), torch.arange(600)
    x, other = windows.gather(index), windows.gather(index.roll(300))
    _, share = FreqMix(0.3).mix(x, [other], bench.draw(FreqMix(0.3), spec, 600), spec)
    assert stats.ttest_1samp(share.double(), 0.7).pvalue > P


def white(sensor, total, label):
    return torch.randn(3, total, generator=torch.Generator().manual_seed(label + 10 * len(sensor.name))).numpy()
