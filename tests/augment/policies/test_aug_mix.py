"""Chains of ops, mixed with the window itself."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.datasets import IGNORE
from harkd.errors import UsageError

from .conftest import POOL


def test_a_window_meets_one_to_depth_ops_per_chain(bench, many, seen):
    bench.augment(f"aug_mix({POOL}, width=1, depth=3)", many)
    ops = sum(seen.counts(len(many)).values())
    assert stats.chisquare(torch.bincount(ops)[1:].tolist()).pvalue > 0.001
    assert (int(ops.min()), int(ops.max())) == (1, 3)


def test_magnitudes_are_uniform_up_to_m(bench, many, seen):
    bench.augment(f"aug_mix({POOL}, m=15)", many)
    assert stats.kstest(seen.magnitudes().double(), "uniform", (0, 0.5)).pvalue > 0.001


def test_a_mixture_is_convex(bench):
    """Each chain turns the sign of the one-valued window, so x' = x (1 - 2 (share of the chains)): between -x and x, and the
    share of the chains is Beta(1, 1)."""
    windows = bench.windows((bench.eeg(1),), 4, n=2000, fill=lambda s, total, label: torch.ones(1, total).numpy())
    x = bench.augment("aug_mix(sign_flip(), width=3, depth=1, m=30)", windows).x["cap"][:, 0]
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert float(x.abs().max()) <= 1 + 1e-6
    # sign_flip is done with a probability that is its magnitude: at least the windows with no flip stay as they were.
    assert float((x[:, 0] == 1).float().mean()) == pytest.approx(0.125, abs=0.03)


def test_weights_are_dirichlet_and_the_share_of_all_chains_is_uniform(bench, monkeypatch):
    """Chain c adds 1 to channel c of a window of zeros, so the mixture shows its weight there."""

    def add_one(flow, site, choice, magnitude, turn):
        moved = {name: x + torch.eye(3)[turn][:, None] for name, x in flow.x.items()}
        return flow.changed(moved, flow.dense)

    monkeypatch.setattr("harkd.augment.policy.through", add_one)
    windows = bench.windows((bench.acc,), 2, n=4000, fill=lambda s, total, label: torch.zeros(3, total).numpy())
    x = bench.augment("aug_mix(jitter(0.3), width=3, depth=1)", windows).x["wrist_acc"][:, :, 0].double()
    assert stats.kstest(x.sum(1), "uniform").pvalue > 0.001
    for weight in (x / x.sum(1, keepdim=True)).unbind(1):
        assert stats.kstest(weight, "beta", (1, 2)).pvalue > 0.001


def test_a_label_per_sample_and_ops_that_move_time_do_not_go_together(bench):
    windows = bench.windows((bench.acc,), dense=lambda total: torch.full((total,), IGNORE).numpy())
    with pytest.raises(UsageError, match="labels of single samples have no meaning then; take the ops that move time out"):
        bench.augment("aug_mix(shifting(0.5))", windows)
    bench.augment("aug_mix(jitter(0.5))", windows)
