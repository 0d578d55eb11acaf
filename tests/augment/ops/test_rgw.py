"""Random guided warping: the window's values in the timing of another window of its class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment.dtw import align
from harkd.augment.pattern import RGW, together


def warped(op, bench, x, other, windows):
    """The windows of a sensor, or of several, moved along their paths."""
    spec = bench.spec(windows)
    params = bench.draw(op, spec, len(next(iter(x.values()))))
    moved, share = op.mix(x, [other], params, spec)
    assert bool((share == 1).all())
    return moved


@pytest.mark.parametrize("shape", [False, True])
def test_it_is_the_loop_of_the_authors(bench, shape):
    """Per window: values along the path, interpolated to the length of the window."""
    windows = bench.windows(subjects=1)
    spec, index = bench.spec(windows), torch.arange(24)
    x, other = windows.gather(index), windows.gather(index.roll(1))
    paths = align(together(other, spec), together(x, spec), shape)
    moved = warped(RGW(shape=shape), bench, x, other, windows)
    for name, signal in x.items():
        for n in range(24):
            path = paths.second[n, : int(paths.steps[n]) + 1].flip(0).numpy()
            along = signal[n].numpy()[:, path]
            expected = [np.interp(np.arange(64), np.linspace(0, 63, len(path)), row) for row in along]
            np.testing.assert_allclose(moved[name][n].numpy(), expected, atol=2e-4)
    assert not torch.equal(moved["wrist_acc"], x["wrist_acc"])


def pulse(*centres, time=64):
    """(window, 1, time) a pulse each."""
    return torch.exp(-((torch.arange(time) - torch.tensor(centres)[:, None]) ** 2) / 8.0)[:, None]


@pytest.mark.parametrize("shape", [False, True])
def test_a_pulse_goes_half_way_to_that_of_the_other_window(bench, shape):
    """Pulses at 30 and 26: four steps in one window, later four in the other, 67 in all; the pulses meet at the 30th."""
    windows = bench.windows((bench.eeg(1),))
    x, other = 3 * pulse(30, 30, 30), pulse(26, 30, 34)
    moved = warped(RGW(shape=shape), bench, {"cap": 2 + x}, {"cap": 2 + 3 * other}, windows)["cap"]
    assert (moved[:, 0].argmax(1) - torch.tensor([30, 30 * 67 / 63, 34]) * 63 / 67).abs().max() < 0.6
    torch.testing.assert_close(moved.amax(2), torch.full((3, 1), 5.0), atol=0.1, rtol=0)
    assert torch.equal(moved[:, :, [0, -1]], 2 + x[:, :, [0, -1]])


def test_a_share_of_the_way(bench):
    """A slow ramp reads off where samples come from; the pulses beside it decide on the path."""
    windows = bench.windows((bench.eeg(2),))
    ramp = torch.arange(64).expand(3, 1, -1) / 64
    x, other = torch.cat([ramp, 50 * pulse(30, 30, 30)], 1), torch.cat([ramp, 50 * pulse(26, 33, 35)], 1)
    full, half = (warped(RGW(share), bench, {"cap": x}, {"cap": other}, windows)["cap"][:, :1] for share in (1.0, 0.5))
    torch.testing.assert_close(half, (full + ramp) / 2)
    assert bool((full.diff(dim=2) >= 0).all())
    assert float((full - ramp).abs().max()) > 2 / 64


def test_sensors_share_the_path_at_their_own_rates(bench):
    """63 and 32 samples: every other moment is one of both sensors."""
    windows = bench.windows((bench.acc, bench.ankle), 63)
    x = {name: torch.linspace(0, 1, time).expand(2, 3, -1).clone() for name, time in windows.lengths.items()}
    other = {name: signal.clone() for name, signal in x.items()}
    x["wrist_acc"][:, 2], other["wrist_acc"][:, 2] = 50 * pulse(30, 33, time=63)[:, 0], 50 * pulse(33, 30, time=63)[:, 0]
    moved = warped(RGW(), bench, x, other, windows)
    assert float((moved["ankle_acc"] - x["ankle_acc"]).abs().max()) > 0.02
    torch.testing.assert_close(moved["wrist_acc"][:, :2, ::2], moved["ankle_acc"][:, :2])


def test_the_only_window_of_its_class_stays_to_the_bit(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65, n=3, subjects=1)
    clean = windows.gather(torch.arange(3))
    for text in ("none|rgw(1)", "none|rgw(0.3, shape=true)"):
        batch = bench.augment(text, windows)
        assert all(torch.equal(signal, clean[name]) for name, signal in batch.x.items())


def test_gradients_flow_to_the_window(bench):
    windows = bench.windows((bench.eeg(2),), 16)
    x = {"cap": windows.gather(torch.arange(2))["cap"].double().requires_grad_()}
    other = {"cap": windows.gather(torch.arange(2, 4))["cap"].double()}
    warped(RGW(), bench, x, other, windows)["cap"].sum().backward()
    # Every new sample is a mean of old ones.
    torch.testing.assert_close(x["cap"].grad.sum(2), torch.full((2, 2), 16.0, dtype=torch.float64))
