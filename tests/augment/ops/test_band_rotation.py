"""Wristbands that sit turned, and that do not start together."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from harkd.augment import Draws, Spec
from harkd.augment.eeg import BandRotation
from harkd.augment.keys import bits
from harkd.datasets import Sensor
from harkd.errors import UsageError


def bands(channels=32, rate=200.0):
    return Sensor("bands", "emg", "uV", rate, channels=tuple(f"m{i}" for i in range(channels)))


def test_each_band_rolls_by_its_own_number_of_electrodes(bench):
    windows = bench.windows((bands(), bench.acc), n=12)
    spec, op, x = Spec.of(windows), BandRotation(2), windows.gather(torch.arange(12))
    params = bench.draw(op, spec, 12)
    moved = op.apply(x, params, spec)
    for window, rolls in enumerate(params["roll"].tolist()):
        for band, roll in enumerate(rolls):
            rows = slice(16 * band, 16 * band + 16)
            assert torch.equal(moved["bands"][window, rows], x["bands"][window, rows].roll(roll, 0))
    assert moved["wrist_acc"] is x["wrist_acc"]


def test_jitter_rolls_all_bands_but_the_first_in_time(bench):
    windows = bench.windows((bands(6),), 64, n=12)
    spec, op, x = Spec.of(windows), BandRotation(1, bands=3, electrodes=2, jitter=0.05), windows.gather(torch.arange(12))
    params = {**bench.draw(op, spec, 12), "roll": torch.zeros(12, 3, dtype=torch.int64)}
    lags = (params["shift"] * 200).round().long()
    moved = op.apply(x, params, spec)["bands"]
    assert not lags[:, 0].any()
    assert 8 < int(lags.abs().max()) <= 10
    for window, each in enumerate(lags.tolist()):
        for band, lag in enumerate(each):
            rows = slice(2 * band, 2 * band + 2)
            assert torch.equal(moved[window, rows], x["bands"][window, rows].roll(lag, 1))


@pytest.mark.parametrize("steps", [1, 3])
def test_all_numbers_of_electrodes_are_equally_frequent_and_bands_independent(bench, steps):
    spec = Spec.of(bench.windows((bands(),)))
    rolls = bench.draw(BandRotation(steps), spec, 9000)["roll"] + steps
    both = rolls[:, 0] * (2 * steps + 1) + rolls[:, 1]
    assert chisquare(torch.bincount(both, minlength=(2 * steps + 1) ** 2).numpy()).pvalue > 0.01


def test_a_window_of_magnitude_0_is_neither_turned_nor_shifted(bench):
    spec, op = Spec.of(bench.windows((bands(),))), BandRotation(2, jitter=0.05)
    magnitude = torch.tensor([[0.0], [1.0]])
    params = op.sample(Draws(bits(torch.tensor([1, 1]), op.slots(spec)), magnitude), spec)
    assert not params["roll"][0].any()
    assert not params["shift"][0].any()
    assert params["shift"][1, 1] != 0


def test_a_sensor_that_is_not_made_of_such_bands_is_refused(bench):
    spec = Spec.of(bench.windows((bands(24),)))
    with pytest.raises(UsageError, match=r"2 bands of 16 electrodes, but sensor 'bands' has 24 channels"):
        BandRotation().check(spec)
    BandRotation(bands=3, electrodes=8).check(spec)


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"electrodes": 1}, {"jitter": -0.1}, {"jitter": float("nan")}])
def test_bands_that_cannot_be_are_refused(wrong):
    ((field, value),) = wrong.items()
    with pytest.raises(UsageError, match=f"BandRotation: {field} is at least .*; got {value}"):
        BandRotation(**wrong)
