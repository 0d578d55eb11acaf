"""Removal: a block of the drawn length at the drawn place, and what is put there."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec, parse
from harkd.augment.mask import Removal, drawn_block

P = 0.001


def removed(bench, op, windows):
    """The windows before and after, and per sensor the samples (batch, time) that changed."""
    spec = Spec.of(windows)
    x = windows.gather(torch.arange(len(windows)))
    params = bench.draw(op, spec, len(windows))
    moved = op.apply(x, params, spec)
    return x, moved, {n: (moved[n] != x[n]) for n in x}, params, spec


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_blanked_samples_are_the_block(bench, share):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), 64, n=240)
    x, _, gone, params, _ = removed(bench, Removal(share), windows)
    for name, mask in gone.items():
        start, length = drawn_block(params, x[name].shape[-1])
        time = torch.arange(x[name].shape[-1])
        expected = (time >= start) & (time < start + length)
        assert torch.equal(mask, expected[:, None].expand_as(mask))  # all channels, one contiguous block
        assert torch.equal(mask[:, 0].sum(1), length[:, 0])  # wholly inside the window


def test_all_sensors_lose_the_same_part_of_the_window(bench):
    params = bench.draw(Removal(0.5), Spec.of(bench.windows()), 5000)
    (start, length), (slow_start, slow_length) = drawn_block(params, 640), drawn_block(params, 64)
    assert int((length / 640 - slow_length / 64).abs().max() * 640) <= 10
    assert int(((start + length) / 640 - (slow_start + slow_length) / 64).abs().max() * 640) <= 20


@pytest.mark.parametrize(("share", "time"), [(0.5, 64), (0.5, 7), (0.3, 64), (1.0, 16)])
def test_lengths_and_places_are_uniform(bench, share, time):
    start, length = drawn_block(bench.draw(Removal(share), Spec.of(bench.windows()), 60_000), time)
    counts = torch.bincount(length[:, 0])
    assert len(counts) == int(share * time) + 1
    assert stats.chisquare(counts).pvalue > P
    some = int(share * time) // 2
    places = torch.bincount(start[length == some])
    assert len(places) == time - some + 1
    assert stats.chisquare(places).pvalue > P


def test_the_mean_is_put_in_which_is_zero_after_standardisation(bench):
    windows = bench.windows(n=48)
    x, moved, gone, _, spec = removed(bench, Removal(0.5), windows)
    for name, mask in gone.items():
        standard = (moved[name] - spec.statistics.mean[name][:, None]) / spec.statistics.std[name][:, None]
        assert bool((standard[mask] == 0).all())
        torch.testing.assert_close(spec.statistics.mean[name].double(), x[name].double().mean((0, 2)), rtol=1e-6, atol=1e-6)
        assert int(mask.sum()) > 0


def test_zero_is_put_in(bench):
    _, moved, gone, _, _ = removed(bench, Removal(0.5, fill="zero"), bench.windows(n=48))
    for name, mask in gone.items():
        assert int(mask.sum()) > 0
        assert bool((moved[name][mask] == 0).all())


def test_the_last_value_is_held(bench):
    """A ramp makes it visible: 0 1 2 3 4 5 with the block 2..3 becomes 0 1 1 1 4 5."""
    op = Removal(0.5, fill="hold")
    spec = Spec.of(bench.windows())
    params = bench.draw(op, spec, 500)
    ramp = {"wrist_acc": torch.arange(64.0).expand(500, 3, 64)}
    moved = op.apply(ramp, params, spec)["wrist_acc"]
    for window, start, length in zip(moved, *drawn_block(params, 64), strict=True):
        expected = torch.arange(64.0)
        expected[start : start + length] = max(int(start) - 1, 0)
        assert torch.equal(window, expected.expand(3, 64))
    assert int((drawn_block(params, 64)[0] == 0).sum()) > 0


def test_jeon_mix1_has_one_circular_gap(bench):
    """Removal, then shifting: one run of blanked samples round the circle, the rest in its old cyclic order."""
    windows = bench.windows((bench.acc,), 64, n=600)
    spec = Spec.of(windows)
    clean = windows.gather(torch.arange(len(windows)))["wrist_acc"]
    moved = bench.augment("jeon_mix1", windows).x["wrist_acc"]
    gone = (moved == spec.mean("wrist_acc", moved)).all(1)
    assert torch.equal(gone, (moved == spec.mean("wrist_acc", moved)).any(1))
    edges = (gone != gone.roll(1, 1)).sum(1)
    lengths = gone.sum(1)
    assert torch.equal(edges, torch.where(lengths > 0, 2, 0))
    assert torch.equal(torch.unique(lengths), torch.arange(33))
    wrapped = 0
    for window, original, mask in zip(moved, clean, gone, strict=True):
        kept = window[:, ~mask]
        at = [(original == column[:, None]).all(0).nonzero().item() for column in kept.T]
        steps = torch.tensor(at).diff() % 64
        assert sorted(steps.tolist())[:-1] == [1] * (len(at) - 2)
        wrapped += bool(mask[0] & mask[-1] & ~mask.all())
    assert wrapped > 10  # the gap does run across the end of the window


def test_jeon_mix2_fills_the_gap_with_noise(bench):
    windows = bench.windows((bench.acc,), 64, n=120)
    spec = Spec.of(windows)
    moved = bench.augment("jeon_mix2", windows).x["wrist_acc"]
    assert not bool((moved == spec.mean("wrist_acc", moved)).any())
    # With the noise taken out of the same strategy, the gap of jeon_mix1 appears.
    quiet = bench.augment("removal(0.5)+noise_injection(0.2, p=0)+shifting(0.5)", windows).x["wrist_acc"]
    gap = quiet == spec.mean("wrist_acc", moved)
    noise = (moved - quiet) / spec.std("wrist_acc", moved)
    assert int(gap.sum()) > 5000
    assert float(noise[gap].std()) == pytest.approx(0.2 / 3**0.5, rel=0.1)
    assert float(noise[~gap].std()) == pytest.approx(0.2 / 3**0.5, rel=0.1)
    assert [type(op).__name__ for op in parse("jeon_mix2").ops] == ["Removal", "NoiseInjection", "Shifting"]


def test_jeon_mix2_clean_gap_keeps_the_gap(bench):
    """The noise comes first here: the blanked samples are exactly the mean, and all others carry noise."""
    windows = bench.windows((bench.acc,), 64, n=120)
    moved = bench.augment("jeon_mix2_clean_gap", windows).x["wrist_acc"]
    gone = moved == Spec.of(windows).mean("wrist_acc", moved)
    assert torch.equal(gone.all(1), gone.any(1))
    assert torch.equal((gone[:, 0] != gone[:, 0].roll(1, 1)).sum(1), torch.where(gone[:, 0].any(1), 2, 0))
    assert float(gone.float().mean()) == pytest.approx(0.25, abs=0.05)
