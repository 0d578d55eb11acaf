"""Resampling, gaps and filters: the arithmetic of signal preparation, on arrays (channel, time) with NaN for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp
from scipy.interpolate import PchipInterpolator

from harkd.errors import DataError

Signal = NDArray[np.float32]
Phase = Literal["zero", "causal"]


def filled(x: Signal, at: NDArray[np.float64], seconds: float) -> Signal:
    """Straight lines over gaps of up to `seconds`; `at` (time,) are the times of the samples."""
    done = x.copy()
    for row in done:
        bad = np.isnan(row)
        good = np.flatnonzero(~bad)
        holes = np.flatnonzero(bad)
        if not len(good) or not len(holes):
            continue
        after = np.searchsorted(good, holes)
        inside = (after > 0) & (after < len(good))
        holes, after = holes[inside], after[inside]
        # What is missing between two samples that are a sample and `seconds` apart is filled.
        gap = at[good[after]] - at[good[after - 1]] - np.median(np.diff(at))
        holes = holes[gap <= seconds + 1e-9]
        row[holes] = np.interp(at[holes], at[good], row[good])
    return done


def increasing(at: NDArray[np.float64], x: Signal) -> tuple[NDArray[np.float64], Signal]:
    """Sorted by time; of several samples of one moment the first."""
    if len(at) > 1 and (np.diff(at) <= 0).any():
        at, first = np.unique(at, return_index=True)
        x = x[:, first]
    return at, x


def regular(at: NDArray[np.float64], x: Signal, grid: NDArray[np.float64], rate: float, gap: float) -> Signal:
    """Samples at irregular times `at` on the even `grid`, filtered where the rate falls.

    Between samples runs the monotone cubic of Fritsch and Carlson: like straight lines it never goes beyond them, but a
    movement of 3 Hz sampled 50 times a second keeps 99.8 % of its size, where lines keep 98.8 %.
    """
    if not len(grid):
        return x[:, :0]
    seen = ~np.isnan(x).any(0)
    if seen.sum() < 2:
        return np.full((len(x), len(grid)), np.nan, np.float32)
    t, values = at[seen], x[:, seen]
    # The mean of the intervals that are no gaps: samples may come in bursts, with most of the time between them.
    steps = np.diff(t)
    steps = steps[steps <= gap] if (steps <= gap).any() else steps
    native = len(steps) / steps.sum()
    # Slower grids are reached through one that is a whole multiple finer than the samples, and a filter.
    times = max(1, int(np.ceil(native / rate))) if native > 1.1 * rate else 1
    fine = grid[0] + np.arange(len(grid) * times) / (rate * times)
    rows = PchipInterpolator(t, values.astype(np.float64), axis=1)(fine.clip(t[0], t[-1]))
    if times > 1:
        rows = polyphase(rows, 1, times)
    after = np.searchsorted(t, grid, side="left").clip(1, len(t) - 1)
    holes = (t[after] - t[after - 1] > gap) & (grid > t[after - 1] + 1e-9) & (grid < t[after] - 1e-9)
    outside = (grid < t[0] - 1e-6) | (grid > t[-1] + 1e-6)
    return np.where(holes | outside, np.nan, rows).astype(np.float32)


def to_rate(x: Signal, before: float, after: float) -> Signal:
    """Polyphase resampling from one rate to another, with its anti-alias filter."""
    if before == after:
        return x
    ratio = Fraction(after / before).limit_denominator(max(1000, 10 * round(before / after)))
    return polyphase(x, ratio.numerator, ratio.denominator).astype(np.float32)


def polyphase(x: NDArray[np.floating], up: int, down: int) -> NDArray[np.float64]:
    """`scipy.signal.resample_poly` that leaves a constant what it is; beyond its ends the signal goes on along a line."""
    common = gcd(up, down)
    if up == down:
        return x.astype(np.float64)
    taps = _taps(up // common, down // common)
    done: NDArray[np.float64] = dsp.resample_poly(x.astype(np.float64), up, down, axis=1, window=taps, padtype="line")
    return done


@lru_cache(maxsize=512)
def _taps(up: int, down: int) -> NDArray[np.float64]:
    """SciPy's own filter (Kaiser, 20 periods), but each of the `up` filters that it consists of lets a constant through."""
    widest = max(up, down)
    taps: NDArray[np.float64] = dsp.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0))
    for first in range(up):
        taps[first::up] /= up * taps[first::up].sum()
    return taps


def through_gaps(x: Signal, do: Callable[[Signal], Signal]) -> Signal:
    """Apply something linear in time to a signal with missing samples: they are bridged by lines, and missing afterwards."""
    bad = np.asarray(np.isnan(x).any(0))
    if not bad.any():
        return do(x)
    if bad.all():
        return np.full_like(do(np.zeros_like(x)), np.nan)
    here = np.arange(len(bad))
    bridged = np.stack([np.interp(here, here[~bad], row[~bad]) for row in x]).astype(np.float32)
    done = do(bridged)
    place = np.minimum(np.arange(done.shape[1]) * (len(bad) / done.shape[1]), len(bad) - 1)
    touched = bad[np.floor(place).astype(int)] | bad[np.ceil(place).clip(max=len(bad) - 1).astype(int)]
    return np.where(touched, np.float32(np.nan), done)


def stretched(pieces: Sequence[tuple[Signal, int]]) -> list[Signal]:
    """Each (channel, time) to so many samples: sample i stands at the share i / samples of the stretch.

    Pieces of one length go through the filter together, which is several times faster than one by one.
    """
    done: list[Signal] = [x for x, _ in pieces]
    together: dict[tuple[int, int], list[int]] = {}
    for number, (x, samples) in enumerate(pieces):
        if x.shape[1] == samples:
            continue
        if np.isnan(x).any():
            done[number] = through_gaps(x, partial(_stretched, samples=samples))
        else:
            together.setdefault((x.shape[1], samples), []).append(number)
    for (_, samples), numbers in together.items():
        rows = _stretched(np.concatenate([pieces[number][0] for number in numbers]), samples)
        ends = np.cumsum([len(pieces[number][0]) for number in numbers])
        for number, part in zip(numbers, np.split(rows, ends[:-1]), strict=True):
            done[number] = part
    return done


def _stretched(x: Signal, samples: int) -> Signal:
    return polyphase(x, samples, x.shape[1])[:, :samples].astype(np.float32)


def run_filter(sos: NDArray[np.float64], x: Signal, phase: Phase) -> Signal:
    """Second-order sections over (channel, time): forward and backward, or as a watch would, from the first sample on.

    The causal filter starts as if the first sample had always been there: no jump at the start.
    """
    if not x.shape[1]:
        return x
    if phase == "zero":
        pad = min(3 * (2 * len(sos) + 1), x.shape[1] - 1)
        return dsp.sosfiltfilt(sos, x, axis=1, padlen=pad).astype(np.float32)
    start = dsp.sosfilt_zi(sos)[:, None] * x[None, :, :1].astype(np.float64)
    return dsp.sosfilt(sos, x, axis=1, zi=start)[0].astype(np.float32)


def butterworth(order: int, edges: float | tuple[float, float], kind: str, rate: float) -> NDArray[np.float64]:
    """Second-order sections of a Butterworth filter."""
    top = max(edges) if isinstance(edges, tuple) else edges
    if top >= rate / 2:
        raise DataError(f"a filter edge of {top:g} Hz needs more than {2 * top:g} samples per second; the sensor has {rate:g} Hz")
    sos: NDArray[np.float64] = dsp.butter(order, edges, kind, fs=rate, output="sos")
    return sos
