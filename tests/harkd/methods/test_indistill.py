"""InDistill: whose turn it is, which channels are kept, who moves when, and what the method reduces to."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.augment import Batch, parse
from harkd.engine import At, Moment
from harkd.errors import UsageError
from harkd.methods.indistill import Copied, from_everywhere, separable
from harkd.nets import Net, Outputs, PooledHead, build, staged
from harkd.nets.pruning import strongest, written_by
from harkd.objectives import Context
from harkd.options import KD, PKT, InDistill
from harkd.player import Player
from harkd.relations import separability
from harkd.schedule import Progress, Turns


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Turns


def test_turns_by_hand() -> None:
    """Epochs 0, 2, 3, 6, 7, 11 and 12 belong to stages 1, 1, 2, 2, 3, 3 and to the base method."""
    turns = Turns((3, 4, 5))
    assert [turns(Progress(epoch, 60, 0, 1)) for epoch in (0, 2, 3, 6, 7, 11, 12)] == [0, 0, 1, 1, 2, 2, 3]
    assert Turns((0, 2, 0, 1))(Progress(0, 3, 0, 1)) == 1
    assert Turns((0, 2, 0, 1))(Progress(2, 3, 0, 1)) == 3


@pytest.mark.parametrize(
    ("lengths", "epochs", "known"),
    [
        ((3, 4, 5), 12, (3, 4, 5)),
        ((3, 4, 5), 6, (2, 2, 2)),
        ((3, 4, 5), 3, (1, 1, 1)),
        ((3, 4, 5), 1, (0, 1, 0)),
        ((3, 4, 5), 0, (0, 0, 0)),
        ((3, 4, 5, 6), 9, (2, 2, 2, 3)),
    ],
)
def test_turns_are_shortened_in_proportion(lengths: tuple[int, ...], epochs: int, known: tuple[int, ...]) -> None:
    assert Turns(lengths).within(epochs) == Turns(known)


@pytest.mark.parametrize(
    ("stages", "epochs", "turns"),
    [(3, 60, (3, 4, 5)), (4, 60, (3, 4, 5, 6)), (1, 60, (3,)), (3, 24, (3, 4, 5)), (3, 10, (1, 2, 2)), (3, 1, ())],
)
def test_phases(toy: Any, stages: int, epochs: int, turns: tuple[int, ...]) -> None:
    """The turns of L stages take the sum of 2 + i epochs for i = 1 ... L, and half of all epochs at most."""
    one = staged(nn.Identity(), [nn.Conv1d(6, 8, 3)], PooledHead(8, 3))
    teacher = toy.player(toy.net(width=12, deeper=2))
    phases = toy.phases("indistill", toy.player(toy.net(deeper=stages - 2) if stages > 1 else one), teacher, epochs=epochs)
    assert [(phase.name, phase.epochs) for phase in phases] == [
        *([("warm-up", sum(turns))] if turns else []),
        ("distil", epochs - sum(turns)),
    ]
    if turns:
        weights = phases[0].steps[0].weights
        assert list(weights) == [f"stage {place + 1}" for place in range(stages)]
        ends = list(accumulate(turns))
        for epoch in range(sum(turns)):
            found = [weight(Progress(epoch, sum(turns), 0, 1)) for weight in weights.values()]  # type: ignore[operator]
            assert found == [float(sum(end <= epoch for end in ends) == place) for place in range(stages)]


# What is kept


def test_filters_with_the_largest_norms_are_kept_in_order() -> None:
    conv = nn.Conv1d(1, 4, 2)
    conv.weight.data = torch.tensor([[[3.0, 0.0]], [[-0.5, 0.5]], [[1.0, -1.0]], [[-4.0, 1.0]]])
    assert strongest(nn.Sequential(conv, nn.BatchNorm1d(4), nn.ReLU()), draw(2, 4, 9), 2).tolist() == [0, 3]
    assert strongest(conv, draw(2, 4, 9), 3).tolist() == [0, 2, 3]
    assert strongest(nn.Sequential(conv, nn.ReLU(), nn.MaxPool1d(2)), draw(2, 4, 9), 3).tolist() == [0, 2, 3]
    assert strongest(conv, draw(2, 4, 9), 4).tolist() == [0, 1, 2, 3]
    conv.weight.data = torch.ones(4, 1, 2)
    assert strongest(conv, draw(2, 4, 9), 2).tolist() == [0, 1], "the first of equals"


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_where_no_filter_makes_a_channel_its_activation_decides() -> None:
    maps = torch.tensor([0.1, -5.0, 2.0, 0.0])[None, :, None] * torch.ones(3, 4, 6)
    for stage in (Sum(), nn.Sequential(nn.Conv1d(4, 4, 1), Sum()), nn.Identity()):
        assert written_by(stage) is None
        assert strongest(stage, maps, 2).tolist() == [1, 2]


def test_the_layers_that_write_the_stages_of_nets() -> None:
    dscnn, wrn, former = (build(name, 6, 3) for name in ("dscnn-s", "wrn1d-16-1", "patchformer-xs"))
    for stage in dscnn.stages:
        writer = written_by(stage)
        assert writer is not None
        assert writer.kernel_size == (1, 1), "the convolution of kernel 1, not the one over time"
    assert all(written_by(stage) is None for stage in (*wrn.stages, *former.stages))


def test_keeping_channels_is_what_pruning_the_layer_leaves(toy: Any) -> None:
    """A convolution with fewer filters and a batch norm with fewer channels, in eval mode."""
    net: Net = toy.net(width=12, seed=3)
    net(3 * draw(32, 6, 32) + 1)
    net.eval()
    x = draw(5, 6, 32, seed=1)
    with torch.no_grad():
        first = net(x).features[0]
        conv, norm, _ = net.stages[1]
        kept = strongest(net.stages[1], net(x).features[1], 10)
        pruned, small = nn.Conv1d(12, 10, 3, 2, padding=1), nn.BatchNorm1d(10)
        pruned.weight.data, pruned.bias.data = conv.weight[kept], conv.bias[kept]
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(small, name).data = getattr(norm, name).data[kept]
        wanted = torch.relu(small.eval()(pruned(first)))
        torch.testing.assert_close(net(x).features[1][:, kept], wanted)
    norms = conv.weight.abs().sum((1, 2))
    assert set(kept.tolist()) == set(norms.topk(10).indices.tolist())


def copied(toy: Any, student: Any, teacher: Any, train: Any = None, **options: Any) -> Copied:
    """The objective of the warm-up, bound."""
    warm_up, _ = toy.phases("indistill", student, teacher, options=InDistill(**options), epochs=60)
    warm_up.epochs = 1
    warm_up.optimiser = type(warm_up.optimiser)("sgd", rate=0.0, momentum=0.0, weight_decay=0.0)
    toy.fit([warm_up], train=train or toy.train)
    assert isinstance(warm_up.objective, Copied)
    return warm_up.objective


def test_activations_are_those_of_windows_from_everywhere(toy: Any) -> None:
    """The first batch is one movement alone, for which other channels are active."""
    train = toy.train.subset(toy.train.labels.argsort(stable=True))
    teacher = Player.create("wrn1d-10-1", "all", train, name="teacher")
    toy.fit(toy.phases("ce", teacher))
    told = teacher.frozen().answer(train.gather(torch.arange(63))).features[1:]
    objective = copied(toy, toy.player(), teacher, train=train)
    kept = [set(objective.get_buffer(f"kept_{place}").tolist()) for place in (0, 1)]

    def strong(windows: int) -> list[set[int]]:
        levels = [maps[:windows].abs().mean((0, 2)) for maps in told]
        return [set(level.topk(width).indices.tolist()) for level, width in zip(levels, (8, 16), strict=True)]

    assert kept == strong(63)
    assert kept != strong(16)


@pytest.mark.parametrize(
    ("number", "wanted"), [(3, [0, 21, 42]), (63, list(range(63))), (32, list(range(0, 63, 2))), (1000, list(range(63)))]
)
def test_windows_are_evenly_spaced(toy: Any, number: int, wanted: list[int]) -> None:
    assert torch.equal(from_everywhere(toy.train, number)["acc"], toy.train.gather(torch.tensor(wanted))["acc"])


def test_windows_that_the_teacher_does_not_see_are_not_asked_for(toy: Any) -> None:
    """Neither for what is kept nor for the turns: a missing sensor is all zeros."""
    there = torch.arange(63) % 3 > 0
    some = replace(toy.train, present={"gyro": there})
    few = toy.train.subset(there.nonzero()[:, 0])
    assert separable(toy.teacher().frozen(), some) == separable(toy.teacher().frozen(), few)
    teacher = Player.create("wrn1d-10-1", "all", toy.train, name="teacher")
    found = [copied(toy, toy.player(), teacher, train=train) for train in (some, few)]
    for place in (0, 1):
        assert torch.equal(*(objective.get_buffer(f"kept_{place}") for objective in found))


def test_a_narrower_student_is_not_projected(toy: Any) -> None:
    objective = copied(toy, toy.player(), toy.teacher())
    assert not list(objective.parameters())
    assert [len(objective.get_buffer(f"kept_{place}")) for place in (0, 1)] == [8, 16]


def test_equal_widths_prune_nothing(toy: Any) -> None:
    objective = copied(toy, toy.player(toy.net(width=12)), toy.teacher())
    assert not list(objective.parameters())
    assert [objective.get_buffer(f"kept_{place}").tolist() for place in (0, 1)] == [list(range(12)), list(range(24))]


def test_a_wider_student_is_projected(toy: Any) -> None:
    objective = copied(toy, toy.player(toy.net(width=20)), toy.teacher())
    assert [tuple(p.shape) for p in objective.parameters()] == [(12, 20, 1), (12,), (12,), (24, 40, 1), (24,), (24,)]


def test_a_student_that_is_the_kept_part_has_no_loss(toy: Any) -> None:
    """Its features are the kept channels of the teacher's; then one of them is off by 2, in eight of 128 numbers."""
    player = toy.player(toy.net(width=12, seed=3)).frozen()
    teacher = player.net.eval()
    told = teacher(draw(5, 6, 32))
    kept = [strongest(stage, maps, width) for stage, maps, width in zip(teacher.stages, told.features, (8, 16), strict=True)]
    number = torch.arange(5)

    def context(off: float) -> Context:
        mine = [maps[:, chosen].clone() for maps, chosen in zip(told.features, kept, strict=True)]
        mine[1][:, 3] += off
        outputs = {"student": Outputs(told.logits, tuple(mine)), "teacher": told}
        batch = Batch({}, {"y": number}, number, number, number)
        return Context(batch, outputs, {"teacher": teacher}, Progress(0, 1, 0, 1), "y")

    objective = Copied(InDistill(), Turns((3, 4)), {"teacher": player})
    objective.bind(context(0.0), toy.train)
    for off, wanted in ((0.0, 0.0), (2.0, 4 / 16)):
        terms = objective(context(off))
        assert terms["stage 1"].tolist() == [0.0] * 5
        assert terms["stage 2"].tolist() == pytest.approx([wanted] * 5, rel=1e-6)


