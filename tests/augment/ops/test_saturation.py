"""Narrower ranges."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare

from harkd.augment import Augmenter, Spec
from harkd.augment.hardware import Saturation
from harkd.errors import UsageError


@pytest.mark.parametrize(
    ("kind", "units", "full"),
    [("acc", "g", 16), ("acc", "m/s^2", 156.9064), ("gyro", "deg/s", 2000), ("gyro", "rad/s", 2000 * math.pi / 180)],
)
def test_each_halving_clips_at_half_the_range(bench, kind, units, full):
    sensor = replace(bench.acc, kind=kind, units=units)
    spec = Spec.of(bench.windows((sensor,)))
    x = full * torch.linspace(-2, 2, 33).expand(4, 3, 33)
    moved = Saturation().apply({"wrist_acc": x}, {"wrist_acc": torch.arange(4)[:, None]}, spec)["wrist_acc"]
    assert torch.equal(moved[0], x[0])
    for halvings in (1, 2, 3):
        torch.testing.assert_close(moved[halvings], x[0].clamp(-full / 2**halvings, full / 2**halvings))


@pytest.mark.parametrize("halvings", [1, 3])
def test_all_ranges_are_equally_likely_and_sensors_differ(bench, halvings):
    drawn = bench.draw(Saturation(halvings), Spec.of(bench.windows((bench.acc, bench.gyro, bench.eeg(2)))), 4000)
    assert set(drawn) == {"wrist_acc", "wrist_gyro"}
    both = (drawn["wrist_acc"] * (halvings + 1) + drawn["wrist_gyro"])[:, 0]
    assert int(drawn["wrist_acc"].max()) == halvings
    assert chisquare(torch.bincount(both, minlength=(halvings + 1) ** 2).numpy()).pvalue > 0.01


def test_units_that_are_not_known_are_refused(bench):
    raw = replace(bench.acc, name="raw", units="counts")
    with pytest.raises(UsageError, match=r"Saturation needs physical units: raw is in 'counts', expected g or mg or m/s\^2"):
        Augmenter(Saturation(), bench.windows((bench.acc, raw)))
