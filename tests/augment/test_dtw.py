"""Batched DTW against the textbook's loops, and what paths say of themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import dtw
from harkd.augment.dtw import align, distances, neighbourhood
from harkd.augment.keys import bits, normal

LENGTHS = [1, 2, 3, 5, 8, 12]


def noise(seed: int, *shape: int) -> torch.Tensor:
    return normal(bits(torch.tensor(seed), int(np.prod(shape)))).view(shape)


def by_loops(a, b, width, extent=1):
    """The cost and the path, from the start, of windows (channel, time): the table is filled cell by cell."""
    time, before = a.shape[1], extent // 2
    a, b = (np.pad(window, ((0, 0), (before, extent - 1 - before)), mode="edge") for window in (a, b))
    table = np.full((time + 1, time + 1), np.inf)
    table[0, 0] = 0
    for i in range(time):
        for j in range(max(0, i - width), min(time, i + width + 1)):
            apart = np.sqrt(((a[:, i : i + extent] - b[:, j : j + extent]) ** 2).sum())
            table[i + 1, j + 1] = apart + min(table[i, j], table[i, j + 1], table[i + 1, j])
    i = j = time
    path = [(i - 1, j - 1)]
    while (i, j) != (1, 1):
        i, j = ((i - 1, j - 1), (i - 1, j), (i, j - 1))[np.argmin([table[i - 1, j - 1], table[i - 1, j], table[i, j - 1]])]
        path.append((i - 1, j - 1))
    return table[-1, -1], path[::-1]


def path_of(paths, n):
    cells = torch.stack([paths.first[n], paths.second[n]], 1)[: int(paths.steps[n]) + 1].flip(0)
    return [tuple(cell) for cell in cells.tolist()]


def assert_best(a, b, width, shape=False):
    """That costs and paths of a batch are those of the loops."""
    paths, table = align(a, b, shape), distances([a, b], [(0, 1)], shape)
    for n in range(len(a)):
        cost, path = by_loops(a[n].double().numpy(), b[n].double().numpy(), width, neighbourhood(a.shape[2]) if shape else 1)
        assert float(paths.cost[n]) == pytest.approx(cost, rel=1e-5)
        assert float(table[n, 0, 1]) == float(table[n, 1, 0]) == float(paths.cost[n])
        assert path_of(paths, n) == path


# Against the loops


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("time", LENGTHS)
@pytest.mark.parametrize("shape", [False, True])
def test_costs_and_paths_are_those_of_the_loops(monkeypatch, time, channels, shape):
    a, b = noise(1, 2, 6, channels, time).cumsum(3)
    assert_best(a, b, -(-time // 10), shape)
    for width in (1, 2, 3, time):  # time: as if there were no band
        monkeypatch.setattr(dtw, "band", lambda _, width=width: width)
        assert_best(a, b, width, shape)


@pytest.mark.parametrize(("time", "extent"), [(20, 5), (128, 6), (160, 8), (600, 30), (3000, 100)])
def test_a_neighbourhood_is_a_twentieth_of_the_window(time, extent):
    assert neighbourhood(time) == extent


@pytest.mark.parametrize("time", [140, 160])
def test_neighbourhoods_of_any_size(time):
    """7 and 8 samples: sums are doubled, and grow by one."""
    assert_best(*noise(2, 2, 1, 2, time).cumsum(3), -(-time // 10), shape=True)


def test_of_equal_ways_a_path_takes_the_step_in_both_then_in_the_first(monkeypatch):
    """Whole numbers: sums are exact, and many ways cost the same."""
    monkeypatch.setattr(dtw, "band", lambda time: 4)
    a, b = (noise(3, 2, 60, 1, 12) * 1.5).round()
    assert_best(a, b, 4)


def test_a_path_by_hand():
    """0 0 1 2 and 0 1 2 2: nothing is left to pay."""
    paths = align(torch.tensor([[[0.0, 0, 1, 2]]]), torch.tensor([[[0.0, 1, 2, 2]]]))
    assert float(paths.cost) == 0
    assert path_of(paths, 0) == [(0, 0), (1, 0), (2, 1), (3, 2), (3, 3)]
    first, second = paths.at(torch.arange(4)[None], 4)
    torch.testing.assert_close(first, torch.tensor([[0, 4 / 3, 8 / 3, 3]]))
    torch.testing.assert_close(second, torch.tensor([[0, 1 / 3, 5 / 3, 3]]))
    first, second = paths.at(torch.arange(7)[None], 7)  # twice the rate
    torch.testing.assert_close(first, torch.tensor([[0, 4 / 3, 8 / 3, 4, 16 / 3, 6, 6]]))
    torch.testing.assert_close(second, torch.tensor([[0, 0, 2 / 3, 2, 10 / 3, 14 / 3, 6]]))
    lowest, highest = paths.joined()
    assert lowest.tolist() == [[0, 0, 1, 2]]
    assert highest.tolist() == [[0, 0, 1, 3]]


# What holds for all paths


@pytest.mark.parametrize("shape", [False, True])
@pytest.mark.parametrize("time", [1, 2, 7, 64, 129])
def test_a_window_meets_itself_on_the_diagonal(time, shape):
    for x in (noise(4, 5, 3, time), torch.zeros(2, 3, time), torch.full((2, 1, time), 7.0)):
        paths = align(x, x.clone(), shape)
        assert bool((paths.cost == 0).all())
        assert bool((distances([x, x], [(0, 1)], shape) == 0).all())
        assert all(path_of(paths, n) == [(t, t) for t in range(time)] for n in range(len(x)))
        each = torch.arange(time).expand(len(x), -1)
        assert all(torch.equal(side, each.float()) for side in paths.at(each, time))


@pytest.mark.parametrize("shape", [False, True])
@pytest.mark.parametrize("time", [2, 7, 64, 128])
def test_paths_are_monotone_stay_in_the_band_and_reach_both_ends(time, shape):
    a, b = noise(5, 2, 20, 2, time).cumsum(3)
    paths = align(a, b, shape)
    for n in range(20):
        path = np.array(path_of(paths, n))
        steps = np.diff(path, axis=0)
        assert set(map(tuple, steps)) <= {(1, 1), (1, 0), (0, 1)}
        assert np.abs(path[:, 0] - path[:, 1]).max() <= -(-time // 10)
        assert path[0].tolist() == [0, 0]
        assert path[-1].tolist() == [time - 1, time - 1]
        assert len({tuple(cell) for cell in path}) == len(path)


def test_a_delay_is_found():
    """The second window is 5 samples late: samples far from the ends are joined across those 5."""
    whole = noise(6, 3, 2, 133)
    paths = align(whole[:, :, 5:], whole[:, :, :-5])
    lowest, highest = paths.joined()
    inside = torch.arange(10, 110)
    assert torch.equal(lowest[:, inside], inside.add(5).expand(3, -1))
    assert torch.equal(highest[:, inside], lowest[:, inside])


def test_distances_are_given_where_they_are_asked_for():
    windows = list(noise(7, 3, 4, 2, 20))
    table = distances(windows, [(0, 1), (2, 1)])
    assert torch.equal(table, table.mT)
    assert bool((table[:, [0, 1, 2, 0], [0, 1, 2, 2]] == 0).all())
    assert torch.equal(table[:, 0, 1], align(windows[0], windows[1]).cost)
    assert torch.equal(table[:, 1, 2], align(windows[1], windows[2]).cost)


@pytest.mark.parametrize("shape", [False, True])
def test_no_pair_depends_on_the_others_to_the_bit(monkeypatch, shape):
    a, b = noise(8, 2, 70, 3, 65)
    whole, table = align(a, b, shape), distances([a, b], [(0, 1)], shape)
    for size in (1, 3, 17, 64):
        parts = [align(x, y, shape) for x, y in zip(a.split(size), b.split(size), strict=True)]
        for name in ("first", "second", "cost"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    monkeypatch.setattr(dtw, "_BYTES", {"cpu": 100_000, "cuda": 100_000})  # five pairs at once
    small = align(a, b, shape)
    assert torch.equal(small.cost, whole.cost)
    assert torch.equal(small.first, whole.first)
    assert torch.equal(distances([a, b], [(0, 1)], shape), table)


def test_both_types_of_signals_take_the_same_path():
    a, b = noise(9, 2, 10, 3, 64)
    single, double = align(a, b), align(a.double(), b.double())
    assert torch.equal(single.first, double.first)
    assert torch.equal(single.cost, double.cost)