# Who moves when


class Watch:
    """Writes down after each epoch which parts of the student have moved in it."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.seen = net, list[set[str]]()
        self.before = self.now()

    def now(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.net.named_parameters()}

    def __call__(self, moment: Moment) -> None:
        after = self.now()
        moved = {name for name, value in after.items() if not torch.equal(value, self.before[name])}
        self.seen.append({".".join(name.split(".")[: 2 if name.startswith("stages") else 1]) for name in moved})
        self.before = after


def test_what_lies_behind_the_stage_of_a_turn_does_not_move(toy: Any) -> None:
    student = toy.player(toy.net(deeper=1))
    watch = Watch(student.net)
    options = InDistill(turns=(1, 2, 1))
    teacher = toy.player(toy.net(width=12, deeper=1, seed=100))
    toy.fit(toy.phases("indistill", student, teacher, options=options, epochs=8, at=(At("epoch", watch),)))
    first = {"stem", "stages.0"}
    second, third = first | {"stages.1"}, first | {"stages.1", "stages.2"}
    assert watch.seen == [first, second, second, third, *[third | {"head"}] * 4]


def test_stages_are_learned_in_turn(toy: Any) -> None:
    student, teacher = toy.player(sees="acc@25Hz"), toy.teacher()
    history = toy.fit(toy.phases("indistill", student, teacher, options=InDistill(turns=(4, 4)), epochs=16))
    terms = [record["terms"] for record in history[:8]]
    assert terms[3]["stage 1"] < 0.7 * terms[0]["stage 1"]
    assert terms[7]["stage 2"] < 0.7 * terms[4]["stage 2"]
    assert set(history[0]["terms"]) == {"stage 1", "stage 2", "gradient norm"}
    assert set(history[8]["terms"]) == {"ce", "kl", "pkt", "gradient norm"}


def test_the_student_copies_the_assistant_where_there_is_one(toy: Any) -> None:
    players = {"student": toy.player(), "teacher": toy.teacher(), "assistant-1": toy.player(toy.net(width=10, seed=7))}
    for phase in toy.play("indistill", players, epochs=8):
        assert phase.players["teacher"].net is players["assistant-1"].net
        assert phase.players["teacher"].mode == "frozen"


@pytest.mark.parametrize(
    ("options", "other"),
    [
        pytest.param(InDistill(turns=(0, 0), base="kd"), ("kd", KD()), id="without turns it is kd"),
        pytest.param(InDistill(turns=(0, 0), pkt_weight=7.0), ("pkt", PKT(pkt_weight=7.0)), id="without turns it is pkt"),
        pytest.param(InDistill(turns=(0, 0), pkt_weight=0.0), ("kd", KD()), id="pkt without weight is kd"),
    ],
)
def test_equal_methods_are_equal_to_the_bit(toy: Any, options: InDistill, other: Any) -> None:
    ends = []
    for key, chosen in (("indistill", options), other):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(key, student, toy.teacher(), options=chosen))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_the_base_has_the_weights_of_its_options(toy: Any) -> None:
    for base, more in (("kd", {}), ("pkt", {"pkt": 3.0})):
        _, distil = toy.phases(
            "indistill", toy.player(), toy.teacher(), options=InDistill(base=base, weight=0.6, pkt_weight=3.0), epochs=8
        )
        assert distil.steps[0].weights == pytest.approx({"ce": 0.4, "kl": 0.6} | more)
        assert distil.objective.needs == ({"logits", "embedding"} if more else {"logits"}), "and the bank can serve it"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"turns": (3, 4, 5)}, "^indistill needs turns for 2 pairs of stages, got 3$"),
        ({"turns": (3,), "student_stages": (0, 1), "teacher_stages": (0, 1)}, "turns for 2 pairs of stages, got 1$"),
        ({"student_stages": (0,)}, "0 stages of 'teacher' cannot guide 1 of 'student'"),
    ],
)
def test_turns_and_stages_that_do_not_fit(toy: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        toy.phases("indistill", toy.player(), toy.teacher(), options=InDistill(**options), epochs=60)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"turns": (3, -1)}, "turns are numbers of epochs, 0 or more; got -1"), ({"pkt_weight": -1.0}, "pkt_weight")],
)
def test_options_out_of_range(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        InDistill(**options)


# Turns by separability


def test_separability_is_that_of_the_means_over_time(toy: Any) -> None:
    teacher = toy.teacher().frozen()
    told = teacher.answer(toy.train.gather(torch.arange(63)))
    wanted = [separability(maps.mean(2), toy.train.labels).item() for maps in told.features]
    assert separable(teacher, toy.train) == pytest.approx(wanted)


@pytest.mark.parametrize("known", [[], ["stem"], ["stem", "stages.0"]], ids=str)
def test_turns_go_where_the_teacher_tells_classes_better_apart(toy: Any, known: list[str]) -> None:
    """As many epochs together, in proportion to what the student lacks; none for a stage that it has from the teacher."""
    student, teacher = toy.player(toy.net(width=12, seed=1)), toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=4))
    for part in known:
        student.net.get_submodule(part).load_state_dict(teacher.net.get_submodule(part).state_dict())
    for parameter in student.net.stages[1].parameters():
        parameter.data.zero_()  # nothing is left of the classes there
    gaps = [max(0.0, b - a) for a, b in zip(separable(student, toy.train), separable(teacher, toy.train), strict=True)]
    assert gaps[1] > 0.1
    assert (gaps[0] == 0) == (len(known) == 2)
    found = copied(toy, student, teacher, turns_by="separability").get_buffer("turns").tolist()
    assert sum(found) == 7
    assert found[1] == pytest.approx(7 * gaps[1] / sum(gaps), abs=0.5001)


def test_a_student_as_good_as_its_teacher_keeps_the_turns_by_depth(toy: Any) -> None:
    student = toy.player(toy.net(width=12, seed=100))
    assert copied(toy, student, toy.teacher(), turns_by="separability").get_buffer("turns").tolist() == [3, 4]


@pytest.mark.parametrize("turns_by", ["depth", "separability"])
@pytest.mark.parametrize("step", [2, 9, 20])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Any, step: int, turns_by: Any) -> None:
    """A student that has learnt is no longer the one whose stages were measured: the turns come from what was saved."""

    def run(keeper: Any = None) -> dict[str, Tensor]:
        student = toy.player(toy.net(width=20, dropout=0.3), augment=parse("shifting(0.5)"))
        options = InDistill(turns=(2, 2), turns_by=turns_by)
        made = toy.phases("indistill", student, toy.teacher(), options=options, epochs=8)
        toy.fit(made, keeper=keeper)
        return toy.state(student.net)

    assert toy.equal(*goes_on(run, step))
