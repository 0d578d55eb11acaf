"""Mixup: shares, labels, partners, and what happens before the mixing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Pool, Spec, parse
from harkd.augment.keys import bits
from harkd.augment.mixing import Mixup, beta
from harkd.datasets import Target
from harkd.errors import UsageError

P = 0.001
N = 200_000


def class_signal(sensor, total, label):
    """Channel k is 1 in windows of class k and 0 elsewhere: after any mixing it is the share of that class."""
    return np.tile(np.arange(3)[:, None] == label, (1, total)).astype(float)


# Shares


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.75, 1.0, 2.0])
def test_shares_come_from_the_beta_distribution(alpha):
    values = beta(bits(torch.tensor(1), N), alpha).double().numpy()
    law = stats.beta(alpha, alpha)
    # A small alpha puts many values so close to 1 that float32 makes them 1, so the law is tested in the lower half and in bins.
    lower = values[values < 0.5]
    assert stats.kstest(lower, lambda x: law.cdf(x) / 0.5).pvalue > P
    counts = np.histogram(values, law.ppf(np.linspace(0, 1, 17)))[0]
    assert stats.chisquare(counts).pvalue > P
    assert values.mean() == pytest.approx(0.5, abs=4 * law.std() / N**0.5)
    assert values.std() == pytest.approx(law.std(), rel=0.005)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 100.0, 1e6])
def test_extreme_alphas_give_shares(alpha):
    values = beta(bits(torch.tensor(1), 1000), alpha)
    assert bool(((values >= 0) & (values <= 1)).all())
    assert float(values.double().std()) == pytest.approx(stats.beta(alpha, alpha).std(), rel=0.1)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0])
def test_the_window_stays_the_greater_part(bench, alpha):
    share = bench.draw(Mixup(alpha), Spec.of(bench.windows((bench.acc,))), N)["share"].double()
    assert float(share.min()) >= 0.5
    assert float(share.max()) <= 1.0
    law = stats.beta(alpha, alpha)
    grid = (np.arange(200_000) + 0.5) / 200_000
    quantiles = law.ppf(grid)
    expected = np.maximum(quantiles, 1 - quantiles).mean()  # E max(l, 1 - l)
    assert float(share.mean()) == pytest.approx(expected, abs=4 * float(share.std()) / N**0.5)
    assert 0.5 < expected < 1
    if alpha == 1:
        assert expected == pytest.approx(0.75, abs=1e-6)


def test_partner_and_share_are_independent(bench):
    params = bench.draw(Mixup(1.0), Spec.of(bench.windows((bench.acc,))), 60_000)
    columns = torch.stack([(params["word"] >> 61) & 7, (params["share"] * 16 - 8).long().clamp_max(7)])
    table = np.histogram2d(*columns.numpy(), bins=(8, 8))[0]
    assert stats.chi2_contingency(table).pvalue > P


# Windows and labels


@pytest.mark.parametrize("strategy", ["none|mixup(0.4)", "none|mixup(1, p=0.5)", "none|mixup(0.4)+mixup(1)+mixup(0.4)"])
def test_the_label_is_mixed_like_the_signal(bench, strategy):
    """Signals are one-hot classes, so that each channel must equal its label share, however often it is mixed."""
    windows = bench.windows((bench.acc,), 16, n=300, fill=class_signal)
    batch = bench.augment(strategy, windows)
    y = batch.targets["activity"]
    assert y.dtype == torch.float32
    torch.testing.assert_close(batch.x["wrist_acc"], y[:, :, None].expand(-1, -1, 16), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.sum(1), torch.ones(300))
    assert int(((y > 0) & (y < 1)).sum()) > 100


def test_a_mixture_lies_between_window_and_partner(bench):
    windows = bench.windows(n=120)
    augmenter = Augmenter(parse("none|mixup(1)"), windows)
    index = torch.arange(120)
    x, (params,) = bench.by_hand(augmenter, augmenter.strategy.ops, index, index)
    other = windows.gather(augmenter.spec.pool.partners(params["word"], index))
    mixed = augmenter(index, index).x
    for name, moved in mixed.items():
        low, high = torch.minimum(x[name], other[name]), torch.maximum(x[name], other[name])
        assert bool(((moved >= low - 1e-6) & (moved <= high + 1e-6)).all())
        share = params["share"][:, None, None]
        torch.testing.assert_close(moved, share * x[name] + (1 - share) * other[name])


@pytest.mark.parametrize("prefix", ["rotate(90)+jitter(0.1)", "removal(0.5)+shifting(0.5)", "time_warp(0.2)"])
def test_the_partner_passes_through_the_same_prefix_under_its_own_id(bench, prefix):
    """Built by hand: the partner is augmented as it would be by itself, in the same draw, and then mixed in."""
    windows = bench.windows(n=60)
    augmenter = Augmenter(parse(f"{prefix}|mixup(1, partner=other_subject)"), windows, seed=5)
    ops = augmenter.strategy.ops
    index = torch.tensor([5, 0, 41, 17, 5])
    draw = torch.tensor([0, 3, 3, 9, 1])
    x, drawn = bench.by_hand(augmenter, ops, index, draw)
    partner = augmenter.spec.pool.partners(drawn[-1]["word"], index, "other_subject")
    assert (windows.subjects[partner] != windows.subjects[index]).all()
    other, _ = bench.by_hand(augmenter, ops[:-1], partner, draw)
    share = drawn[-1]["share"]
    batch = augmenter(index, draw)
    for name, moved in batch.x.items():
        assert torch.equal(moved, share[:, None, None] * x[name] + (1 - share[:, None, None]) * other[name])
    y = torch.eye(3)[windows.labels]
    assert torch.equal(batch.targets["activity"], share[:, None] * y[index] + (1 - share[:, None]) * y[partner])


def test_with_p_a_share_of_windows_stays_clean(bench):
    windows = bench.windows((bench.acc,), 16, n=600)
    batch = bench.augment("none|mixup(1, partner=other_class, p=0.3)", windows)
    clean = windows.gather(torch.arange(600))["wrist_acc"]
    mixed = (batch.x["wrist_acc"] != clean).flatten(1).any(1)
    assert abs(int(mixed.sum()) - 180) < 4 * (600 * 0.3 * 0.7) ** 0.5
    hard = batch.targets["activity"].max(1).values == 1
    assert torch.equal(hard, ~mixed)
    assert torch.equal(batch.targets["activity"][hard].argmax(1), windows.labels[hard])


@pytest.mark.parametrize("partner", ["same_class", "other_class"])
def test_restricted_partners_show_in_the_label(bench, partner):
    y = bench.augment(f"none|mixup(1, partner={partner})", bench.windows(n=240)).targets["activity"]
    classes = (y > 0).sum(1)
    assert bool((classes == (1 if partner == "same_class" else 2)).all())


def test_values_are_mixed_too(bench):
    windows = bench.windows((bench.acc,), 16, n=60, fill=class_signal)
    values = torch.eye(3)[windows.labels] * torch.tensor([1.0, 10.0, 100.0])
    windows = replace(windows, targets={**windows.targets, "effort": Target("value", values)})
    batch = bench.augment("none|mixup(1)", windows)
    torch.testing.assert_close(batch.targets["effort"], batch.targets["activity"] * torch.tensor([1.0, 10.0, 100.0]))


def test_hard_labels_become_shares_only_when_a_strategy_mixes(bench):
    windows = bench.windows()
    index = torch.arange(len(windows))
    augmenter = Augmenter(parse("none|mixup(0.2)"), windows)
    assert torch.equal(augmenter.clean(index, index).targets["activity"], windows.labels)
    assert torch.equal(bench.augment("jitter(0.1)", windows).targets["activity"], windows.labels)


# What cannot be


def test_mixing_without_a_pool_is_refused(bench):
    windows = bench.windows()
    spec = replace(Spec.of(windows), pool=None)
    with pytest.raises(UsageError, match="mixup needs a pool of training windows to draw partners from"):
        bench.augment("none|mixup(0.2)", windows, spec=spec)


def test_a_pool_of_other_windows_is_refused(bench):
    """Partners are positions: in another set of windows they would be other windows, or none."""
    windows = bench.windows()
    few = windows.subset(torch.arange(10))
    with pytest.raises(UsageError, match=r"takes partners from the 24 windows of its pool, but is bound to 10 others"):
        Augmenter(parse("none|mixup(0.2)"), few, Spec.of(windows))
    Augmenter(parse("jitter(0.2)"), few, Spec.of(windows))  # nothing is mixed: fine
    copy = replace(Spec.of(windows), pool=Pool(windows.subset(torch.arange(len(windows)))))
    Augmenter(parse("none|mixup(0.2)"), windows, copy)
