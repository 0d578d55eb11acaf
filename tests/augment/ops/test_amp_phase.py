"""AmpPhase: noise on magnitudes and phases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.frequency import AmpPhase
from harkd.augment.keys import white_noise
from harkd.errors import UsageError


def ratios(bench, op, length=128, n=240):
    """(batch, channel, bin) new spectrum over the old, of all inner bins, and the params."""
    windows = bench.windows((bench.acc, bench.ankle), length, n=n)
    spec = Spec.of(windows)
    x = {name: s.double() for name, s in windows.gather(torch.arange(len(windows))).items()}
    params = bench.draw(op, spec, len(windows))
    y = op.apply(x, params, spec)
    return {name: torch.fft.rfft(y[name]) / torch.fft.rfft(x[name]) for name in x}, params, spec


def test_levels_are_what_the_op_says(bench):
    ratio, _, _ = ratios(bench, AmpPhase(0.1, share=1.0))
    inner = ratio["wrist_acc"][..., 1:-1].flatten()
    assert stats.kstest(inner.abs(), "norm", (1, 0.1)).pvalue > 0.001
    assert stats.kstest(inner.angle(), "norm", (0, 0.1)).pvalue > 0.001
    assert stats.spearmanr(inner.abs(), inner.angle()).pvalue > 0.001


@pytest.mark.parametrize("length", [64, 65])
def test_bin_by_bin_with_the_same_noise(bench, length):
    """NumPy's complex product, with rows of the noise bank: magnitudes first, then angles."""
    op = AmpPhase(0.2, share=0.5)
    ratio, params, spec = ratios(bench, op, length, n=24)
    for k, (name, found) in enumerate(ratio.items()):
        time = spec.lengths[name]
        bins = (time - 1) // 2
        rows = white_noise(params["words"][:, k], 6 * bins).view(-1, 2, 3, bins).numpy()
        sigma = params["sigma"][:, None, :bins].numpy()
        expected = (1 + sigma * rows[:, 0]) * np.exp(1j * sigma * rows[:, 1])
        np.testing.assert_allclose(found[..., 1 : bins + 1], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[..., 0], 1, atol=1e-9)
        if time % 2 == 0:
            np.testing.assert_allclose(found[..., -1], 1, atol=1e-9)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_share_of_the_frequencies_is_touched_the_same_in_all_sensors(bench, share):
    ratio, _, _ = ratios(bench, AmpPhase(0.1, share), n=600)
    touched = {name: (r - 1).abs() > 1e-7 for name, r in ratio.items()}
    fast, slow = touched["wrist_acc"], touched["ankle_acc"]
    assert torch.equal(fast[:, 0], fast[:, 2])
    assert torch.equal(fast[:, 0, 1:32], slow[:, 0, 1:32])
    assert float(fast[:, 0, 1:-1].double().mean()) == pytest.approx(share, abs=0.02)


def test_channels_have_noise_of_their_own(bench):
    ratio, _, _ = ratios(bench, AmpPhase(0.1, share=1.0))
    rows = ratio["wrist_acc"][..., 1:-1].abs().transpose(0, 1).flatten(1)
    correlation = np.corrcoef(rows) - np.eye(3)
    assert np.abs(correlation).max() * rows.shape[1] ** 0.5 < 4.5


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError, match=f"AmpPhase: share is a part of the frequencies, above 0 and up to 1; got {share}"):
        AmpPhase(share=share)
