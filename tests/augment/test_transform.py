"""How transforms are put together: sequences, choices, draws and specs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Compose, Draws, OneOf, Spec, Strength, Transform, keys, leaves, parse
from harkd.augment.draws import samples
from harkd.augment.jitter import Jitter, Scaling
from harkd.augment.mixing import Mixup
from harkd.augment.policy import Grow, RandAugment
from harkd.augment.rotate import Rotate
from harkd.augment.transform import always, nodes, weighted_sum
from harkd.augment.warp import TimeWarp
from harkd.datasets import Sensor, Statistics
from harkd.errors import UsageError

P = 0.001
N = 6000


@dataclass(frozen=True)
class Stamp(Transform):
    """Adds a power of ten to the first sample: the sum tells which ops were applied."""

    value: float = 1.0

    def slots(self, spec):
        return 0

    def sample(self, draws, spec):
        return {}

    def apply(self, x, params, spec):
        return {name: torch.cat([s[..., :1] + self.value, s[..., 1:]], 2) for name, s in x.items()}


@pytest.fixture
def stamps(bench, monkeypatch):
    """Which stamps each of 6000 windows got, for a strategy made of stamps."""
    monkeypatch.setitem(__import__("harkd.augment.ops", fromlist=["OPS"]).OPS, "stamp", Stamp)
    sensor = Sensor("flat", "eeg", "uV", 50.0, channels=("a",))
    windows = bench.windows((sensor,), 2, n=N, fill=lambda s, total, label: torch.zeros(1, total).numpy())
    return lambda strategy: bench.augment(strategy, windows).x["flat"][:, 0, 0].long()


def shares(found, *values):
    """Counts of the expected values; nothing else may occur."""
    counts = torch.stack([(found == value).sum() for value in values])
    assert int(counts.sum()) == N
    return counts


# Choices


def test_branches_are_chosen_equally_often(stamps):
    found = stamps(OneOf((Stamp(value=1), Stamp(value=10), Stamp(value=100))))
    assert stats.chisquare(shares(found, 1, 10, 100)).pvalue > P


def test_a_branch_may_be_a_sequence_or_nothing(stamps):
    found = stamps(Compose((Stamp(value=1000), OneOf((Compose(()), Stamp(value=1) + Stamp(value=10))), Stamp(value=5000))))
    assert stats.chisquare(shares(found, 6000, 6011)).pvalue > P


def test_a_choice_of_nothing_is_the_identity(stamps):
    assert bool((stamps(OneOf((Compose(()),))) == 0).all())
    assert bool((stamps(OneOf((Compose(()), Compose(())))) == 0).all())


def test_p_of_a_choice_is_a_share_of_windows(stamps):
    found = stamps(OneOf((Stamp(value=1), Stamp(value=10)), p=0.3))
    assert stats.chisquare(shares(found, 0, 1, 10), [0.7 * N, 0.15 * N, 0.15 * N]).pvalue > P


def test_p_of_a_choice_moves_no_other_number(stamps):
    some, full = (stamps(OneOf((Stamp(value=1), Stamp(value=10)), p=p)) for p in (0.3, 1.0))
    assert torch.equal(some[some > 0], full[some > 0])


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_choice_inside_a_choice_is_independent_of_it(stamps, inner_first):
    inner = OneOf((Stamp(value=1), Stamp(value=10)))
    found = stamps(OneOf((inner, Stamp(value=100)) if inner_first else (Stamp(value=100), inner)))
    assert stats.chisquare(shares(found, 1, 10, 100), [N / 4, N / 4, N / 2]).pvalue > P


def test_two_choices_are_independent(stamps):
    found = stamps(OneOf((Stamp(value=1), Stamp(value=2))) + OneOf((Stamp(value=10), Stamp(value=20))))
    assert stats.chisquare(shares(found, 11, 12, 21, 22)).pvalue > P


def test_ops_of_one_strategy_are_gated_independently(stamps):
    found = stamps(Stamp(value=1, p=0.5) + Stamp(value=10, p=0.5))
    assert stats.chisquare(shares(found, 0, 1, 10, 11)).pvalue > P


def test_ops_are_applied_from_left_to_right(bench):
    windows = bench.windows(n=12)
    augmenter = Augmenter(parse("scaling(0.3)+jitter(0.3)+rotate(90)+shifting(0.5)"), windows)
    index = torch.arange(12)
    by_hand, _ = bench.by_hand(augmenter, augmenter.strategy.ops, index, index)
    assert all(torch.equal(x, by_hand[name]) for name, x in augmenter(index, index).x.items())


def test_the_same_op_twice_draws_twice(bench):
    windows = bench.windows((bench.acc,), n=12)
    augmenter = Augmenter(parse("scaling(0.3)+scaling(0.3)"), windows)
    index = torch.arange(12)
    _, (first, second) = bench.by_hand(augmenter, augmenter.strategy.ops, index, index)
    assert not bool((first["wrist_acc"] == second["wrist_acc"]).any())


def test_a_branch_is_what_it_would_be_at_its_position(bench):
    """A chosen branch is applied with the words of its own position, whatever the others draw."""
    windows = bench.windows((bench.acc,), n=120)
    augmenter = Augmenter(parse("one_of(scaling(0.3), time_warp(0.3))"), windows)
    index = torch.arange(120)
    words = augmenter.draw_words(windows.ids, index)
    assert words.shape[1] == 2  # those of branches are drawn for the windows that get there
    choice = keys.below(words[:, 1], 2)
    node_keys = keys.window_keys(0, augmenter.hash, 3, windows.ids, index)
    x = windows.gather(index)
    moved = []
    for position, op in ((1, Scaling(0.3)), (2, TimeWarp(0.3))):
        own = keys.bits(node_keys[:, position], 1 + op.slots(augmenter.spec))
        moved.append(op.apply(x, op.sample(Draws(own[:, 1:]), augmenter.spec), augmenter.spec)["wrist_acc"])
    assert torch.equal(augmenter(index, index).x["wrist_acc"], torch.where(choice[:, None, None] == 0, *moved))


def test_dense_labels_follow_the_chosen_branch(bench):
    windows = bench.windows((bench.acc,), n=60, dense=lambda total: torch.arange(total).numpy() % 64)
    batch = bench.augment("one_of(shifting(0.5), jitter(0.1))", windows)
    labels, clean = batch.targets["phase"], windows.target("phase").values
    rolled = (labels != clean).any(1)
    assert 10 < int(rolled.sum()) < 50
    values = windows.gather(torch.arange(60))["wrist_acc"].gather(2, labels[:, None].expand(-1, 3, -1))
    assert torch.equal(batch.x["wrist_acc"][rolled], values[rolled])


# Sequences


def test_sequences_are_laid_flat():
    a, b, c = Jitter(0.1), Rotate(5.0), Scaling(0.2)
    assert Compose((Compose((a, Compose((b,)))), c)) == Compose((a, b, c)) == a + b + c == a + (b + c)
    assert OneOf((Compose((a,)), b)) == OneOf((a, b))
    assert OneOf((a + b, c)).branches == (Compose((a, b)), c)


def test_a_hidden_mixing_op_is_found(bench):
    windows = bench.windows()
    assert Augmenter(Compose((Compose((Jitter(), Mixup())),)), windows).mixes
    assert bench.augment(Compose((Compose((Mixup(),)),)), windows).targets["activity"].shape == (24, 3)


def test_nodes_and_leaves_are_in_reading_order():
    a, b, c, d = Jitter(0.1), Rotate(5.0), Scaling(0.2), Scaling(0.3)
    inner = OneOf((c, Compose(())))
    choice = OneOf((a + b, inner))
    strategy = choice + d
    assert list(nodes(strategy)) == [choice, a, b, inner, c, d]
    assert list(leaves(strategy)) == [a, b, c, d]
    assert list(leaves(Compose(()))) == []


def test_strengths_of_a_whole_strategy():
    strategy = Jitter() + OneOf((Rotate(), Scaling() + TimeWarp(knots=7)))
    assert strategy.at(0.5) == Jitter(0.15) + OneOf((Rotate(90.0), Scaling(0.15) + TimeWarp(0.15, knots=7)))


def test_always_sets_every_p():
    strategy = Jitter(p=0.5) + OneOf((Rotate(p=0.1), Scaling(p=0.2) + TimeWarp()), p=0.3)
    assert always(strategy) == Jitter() + OneOf((Rotate(), Scaling() + TimeWarp()))


def test_assumptions_add_up():
    strategy = Jitter() + OneOf((Rotate(90.0), TimeWarp()))
    assert strategy.assumes == {"rotation", "pace"}
    assert Compose(()).assumes == frozenset()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Compose((Jitter(),), p=0.5), "a sequence takes no p of its own; give it to its ops"),
        (lambda: OneOf(()), "OneOf needs at least one op or strategy to choose from"),
        (lambda: OneOf((Mixup(), Jitter())), "a mixing op cannot stand inside OneOf"),
        (lambda: OneOf((Jitter() + Mixup(),)), "a mixing op cannot stand inside OneOf"),
        (lambda: OneOf((OneOf((Jitter(),)),), p=2), "p is a share of windows, from 0 to 1; got 2"),
        (lambda: Grow((Jitter(), Scaling())), "Grow: takes one strategy; got 2"),
        (lambda: RandAugment((OneOf((Jitter(),)),)), "the pool of RandAugment consists of single ops"),
    ],
)
def test_what_cannot_be_put_together(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_an_op_without_another_strength_is_done_more_often():
    assert Stamp().at(0.25) == Stamp(p=0.25)
    assert Stamp(p=0.5).scaled(0.5) == Stamp(p=0.25)
    assert Stamp().at(0).idle


def test_a_pool_is_one_node_and_its_ops_do_the_work():
    policy = RandAugment((Jitter() + Scaling(), Rotate()))
    assert policy.branches == (Jitter(), Scaling(), Rotate())
    assert list(nodes(policy + Jitter())) == [policy, Jitter()]
    assert list(leaves(policy)) == [Jitter(), Scaling(), Rotate()]
    assert RandAugment((Rotate(90.0), Jitter())).assumes == {"rotation"}


@pytest.mark.parametrize(
    ("strength", "own", "wanted"),
    [
        (Strength("x", 0.5), 0.4, [0, 0.1, 0.2, 0.4]),
        (Strength("x", 0.7, identity=1.0), 0.8, [1, 0.95, 0.9, 0.8]),
        (Strength("x", 6, identity=1, whole=True), 5, [1, 2, 3, 5]),
        (Strength("x", 8, identity=4096, whole=True, geometric=True), 16, [4096, 1024, 256, 16]),
    ],
)
def test_strengths_between_the_identity_and_the_own(strength, own, wanted):
    for magnitude, value in zip([0, 0.25, 0.5, 1], wanted, strict=True):
        assert strength.between(magnitude, own) == pytest.approx(value)
    told = strength.between(torch.tensor([[0], [0.25], [0.5], [1]]), own)
    torch.testing.assert_close(told[:, 0], torch.tensor(wanted, dtype=torch.float32))


@pytest.mark.parametrize(("share", "time", "count"), [(0.29, 100, 29), (0.7, 10, 7), (0.5, 513, 256), (1.0, 64, 64), (0.0, 9, 0)])
def test_samples_of_a_share(share, time, count):
    assert samples(torch.tensor([[share]]), time).item() == count


# Draws and specs


def test_draws_are_taken_from_left_to_right():
    words = keys.bits(torch.arange(4), 5)
    draws = Draws(words)
    assert torch.equal(draws.words(2), words[:, :2])
    assert torch.equal(draws.uniform(1), keys.uniform(words[:, 2:3]))
    assert torch.equal(draws.below(6), keys.below(words[:, 3], 6))
    assert torch.equal(draws.normal(1), keys.normal(words[:, 4:]))
    with pytest.raises(UsageError, match="an op drew 6 random words but declared 5 slots"):
        draws.words(1)


def test_spec_knows_the_training_windows(bench):
    windows = bench.windows((bench.acc, bench.ankle), 64, n=48)
    spec = Spec.of(windows)
    assert spec.lengths == {"wrist_acc": 64, "ankle_acc": 32}
    x = windows.gather(torch.arange(48))["wrist_acc"].double()
    torch.testing.assert_close(spec.mean("wrist_acc", x), x.mean((0, 2))[:, None], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        spec.std("wrist_acc", x), x.transpose(0, 1).flatten(1).std(1, correction=0)[:, None], rtol=1e-5, atol=0
    )
    given = Statistics({"wrist_acc": torch.zeros(3)}, {"wrist_acc": torch.ones(3)})
    assert Spec.of(windows, given).statistics is given


def test_segments_are_numbered_in_the_order_of_the_sensors(bench):
    free = Sensor("free", "acc", "g", 50.0)
    spec = Spec.of(bench.windows((bench.acc, free, bench.gyro, bench.ankle)))
    assert spec.segments == {"wrist": 0, "free": 1, "ankle": 2}
    assert [spec.segment(name) for name in ("wrist_acc", "free", "wrist_gyro", "ankle_acc")] == [0, 1, 0, 2]


@pytest.mark.parametrize(("m", "k", "time"), [(1, 2, 1), (3, 3, 65), (5, 8, 128)])
def test_weighted_sum_is_the_matrix_product(m, k, time):
    generator = torch.Generator().manual_seed(0)
    weights, rows = torch.randn(7, m, k, generator=generator), torch.randn(7, k, time, generator=generator)
    torch.testing.assert_close(weighted_sum(weights, rows), weights @ rows)
    torch.testing.assert_close(weighted_sum(weights, rows[0]), weights @ rows[0])
