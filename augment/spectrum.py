"""Spectra: what the ops of the frequency domain are made of.

An op never replaces a signal by the inverse of its transform. It adds the inverse of what it changes: what it leaves alone
is then kept to the bit, and an offset such as gravity does not pass through the rounding of the transform.

Kernels for the product of complex numbers round differently at the end of an array, so a window would depend on its
neighbours in the batch. A product with a number that is purely real or purely imaginary is exact, and is all that is used.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fft import ifft, irfft, rfft, rfftfreq
from torch.nn.functional import pad

from harkd.augment.spec import Spec


def nyquist(spec: Spec) -> float:
    """Half the rate of the fastest sensor in Hz: the frequencies that bands are drawn from, for all sensors alike."""
    return max(sensor.rate for sensor in spec.sensors.values()) / 2


def frequencies(signal: Tensor, rate: float) -> Tensor:
    """(bin,) the frequencies of the spectrum of a signal (batch, channel, time), in Hz."""
    return rfftfreq(signal.shape[-1], 1 / rate, dtype=signal.dtype, device=signal.device)


def inner_bins(time: int) -> int:
    """How many bins have a phase: all but the offset (bin 0) and, for an even number of samples, the Nyquist frequency."""
    return (time - 1) // 2


def inverse(spectrum: Tensor, time: int) -> Tensor:
    """(..., time) the signal of a one-sided spectrum (..., bin), to the same bits whatever the number of threads."""
    if time >= 16:
        return irfft(spectrum, n=time)
    # Below 16 samples MKL has two kernels for this, one of them for a single thread.
    mirrored = spectrum[..., 1 : (time + 1) // 2].flip(-1).conj()
    return ifft(torch.cat([spectrum, mirrored], -1)).real.contiguous()


def add_scaled(x: Tensor, gain: Tensor) -> Tensor:
    """x (batch, channel, time) with its spectrum multiplied by 1 + `gain`, real (batch, 1 or channel, bin)."""
    return inverse(rfft(x).mul_(gain), x.shape[-1]).add_(x)


def add_turned(x: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """x (batch, channel, time) with its spectrum multiplied by 1 + `real` + i `imaginary`.

    Args:
        real, imaginary: (batch, 1 or channel, inner bin). The offset and the Nyquist frequency stay.
    """
    time = x.shape[-1]
    edges = (1, time // 2 - inner_bins(time))
    spectrum = rfft(x)
    turned = spectrum * (1j * pad(imaginary, edges))
    return inverse(turned.add_(spectrum.mul_(pad(real, edges))), time).add_(x)


def hilbert(x: Tensor) -> Tensor:
    """The Hilbert transform of x (..., time): the imaginary part of its analytic signal, padded with zeros to a power of two."""
    time = x.shape[-1]
    padded = 1 << (time - 1).bit_length()
    spectrum = rfft(x, n=padded)
    quarter = torch.full((spectrum.shape[-1],), -1j, dtype=spectrum.dtype, device=x.device)
    quarter[0] = 0
    if padded > 1:
        quarter[-1] = 0
    return inverse(spectrum.mul_(quarter), padded)[..., :time]
