"""Manifold mixup: where maps are mixed, with whom, how much, and what the losses see of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch.nn.functional import one_hot

from harkd.augment import Batch
from harkd.engine import Round
from harkd.errors import UsageError
from harkd.manifold import ManifoldMixup
from harkd.nets import Inputs, Net, build
from harkd.objectives import Objective

P = 0.001
PLACES = [(), (0,), (1,), (-1,)]
every_place = pytest.mark.parametrize("stages", PLACES, ids=["input", "0", "1", "last"])


def place(stages) -> ManifoldMixup:
    """Mixes at one place only."""
    return ManifoldMixup(stages=stages, inputs=not stages)


@pytest.fixture
def game(toy):
    """A round of 21 windows. The target `who` is a row of the identity: mixed, it tells each window's share and partner."""
    player = toy.player(toy.net(deeper=1, dropout=0.5))
    index = torch.arange(21) * 3
    zero = torch.zeros_like(index)
    x = toy.train.gather(index)
    batch = Batch(x, {"movement": toy.train.labels[index], "who": torch.eye(21)}, index, toy.train.ids[index], zero)

    def look(name, forward=None):
        torch.manual_seed(7)  # as the engine does: dropout has a stream of its own
        return (forward or player.net)(player.sees(x))

    return Round({"student": player}, batch, look, lambda name: x, lambda name, view: look(name), "movement", 3)


def same(one, other) -> bool:
    tensors = [(one.logits, other.logits), (one.embedding, other.embedding), *zip(one.features, other.features, strict=True)]
    return all(torch.equal(a, b) for a, b in tensors)


# What is mixed


@every_place
def test_with_a_share_of_one_it_is_the_plain_answer_to_the_bit(game, stages):
    """In training mode, with dropout and batch statistics."""
    labels = game.batch.targets["movement"]
    plain = game.look("student")
    mixed = replace(place(stages), alpha=0.0)(game)["student"]
    assert same(plain, mixed)
    assert torch.equal(game.batch.targets["movement"], one_hot(labels, 3).float())
    assert torch.equal(game.batch.targets["who"], torch.eye(21))


@every_place
def test_what_is_mixed_and_where(game, stages):
    """The mixed identity is the matrix that mixes maps, labels and everything else."""
    player, labels = game.players["student"], game.batch.targets["movement"]
    player.net.eval()
    plain = game.look("student")
    mixed = place(stages)(game)["student"]
    shares = game.batch.targets["who"]
    if not stages:
        torch.testing.assert_close(
            mixed.logits, player.net(torch.tensordot(shares, player.sees(game.signals("student")), 1)).logits
        )
    else:
        chosen = stages[0] % 3
        expected = torch.tensordot(shares, plain.features[chosen], 1)
        assert all(torch.equal(plain.features[k], mixed.features[k]) for k in range(chosen))
        torch.testing.assert_close(mixed.features[chosen], expected)
        torch.testing.assert_close(mixed.logits, player.net.tail(expected, chosen))
    assert not torch.allclose(mixed.logits, plain.logits)
    torch.testing.assert_close(game.batch.targets["movement"], shares @ one_hot(labels, 3).float())
    torch.testing.assert_close(shares.sum(1), torch.ones(21))
    assert bool(((shares > 0).sum(1) <= 2).all())
    assert bool((shares.diagonal() >= 0.5).all())


@every_place
def test_gradients_reach_both_windows_and_no_other(toy, game, stages):
    """Without batch norm, so that windows meet in the mixing alone."""
    net = toy.net(norm=False)
    seen = game.players["student"].sees(game.signals("student")).requires_grad_()
    game.players = {"student": toy.player(net)}
    game.look = lambda name, forward=None: (forward or net)(seen)
    logits = place(stages)(game)["student"].logits
    shares = game.batch.targets["who"]
    for i in range(5):
        (gradient,) = torch.autograd.grad(logits[i, 0], seen, retain_graph=True)
        assert torch.equal(gradient.flatten(1).any(1), shares[i] > 0)
    assert int((shares[:5] > 0).sum()) > 5


def test_shares_stay_what_they_are_and_missing_sensors_spread(game):
    soft = torch.rand(21, 3).softmax(1)
    there = torch.arange(21) % 2 == 0
    game.batch = replace(game.batch, targets={**game.batch.targets, "movement": soft}, present={"gyro": there})
    ManifoldMixup()(game)
    shares = game.batch.targets["who"]
    torch.testing.assert_close(game.batch.targets["movement"], shares @ soft)
    assert torch.equal(game.batch.present["gyro"], ~((shares > 0) & ~there).any(1))


def test_others_answer_as_they_are_asked(toy, game):
    teacher = toy.teacher().frozen()
    game.players = {**game.players, "teacher": teacher}
    told, student = teacher.answer(game.signals("teacher")), game.look
    game.look = lambda name, forward=None: told if name == "teacher" else student(name, forward)
    assert ManifoldMixup()(game)["teacher"] is told


# What is drawn


