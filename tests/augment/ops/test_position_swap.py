"""Devices on the wrong side."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Augmenter
from harkd.augment.mirror import PositionSwap
from harkd.datasets import Sensor
from harkd.errors import UsageError


def wrists():
    return [
        Sensor(f"{side}_{kind}", kind, "g", 50.0, segment=f"{side}_wrist")
        for side in ("left", "right")
        for kind in ("acc", "gyro")
    ]


def test_signals_change_places_as_they_are(bench):
    windows = bench.windows((*wrists(), bench.ankle))
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("position_swap()", windows).x
    for kind in ("acc", "gyro"):
        assert torch.equal(moved[f"left_{kind}"], x[f"right_{kind}"])
        assert torch.equal(moved[f"right_{kind}"], x[f"left_{kind}"])
    assert torch.equal(moved["ankle_acc"], x["ankle_acc"])


def test_all_sensors_of_a_window_or_none(bench):
    windows = bench.windows(wrists(), n=600)
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("position_swap(p=0.4)", windows).x
    swapped = [(moved[name] != x[name]).flatten(1).any(1) for name in x]
    assert all(torch.equal(each, swapped[0]) for each in swapped)
    assert abs(float(swapped[0].double().mean()) - 0.4) < 4 * (0.24 / len(windows)) ** 0.5


def test_windows_without_sides_are_refused(bench):
    assert PositionSwap().assumes == {"mirror"}
    with pytest.raises(UsageError, match=r"placements differ in left and right only; none of these do: wrist_acc \(wrist\)"):
        Augmenter(PositionSwap(), bench.windows((bench.acc,)))
