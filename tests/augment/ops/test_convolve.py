"""convolve: smoothing by windows that sum to 1."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from scipy.signal import get_window

from harkd.augment import Spec
from harkd.augment.resolution import Convolve, kernels, mirrored
from harkd.errors import UsageError

WINDOWS = ["hann", "hamming", "blackman", "bartlett", "boxcar", "triang", "cosine"]


def smoothed(bench, op, fill, length=32):
    windows = bench.windows((bench.acc,), length, n=12, fill=fill)
    x, spec = windows.gather(torch.arange(12)), Spec.of(windows)
    return op.apply(x, bench.draw(op, spec, 12), spec)["wrist_acc"], x["wrist_acc"]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 15])
def test_a_constant_stays_and_an_impulse_becomes_the_window(bench, window, size):
    constant, x = smoothed(bench, Convolve(size, window), lambda s, total, label: torch.full((3, total), 3.0).numpy())
    torch.testing.assert_close(constant, x)

    def impulse(sensor, total, label):
        return (torch.arange(total) % 32 == 16).expand(3, -1).numpy()

    got, _ = smoothed(bench, Convolve(size, window), impulse)
    weights = torch.from_numpy(get_window(window, size, fftbins=False)).float()
    weights = weights / weights.sum() if float(weights.sum()) > 1e-6 else torch.full((size,), 1 / size)
    first = 16 - size // 2  # seen from a sample, even windows reach one further ahead than back
    expected = torch.zeros(32)
    expected[first : first + size] = weights.flip(0)
    torch.testing.assert_close(got, expected.expand(12, 3, -1), rtol=0, atol=1e-6)


def test_a_hann_window_of_two_samples_is_an_average():
    """tsaug divides by the sum of its weights, which is 0."""
    assert kernels("hann", 2)[2].tolist() == [0, 0.5, 0.5]
    assert kernels("hann", 3)[3].tolist() == [0, 1, 0]


@pytest.mark.parametrize("most", [1, 2, 7, 15])
def test_weights_of_all_sizes_sum_to_one(most):
    for window in WINDOWS:
        torch.testing.assert_close(kernels(window, most).sum(1), torch.ones(most + 1))


def test_ends_are_mirrored_as_often_as_it_takes():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert mirrored(x, 2).tolist() == [2, 1, 1, 2, 3, 3, 2]
    assert mirrored(x, 5).tolist() == [2, 3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1, 2]
    assert mirrored(torch.tensor([4.0]), 3).tolist() == [4] * 7


def test_a_longer_window_leaves_less_of_the_fast(bench):
    wave = torch.sin(torch.arange(3200) * (2 * torch.pi * 4 / 32))
    spreads = [
        float(smoothed(bench, Convolve(size), lambda s, total, label: wave[:total].expand(3, -1).numpy())[0].std())
        for size in (1, 4, 7, 11, 15)
    ]
    assert all(a > b for a, b in pairwise(spreads))


def test_a_size_below_one_is_refused():
    with pytest.raises(UsageError, match="Convolve: size is a finite number from 1"):
        Convolve(0)
