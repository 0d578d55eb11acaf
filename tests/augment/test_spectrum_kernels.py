"""Spectra, spectrograms and wavelets, against NumPy, SciPy and worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal as reference

from harkd.augment.spectrogram import istft, stft
from harkd.augment.spectrum import add_scaled, add_turned, frequencies, hilbert, inner_bins, inverse
from harkd.augment.wavelet import SCALING, dwt, idwt

LENGTHS = [1, 2, 3, 4, 7, 9, 15, 16, 17, 64, 127, 128, 513]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("time", LENGTHS)
def test_spectra_are_multiplied_as_numpy_does(time):
    x, bins = noise(4, 3, time), time // 2 + 1
    spectra = np.fft.rfft(x)
    gain = noise(4, 1, bins)
    np.testing.assert_allclose(add_scaled(x, gain), np.fft.irfft(spectra * (1 + gain).numpy(), time), atol=1e-12)
    real, imaginary = noise(2, 4, 3, inner_bins(time))
    factor = np.ones_like(spectra)
    factor[..., 1 : inner_bins(time) + 1] += real.numpy() + 1j * imaginary.numpy()
    np.testing.assert_allclose(add_turned(x, real, imaginary), np.fft.irfft(spectra * factor, time), atol=1e-12)


def test_the_offset_and_the_nyquist_frequency_have_no_phase():
    assert [inner_bins(time) for time in (1, 2, 3, 4, 5, 64, 65)] == [0, 0, 1, 1, 2, 31, 32]


@pytest.mark.parametrize("time", LENGTHS)
def test_a_window_has_the_same_spectrum_in_any_batch_and_with_any_number_of_threads(time):
    x = noise(600, 2, time).float()

    def there_and_back(x):
        spectra = torch.fft.rfft(x)
        return spectra, inverse(spectra, time), add_turned(x, x[:, :1, : inner_bins(time)], x[:, 1:, : inner_bins(time)])

    threads, whole = torch.get_num_threads(), there_and_back(x)
    for size in (1, 13, 255):
        for rows in (slice(0, size), slice(301, 301 + size), slice(600 - size, 600)):
            assert all(torch.equal(part, full[rows]) for part, full in zip(there_and_back(x[rows]), whole, strict=True))
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert all(torch.equal(a, b) for a, b in zip(there_and_back(x), whole, strict=True))
    finally:
        torch.set_num_threads(threads)


def test_frequencies_are_in_hertz():
    assert frequencies(torch.zeros(1, 1, 8), 50.0).tolist() == [0, 6.25, 12.5, 18.75, 25]
    assert frequencies(torch.zeros(1, 1, 5), 50.0).tolist() == [0, 10, 20]


@pytest.mark.parametrize("time", LENGTHS)
def test_the_hilbert_transform_is_that_of_scipy(time):
    x = noise(3, 2, time)
    expected = reference.hilbert(x.numpy(), 1 << math.ceil(math.log2(time)))[..., :time].imag
    np.testing.assert_allclose(hilbert(x), expected, atol=1e-12)


@pytest.mark.parametrize("time", [*range(1, 18), 63, 64, 65, 127, 128, 513])
@pytest.mark.parametrize(("n_fft", "hop"), [(64, 16), (64, 32), (24, 8), (6, 1)])
def test_a_spectrogram_can_be_turned_back(time, n_fft, hop):
    x = noise(2, 3, time).float()
    torch.testing.assert_close(istft(stft(x, n_fft, hop), n_fft, hop, time), x, rtol=0, atol=1e-5)


def test_the_spectrogram_is_that_of_scipy():
    """SciPy counts frames by their middles, the first of which lies one hop before the window."""
    x = noise(2, 3, 512)
    theirs = reference.ShortTimeFFT(reference.windows.hann(64, sym=False), 16, 1.0, phase_shift=None)
    expected = theirs.stft(x.numpy(), p0=-1).swapaxes(2, 3)
    np.testing.assert_allclose(stft(x, 64, 16), expected, atol=1e-12)
    masked = expected * (np.arange(33) < 9)
    inner = theirs.istft(masked.swapaxes(2, 3), k1=512)
    np.testing.assert_allclose(istft(torch.from_numpy(masked), 64, 16, 512), inner, atol=1e-12)


def test_haar_values():
    """The sums and differences of neighbours, over the root of 2, again and again."""
    coarse, (fine, finer) = dwt(torch.tensor([[1.0, 3.0, 2.0, 8.0]]), "haar", 2)
    r2 = math.sqrt(2)
    torch.testing.assert_close(fine, torch.tensor([[-2 / r2, -6 / r2]]))
    torch.testing.assert_close(finer, torch.tensor([[-3.0]]))
    torch.testing.assert_close(coarse, torch.tensor([[7.0]]))


def test_db2_values():
    """The known four taps; an impulse at sample 2 meets tap 2 at place 0, and tap 0 at place 1."""
    taps = [0.48296291314469025, 0.8365163037378079, 0.22414386804185735, -0.12940952255092145]
    np.testing.assert_allclose(SCALING["db2"], taps, rtol=1e-11)
    coarse, (fine,) = dwt(torch.eye(8, dtype=torch.float64)[2], "db2", 1)
    np.testing.assert_allclose(coarse, [taps[2], taps[0], 0, 0], atol=1e-11)
    np.testing.assert_allclose(fine, [taps[1], taps[3], 0, 0], atol=1e-11)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize(("time", "levels"), [(2, 1), (8, 3), (64, 1), (64, 4), (520, 3)])
def test_wavelets_keep_the_energy_and_can_be_turned_back(wavelet, time, levels):
    x = noise(2, 3, time)
    coarse, details = dwt(x, wavelet, levels)
    assert [part.shape[-1] for part in (coarse, *details)] == [time >> levels, *(time >> k for k in range(1, levels + 1))]
    energy = sum(part.square().sum(-1) for part in (coarse, *details))
    torch.testing.assert_close(energy, x.square().sum(-1))
    torch.testing.assert_close(idwt(coarse, details, wavelet), x)


@pytest.mark.parametrize(("wavelet", "moments"), [("haar", 1), ("db2", 2)])
def test_vanishing_moments(wavelet, moments):
    """Haar does not see a constant, db2 no line either (but for where the window is joined to its beginning)."""
    for power in range(3):
        _, (fine,) = dwt(torch.arange(32.0, dtype=torch.float64) ** power, wavelet, 1)
        assert bool((fine[:-1].abs() < 1e-10).all()) == (power < moments)
