"""The usual NumPy form of augmentation: one window x (channel, time) at a time, drawn from a shared generator.

What the notebook of Um et al. (ICMI 2017: `DA_Jitter`, `DA_MagWarp` ...) and the code of Iwana and Uchida (PLoS ONE 16(7), 2021)
do to each window, in our words and with their defaults: a spline or a warp for every channel, and dynamic time warping by Python
loops over the cells. What needs several windows takes them from a pool (window, channel, time) with labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation
from usual_kd import Array, Augment, jitter, removal, rng, scaling, shifting, time_warp

Labels = NDArray[np.int64]


def curve(time: int, sigma: float, knots: int) -> Array:
    """(time,) a cubic spline through `knots` + 2 values of N(1, sigma^2)."""
    return np.asarray(CubicSpline(np.linspace(0, time - 1, knots + 2), rng.normal(1, sigma, knots + 2))(np.arange(time)))


def magnitude_warp(x: Array, sigma: float = 0.2, knots: int = 4) -> Array:
    """Each channel times its own spline."""
    return x * np.stack([curve(x.shape[1], sigma, knots) for _ in x])


def rotation(x: Array, degrees: float = 15) -> Array:
    """One rotation of every triple of axes."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(rng.uniform(0, degrees))).as_matrix()
    return np.concatenate([turn @ triple for triple in np.split(x, len(x) // 3)])


def rotation_flip(x: Array) -> Array:
    """Channels in another order and with other signs."""
    return rng.choice([-1, 1], (len(x), 1)) * x[rng.permutation(len(x))]


def permutation(x: Array, segments: int = 4) -> Array:
    """Equal pieces in another order."""
    pieces = np.array_split(np.arange(x.shape[1]), segments)
    return x[:, np.concatenate([pieces[i] for i in rng.permutation(segments)])]


def random_sampling(x: Array, share: float = 0.28) -> Array:
    """Some samples are kept, and joined by straight lines."""
    steps = np.arange(x.shape[1])
    kept = np.unique(np.concatenate([[0, len(steps) - 1], rng.integers(1, len(steps) - 1, int(share * len(steps)))]))
    return np.stack([np.interp(steps, kept, channel[kept]) for channel in x])


def window_slice(x: Array, ratio: float = 0.9) -> Array:
    """A slice, stretched to the old length."""
    time = x.shape[1]
    length = int(np.ceil(ratio * time))
    part = x[:, (start := rng.integers(time - length + 1)) : start + length]
    return np.stack([np.interp(np.linspace(0, length, time), np.arange(length), channel) for channel in part])


def window_warp(x: Array, ratio: float = 0.1, factors: tuple[float, ...] = (0.5, 2.0)) -> Array:
    """A stretch is played faster or slower, and the whole is fitted into the old length."""
    time = x.shape[1]
    length = int(np.ceil(ratio * time))
    start, inner = rng.integers(1, time - length - 1), int(length * rng.choice(factors))
    moved = []
    for channel in x:
        played = np.interp(np.linspace(0, length - 1, inner), np.arange(length), channel[start : start + length])
        whole = np.concatenate([channel[:start], played, channel[start + length :]])
        moved.append(np.interp(np.arange(time), np.linspace(0, time - 1, len(whole)), whole))
    return np.stack(moved)


ONE: dict[str, Augment] = {
    "jitter": jitter,
    "scaling": scaling,
    "magnitude_warp": magnitude_warp,
    "time_warp": time_warp,
    "rotate": rotation,
    "rotation_flip": rotation_flip,
    "permutation": permutation,
    "random_sampling": random_sampling,
    "window_slice": window_slice,
    "window_warp": window_warp,
    "removal": removal,
    "shifting": shifting,
}
"""By the names of harkd's ops."""


def align(first: Array, second: Array) -> tuple[float, list[tuple[int, int]]]:
    """The cheapest path between two windows in a band of a tenth, and its cost."""
    time, width = first.shape[1], int(np.ceil(first.shape[1] / 10))
    ways = np.full((time + 1, time + 1), np.inf)
    ways[0, 0] = 0
    for i in range(time):
        for j in range(max(0, i - width), min(time, i + width + 1)):
            here = float(np.linalg.norm(first[:, i] - second[:, j]))
            ways[i + 1, j + 1] = here + min(ways[i, j], ways[i, j + 1], ways[i + 1, j])
    i = j = time - 1
    path = [(i, j)]
    while i or j:
        before = (ways[i, j], i - 1, j - 1), (ways[i, j + 1], i - 1, j), (ways[i + 1, j], i, j - 1)
        _, i, j = min(before, key=lambda way: way[0])
        path.append((i, j))
    return float(ways[time, time]), path[::-1]


def stretched(x: Array, time: int) -> Array:
    """x (channel, time') at another length."""
    places = np.linspace(0, x.shape[1] - 1, time)
    return np.stack([np.interp(places, np.arange(x.shape[1]), channel) for channel in x])


def others(y: Labels, label: int, n: int) -> Labels:
    """Places of n windows of a class."""
    return rng.choice(np.flatnonzero(y == label), n, replace=False)


def spawner(x: Array, label: int, pool: Array, y: Labels, sigma: float = 0.05) -> Array:
    """Averaged with another of the class along a path through a moment that both share, and noise."""
    time, other = x.shape[1], pool[others(y, label, 1)[0]]
    split = int(rng.integers(2, time - 2))
    paths = [(part, align(x[:, part], other[:, part])[1]) for part in (slice(0, split), slice(split, time))]
    i, j = np.concatenate([np.array(path) + part.start for part, path in paths]).T
    return jitter(stretched((x[:, i] + other[:, j]) / 2, time), sigma)


def wdba(x: Array, label: int, pool: Array, y: Labels, n: int = 5) -> Array:
    """A weighted average of itself and n of its class, about the one that is nearest to all."""
    windows = [x, *pool[others(y, label, n)]]
    apart = np.zeros((n + 1, n + 1))
    for i in range(n + 1):
        for j in range(i):
            apart[i, j] = apart[j, i] = align(windows[i], windows[j])[0]
    medoid = int(apart.sum(1).argmin())
    nearest = np.delete(apart[medoid], medoid).min()
    total, weights = np.zeros_like(x, dtype=float), np.zeros(x.shape[1])
    for window, far in zip(windows, apart[medoid], strict=True):
        weight = 0.5 ** (far / nearest)
        i, j = np.array(align(windows[medoid], window)[1]).T
        np.add.at(total, (slice(None), i), weight * window[:, j])
        np.add.at(weights, i, weight)
    return total / weights


def rgw(x: Array, label: int, pool: Array, y: Labels) -> Array:
    """In the timing of a random other of its class."""
    _, path = align(pool[others(y, label, 1)[0]], x)
    return stretched(x[:, [j for _, j in path]], x.shape[1])


def dgw(x: Array, label: int, pool: Array, y: Labels, n: int = 3) -> Array:
    """In the timing of the most telling of n of its class, then sliced."""
    own, foreign = pool[others(y, label, n)], pool[rng.choice(np.flatnonzero(y != label), n, replace=False)]
    between = [np.mean([align(one, other)[0] for other in foreign]) for one in own]
    within = [np.sum([align(one, other)[0] for other in own if other is not one]) / (n - 1) for one in own]
    _, path = align(own[int(np.argmax(np.subtract(between, within)))], x)
    return window_slice(stretched(x[:, [j for _, j in path]], x.shape[1]))


OF_SEVERAL: dict[str, Callable[[Array, int, Array, Labels], Array]] = {
    "spawner": spawner,
    "wdba": wdba,
    "rgw": rgw,
    "dgw": dgw,
}
"""By the names of harkd's ops; with a label, a pool and its labels."""
