"""How an Augmenter treats the partners of mixing ops: who they are, what happens to them before, and what becomes of labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harkd.augment import OPS, Augmenter, Draws, Mixing, Pool, Spec, parse
from harkd.augment.keys import GOLDEN, signed
from harkd.augment.mixing import Pair
from harkd.datasets import IGNORE, Target
from harkd.errors import UsageError

MIXING = [name for name, kind in OPS.items() if issubclass(kind, Pair)]
SOFT = [name for name in MIXING if OPS[name]().softens]


def class_signal(sensor, total, label):
    """Channel k is 1 in windows of class k and 0 elsewhere: after any blending it is the share of that class."""
    return np.tile(np.arange(3)[:, None] == label, (1, total)).astype(float)


def by_hand(augmenter, index, draw):
    """The windows at `index` through all ops before the last, and what the last draws: its partners and its parameters."""
    spec = augmenter.spec
    words = augmenter.draw_words(augmenter.windows.ids[index], draw)
    x, at = augmenter.windows.gather(index), 0
    for op in augmenter.strategy.ops:
        at += 1  # a word of each op decides whether it is applied
        if isinstance(op, Mixing):
            partners = spec.pool.partners(words[:, at : at + len(op.partners)], index, op.partners)
            at += len(op.partners)
        draws = Draws(words[:, at : at + op.slots(spec)])
        at += op.slots(spec)
        params = op.sample(draws, spec)
        x = x if isinstance(op, Mixing) else op.apply(x, params, spec)
    return x, partners, params


@pytest.mark.parametrize("prefix", ["rotate(90)+jitter(0.1)", "removal(0.5)+shifting(0.5)", "time_warp(0.2)"])
@pytest.mark.parametrize("last", ["mixup(1, partner=other_subject)", "cutmix(0.5, partner=other_subject)", "subject_mix(1, p=1)"])
def test_the_partner_passes_through_the_same_prefix_under_its_own_id(bench, prefix, last):
    """The partner is augmented as it would be by itself, in the same draw, and then mixed in."""
    windows = bench.windows(n=60)
    augmenter = Augmenter(parse(f"{prefix}|{last}"), windows, seed=5)
    op = augmenter.strategy.ops[-1]
    index, draw = torch.tensor([5, 0, 41, 17, 5]), torch.tensor([0, 3, 3, 9, 1])
    x, partners, params = by_hand(augmenter, index, draw)
    assert (windows.subjects[partners[:, 0]] != windows.subjects[index]).all()
    others, _, _ = by_hand(augmenter, partners[:, 0], draw)
    expected, share = op.mix(x, [others], params, augmenter.spec)
    batch = augmenter(index, draw)
    assert all(torch.equal(moved, expected[name]) for name, moved in batch.x.items())
    if op.softens:
        y = torch.eye(3)[windows.labels]
        blended = share[:, None] * y[index] + (1 - share[:, None]) * y[partners[:, 0]]
        assert torch.equal(batch.targets["activity"], blended)
    else:
        assert torch.equal(batch.targets["activity"], windows.labels[index])


@pytest.mark.parametrize("name", MIXING)
def test_who_has_no_companion_stays_as_it_is(bench, name):
    """A class of one window is mixed with itself, which leaves it as it is."""
    windows = bench.windows(n=24)
    lonely = windows.subset(torch.tensor([0, *(windows.labels != 0).nonzero()[:, 0].tolist()]))
    op = replace(OPS[name]().at(1), partner="same_class", p=1.0)
    batch, clean = bench.augment(op, lonely), lonely.gather(torch.arange(len(lonely)))
    for sensor, moved in batch.x.items():
        torch.testing.assert_close(moved[0], clean[sensor][0], rtol=1e-6, atol=1e-6)
    assert any(not torch.equal(moved[1:], clean[sensor][1:]) for sensor, moved in batch.x.items())
    labels = torch.eye(3)[lonely.labels] if op.softens else lonely.labels
    torch.testing.assert_close(batch.targets["activity"], labels)


# Labels


@pytest.mark.parametrize("strategy", ["none|mixup(0.4)", "none|mixup(1, p=0.5)", "none|mixup(0.4)+partial_mixup(0.5)+mixup(0.4)"])
def test_the_label_is_mixed_like_the_signal(bench, strategy):
    """Signals are one-hot classes, so that each channel must equal its label share, however often it is mixed."""
    windows = bench.windows((bench.acc,), 16, n=300, fill=class_signal)
    batch = bench.augment(strategy, windows)
    y = batch.targets["activity"]
    assert y.dtype == torch.float32
    torch.testing.assert_close(batch.x["wrist_acc"], y[:, :, None].expand(-1, -1, 16), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.sum(1), torch.ones(300))
    assert int(((y > 0) & (y < 1)).sum()) > 100


def test_a_window_without_a_label_brings_none_into_a_mixture(bench):
    """Those of the last class have none: what is left of a label is what the signal has of the other two classes."""
    windows = bench.windows((bench.acc,), 16, n=300, fill=class_signal)
    target = windows.targets["activity"]
    few = replace(target, values=torch.where(target.values == 2, IGNORE, target.values))
    batch = bench.augment("none|mixup(0.4)", replace(windows, targets={"activity": few}))
    expected = batch.x["wrist_acc"][:, :, 0] * torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(batch.targets["activity"], expected, rtol=0, atol=1e-6)
    assert int((expected.sum(1) == 0).sum()) > 20


@pytest.mark.parametrize("partner", ["same_class", "other_class"])
@pytest.mark.parametrize("name", [name for name in MIXING if hasattr(OPS[name](), "partner")])
def test_who_has_no_label_is_a_class_of_his_own(bench, name, partner):
    windows = bench.windows(n=60)
    target, known = windows.targets["activity"], torch.arange(60) % 3 == 0
    few = replace(windows, targets={"activity": replace(target, values=torch.where(known, target.values, IGNORE))})
    bench.augment(replace(OPS[name](), partner=partner), few)
    pool = Augmenter(parse("none|mixup(0.4)"), few).spec.pool
    words = torch.arange(60)[:, None] * signed(GOLDEN)
    drawn = pool.partners(words, torch.arange(60), [partner])[:, 0]
    if partner == "same_class":
        assert torch.equal(drawn[~known], torch.arange(60)[~known])
        assert torch.equal(target.values[drawn[known]], target.values[known])
        assert bool(known[drawn[known]].all())
    else:
        assert not (drawn == torch.arange(60)).any()
        assert not (known[drawn] & known & (target.values[drawn] == target.values)).any()
        assert bool(known[drawn[~known]].any())


@pytest.mark.parametrize("name", SOFT)
def test_mixed_labels_are_shares_of_the_two_classes(bench, name):
    op = replace(OPS[name]().at(1), partner="other_class")
    windows = bench.windows(n=240)
    y = bench.augment(op, windows).targets["activity"]
    torch.testing.assert_close(y.sum(1), torch.ones(240))
    assert bool((y >= 0).all())
    assert bool(((y > 0).sum(1) <= 2).all())
    assert int(((y > 0) & (y < 1)).any(1).sum()) > 60


@pytest.mark.parametrize("name", SOFT)
def test_partners_of_the_same_class_leave_the_label(bench, name):
    windows = bench.windows(n=60)
    y = bench.augment(replace(OPS[name](), partner="same_class"), windows).targets["activity"]
    torch.testing.assert_close(y, torch.eye(3)[windows.labels])


def test_with_p_a_share_of_windows_stays_clean(bench):
    windows = bench.windows((bench.acc,), 16, n=600)
    batch = bench.augment("none|mixup(1, partner=other_class, p=0.3)", windows)
    clean = windows.gather(torch.arange(600))["wrist_acc"]
    mixed = (batch.x["wrist_acc"] != clean).flatten(1).any(1)
    assert abs(int(mixed.sum()) - 180) < 4 * (600 * 0.3 * 0.7) ** 0.5
    hard = batch.targets["activity"].max(1).values == 1
    assert torch.equal(hard, ~mixed)
    assert torch.equal(batch.targets["activity"][hard].argmax(1), windows.labels[hard])


def test_values_are_mixed_too(bench):
    windows = bench.windows((bench.acc,), 16, n=60, fill=class_signal)
    values = torch.eye(3)[windows.labels] * torch.tensor([1.0, 10.0, 100.0])
    windows = replace(windows, targets={**windows.targets, "effort": Target("value", values)})
    batch = bench.augment("none|mixup(1)", windows)
    torch.testing.assert_close(batch.targets["effort"], batch.targets["activity"] * torch.tensor([1.0, 10.0, 100.0]))


def test_hard_labels_become_shares_only_when_a_strategy_mixes_labels(bench):
    windows = bench.windows()
    index = torch.arange(len(windows))
    augmenter = Augmenter(parse("none|mixup(0.2)"), windows)
    assert torch.equal(augmenter.clean(index, index).targets["activity"], windows.labels)
    for strategy in ("jitter(0.1)", "none|subject_mix", "none|amplitude_mix"):
        assert torch.equal(bench.augment(strategy, windows).targets["activity"], windows.labels)


# Sensors that some windows lack


@pytest.mark.parametrize("name", MIXING)
def test_what_is_mixed_with_a_missing_sensor_is_missing(bench, name):
    """A window that took anything from one that lacks the sensor lacks it too; one that stayed alone does not."""
    windows = bench.windows(n=240)
    there = torch.arange(240) % 2 == 0
    windows = replace(windows, present={"wrist_gyro": there})
    op = replace(OPS[name]().at(1), p=0.5)
    clean = windows.gather(torch.arange(240))["wrist_gyro"]
    batch = bench.augment(op, windows)
    known, changed = batch.present["wrist_gyro"], (batch.x["wrist_gyro"] != clean).flatten(1).any(1)
    assert not bool(known[~there].any())
    assert int((there & ~known).sum()) > 10
    assert int((there & known & changed).sum()) > 10
    assert int((there & known & ~changed).sum()) > 10


# What cannot be


def test_mixing_without_a_pool_is_refused(bench):
    windows = bench.windows()
    spec = replace(Spec.of(windows), pool=None)
    with pytest.raises(UsageError, match="Mixup needs a pool of training windows to draw partners from"):
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


@pytest.mark.parametrize("name", MIXING)
def test_an_unknown_partner_is_refused(name):
    with pytest.raises(UsageError, match="partner"):
        parse(f"none|{name}(partner=neighbour)")


@pytest.mark.parametrize("name", [name for name in MIXING if hasattr(OPS[name](), "alpha") and name != "mixup"])
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_an_alpha_without_a_beta_distribution_is_refused(name, alpha):
    with pytest.raises(UsageError, match=rf"{OPS[name].__name__}: alpha is the parameter of Beta\(alpha, alpha\), above 0; got"):
        OPS[name](alpha=alpha)
