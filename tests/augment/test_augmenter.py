"""A strategy bound to windows."""

from __future__ import annotations

import torch

from harkd.augment import Augmenter, Compose, Spec, keys, parse
from harkd.augment.jitter import Jitter


def test_a_batch_says_what_it_is(bench):
    windows = bench.windows()
    index, draw = torch.tensor([3, 1, 20]), torch.tensor([0, 5, 5])
    batch = Augmenter(parse("jitter(0.1)"), windows)(index, draw)
    assert torch.equal(batch.index, index)
    assert torch.equal(batch.draw, draw)
    assert torch.equal(batch.ids, windows.ids[index])
    assert torch.equal(batch.targets["activity"], windows.labels[index])


def test_clean_windows_are_as_recorded(bench):
    windows = bench.windows()
    index = torch.tensor([3, 1, 20])
    clean = Augmenter(parse("jitter(0.1)|mixup(0.2)"), windows).clean(index, index)
    recorded = windows.gather(index)
    assert all(torch.equal(clean.x[name], recorded[name]) for name in recorded)
    assert torch.equal(clean.targets["activity"], windows.labels[index])


def test_none_changes_nothing(bench):
    windows = bench.windows()
    augmenter = Augmenter(parse("none"), windows)
    index = torch.arange(24)
    recorded = windows.gather(index)
    assert all(torch.equal(x, recorded[name]) for name, x in augmenter(index, index).x.items())
    assert augmenter.draw_words(windows.ids, index).shape == (24, 0)
    assert (augmenter.text, augmenter.mixes) == ("none", False)


def test_a_single_op_is_a_strategy(bench):
    windows = bench.windows()
    index = torch.arange(24)
    one, two = Augmenter(Jitter(0.1), windows), Augmenter(Compose((Jitter(0.1),)), windows)
    assert one.text == two.text == "jitter(0.1)"
    assert torch.equal(one(index, index).x["wrist_acc"], two(index, index).x["wrist_acc"])


def test_words_are_those_of_the_documented_key(bench):
    """mix(key + k * golden) for the k-th word of an op, the key mixed of seed, strategy, position, id and draw."""
    windows = bench.windows()
    augmenter = Augmenter(parse("removal(0.5)+scaling(0.1)"), windows, seed=9)
    draw = torch.arange(24)
    words = augmenter.draw_words(windows.ids, draw)
    each = keys.window_keys(9, augmenter.hash, 2, windows.ids, draw)
    assert torch.equal(words, torch.cat([keys.bits(each[:, 0], 3), keys.bits(each[:, 1], 7)], 1))


def test_the_hash_leaves_p_out_and_the_text_does_not(bench):
    windows = bench.windows()
    sure, seldom = (
        Augmenter(parse(f"one_of(jitter(0.1, p={p}), rotate(5), p={p})|mixup(0.2, p={p})"), windows) for p in (1, 0.5)
    )
    assert sure.hash == seldom.hash
    assert sure.text == "one_of(jitter(0.1), rotate(5))|mixup(0.2)"
    assert seldom.text == "one_of(jitter(0.1, p=0.5), rotate(5), p=0.5)|mixup(0.2, p=0.5)"


def test_statistics_come_from_the_spec(bench):
    """Validation windows are augmented with the training statistics: the same spec, the same noise level."""
    train = bench.windows()
    other = bench.windows(fill=lambda sensor, total, label: torch.zeros(3, total).numpy())
    a = bench.augment("jitter(0.1)", train, spec=Spec.of(train)).x
    b = bench.augment("jitter(0.1)", other, spec=Spec.of(train)).x
    clean = train.gather(torch.arange(24))
    for name in a:  # the same ids, so the same noise
        torch.testing.assert_close(a[name] - clean[name], b[name], rtol=0, atol=1e-5)


def test_a_window_meets_different_noise_in_every_visit(bench):
    windows = bench.windows((bench.acc,), n=12)
    augmenter = Augmenter(parse("jitter(0.1)"), windows)
    index = torch.zeros(50, dtype=torch.int64)
    x = augmenter(index, torch.arange(50)).x["wrist_acc"].flatten(1)
    assert len(torch.unique(x, dim=0)) == 50
