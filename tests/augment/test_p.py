"""p: a share of windows, which moves no other number."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import OPS, Augmenter, Compose


@pytest.mark.parametrize("name", OPS)
def test_p_0_is_the_identity(bench, name):
    windows = bench.everything(n=12)
    batch = bench.augment(Compose((OPS[name](p=0.0),)), windows)
    clean = windows.gather(torch.arange(len(windows)))
    assert all(torch.equal(x, clean[n]) for n, x in batch.x.items())


@pytest.mark.parametrize("name", [name for name, kind in OPS.items() if not kind.HOST])
def test_p_is_a_share_of_windows_and_moves_no_other_number(thousand, name):
    windows, spec = thousand
    op, index = OPS[name](p=1.0), torch.arange(600)

    def rows(x):
        return torch.cat([signal.flatten(1) for signal in x.values()], 1)

    clean, full = rows(windows.gather(index)), rows(Augmenter(op, windows, spec)(index, index).x)
    moves = (full != clean).any(1)  # not all do: a removal may have length 0
    for p in (0.5, 0.1):
        some = rows(Augmenter(replace(op, p=p), windows, spec)(index, index).x)
        applied = (some != clean).any(1)
        assert torch.equal(some[applied], full[applied])
        assert not bool((applied & ~moves).any())
        share, total = int(applied.sum()), int(moves.sum())
        assert abs(share - p * total) < 5 * (total * p * (1 - p)) ** 0.5


def test_another_p_leaves_the_other_ops_alone(bench):
    windows = bench.windows()
    often, seldom = (bench.augment(f"rotate(15, p={p})+jitter(0.05)", windows).x["wrist_acc"] for p in (1, 0))
    jitter = seldom - windows.gather(torch.arange(len(windows)))["wrist_acc"]
    rotated = bench.augment("rotate(15)+jitter(0.05, p=0)", windows).x["wrist_acc"]
    torch.testing.assert_close(often - rotated, jitter, rtol=0, atol=1e-5)


def test_windows_at_a_larger_p_include_those_at_a_smaller(bench):
    windows = bench.windows(n=240)
    clean = windows.gather(torch.arange(240))["wrist_acc"]
    applied = [(bench.augment(f"jitter(0.1, p={p})", windows).x["wrist_acc"] != clean).flatten(1).any(1) for p in (0.2, 0.6)]
    assert not bool((applied[0] & ~applied[1]).any())
    assert int(applied[0].sum()) < int(applied[1].sum())
