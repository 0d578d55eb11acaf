"""pool: blocks of equal samples."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.resolution import Pooling


def pooled(x, kind, *sizes):
    """Windows (batch, channel, time), each with its own size."""
    op = Pooling(max(sizes), kind)
    return op.apply({"x": x}, {"size": torch.tensor(sizes)[:, None]}, spec=None)["x"]


X = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]


@pytest.mark.parametrize(
    ("size", "kind", "expected"),
    [
        (1, "ave", X),
        (2, "ave", [2, 2, 2.5, 2.5, 7, 7, 2]),
        (3, "max", [4, 4, 4, 9, 9, 9, 2]),
        (3, "min", [1, 1, 1, 1, 1, 1, 2]),
        (4, "ave", [2.25, 2.25, 2.25, 2.25, 16 / 3, 16 / 3, 16 / 3]),
        (100, "max", [9] * 7),
        (100, "ave", [25 / 7] * 7),
    ],
)
def test_by_hand(size, kind, expected):
    x = torch.tensor(X).expand(2, 1, 7).clone()
    torch.testing.assert_close(pooled(x, kind, size, size), torch.tensor(expected, dtype=torch.float32).expand(2, 1, 7))


@pytest.mark.parametrize("size", [2, 3, 8])
def test_block_means_are_kept_and_values_become_fewer(bench, size):
    length = 8 * size + 1
    windows = bench.windows((bench.acc, bench.gyro), length, n=24)
    x, spec = windows.gather(torch.arange(24)), Spec.of(windows)
    moved = Pooling(size).apply(x, bench.draw(Pooling(size), spec, 24), spec)
    for name, signal in x.items():
        blocks, pooled = signal[..., :-1].unflatten(2, (8, size)), moved[name][..., :-1].unflatten(2, (8, size))
        torch.testing.assert_close(pooled.mean(3), blocks.mean(3))
        assert bool((pooled == pooled[..., :1]).all())
        assert torch.equal(moved[name][..., -1], signal[..., -1])  # what is left at the end is a block
        assert len(moved[name][0, 0].unique()) == 9


def test_windows_of_a_batch_may_have_different_sizes():
    x = torch.tensor(X).expand(3, 1, 7).clone()
    for kind in ("ave", "max", "min"):
        mixed = pooled(x, kind, 1, 3, 8)
        for row, size in enumerate((1, 3, 8)):
            assert torch.equal(mixed[row], pooled(x[:1], kind, size)[0])
