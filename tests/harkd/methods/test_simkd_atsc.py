"""The teacher's head, reused: what moves in which step, what is held where it began, and the two methods beside each other."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harkd.augment import Batch, parse
from harkd.datasets import Sees
from harkd.engine import Phase, fit
from harkd.errors import UsageError
from harkd.methods.atsc import Anchor, BiasOnly
from harkd.nets import Inputs, Outputs, PooledHead, build
from harkd.nets.fusion import fusion
from harkd.nets.reused import head_name
from harkd.objectives import Context, CrossEntropy
from harkd.optimiser import Optimiser
from harkd.options import ATSC, SimKD
from harkd.player import Player, predict
from harkd.reusing import ProjectedHint
from harkd.schedule import Progress

TEACHER, HEAD = "dscnn-s", "mean32"
PLAIN = Optimiser("sgd", rate=0.05, weight_decay=0.0, momentum=0.0, clip=0.0)


def cast(toy: Any, teachers: int = 1, **more: Any) -> dict[str, Player]:
    names = ["teacher"] if teachers == 1 else [f"teacher-{n}" for n in range(1, teachers + 1)]
    told = {name: Player.create(TEACHER, "all", toy.train, name=name, **more) for name in names}
    student = Player.create("~".join(["dscnn-xs", *[HEAD] * teachers]), "acc", toy.train)
    return {"student": student} | told


def states(players: dict[str, Player]) -> dict[str, Tensor]:
    return {f"{name} {key}": v.clone() for name, player in players.items() for key, v in player.net.state_dict().items()}


def moved(players: dict[str, Player], before: dict[str, Tensor]) -> set[str]:
    """Parts that have other parameters now: student body, teacher head ..."""
    parts = set()
    for name, player in players.items():
        for key, p in player.net.named_parameters():
            if not torch.equal(p, before[f"{name} {key}"]):
                parts.add(f"{name} {'head' if key.startswith('head.') else 'body'}")
    return parts


def atsc(toy: Any, players: dict[str, Player], epochs: int = 1, optimiser: Optimiser = PLAIN, **options: Any) -> Phase:
    (phase,) = toy.play("atsc", players, options=ATSC(**options), epochs=epochs, optimiser=optimiser)
    return phase


# The hint


def context(mine: Tensor, told: dict[str, Tensor], masks: dict[str, Tensor] | None = None) -> Context:
    number = torch.arange(len(mine))
    outputs = {name: Outputs(torch.zeros(len(mine), 3), (maps,)) for name, maps in {"student": mine, **told}.items()}
    return Context(Batch({}, {"y": number}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y", masks=masks or {})


def test_the_longer_map_is_averaged_to_the_shorter_one() -> None:
    long, short = torch.tensor([[[1.0, 3.0, 5.0, 5.0]], [[0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[2.0, 4.0]], [[3.0, -1.0]]])
    hint = ProjectedHint(("teacher",))
    assert hint(context(long, {"teacher": short}))["hint"].tolist() == [0.5, 5.0]
    assert hint(context(short, {"teacher": long}))["hint"].tolist() == [0.5, 5.0]


def test_each_teacher_has_its_maps_and_the_mean_counts() -> None:
    told = {"teacher-1": torch.ones(2, 2, 4), "teacher-2": torch.zeros(2, 1, 1)}
    mine = torch.cat([torch.zeros(2, 2, 4), torch.full((2, 1, 4), 3.0)], 1)
    hint = ProjectedHint(("teacher-1", "teacher-2"))
    assert hint(context(mine, told))["hint"].tolist() == [5.0, 5.0]  # (1 + 9) / 2
    there = {"teacher-2": torch.tensor([True, False])}
    assert hint(context(mine, told, there))["hint"].tolist() == [5.0, 0.5]


# SimKD


def test_the_head_is_the_teachers_and_never_gets_a_gradient(toy: Any) -> None:
    players = cast(toy)
    (phase,) = toy.play("simkd", players)
    student, teacher = phase.players["student"], players["teacher"]
    before = states(players)
    assert torch.equal(student.net.head.linear.weight, teacher.net.head.linear.weight)
    toy.fit([phase])
    assert moved(players, before) == {"student body"}
    assert all(p.grad is None and not p.requires_grad for p in student.net.head.parameters())
    assert torch.equal(student.net.head.linear.weight, teacher.net.head.linear.weight)
    assert student.net.head.linear.weight is not teacher.net.head.linear.weight


@pytest.mark.parametrize("teachers", [1, 2])
def test_the_student_learns_to_answer_as_its_teachers_do(toy: Any, teachers: int) -> None:
    """Nine windows, no label: its logits come near the mean of the teachers'."""
    players, few = cast(toy, teachers), toy.train.subset(torch.arange(9) * 7)
    told = [player for name, player in players.items() if name != "student"]
    for player in told:
        toy.fit(toy.phases("ce", player, epochs=20), train=few, validation=None)
    history = toy.fit(toy.play("simkd", players, epochs=100), train=few, validation=None)
    assert history[-1]["terms"]["hint"] < 0.3 * history[0]["terms"]["hint"]
    wanted = torch.stack([predict(player, few) for player in told]).mean(0)
    assert (predict(players["student"], few) - wanted).abs().mean() < 0.35 * wanted.std()


