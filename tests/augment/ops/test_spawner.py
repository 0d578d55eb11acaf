"""SPAWNER: averages along a path through a random moment, and whom a window is averaged with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import Augmenter, dtw, parse
from harkd.augment.dtw import align
from harkd.augment.pattern import Spawner, together
from harkd.errors import UsageError


def numbered(sensor, total, label):
    """Windows of 8 samples, each constant at a number of its own: 1000 for each class, and its place."""
    return np.tile(1000.0 * label + np.arange(total) // 8, (len(sensor.channels), 1))


def test_partners_are_other_windows_of_the_class_in_10000_draws(bench):
    """The average of two numbered windows says who the other was."""
    windows = bench.windows((bench.eeg(1),), 8, n=102, subjects=1, fill=numbered)
    augmenter = Augmenter(parse("none|spawner(0)"), windows)
    index = torch.arange(102)
    own = windows.gather(index)["cap"][:, 0, 0].round().long()
    seen = []
    for draw in range(100):
        x = augmenter(index, torch.full_like(index, draw)).x["cap"]
        assert float((x - x[:, :, :1]).abs().max()) < 1e-3
        other = (2 * x[:, 0, 0] - own).round().long()
        assert torch.equal(other // 1000, windows.labels)
        assert bool((other != own).all())
        seen.append(other)
    for n in (0, 33, 34, 101):  # the last of a class and the first of the next
        drawn = {int(others[n]) for others in seen}
        assert drawn <= set(own[windows.labels == windows.labels[n]].tolist())
        assert len(drawn) > 25  # of 33


@pytest.mark.parametrize("split", [0.0, 0.3, 0.99])
def test_it_is_the_loop_of_the_authors(bench, monkeypatch, split):
    """Per window: two halves aligned apart, the joined samples averaged, and interpolated to the length of the window."""
    windows = bench.windows((bench.acc,))
    spec, index = bench.spec(windows), torch.arange(12)
    x, other = windows.gather(index), windows.gather(index.roll(1))
    params = {**bench.draw(Spawner(), spec, 12), "split": torch.full((12, 1), split)}
    moved = Spawner(0.0).mix(x, [other], params, spec)[0]["wrist_acc"]
    cut = 1 + int(split * 63)
    a, b = together(x, spec), together(other, spec)
    monkeypatch.setattr(dtw, "band", lambda time: 7)  # that of the whole window
    early, late = align(a[:, :, :cut], b[:, :, :cut]), align(a[:, :, cut:], b[:, :, cut:])
    for n in range(12):
        parts = [
            torch.stack([half.first[n], half.second[n]])[:, : int(half.steps[n]) + 1].flip(1) + start
            for half, start in ((early, 0), (late, cut))
        ]
        own, theirs = torch.cat(parts, 1)
        mean = (x["wrist_acc"][n][:, own] + other["wrist_acc"][n][:, theirs]) / 2
        expected = [np.interp(np.arange(64), np.linspace(0, 63, len(own)), row) for row in mean.numpy()]
        np.testing.assert_allclose(moved[n].numpy(), expected, atol=2e-4)


def test_the_moment_is_any_that_leaves_two_halves(bench):
    spec = bench.spec(bench.windows((bench.acc,)))
    split = bench.draw(Spawner(), spec, 20_000)["split"][:, 0]
    counts = np.bincount(1 + (split * 63).long().numpy())
    assert counts[0] == 0
    assert len(counts) == 64
    assert np.abs(counts[1:] / 20_000 * 63 - 1).max() < 0.25


def test_the_noise_is_meant_on_standardised_signals(bench):
    windows = bench.windows(n=60)
    spec, index = bench.spec(windows), torch.arange(60)
    x, other = windows.gather(index), windows.gather((index + 1) % 60)
    params = bench.draw(Spawner(), spec, 60)
    quiet, loud = (Spawner(sigma).mix(x, [other], params, spec)[0] for sigma in (0.0, 0.2))
    for name in x:
        noise = (loud[name] - quiet[name]) / spec.std(name, x[name])
        torch.testing.assert_close(noise.std((0, 2)), torch.full((3,), 0.2), rtol=0.05, atol=0)


def test_the_only_window_of_its_class_stays_to_the_bit(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65, n=3, subjects=1)
    clean = windows.gather(torch.arange(3))
    batch = bench.augment("none|spawner(0.1)", windows)
    assert all(torch.equal(signal, clean[name]) for name, signal in batch.x.items())


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_a_sigma_that_means_nothing_is_refused(sigma):
    with pytest.raises(UsageError, match=f"Spawner: sigma is a standard deviation, from 0 up; got {sigma}"):
        Spawner(sigma)
