"""N different ops, all at one magnitude."""

from __future__ import annotations

import torch
from scipy import stats

from harkd.augment import Compose, parse

from .conftest import POOL


def test_every_window_meets_n_different_ops_with_equal_chances(bench, many, seen):
    bench.augment(f"rand_augment({POOL}, n=2)", many)
    met = seen.counts(len(many))
    assert torch.equal(sum(met.values()), torch.full((len(many),), 2))
    assert max(int(count.max()) for count in met.values()) == 1
    assert stats.chisquare([int(count.sum()) for count in met.values()]).pvalue > 0.001
    # All six pairs, equally often.
    pairs = torch.stack(list(met.values()), 1) @ torch.tensor([1, 2, 4, 8])
    assert stats.chisquare(torch.unique(pairs, return_counts=True)[1].tolist()).pvalue > 0.001


def test_all_ops_have_the_magnitude(bench, many, seen):
    bench.augment(f"rand_augment({POOL}, n=1, m=9)", many)
    assert seen.magnitudes().unique().tolist() == [torch.tensor(0.3).item()]


def test_with_all_ops_of_the_pool_the_order_is_drawn(bench, many, seen):
    bench.augment("rand_augment(jitter(0.3)+shifting(0.5), n=2)", many)
    first = seen.ops[0][1]
    assert 0.45 < len(first) / len(many) < 0.55


def test_an_op_at_a_magnitude_is_its_scaled_self(bench, many):
    """A pool of one op that draws nothing else than its strength would: rotation by at most 15 * 9 / 30 degrees."""
    x = bench.augment("rand_augment(rotate(15), n=1, m=9)", many).x["wrist_acc"]
    clean = many.gather(torch.arange(len(many)))["wrist_acc"]
    cos = torch.nn.functional.cosine_similarity(x[:, :, 0], clean[:, :, 0], dim=1).clamp(-1, 1)
    angle = cos.double().acos().rad2deg()
    assert 4.0 < float(angle.max()) < 4.5 + 0.1


def test_magnitude_0_is_the_identity(bench, many):
    clean = many.gather(torch.arange(len(many)))["wrist_acc"]
    assert torch.equal(bench.augment(f"rand_augment({POOL}, m=0)", many).x["wrist_acc"], clean)


def test_a_pool_is_a_named_strategy_or_ops_one_by_one():
    assert parse("rand_augment(jeon_mix1)") == parse("rand_augment(removal(0.5), shifting(0.5))")
    assert isinstance(parse("rand_augment(jeon_mix1)"), Compose)