def test_with_the_teachers_maps_the_logits_are_the_teachers(toy: Any) -> None:
    players = cast(toy)
    toy.play("simkd", players)
    net, teacher = players["student"].net.eval(), players["teacher"].net.eval()
    told = teacher(torch.randn(4, 6, 32))
    torch.testing.assert_close(net.head(told.features[-1])[0], told.logits)
    assert net.tail(told.features[-1], len(net.stages) - 1).equal(net.head(told.features[-1])[0])


# ATSC


def test_the_anchor_by_hand(toy: Any) -> None:
    players = cast(toy)
    number = torch.arange(2)
    nets = {name: player.net for name, player in players.items()}
    given = Context(Batch({}, {}, number, number, number), {}, nets, Progress(0, 1, 0, 1), "y")
    teacher = nets["teacher"]
    linear, kernel, scale = teacher.head.linear.weight, teacher.stem.body[0].weight, teacher.stem.body[1].weight
    for released in (False, True):
        anchor = Anchor(("teacher",), released)
        anchor.ready(given, None)  # type: ignore[arg-type]
        start = anchor(given)["anchor"]
        assert start.item() == 0.0
        held = anchor.weights(given)
        assert all(not g.any() for g in torch.autograd.grad(start, held))
        with torch.no_grad():
            for p, far in ((kernel, 0.5), (linear, 1.0), (scale, 2.0)):
                p.add_(far)
        wanted = 0.25 * kernel.numel() + (1.0 * linear.numel() if released else 4.0 * scale.numel())
        assert anchor(given)["anchor"].item() == pytest.approx(wanted, rel=1e-5)
    twice = Anchor(("teacher", "teacher"), False)
    twice.ready(given, None)  # type: ignore[arg-type]
    assert twice(given)["anchor"].item() == 0.0


@pytest.mark.parametrize("head", ["all", "bias"])
def test_what_each_step_moves(toy: Any, head: Any) -> None:
    """Step 1 alone leaves the head, step 2 alone everything else; of the released form only the bias learns from labels."""
    for step, wanted in ((0, {"student body", "teacher body"}), (1, {"student head", "teacher head"})):
        players = cast(toy)
        phase = atsc(toy, players, head=head)
        before = states(players)
        phase.steps = [phase.steps[step]]
        history = toy.fit([phase])
        assert moved(players, before) == wanted
        linear = players["teacher"].net.head.linear
        assert torch.equal(linear.weight, before["teacher head.linear.weight"]) == (step == 0 or head == "bias")
        assert torch.equal(linear.bias, before["teacher head.linear.bias"]) == (step == 0)
        assert set(history[0]["terms"]) == {"ce", "ce teacher", "hint", "anchor", "gradient norm"}
        assert (history[0]["terms"]["anchor"] > 0) == (step == 0)


def test_the_head_is_one_module(toy: Any) -> None:
    players = cast(toy)
    toy.fit([atsc(toy, players)])
    student, teacher = players["student"].net, players["teacher"].net
    assert student.head is teacher.head
    assert torch.equal(student.head.linear.weight, teacher.state_dict()["head.linear.weight"])


def test_the_hint_moves_the_teacher_too(toy: Any) -> None:
    """And would not, if the teacher's maps were detached."""
    for detached in (False, True):
        players = cast(toy)
        phase = atsc(toy, players, anchor_weight=0.0)
        phase.steps = phase.steps[:1]
        if detached:
            phase.outputs = lambda game: {"student": game.look("student"), "teacher": game.look("teacher").detach()}
        before = states(players)
        toy.fit([phase])
        assert moved(players, before) == ({"student body"} if detached else {"student body", "teacher body"})


