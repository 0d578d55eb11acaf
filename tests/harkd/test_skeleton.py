"""A body's geometry by hand, what a skeleton net does not see, and fused nets: who gets which sensor, and what comes out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harkd.augment import Batch
from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Windows
from harkd.datasets.card import ClassTarget, Files, Licence
from harkd.engine import fit
from harkd.errors import UsageError
from harkd.methods import METHODS, Plan
from harkd.nets import Inputs, Net, Outputs, Seen, build
from harkd.nets.body import PARENTS, Streams, joints, middle, turned
from harkd.nets.skeleton import CHANNELS
from harkd.objectives import Context, CrossEntropy
from harkd.player import Player
from harkd.schedule import Progress

JOINTS = tuple(PARENTS)
BODY = Inputs(60, 30, 25.0, (Seen("body", "skeleton", CHANNELS),))
POSE = {
    "hip_center": (0, 0, 0), "spine": (0, 0.3, 0), "shoulder_center": (0, 0.5, 0), "head": (0, 0.7, 0.1),
    "left_shoulder": (-0.2, 0.45, 0), "left_elbow": (-0.3, 0.2, 0), "left_wrist": (-0.3, 0, 0.1), "left_hand": (-0.3, -0.1, 0.1),
    "right_shoulder": (0.2, 0.45, 0), "right_elbow": (0.3, 0.2, 0), "right_wrist": (0.3, 0, 0.1), "right_hand": (0.3, -0.1, 0.1),
    "left_hip": (-0.1, -0.1, 0), "left_knee": (-0.1, -0.5, 0), "left_ankle": (-0.1, -0.9, 0), "left_foot": (-0.1, -0.9, -0.1),
    "right_hip": (0.1, -0.1, 0), "right_knee": (0.1, -0.5, 0), "right_ankle": (0.1, -0.9, 0), "right_foot": (0.1, -0.9, -0.1),
}  # fmt: skip


def bodies(batch: int = 4, time: int = 30, seed: int = 0) -> Tensor:
    """People (batch, 60, time) who stand about two metres from the camera, look anywhere, and move a little."""
    draw = torch.Generator().manual_seed(seed)
    pose = torch.tensor([POSE[name] for name in JOINTS]).reshape(1, 20, 3, 1)
    moving = pose + 0.05 * torch.randn(batch, 20, 3, time, generator=draw).cumsum(3) / math.sqrt(time)
    away = torch.tensor([0.3, 0.1, 2.0]).reshape(1, 1, 3, 1)
    return (turned(moving, 6 * torch.rand(batch, generator=draw)) + away).flatten(1, 2)


def net(name: str = "skeleton-s", seed: int = 0) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(name, BODY, 3)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean of what was seen: a net that is as keen-eyed as a trained one
        for number in range(3):
            made(bodies(16, seed=number))
    return made.eval()


# Geometry


def test_middle_is_the_median() -> None:
    for time in (1, 2, 3, 8, 9):
        x = torch.randn(5, time, generator=torch.Generator().manual_seed(time))
        assert middle(x).tolist() == pytest.approx(np.median(x.numpy(), 1).tolist())


def test_a_turn_brings_a_direction_to_the_right() -> None:
    for angle in (0.0, 0.5, math.pi / 2, 3.0, -2.0):
        place = torch.tensor([math.cos(angle), 0.7, math.sin(angle)]).reshape(1, 1, 3, 1)
        moved = turned(place, torch.tensor([angle]))
        torch.testing.assert_close(moved.flatten(), torch.tensor([1.0, 0.7, 0.0]))


def test_streams_of_a_body_by_hand() -> None:
    """A person twice as large as 1, turned by 90 degrees, who walks 2 m along x while one hand rises by 1 m."""
    names = ("head", "left_shoulder", "right_shoulder", "hip_center", "left_hip", "right_hip", "right_hand")
    still = {  # the right side at larger z: to be turned from z to x
        "head": (0, 2, 0), "left_shoulder": (0, 1, -1), "right_shoulder": (0, 1, 1), "hip_center": (0, 0, 0),
        "left_hip": (0, 0, -1), "right_hip": (0, 0, 1), "right_hand": (0, 1, 2),
    }  # fmt: skip
    place = torch.tensor([still[name] for name in names], dtype=torch.float32).reshape(1, 7, 3, 1).repeat(1, 1, 1, 5)
    place[:, :, 0] += torch.tensor([5.0, 5.5, 6.0, 6.5, 7.0])
    place[:, 6, 1] += torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0])
    out = Streams(names)(place.flatten(1, 2)).unflatten(1, (3, 7, 3))
    where, bones, speed = out.unbind(1)
    # z becomes x, x becomes -z, and everything is halved, since hip and head are 2 m apart.
    torch.testing.assert_close(where[0, 0], torch.tensor([0.0, 1.0, 0.0])[:, None].expand(3, 5))
    torch.testing.assert_close(where[0, 2], torch.tensor([0.5, 0.5, 0.0])[:, None].expand(3, 5))
    torch.testing.assert_close(where[0, 3], torch.tensor([[0.0] * 5, [0.0] * 5, [0, -0.25, -0.5, -0.75, -1.0]]))
    torch.testing.assert_close(where[0, 6], torch.tensor([[1.0] * 5, [0.5, 0.5, 0.5, 1.0, 1.0], [0.0] * 5]))
    # Elbow and wrist are not there: the hand hangs on the shoulder, the shoulder on the hip. The hip has no bone.
    torch.testing.assert_close(bones[0, 6], 2 * torch.tensor([[0.5] * 5, [0.0, 0.0, 0.0, 0.5, 0.5], [0.0] * 5]))
    torch.testing.assert_close(bones[0, 1], 2 * torch.tensor([-0.5, 0.5, 0.0])[:, None].expand(3, 5))
    assert not bones[0, 3].any()
    torch.testing.assert_close(speed[0, 6], 6 * torch.tensor([[0.0] * 5, [0.0, 0.0, 0.0, 0.5, 0.0], [0.0] * 5]))
    torch.testing.assert_close(speed[0, 3], 6 * torch.tensor([[0.0] * 5, [0.0] * 5, [0.0, -0.25, -0.25, -0.25, -0.25]]))


def test_bones_follow_the_table_of_parents() -> None:
    x = bodies()
    bones = Streams(JOINTS, view=False, size=False)(x)[:, 60:120].unflatten(1, (20, 3)) / 2
    place = x.unflatten(1, (20, 3))
    for number, (joint, parent) in enumerate(PARENTS.items()):
        wanted = place[:, number] - place[:, JOINTS.index(parent or joint)]
        torch.testing.assert_close(bones[:, number], wanted, rtol=0, atol=1e-5)


def test_the_view_is_read_from_the_ends_and_a_stray_frame_is_outvoted() -> None:
    x = bodies(1, 40)
    place = x.unflatten(1, (20, 3))
    calm = place[..., :1].expand(-1, -1, -1, 40).clone()
    angle = Streams(JOINTS)._angle(calm)
    spoilt = calm.clone()
    spoilt[..., 10:30] = turned(calm, torch.tensor([2.0]))[..., 10:30]  # a pirouette in between
    spoilt[:, :, :, 1] = -5.0  # and one frame of the first four is nonsense: all joints in one place
    torch.testing.assert_close(Streams(JOINTS)._angle(spoilt), angle, rtol=0, atol=1e-5)


# What a skeleton net does not see


@pytest.mark.parametrize("turn", [0.3, 1.5, 3.1, -2.0])
def test_place_view_and_size_change_no_answer(turn: float) -> None:
    made, x = net(), bodies()
    answer = made(x).logits
    place = x.unflatten(1, (20, 3))
    for moved in (
        place + torch.tensor([1.0, -0.5, 2.0])[:, None],
        turned(place, torch.full((4,), turn)),
        place * 1.7,
        1.3 * turned(place, torch.full((4,), turn)) - 0.4,
    ):
        torch.testing.assert_close(made(moved.flatten(1, 2)).logits, answer, rtol=1e-4, atol=1e-4)
    tipped = place.flip(2).flatten(1, 2)
    assert not torch.allclose(made(tipped).logits, answer, atol=0.03)


def test_a_raw_net_sees_view_and_size_but_not_the_place() -> None:
    made, x = net("skeleton-s-raw"), bodies()
    answer, place = made(x).logits, x.unflatten(1, (20, 3))
    torch.testing.assert_close(made((place + 1.0).flatten(1, 2)).logits, answer, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(made((place * 1.3).flatten(1, 2)).logits, answer, atol=0.03)
    assert not torch.allclose(made(turned(place, torch.ones(4)).flatten(1, 2)).logits, answer, atol=0.03)


@pytest.mark.parametrize("joint", [*JOINTS, None])
def test_a_joint_that_was_not_found_leaves_a_number(joint: str | None) -> None:
    x = bodies().unflatten(1, (20, 3)).clone()
    x[:, JOINTS.index(joint) if joint else slice(None)] = 0.0
    given = x.flatten(1, 2).requires_grad_()
    out = net()(given)
    out.logits.sum().backward()
    assert out.logits.isfinite().all()
    assert given.grad is not None
    assert given.grad.isfinite().all()


def shuffled(order: list[int]) -> Inputs:
    names = [f"{JOINTS[i]}_{axis}" for i in order for axis in "xyz"]
    return Inputs(60, 30, 25.0, (Seen("body", "skeleton", tuple(names)),))


def test_joints_are_found_by_name() -> None:
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0)).tolist()
    x = bodies()
    place = x.unflatten(1, (20, 3))
    mixed = Streams(joints(shuffled(order).sensors[0].channels))(place[:, order].flatten(1, 2)).unflatten(1, (3, 20, 3))
    plain = Streams(JOINTS)(x).unflatten(1, (3, 20, 3))
    torch.testing.assert_close(mixed, plain[:, :, order])


def test_other_names_of_joints() -> None:
    names = ["SpineBase", "Head", "shoulder_left", "Shoulder_Right", "hip_left", "right_hip", "Neck", "spine_mid"]
    wanted = ["head", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "shoulder_center", "spine"]
    channels = [f"{name}_{axis}" for name in ["pelvis", *names[1:]] for axis in "XyZ"]
    assert joints(channels) == ["hip_center", *wanted]


def without(*missing: str) -> tuple[str, ...]:
    return tuple(name for name in CHANNELS if name[:-2] not in missing)


@pytest.mark.parametrize(
    ("sensors", "says"),
    [
        ((Seen("wrist_acc", "acc", ("x", "y", "z")), Seen("wrist_gyro", "gyro", ("x", "y", "z"))),
         "^skeleton net needs a sensor of kind skeleton; this player sees wrist_acc, wrist_gyro$"),
        ((), "^skeleton net needs a sensor of kind skeleton; this player sees 60 channels of unknown sensors$"),
        ((BODY.sensors[0], Seen("acc", "acc", ("x",))), r"^skeleton net looks at one skeleton and nothing else; .* body, acc \("),
        ((Seen("body", "skeleton", without("head", "left_hip", "spine")),), "; missing are head, left_hip$"),
        ((Seen("body", "skeleton", (*CHANNELS, "tail_x", "tail_y", "tail_z")),), "does not know the joint 'tail'; it knows"),
        ((Seen("body", "skeleton", (*CHANNELS, *CHANNELS[3:6])),), "found the joint spine more than once"),
        ((Seen("body", "skeleton", CHANNELS[1:]),), "of each joint in a row; found hip_center_y, hip_center_z, spine_x"),
        ((Seen("body", "skeleton", ("x", "y", "z")),), "of each joint in a row; found x, y, z"),
    ],
)  # fmt: skip
def test_what_a_skeleton_net_needs(sensors: tuple[Seen, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build("skeleton-m", Inputs(60, 30, 25.0, sensors), 3)


# Fused nets

ACC = Seen("acc", "acc", ("x", "y", "z"))
GYRO = Seen("gyro", "gyro", ("x", "y", "z"))
CAP = Seen("cap", "eeg", ("C3", "C4"))
MIXED = Inputs(66, 40, 50.0, (ACC, BODY.sensors[0], GYRO))


def fused(name: str = "fusion-skeleton-s+resnet1d-s", inputs: Inputs = MIXED) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(name, inputs, 3).eval()


def test_every_branch_gets_its_sensors_and_the_answers_are_multiplied() -> None:
    both, x = fused(), torch.randn(5, 66, 40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body, wrist = build("skeleton-s", BODY, 3).eval(), build("resnet1d-s", 6, 3).eval()
    out, one, other = both(x), body(x[:, 3:63]), wrist(x[:, [0, 1, 2, 63, 64, 65]])
    torch.testing.assert_close(out.heads[0], one.logits)
    torch.testing.assert_close(out.heads[1], other.logits)
    product = F.softmax(one.logits, 1) * F.softmax(other.logits, 1)
    torch.testing.assert_close(F.softmax(out.logits, 1), product / product.sum(1, keepdim=True))
    torch.testing.assert_close(out.embedding, torch.cat([one.embedding, other.embedding], 1))
    assert [f.shape for f in out.features] == [(5, out.embedding.shape[1], 1)]
    assert both.physical == tuple(range(3, 63))


def test_the_order_of_branches_is_the_order_of_heads() -> None:
    x = torch.randn(5, 66, 40)
    plain, turned_round = fused(), fused("fusion-resnet1d-s+skeleton-s")
    assert [branch.places.tolist() for branch in turned_round.stem.each] == [[0, 1, 2, 63, 64, 65], list(range(3, 63))]
    assert [head.linear.in_features for head in plain.head.each] == [128, 96]
    assert [head.linear.in_features for head in turned_round.head.each] == [96, 128]
    assert turned_round(x).logits.shape == (5, 3)


def test_three_branches() -> None:
    inputs = Inputs(68, 64, 64.0, (CAP, ACC, BODY.sensors[0], GYRO))
    made = fused("fusion-patchformer-xs+eegnet-2-2+skeleton-s-raw", inputs)
    assert [branch.places.tolist() for branch in made.stem.each] == [[2, 3, 4, 65, 66, 67], [0, 1], list(range(5, 65))]
    assert len(made(torch.randn(2, 68, 64)).heads) == 3


@pytest.mark.parametrize(
    ("name", "inputs", "says"),
    [
        ("fusion-skeleton-s+resnet1d-s", Inputs(6, 40, 50.0, (ACC, GYRO)),
         "skeleton-s needs a sensor of kind skeleton; this player sees acc, gyro, each for one net"),
        ("fusion-skeleton-s+resnet1d-s", BODY, "resnet1d-s needs a sensor of its own; this player sees body, each for one net"),
        ("fusion-wrn1d-10-1+resnet1d-s", MIXED, "resnet1d-s needs a sensor of its own"),
        ("fusion-skeleton-s+eegnet-8-2", Inputs(65, 40, 50.0, (ACC, BODY.sensors[0], CAP)), "none of its nets is meant for acc$"),
        ("fusion-skeleton-s+resnet1d-s", 66, "needs to know its sensors; it was told of 66 channels of unknown sensors"),
        ("fusion-skeleton-s+resnet", MIXED, "unknown net 'resnet': did you mean 'resnet1d-"),
        ("fusion-skeleton-s", MIXED, "unknown net 'fusion-skeleton-s'"),
    ],
)  # fmt: skip
def test_sensors_that_cannot_be_dealt_out(name: str, inputs: int | Inputs, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(name, inputs, 3)


def test_a_branch_learns_the_labels_as_it_would_alone() -> None:
    """Logits of a sure branch do not silence the other: its own cross-entropy is in the sum."""
    sure, lost = torch.tensor([[9.0, 0.0]]), torch.zeros(1, 2, requires_grad=True)
    together = (sure.log_softmax(1) + lost.log_softmax(1)).detach()
    number = torch.zeros(1, dtype=torch.int64)
    outputs = {"student": Outputs(together, heads=(sure, lost))}
    context = Context(Batch({}, {"y": number}, number, number, number), outputs, {}, Progress(0, 1, 0, 1), "y")
    whole = CrossEntropy()(context)["ce"]
    alone = [F.cross_entropy(logits, number) for logits in (together, sure, lost)]
    torch.testing.assert_close(whole, torch.stack(alone).sum(0, keepdim=True))
    whole.sum().backward()
    assert lost.grad is not None
    assert lost.grad.tolist() == [[-0.5, 0.5]]
    assert torch.equal(CrossEntropy(heads=0.0)(context)["ce"], alone[0][None])


# Players

SENSORS = (
    Sensor("acc", "acc", "g", 50.0),
    Sensor("body", "skeleton", "m", 25.0, channels=CHANNELS),
)


@pytest.fixture(scope="module")
def gestures() -> Windows:
    """24 windows: a right hand that goes up and down slowly or fast, and the acceleration of its wrist."""
    card = Card(
        name="gestures",
        title="Gestures",
        citation="none",
        licence=Licence("none"),
        files=Files(hook="none"),
        sensors=SENSORS,
        target=ClassTarget("tempo", ("slow", "fast")),
        windows=Cut(40, 40),
    )
    recordings = []
    for number in range(4):
        for label in range(2):
            rng = np.random.default_rng([number, label])
            time = np.arange(240) / 50
            up = 0.1 * np.sin(2 * np.pi * (2 + 3 * label) * time + rng.uniform(0, 6))
            acc = np.stack([0 * up, 1 - up * (2 + 3 * label) ** 2, 0 * up]) + 0.1 * rng.normal(size=(3, 240))
            place = np.array([POSE[name] for name in JOINTS])[:, :, None] + 0.005 * rng.normal(size=(20, 3, 120))
            place[JOINTS.index("right_hand"), 1] += up[::2]
            place += np.array([0.2 * number, 0, 2])[:, None]
            signals = {"acc": acc.astype(np.float32), "body": place.reshape(60, 120).astype(np.float32)}
            segment = Segment(0.0, 4.8, {"tempo": label})
            recordings.append(Recording(f"{number} {label}", str(number), signals, segments=(segment,)))
    return Windows.cut(recordings, card)


@pytest.mark.parametrize(
    ("name", "sees", "physical"),
    [
        ("skeleton-s", "body", range(60)),
        ("fusion-skeleton-s+resnet1d-s", "all", range(3, 63)),
        ("fusion-skeleton-s+resnet1d-s", "body,acc@20Hz", range(60)),
        ("resnet1d-s", "all", ()),
    ],
)
def test_a_player_leaves_bodies_in_metres_and_standardises_the_rest(gestures: Any, name: str, sees: str, physical: Any) -> None:
    player = Player.create(name, sees, gestures)
    scaler = player.net.scaler
    kept = torch.zeros(player.sees.width, dtype=torch.bool)
    kept[list(physical)] = True
    assert ((scaler.std == 1) & (scaler.mean == 0)).flatten().tolist() == kept.tolist()
    x = player.sees(gestures.gather(torch.arange(len(gestures))))
    assert torch.equal(scaler(x)[:, kept], x[:, kept])
    if not kept.all() and "20Hz" not in sees:
        torch.testing.assert_close(scaler(x)[:, ~kept].std(), torch.tensor(1.0), rtol=0, atol=0.02)


def test_a_fused_teacher_learns_with_both_branches_and_teaches(gestures: Any) -> None:
    teacher = Player.create("fusion-skeleton-s+resnet1d-s", "all", gestures, name="teacher")
    before = {name: tensor.clone() for name, tensor in teacher.net.named_parameters()}
    plan = Plan(epochs=6)
    history = fit(METHODS["ce"]({"student": teacher}, plan=plan), gestures, gestures, device="cpu")
    assert history[-1]["terms"]["ce"] < 0.7 * history[0]["terms"]["ce"]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in teacher.net.named_parameters())
    student = Player.create("dscnn-xs", "acc", gestures)
    for key in ("kd", "fitnet"):
        cast = {"student": student, "teacher": teacher}
        told = fit(METHODS[key](cast, plan=Plan(epochs=2)), gestures, device="cpu")
        assert all(math.isfinite(number) for record in told for number in record["terms"].values())
