"""Discriminative guided warping: the choice of the teacher, and how much is sliced off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment.dtw import align
from harkd.augment.pattern import DGW, together
from harkd.errors import UsageError


def guided(bench, windows, x, own, other, shape=False, place=0.5):
    """Windows with their prototypes, sliced at a place that the test knows."""
    op, spec = DGW(prototypes=len(own), shape=shape), bench.spec(windows)
    n = len(next(iter(x.values())))
    params = {"share": torch.ones(n, 1), "place": torch.full((n, 1), place)}
    return op.mix(x, [*own, *other], params, spec)[0]


def window(centre, *levels):
    """A high pulse in the first channel, and levels in the others."""
    pulse = 50 * torch.exp(-((torch.arange(64) - centre) ** 2) / 8.0)
    return torch.stack([pulse, *(torch.full((64,), float(level)) for level in levels)])[None]


@pytest.mark.parametrize("shape", [False, True])
@pytest.mark.parametrize("best", [0, 1, 2])
@pytest.mark.parametrize(
    ("levels", "other"),
    [
        ((6, 0, 1), (-3, 0)),  # from the others 9, 3, 4, from the own 5.5, 3.5, 3: the furthest from the others wins
        ((3, 0, 6), (3, 10)),  # from the others 10, 10.4, 10.4, from the own 3, 4.5, 4.5: the one in the middle wins
    ],
)
def test_the_teacher_is_far_from_other_classes_and_near_its_own(bench, levels, other, best, shape):
    windows = bench.windows((bench.eeg(3),))
    std = bench.spec(windows).std("cap", torch.zeros(1))
    levels = levels[1 : best + 1] + levels[:1] + levels[best + 1 :]
    own = [{"cap": std * window(centre, level, 0)} for centre, level in zip((27, 30, 33), levels, strict=True)]
    others = [{"cap": std * window(30, *other)}] * 3
    moved = guided(bench, windows, {"cap": std * window(30, 1, 0)}, own, others, shape)
    # Half way to the teacher's pulse; a slice from the middle hardly moves it.
    assert abs(int(moved["cap"][0, 0].argmax()) - (28.5, 30, 31.5)[best]) < 0.75


@pytest.mark.parametrize("shape", [False, True])
def test_it_is_the_loop_of_the_authors(bench, shape):
    """Teacher, warping and slicing window by window; only what counts as a full warp is ours."""
    windows = bench.windows(subjects=1)
    spec, index = bench.spec(windows), torch.arange(8)
    x, samples = windows.gather(index), [windows.gather((index + 2 * k) % 24) for k in range(1, 7)]
    moved = guided(bench, windows, x, samples[:3], samples[3:], shape, place=0.25)
    rows, goal = [together(sample, spec) for sample in samples], together(x, spec)
    for n in range(8):

        def cost(i, j, n=n):
            return float(align(rows[i][n : n + 1], rows[j][n : n + 1], shape).cost)

        scores = [
            np.mean([cost(i, j) for j in (3, 4, 5)]) - np.sum([cost(i, j) for j in range(3) if j != i]) / 2 for i in range(3)
        ]
        path = align(rows[int(np.argmax(scores))][n : n + 1], goal[n : n + 1], shape)
        steps = path.second[0, : int(path.steps) + 1].flip(0).numpy()
        each, walk = np.arange(64), np.linspace(0, 63, len(steps))

        warp = np.abs(np.interp(each, walk, steps) - each).mean()
        kept = 0.9 + 0.1 * min(warp / 7, 1)
        where = kept * each + (1 - kept) * 0.25 * 63
        for name, signal in x.items():
            expected = [np.interp(where, walk, row[steps]) for row in signal[n].numpy()]
            np.testing.assert_allclose(moved[name][n].numpy(), expected, atol=5e-4)


def test_a_window_that_is_not_warped_loses_a_tenth(bench):
    """Teachers that differ in level only: the path is the diagonal, and a ramp shows the slice."""
    windows = bench.windows((bench.eeg(2),))
    ramp = torch.arange(64.0)
    x = {"cap": torch.stack([torch.zeros(64), ramp])[None]}
    own = [{"cap": torch.stack([torch.full((64,), level), ramp])[None]} for level in (1.0, 2.0, 3.0)]
    moved = guided(bench, windows, x, own, own, place=1.0)
    torch.testing.assert_close(moved["cap"][0, 1], 0.9 * ramp + 0.1 * 63)


def test_slices_lie_anywhere(bench):
    place = bench.draw(DGW(), bench.spec(bench.windows()), 20_000)["place"]
    counts = np.histogram(place.numpy(), 10, (0, 1))[0]
    assert np.abs(counts / 2000 - 1).max() < 0.1


def test_half_the_share_is_half_the_way(bench):
    """A slow ramp reads off where samples come from; the pulses beside it decide on the path."""
    windows = bench.windows((bench.eeg(2),))
    spec, op, ramp = bench.spec(windows), DGW(prototypes=1), torch.arange(64)[None, None] / 64
    x, own = ({"cap": torch.cat([window(centre), ramp], 1)} for centre in (30, 34))
    params = {"place": torch.tensor([[0.5]])}
    full, half = (op.mix(x, [own, own], {**params, "share": torch.tensor([[s]])}, spec)[0]["cap"][:, 1:] for s in (1.0, 0.5))
    torch.testing.assert_close(half, (full + ramp) / 2)
    assert float((full - ramp).abs().max()) > 2 / 64


def test_prototypes_are_of_the_own_and_of_other_classes():
    assert DGW().partners == ("same_class",) * 3 + ("other_class",) * 3
    assert DGW(prototypes=1).partners == ("same_class", "other_class")


def test_the_only_window_of_its_class_stays_to_the_bit(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65, n=3, subjects=1)
    clean = windows.gather(torch.arange(3))
    for text in ("none|dgw(1)", "none|dgw(1, prototypes=1, shape=true)"):
        batch = bench.augment(text, windows)
        assert all(torch.equal(signal, clean[name]) for name, signal in batch.x.items())


def test_no_prototype_is_refused():
    with pytest.raises(UsageError, match="DGW: prototypes counts those of the own class, and of others, at least 1; got 0"):
        DGW(prototypes=0)