@pytest.mark.parametrize(("weight", "near"), [(0.0, False), (1.0, False), (1e6, True)])
def test_a_strong_anchor_holds_the_teacher(toy: Any, weight: float, near: bool) -> None:
    players = cast(toy)
    before = states(players)
    toy.fit([atsc(toy, players, epochs=4, optimiser=Optimiser(rate=5e-4), anchor_weight=weight)])
    kernels = {key: p for key, p in players["teacher"].net.named_parameters() if p.dim() > 1 and not key.startswith("head.")}
    far = max((p - before[f"teacher {key}"]).abs().max().item() for key, p in kernels.items())
    assert (far < 1e-3) == near


def test_a_batch_by_hand(toy: Any) -> None:
    """Plain gradient descent: hint and anchor move student and body, everybody answers anew, and labels move the head."""
    players = cast(toy)
    twins = copy.deepcopy({name: player.net for name, player in players.items()})
    phase = atsc(toy, players, anchor_weight=0.1)
    phase.curriculum.batch = len(toy.train)
    toy.fit([phase])
    twins["student"].head = twins["teacher"].head
    x, y = toy.train.gather(torch.arange(len(toy.train))), toy.train.labels
    order = phase.curriculum.take(0).index
    seen = {name: player.sees({key: v[order] for key, v in x.items()}) for name, player in players.items()}
    for net in twins.values():
        net.train()
    body = [p for name, net in twins.items() for key, p in net.named_parameters() if not key.startswith("head.")]
    told = {name: net(seen[name]) for name, net in twins.items()}
    mine, theirs = (told[name].features[-1] for name in ("student", "teacher"))
    assert mine.shape == theirs.shape
    gradients = torch.autograd.grad((mine - theirs).square().mean(), body)  # the anchor begins at its minimum
    with torch.no_grad():
        for p, g in zip(body, gradients, strict=True):
            p -= 0.05 * g
    head = list(twins["teacher"].head.parameters())
    loss = torch.nn.functional.cross_entropy(twins["teacher"](seen["teacher"]).logits, y[order])
    with torch.no_grad():
        for p, g in zip(head, torch.autograd.grad(loss, head), strict=True):
            p -= 0.05 * g
    for name, player in players.items():
        for key, p in player.net.named_parameters():
            torch.testing.assert_close(p, dict(twins[name].named_parameters())[key], rtol=1e-4, atol=1e-5)


def test_who_decays(toy: Any) -> None:
    assert atsc(toy, cast(toy)).undecayed == ("teacher",)
    assert atsc(toy, cast(toy, 2)).undecayed == ("teacher-1", "teacher-2")
    assert atsc(toy, cast(toy), head="bias").undecayed == ()
    for head, same in (("all", True), ("bias", False)):  # in step 1 nothing but decay could move the head's weights
        players = cast(toy)
        phase = atsc(toy, players, head=head, optimiser=replace(PLAIN, weight_decay=0.1))
        phase.steps = phase.steps[:1]
        before = states(players)
        toy.fit([phase])
        assert torch.equal(players["teacher"].net.head.linear.weight, before["teacher head.linear.weight"]) == same


def test_the_bias_alone_learns_from_labels() -> None:
    net = torch.nn.Module()
    net.head = PooledHead(4, 3)
    maps = torch.randn(5, 4, 6).requires_grad_()
    number = torch.arange(5) % 3
    outputs = {"teacher": Outputs(net.head(maps)[0], (maps,))}
    given = Context(Batch({}, {"y": number}, number, number, number), outputs, {"teacher": net}, Progress(0, 1, 0, 1), "y")  # type: ignore[dict-item]
    loss, plain = BiasOnly("teacher")(given)["ce teacher"], CrossEntropy("teacher")(given)["ce teacher"]
    assert torch.equal(loss, plain)
    of = [net.head.linear.weight, net.head.linear.bias, maps]
    found = torch.autograd.grad(loss.sum(), of, allow_unused=True)
    assert [gradient is not None for gradient in found] == [False, True, False]
    torch.testing.assert_close(found[1], torch.autograd.grad(plain.sum(), of)[1])


