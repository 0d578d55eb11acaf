"""Uneven instants."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.clock import ClockJitter


def instants(bench, sigma, windows):
    """When each sample was taken, in samples: what becomes of a ramp."""
    spec, n = Spec.of(windows), 600
    x = {name: torch.arange(float(t)).expand(n, 3, t).double() for name, t in windows.lengths.items()}
    return ClockJitter(sigma).apply(x, bench.draw(ClockJitter(sigma), spec, n), spec)


@pytest.mark.parametrize(("sigma", "spread"), [(0.1, 0.1), (0.02, 0.02), (3.0, None)])
def test_instants_are_off_by_sigma_and_stay_in_order(bench, sigma, spread):
    at = instants(bench, sigma, bench.windows((bench.acc,)))["wrist_acc"]
    assert bool((at.diff(dim=2) > 0).all())
    off = (at - torch.arange(64.0))[:, 0, 1:-1]
    assert off.abs().max() <= 0.49 + 1e-6
    if spread:
        assert float(off.std()) == pytest.approx(spread, rel=0.03)
        assert abs(float(off.mean())) < 4 * spread / off.numel() ** 0.5
        followed = (off[:, 1:] * off[:, :-1]).mean() / off.square().mean()
        assert abs(float(followed)) < 4 / off.numel() ** 0.5


def test_the_ends_hold(bench):
    at = instants(bench, 0.3, bench.windows((bench.acc,)))["wrist_acc"]
    assert float(at.min()) == 0
    assert float(at.max()) == 63


def test_between_samples_it_is_a_line(bench):
    windows = bench.windows((bench.acc,))
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    op = ClockJitter(0.2)
    params = bench.draw(op, spec, len(windows))
    ramp = {"wrist_acc": torch.arange(64.0).expand_as(x["wrist_acc"])}
    at = op.apply(ramp, params, spec)["wrist_acc"]
    below = at.floor().clamp_max(62).long()
    wanted = torch.lerp(x["wrist_acc"].gather(2, below), x["wrist_acc"].gather(2, below + 1), at - below)
    torch.testing.assert_close(op.apply(x, params, spec)["wrist_acc"], wanted, rtol=0, atol=1e-4)


def test_sensors_of_a_segment_have_one_clock(bench):
    other = replace(bench.acc, name="hip_acc", segment="hip")
    at = instants(bench, 0.1, bench.windows((bench.acc, bench.gyro, other)))
    assert torch.equal(at["wrist_acc"], at["wrist_gyro"])
    assert not torch.equal(at["wrist_acc"], at["hip_acc"])
    assert torch.equal(at["wrist_acc"][:, 0], at["wrist_acc"][:, 2])
