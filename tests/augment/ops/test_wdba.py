"""Weighted DTW barycentre averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment.dtw import align, distances
from harkd.augment.pattern import WeightedDBA, together
from harkd.errors import UsageError


def average(bench, windows, samples):
    """What becomes of the first of several windows per sensor, given as n signals."""
    op = WeightedDBA(len(samples) - 1)
    return op.mix(samples[0], samples[1:], {}, bench.spec(windows))[0]


def test_medoid_and_weights_by_hand(bench):
    """Constant windows at 0, 1 and 10: the medoid is at 1; the one at 0 is nearest and counts 1/2, that at 10 counts 1/2 ** 9."""
    windows = bench.windows((bench.eeg(1),), 16)
    samples = [{"cap": torch.full((2, 1, 16), level)} for level in (10.0, 0.0, 1.0)]
    expected = (1 + 0 / 2 + 10 / 2**9) / (1 + 1 / 2 + 1 / 2**9)
    torch.testing.assert_close(average(bench, windows, samples)["cap"], torch.full((2, 1, 16), expected))


def test_it_is_the_sum_over_all_joined_samples(bench):
    """Forestier et al. by loops: every pair of a path adds a weighted sample to its place on the medoid."""
    windows = bench.windows(subjects=1)
    spec, index = bench.spec(windows), torch.arange(8)
    samples = [windows.gather(index + 3 * k) for k in range(4)]
    rows = [together(sample, spec) for sample in samples]
    table = distances(rows, [(i, j) for i in range(4) for j in range(i)])
    moved = average(bench, windows, samples)
    for n in range(8):
        medoid = int(table[n].sum(1).argmin())
        nearest = sorted(table[n, medoid].tolist())[1]
        total, count = np.zeros((6, 64)), np.zeros(64)
        for k in range(4):
            path = align(rows[medoid][n : n + 1], rows[k][n : n + 1])
            weight = 0.5 ** (float(table[n, medoid, k]) / nearest) if k != medoid else 1.0
            steps = int(path.steps) + 1
            values = torch.cat([samples[k][name][n] for name in samples[k]]).double().numpy()
            for i, j in zip(path.first[0, :steps].tolist(), path.second[0, :steps].tolist(), strict=True):
                total[:, i] += weight * values[:, j]
                count[i] += weight
        np.testing.assert_allclose(torch.cat([moved[name][n] for name in moved]).numpy(), total / count, atol=1e-4)


def test_identical_copies_give_the_copy(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65)
    x = windows.gather(torch.arange(24))
    moved = average(bench, windows, [x] * 6)
    assert all(torch.equal(moved[name], signal) for name, signal in x.items())


def test_a_window_that_is_drawn_twice_counts_once(bench):
    windows = bench.windows(subjects=1)
    a, b, c = (windows.gather(torch.arange(6) + 6 * k) for k in range(3))
    once, more = average(bench, windows, [a, b, c]), average(bench, windows, [a, b, c, b, b, c])
    for name, signal in once.items():
        torch.testing.assert_close(more[name], signal)
        assert not torch.equal(signal[0], a[name][0])


def test_a_slower_sensor_gets_the_same_average(bench):
    """Both sensors see the same ramps, so their averages are the same, at their own rates."""
    windows = bench.windows((bench.acc, bench.ankle), 63)
    ramps = [
        {name: level + torch.linspace(0, 1, time).expand(2, 3, -1) for name, time in windows.lengths.items()}
        for level in (0, 1, 3)
    ]
    moved = average(bench, windows, ramps)
    torch.testing.assert_close(moved["wrist_acc"][:, :, ::2], moved["ankle_acc"])


def test_the_only_window_of_its_class_stays_to_the_bit(bench):
    windows = bench.windows((bench.acc, bench.ankle), 65, n=3, subjects=1)
    clean = windows.gather(torch.arange(3))
    batch = bench.augment("none|wdba(5)", windows)
    assert all(torch.equal(signal, clean[name]) for name, signal in batch.x.items())
    assert torch.equal(batch.targets["activity"], windows.labels)


def test_no_partner_is_refused():
    with pytest.raises(UsageError, match="WeightedDBA: others counts the partners, at least 1; got 0"):
        WeightedDBA(0)