def test_a_teacher_that_stays_is_simkd(toy: Any) -> None:
    ends = []
    for key, options in (("atsc", ATSC(adapt=False)), ("simkd", SimKD())):
        players = cast(toy)
        history = toy.fit(toy.play(key, players, options=options, draws=2))
        ends.append((states(players), [(record["terms"], record["scores"]) for record in history]))
    assert toy.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_a_teacher_that_is_held_gives_the_student_the_gradients_of_simkd(toy: Any) -> None:
    """The first step with the teacher frozen and no anchor, and nobody who teaches the head."""
    ends = []
    for key in ("atsc", "simkd"):
        players = cast(toy)
        (phase,) = toy.play(key, players, options=None, epochs=1, optimiser=PLAIN)
        phase.steps = [replace(phase.steps[0], players=("student.body",), weights={"hint": 1.0})]
        if key == "atsc":
            phase.players = {"student": phase.players["student"], "teacher": phase.players["teacher"].frozen()}
        toy.fit([phase])
        ends.append(toy.state(players["student"].net))
    assert toy.equal(*ends)


@pytest.mark.parametrize(("key", "teachers"), [("simkd", 1), ("atsc", 1), ("atsc", 2)])
def test_what_is_deployed_needs_no_teacher(toy: Any, key: str, teachers: int) -> None:
    """Its weights in a net of its name, made anew: projector and heads are in it, the teachers' bodies are not."""
    players = cast(toy, teachers)
    toy.fit(toy.play(key, players))
    student = players["student"]
    wanted = predict(student, toy.val)
    with torch.no_grad():
        for name in players.keys() - {"student"}:
            for key, weight in players[name].net.named_parameters():
                if not key.startswith("head."):
                    weight.fill_(torch.nan)
    made = build("~".join(["dscnn-xs", *[HEAD] * teachers]), Inputs.of(student.sees), 3)
    made.scaler = student.net.scaler
    made.load_state_dict(student.net.state_dict())
    assert torch.equal(predict(Player(made, student.sees), toy.val), wanted)


@pytest.mark.parametrize(("key", "options"), [("simkd", None), ("atsc", ATSC()), ("atsc", ATSC(head="bias"))])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Any, key: str, options: Any) -> None:
    """The anchor's start too: when the run goes on, the teacher is elsewhere already."""

    def run(keeper: Any = None) -> dict[str, Tensor]:
        players = cast(toy)
        fit(toy.play(key, players, options=options, epochs=2), toy.train, toy.val, device="cpu", keeper=keeper)
        return states(players)

    assert toy.equal(*goes_on(run, 5))


def test_a_student_with_another_head_is_refused(toy: Any) -> None:
    for key in ("simkd", "atsc"):
        players = cast(toy) | {"student": Player.create("dscnn-xs", "acc", toy.train)}
        with pytest.raises(UsageError, match=r"has a name that ends in ~mean32$"):
            toy.play(key, players)
    with pytest.raises(UsageError, match="anchor_weight"):
        ATSC(anchor_weight=-1.0)


@pytest.mark.parametrize("key", ["simkd", "atsc"])
@pytest.mark.parametrize(
    ("net", "sees", "teacher", "told"),
    [
        ("dscnn-xs", "acc", "resnet1d-s", "all"),
        ("wrn1d-10-1", "all@20Hz", "patchformer-xs", "gyro"),
        ("patchformer-xs", "acc@80Hz", "dscnn-s", "all"),
        ("eegnet-4-2", "gyro[z]", "", "all"),  # a fused net, whose only map is one step long
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_students_and_teachers_of_all_shapes(
    toy: Any, key: str, net: str, sees: str, teacher: str, told: str, precision: Any
) -> None:
    other = Player.create(teacher, told, toy.train, name="teacher") if teacher else two_branches(toy)
    player = Player.create(f"{net}~{head_name(other.net.head)}", sees, toy.train, augment=parse("jitter(0.1)|mixup(0.4)"))
    players = {"student": player, "teacher": other}
    phases = toy.play(key, players, draws=2, epochs=2)
    before = states(players)
    history = toy.fit(phases, precision=precision)
    assert all(torch.tensor(list(record["terms"].values())).isfinite().all() for record in history)
    wanted = {"student body"} if key == "simkd" else {"student body", "student head", "teacher body", "teacher head"}
    assert moved(players, before) == wanted


def two_branches(toy: Any) -> Player:
    view = Sees.parse("all", toy.train.sensors, toy.train.lengths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [("dscnn-xs", frozenset({"acc"})), ("wrn1d-10-1", frozenset({"gyro"}))]
        player: Player = toy.player(fusion(parts, Inputs.of(view), 3, build))
    return player