def test_places_shares_and_partners_are_drawn_for_each_step(game):
    """Places equally often, shares from the folded Beta law, pairs equally often; nobody is two windows' partner at once."""
    net = game.players["student"].net.eval()
    plain, batch, clean = game.look("student"), game.batch, game.players["student"].sees(game.signals("student"))
    inputs = []
    net.scaler.register_forward_hook(lambda module, given, out: inputs.append(given[0]))
    counts, kept, met = torch.zeros(4), [], torch.zeros(21, 21)
    for key in range(400):
        game.batch, game.key = batch, key
        mixed = ManifoldMixup(alpha=2.0)(game)["student"]
        stages = [inputs[-1], *mixed.features]
        counts[next(i for i, x in enumerate([clean, *plain.features]) if not torch.equal(x, stages[i]))] += 1
        shares = game.batch.targets["who"]
        own = shares.diagonal()
        kept += own[own < 1].tolist()
        others = shares - own.diag() > 0
        assert int(others.sum(0).max()) == 1
        met += others
    assert stats.chisquare(counts).pvalue > P
    assert stats.kstest(kept, lambda x: 2 * stats.beta(2, 2).cdf(x) - 1).pvalue > P
    assert stats.chisquare(met[~torch.eye(21, dtype=torch.bool)]).pvalue > P


def test_the_same_key_mixes_alike(game):
    game.players["student"].net.eval()
    batch = game.batch
    first, labels = ManifoldMixup()(game)["student"], game.batch.targets["who"]
    game.batch = batch
    assert same(first, ManifoldMixup()(game)["student"])
    assert torch.equal(labels, game.batch.targets["who"])
    game.batch, game.key = batch, 4
    ManifoldMixup()(game)
    assert not torch.equal(labels, game.batch.targets["who"])


# In training


class Remembering(Objective):
    """Cross-entropy that keeps the labels it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, context):
        self.seen.append(context.y)
        return {"ce": -(context.y * context.outputs["student"].logits.log_softmax(1)).sum(1)}


def test_losses_see_mixed_labels_and_a_run_repeats(toy):
    runs = []
    for seed in (0, 0, 1):
        player = toy.player(toy.net(dropout=0.5))
        (phase,) = toy.phases("ce", player)
        phase.outputs, phase.objective = ManifoldMixup(), Remembering()
        toy.fit([phase], seed=seed)
        runs.append((toy.state(player.net), torch.stack(phase.objective.seen)))
    (state, seen), (again, _), (other, otherwise) = runs
    assert toy.equal(state, again)
    assert not toy.equal(state, other)
    assert not torch.equal(seen, otherwise)
    torch.testing.assert_close(seen.sum(2), torch.ones(seen.shape[:2]))
    assert 0.3 < float((seen.max(2).values < 1).double().mean()) < 0.9  # with another class, about two thirds


# What cannot be


@pytest.mark.parametrize("stages", [(3,), (-4,), (0, 7)])
def test_a_stage_that_the_net_lacks_is_refused(game, stages):
    with pytest.raises(UsageError, match=r"manifold mixup after stage (3|-4|7) of 'student', whose net has 3 stages"):
        ManifoldMixup(stages=stages)(game)


def test_a_net_whose_stages_do_not_stand_in_a_row_is_mixed_at_its_input_only(game):
    class Odd(Net):
        def forward(self, x):
            return super().forward(x)

    net = game.players["student"].net
    game.players = {"student": replace(game.players["student"], net=Odd(net.stem, net.stages, net.head, net.scaler))}
    with pytest.raises(UsageError, match=r"the stages of a Odd do not stand in a row: mix its inputs only \(stages=\(\)\)"):
        ManifoldMixup()(game)
    ManifoldMixup(stages=())(game)


def test_a_frozen_player_is_refused(game):
    game.players = {"student": game.players["student"].frozen()}
    with pytest.raises(UsageError, match="is for a player that trains; 'student' is frozen"):
        ManifoldMixup()(game)


def test_labels_per_sample_are_refused(game):
    game.batch = replace(game.batch, targets={"phase": torch.zeros(21, 32, dtype=torch.int64)})
    with pytest.raises(UsageError, match="'phase' has a label per sample"):
        ManifoldMixup()(game)


def test_parameters_that_mean_nothing_are_refused():
    with pytest.raises(UsageError, match="alpha from 0 up; got -1"):
        ManifoldMixup(alpha=-1)
    with pytest.raises(UsageError, match="needs a place to mix at"):
        ManifoldMixup(stages=(), inputs=False)


@pytest.mark.parametrize("name", ["dscnn-s", "resnet1d-s"])
def test_harkds_own_nets_can_be_mixed_everywhere(toy, game, name):
    net = build(name, Inputs.of(game.players["student"].sees), 3)
    game.players = {"student": replace(game.players["student"], net=net)}
    x = game.players["student"].sees(game.signals("student"))
    game.look = lambda who, forward=None: (forward or net)(x)
    for number in range(len(net.stages)):
        assert bool(ManifoldMixup(stages=(number,), inputs=False)(game)["student"].logits.isfinite().all())
