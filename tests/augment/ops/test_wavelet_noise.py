"""WaveletNoise: noise on the details of the finest octaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.wavelet import WaveletNoise, dwt
from harkd.errors import UsageError


def moved(bench, op, length=64, n=240, sensors=None):
    windows = bench.windows(sensors or (bench.acc, bench.ankle), length, n=n)
    spec = Spec.of(windows)
    x = {name: s.double() for name, s in windows.gather(torch.arange(len(windows))).items()}
    return x, op.apply(x, bench.draw(op, spec, len(windows)), spec)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_details_are_multiplied_and_the_rest_is_kept(bench, wavelet):
    """N(1, sigma^2) in each of the three finest octaves; the fourth, and the coarse course, stay."""
    x, y = moved(bench, WaveletNoise(0.2, levels=3, wavelet=wavelet))
    (coarse, before), (kept, after) = (dwt(signals["wrist_acc"], wavelet, 4) for signals in (x, y))
    torch.testing.assert_close(kept, coarse)
    torch.testing.assert_close(after[3], before[3])
    for level in range(3):
        assert stats.kstest((after[level] / before[level]).flatten(), "norm", (1, 0.2)).pvalue > 0.001


def test_the_octaves_are_the_same_at_any_rate(bench):
    """At half the rate the finest octave does not exist: two of three are left."""
    x, y = moved(bench, WaveletNoise(0.2, levels=3), sensors=(bench.acc, bench.ankle))
    (_, before), (_, after) = (dwt(signals["ankle_acc"], "haar", 3) for signals in (x, y))
    changed = [not torch.allclose(a, b, rtol=1e-6) for a, b in zip(after, before, strict=True)]
    assert changed == [True, True, False]
    x, y = moved(bench, WaveletNoise(0.2, levels=1), sensors=(bench.acc, bench.ankle))
    assert torch.equal(y["ankle_acc"], x["ankle_acc"])
    x, y = moved(bench, WaveletNoise(0.2, levels=1), sensors=(bench.ankle,))
    assert not torch.equal(y["ankle_acc"], x["ankle_acc"])


@pytest.mark.parametrize("length", [1, 7, 64, 65, 513])
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_gravity_stays(bench, wavelet, length):
    spec, op = Spec.of(bench.windows((bench.acc,), length)), WaveletNoise(0.5, levels=5, wavelet=wavelet)
    still = {"wrist_acc": torch.tensor([0.0, -0.6, 0.8])[:, None].expand(20, 3, length)}
    torch.testing.assert_close(op.apply(still, bench.draw(op, spec, 20), spec), still, rtol=0, atol=1e-6)


def test_a_window_has_no_more_levels_than_octaves(bench):
    spec = Spec.of(bench.windows((bench.acc, bench.ankle)))
    op = WaveletNoise(levels=6)
    assert [op.depth(spec, "wrist_acc", time) for time in (1, 2, 3, 7, 8, 64, 513)] == [0, 1, 1, 2, 3, 6, 6]
    assert [op.depth(spec, "ankle_acc", time) for time in (1, 64, 513)] == [0, 5, 5]


def test_an_odd_window_is_continued_by_its_last_sample(bench):
    """Haar at one level: samples are changed in pairs, of which the mean stays; the last one is its own pair."""
    x, y = moved(bench, WaveletNoise(0.2, levels=1), length=65)
    change = y["wrist_acc"] - x["wrist_acc"]
    pairs = change[..., :64].unflatten(-1, (-1, 2))
    torch.testing.assert_close(pairs[..., 0], -pairs[..., 1])
    assert float(change[..., 64].abs().max()) == 0
    assert float(pairs.abs().min(-1).values.median()) > 0


def test_channels_and_sensors_have_noise_of_their_own(bench):
    x, y = moved(bench, WaveletNoise(0.2, levels=1), sensors=(bench.acc, bench.gyro))
    details = [torch.cat([dwt(s[name], "haar", 1)[1][0] for name in s], 1) for s in (x, y)]
    rows = (details[1] / details[0] - 1).transpose(0, 1).flatten(1)
    correlation = np.corrcoef(rows) - np.eye(6)
    assert np.abs(correlation).max() * rows.shape[1] ** 0.5 < 4.5


def test_no_levels_are_refused():
    with pytest.raises(UsageError, match="WaveletNoise: levels is a number of octaves, at least 1; got 0"):
        WaveletNoise(levels=0)
