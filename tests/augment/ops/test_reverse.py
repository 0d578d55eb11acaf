"""Reverse: the window backward."""

from __future__ import annotations

import torch

from harkd.augment.segments import Reverse


def test_time_runs_backward_in_all_sensors_and_in_dense_labels(bench):
    windows = bench.windows((bench.acc, bench.ankle), dense=lambda total: torch.arange(total).numpy() // 7 % 3)
    clean, batch = windows.gather(torch.arange(len(windows))), bench.augment("reverse", windows)
    for name, x in batch.x.items():
        assert torch.equal(x, clean[name][:, :, torch.arange(x.shape[-1] - 1, -1, -1)])
    assert torch.equal(batch.targets["phase"], windows.target("phase").values.flip(1))


def test_twice_is_once_and_for_all(bench):
    windows = bench.windows()
    for name, x in bench.augment("reverse+reverse", windows).x.items():
        assert torch.equal(x, windows.gather(torch.arange(len(windows)))[name])
    assert Reverse().assumes == {"reversal"}
