"""UMMKD: worked divergences of class means, what a missing class counts, whose statistics move, and one domain alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch, parse
from harkd.datasets import IGNORE
from harkd.domains import domain
from harkd.engine import Step, score
from harkd.errors import UsageError
from harkd.losses import cross_entropy
from harkd.methods import METHODS
from harkd.methods.ummkd import ClassMeans, DomainLabels, between, recipe
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import CE, UMMKD
from harkd.parts import Parts
from harkd.schedule import Progress


def batch(y: Tensor) -> Batch:
    number = torch.arange(len(y))
    return Batch({}, {"y": y}, number, number, number)


def context(told: Mapping[str, tuple[Tensor, Tensor]], **more: Any) -> Context:
    """Logits and labels by player; the first one is the student."""
    outputs = {name: Outputs(logits) for name, (logits, _) in told.items()}
    (_, (_, mine)), *others = told.items()
    elsewhere = {name: batch(y) for name, (_, y) in others}
    return Context(batch(mine), outputs, {}, Progress(0, 1, 0, 1), "y", elsewhere=elsewhere, **more)


def apart(*told: tuple[Tensor, Tensor], **more: Any) -> Tensor:
    names = ("student", *(f"domain-{n}" for n in range(1, len(told))))
    return ClassMeans(names, 2.0)(context(dict(zip(names, told, strict=True)), **more))["kl"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_class_means_by_hand() -> None:
    """Class 0 has the means (2, 0) and (0, 0), class 1 the same in both: of two classes one contributes 0.115529."""
    mine = torch.tensor([[3.0, 1.0], [1.0, -1.0], [5.0, 5.0]]), torch.tensor([0, 0, 1])
    theirs = torch.tensor([[5.0, 5.0], [4.0, 6.0], [6.0, 4.0], [0.0, 0.0]]), torch.tensor([1, 1, 1, 0])
    assert apart(mine, theirs).item() == pytest.approx(0.115529 / 2, abs=1e-6)
    assert apart(theirs, mine).item() == pytest.approx(0.115529 / 2, abs=1e-6)
    one = apart((mine[0][:2], mine[1][:2]), (theirs[0][3:], theirs[1][3:]))
    assert one.item() == pytest.approx(0.115529 / 2, abs=1e-6)  # class 1 is missing in both


def test_classes_that_are_missing_count_nothing() -> None:
    mine, theirs = draw(4, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    loss = apart((mine, torch.tensor([0, 0, 1, 0])), (theirs, torch.tensor([2, 2, 2, 2, 2])))
    assert loss.item() == 0.0
    loss.backward()
    for gradient in (mine.grad, theirs.grad):
        assert gradient is not None
        assert torch.equal(gradient, torch.zeros_like(gradient))
    shared = apart((mine, torch.tensor([0, 0, 1, 0])), (theirs, torch.tensor([2, 1, 2, 1, 2])))
    means = [mine[2:3].detach() / 2, theirs[[1, 3]].mean(0, keepdim=True).detach() / 2]
    p, q = (z.log_softmax(1) for z in means)
    assert shared.item() == pytest.approx((((p.exp() - q.exp()) * (p - q)).sum() / 2 / 3).item(), rel=1e-5)


def test_equal_means_are_at_rest_and_both_sides_move() -> None:
    mine, y = draw(4, 2).requires_grad_(), torch.tensor([0, 1, 0, 1])
    assert apart((mine, y), (mine.detach().flip(0), y.flip(0))).item() == pytest.approx(0.0, abs=1e-7)
    theirs = draw(4, 2, seed=1).requires_grad_()
    apart((mine, y), (theirs, y)).backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert bool(mine.grad.any())
    assert bool(theirs.grad.any())


def test_of_three_domains_the_mean_over_pairs() -> None:
    told = [(draw(6, 3, seed=n), torch.arange(6) % 3) for n in range(3)]
    pairs = [apart(told[i], told[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(apart(*told), torch.stack(pairs).mean())


def test_soft_unknown_and_unseen_windows() -> None:
    hard = draw(4, 2), torch.tensor([0, 1, IGNORE, 0])
    theirs = draw(3, 2, seed=1), torch.tensor([0, 1, 0])
    kept = torch.tensor([0, 1, 3])
    torch.testing.assert_close(apart(hard, theirs), apart((hard[0][kept], hard[1][kept]), theirs))
    there = {"student": torch.tensor([True, True, True, False])}
    seen = torch.tensor([0, 1])
    torch.testing.assert_close(apart(hard, theirs, masks=there), apart((hard[0][seen], hard[1][seen]), theirs))
    soft = draw(2, 2), torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    means = torch.stack([(0.25 * soft[0][0] + soft[0][1]) / 1.25, soft[0][0]]) / 2
    known = torch.tensor([True, True])
    others = torch.stack([theirs[0][[0, 2]].mean(0), theirs[0][1]]) / 2
    torch.testing.assert_close(apart(soft, theirs), between(means, known, others, known))


def test_labels_of_other_domains_are_a_mean() -> None:
    told = {
        "student": (draw(4, 3), torch.tensor([0, 1, 2, IGNORE])),
        "domain-1": (draw(5, 3, seed=1), torch.tensor([0, 0, 1, 2, 2])),
    }
    mine, theirs = (DomainLabels(name, UMMKD())(context(told)) for name in told)
    assert torch.equal(mine["ce"], cross_entropy(told["student"][1], told["student"][0]))
    assert torch.equal(theirs["ce domain-1"], cross_entropy(told["domain-1"][1], told["domain-1"][0]).mean())


def test_class_weights_by_hand() -> None:
    """Three windows of class 0 and one of class 1: weights 1/4 and 3/4, over their mean 3/8."""
    logits, y = draw(4, 2), torch.tensor([0, 0, 1, 0])
    weighted = DomainLabels("student", UMMKD(class_weights=True))
    plain = cross_entropy(y, logits)
    found = weighted(context({"student": (logits, y)}))["ce"]
    torch.testing.assert_close(found, plain * torch.tensor([2.0, 2.0, 6.0, 2.0]) / 3)
    even = torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(weighted(context({"student": (logits, even)}))["ce"], cross_entropy(even, logits))
    alone = weighted(context({"student": (logits, torch.zeros(4, dtype=torch.long))}))["ce"]
    assert bool(alone.isfinite().all())


@pytest.mark.parametrize("draws", [0, 2])
def test_one_domain_alone_is_cross_entropy(toy: Any, draws: int) -> None:
    ends = []
    for key in ("ummkd", "ce"):
        player = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)|mixup(0.4)"))
        plan = toy.plan(draws=draws)
        phases = (
            recipe({"student": player}, UMMKD(), plan) if key == "ummkd" else toy.phases("ce", player, options=CE(), draws=draws)
        )
        history = toy.fit(phases)
        ends.append((toy.state(player.net), [(record["terms"], record["scores"]) for record in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_kernels_are_shared_and_statistics_are_not(toy: Any) -> None:
    players = toy.cast("ummkd")
    before = {name: toy.state(player.net) for name, player in players.items()}
    (phase,) = toy.play("ummkd", players)
    history = toy.fit([phase])
    mine, theirs = (toy.state(players[name].net) for name in ("student", "domain-1"))
    apart = {name for name in mine if not name.startswith("scaler") and not torch.equal(mine[name], theirs.get(name, mine[name]))}
    norms = {name for name, _ in players["student"].net.named_modules() if name and name.endswith(".1")}  # conv, norm, ReLU
    assert apart
    assert {name.rpartition(".")[0] for name in apart} <= norms
    assert any(name.endswith("running_mean") for name in apart)
    assert all(not torch.equal(mine[name], before["student"][name]) for name in mine if name.endswith("0.weight"))
    assert set(history[0]["terms"]) == {"ce", "ce domain-1", "ce domain-2", "kl", "gradient norm"}
    assert set(history[0]["scores"]) == {"student"}, "validation windows are the student's"


def test_a_step_on_one_domain_leaves_the_others_norms_alone(toy: Any) -> None:
    """The other one is looked at, so its running statistics would follow: here nobody asks it."""
    players = toy.cast("ummkd")
    (phase,) = toy.play("ummkd", players)
    before = toy.state(players["domain-1"].net)
    phase.outputs = lambda game: {"student": game.look("student")}
    phase.objective, phase.steps = DomainLabels("student", UMMKD()), [Step({"ce": 1.0})]
    toy.fit([phase])
    after = toy.state(players["domain-1"].net)
    norms = {n: m for n, m in players["domain-1"].net.named_modules() if isinstance(m, torch.nn.BatchNorm1d)}
    assert len(norms) == 3
    assert all(
        torch.equal(after[f"{n}.{key}"], before[f"{n}.{key}"]) for n, module in norms.items() for key in module.state_dict()
    )
    assert any(not torch.equal(after[name], before[name]) for name in after), "the kernels are shared"


def test_a_domain_helps_where_windows_are_few(toy: Any) -> None:
    """Nine windows of the student's accelerometer, and 600 of other people's gyroscopes; scored on ten people more."""
    few = toy.train.subset(torch.arange(9) * 7)
    many, test = (toy.windows(each=10, subjects=tuple(map(str, numbers))) for numbers in (range(5, 25), range(25, 35)))
    gains = []
    for seed in range(3):
        found = {}
        for key in ("ce", "ummkd"):
            student = toy.player(toy.net(3, seed=seed), sees="acc")
            players, domains = {"student": student}, {}
            if key == "ummkd":
                parts = Parts(many, toy.val, toy.val, {})
                players["domain-1"], domains["domain-1"] = domain("domain-1", student, few, parts, "gyro")
            phases = METHODS[key](players, None, toy.plan(epochs=50, domains=domains))
            toy.fit(phases, train=few, validation=None, seed=seed)
            found[key] = score(student, test)["accuracy"]
        gains.append(found["ummkd"] - found["ce"])
    print(f"gains {gains}")
    assert min(gains) > 0.1
    assert sum(gains) / 3 > 0.2


def test_a_domain_is_needed(toy: Any) -> None:
    with pytest.raises(UsageError, match=r"^ummkd needs at least one domain, got none$"):
        toy.play("ummkd", {"student": toy.player()})
    for wrong in ({"domain_weight": -1.0}, {"temperature": 0.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            UMMKD(**wrong)
