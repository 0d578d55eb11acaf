"""Students that answer with the heads of their teachers: names, sizes by hand, whose head it is, and what becomes of a net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harkd.datasets import Cut
from harkd.errors import UsageError
from harkd.export.deploy import deploy
from harkd.export.formats import missing
from harkd.export.package import Parts, Wanted, export
from harkd.nets import NETS, Inputs, Mean, Net, PooledHead, Seen, build, family, staged
from harkd.nets.fusion import Fusion
from harkd.nets.reused import Projectors, head_name, take_over
from harkd.player import Player

IMU = (Seen("acc", "acc", ("x", "y", "z")), Seen("gyro", "gyro", ("x", "y", "z")))
TOLD = Inputs(6, 32, 50.0, IMU)
FUSED = Inputs(63, 32, 50.0, (NETS["skeleton"].special["skeleton-m"].sensors[0], IMU[0]))
TEACHERS = {
    "dscnn-s": "mean32",
    "wrn1d-10-1": "mean64",
    "resnet1d-s": "meanmax48",
    "patchformer-xs": "mean16",
    "fusion-skeleton-s+resnet1d-s": "fused128+96",
}
STUDENTS = ("dscnn-xs", "wrn1d-10-1", "patchformer-xs", "eegnet-4-2")


def made(name: str, seed: int = 0, inputs: Inputs | None = None) -> Net:
    told = inputs or (FUSED if name.startswith("fusion") else TOLD)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name, told, 3)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Names


@pytest.mark.parametrize(("teacher", "head"), TEACHERS.items())
def test_heads_by_name(teacher: str, head: str) -> None:
    told = made(teacher)
    assert head_name(told.head) == head
    name = f"dscnn-xs~{head}"
    assert family(name) is NETS["reused"]
    net = made(name, seed=1)
    take_over(net, [told])
    again = made(name, seed=2)
    again.load_state_dict(net.state_dict())
    x = draw(4, 6, 32)
    assert torch.equal(net.eval()(x).logits, again.eval()(x).logits)


@pytest.mark.parametrize("student", STUDENTS)
def test_students_of_all_kinds(student: str) -> None:
    plain, net = made(student), made(f"{student}~mean32~meanmax48")
    assert all(torch.equal(net.state_dict()[key], v) for key, v in plain.state_dict().items() if not key.startswith("head."))
    told = net(draw(4, 6, 32))
    assert told.logits.shape == (4, 3)
    assert told.features[-1].shape[:2] == (4, 32 + 48)
    assert len(told.features) == len(plain.stages) + 1
    assert told.embedding is not None
    assert told.embedding.shape == (4, 32 + 96)


@pytest.mark.parametrize(
    "name", ["dscnn-xs~", "dscnn-xs~mean", "dscnn-xs~mean0", "dscnn-xs~max32", "dscnn-xs~fused12", "dscnn-xs~mean32~", "~mean32"]
)
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(UsageError, match="unknown net"):
        family(name)


def test_an_unknown_student_is_called_by_its_name() -> None:
    with pytest.raises(UsageError, match="unknown net 'dscnn-xxs': did you mean"):
        made("dscnn-xxs~mean32")


# Sizes


@pytest.mark.parametrize(
    ("heads", "number"),
    [
        # 16 maps of dscnn-xs to 32 by way of 16: kernels 1, 3, 1 and two numbers for each map of three norms; then 32 -> 3.
        ("mean32", 16 * 16 + 3 * 16 * 16 + 16 * 32 + 2 * (16 + 16 + 32) + 32 * 3 + 3),
        ("meanmax48", 16 * 24 + 3 * 24 * 24 + 24 * 48 + 2 * (24 + 24 + 48) + 96 * 3 + 3),
        ("fused5+3", 16 * 4 + 3 * 4 * 4 + 4 * 8 + 2 * (4 + 4 + 8) + 5 * 3 + 3 + 3 * 3 + 3),
    ],
)
def test_sizes_by_hand(heads: str, number: int) -> None:
    body = sum(p.numel() for key, p in made("dscnn-xs").named_parameters() if not key.startswith("head."))
    assert made(f"dscnn-xs~{heads}").parameter_count == body + number


def test_projectors_by_hand() -> None:
    projectors = Projectors(5, (4, 3)).eval()
    assert projectors.maps == (4, 3)
    for module in projectors.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = draw(2, 5, 9)
    parts = []
    for each in projectors.each:
        h = x.double().numpy()
        for conv, norm in zip(each.body[0::3], each.body[1::3], strict=True):
            kernel = conv.weight.detach().double().numpy()[:, :, 0]
            wide = np.pad(h, ((0, 0), (0, 0), (kernel.shape[2] // 2,) * 2))
            h = sum(np.einsum("oi,bit->bot", kernel[:, :, k], wide[:, :, k : k + 9]) for k in range(kernel.shape[2]))
            mean, var = (v.double().numpy()[:, None] for v in (norm.running_mean, norm.running_var))
            h = np.maximum((h - mean) / np.sqrt(var + 1e-5), 0)
        parts.append(h)
    assert [part.shape[1] for part in parts] == [4, 3]
    np.testing.assert_allclose(projectors(x).detach().numpy(), np.concatenate(parts, 1), rtol=1e-4, atol=1e-5)


# Whose head it is


@pytest.mark.parametrize("teacher", TEACHERS)
def test_with_the_teachers_features_the_answer_is_the_teachers(teacher: str) -> None:
    told = made(teacher).eval()
    student = made(f"dscnn-xs~{TEACHERS[teacher]}").eval()
    take_over(student, [told])
    answer = told(draw(4, FUSED.width if isinstance(told, Fusion) else 6, 32))
    torch.testing.assert_close(student.head(answer.features[-1])[0], answer.logits)
    torch.testing.assert_close(student.head(answer.features[-1])[1], answer.embedding)


def test_several_teachers_answer_by_the_mean_of_their_logits() -> None:
    names = ("dscnn-s", "resnet1d-s", "fusion-skeleton-s+resnet1d-s")
    teachers = [made(name, seed).eval() for seed, name in enumerate(names)]
    student = made("~".join(["dscnn-xs", *(TEACHERS[name] for name in names)])).eval()
    take_over(student, teachers)
    x = draw(4, 6, 32)
    features = student(x).features[-1]
    assert torch.equal(features, student.stages[-1](student(x).features[-2])), "the last map is P(f_s)"
    parts = features.split([32, 48, 128 + 96], 1)
    each = [teachers[0].head(parts[0])[0], teachers[1].head(parts[1])[0], teachers[2].head(parts[2].mean(2, keepdim=True))[0]]
    torch.testing.assert_close(student(x).logits, torch.stack(each).mean(0))


def test_copies_and_shared_heads() -> None:
    for shared in (False, True):
        teachers = [made("dscnn-s"), made("resnet1d-s")]
        student = made("dscnn-xs~mean32~meanmax48")
        take_over(student, teachers, shared=shared)
        mine = {id(p) for p in student.head.parameters()}
        theirs = [p for teacher in teachers for p in teacher.head.parameters()]
        assert {id(p) in mine for p in theirs} == {shared}
        assert sorted(p.sum().item() for p in student.head.parameters()) == sorted(p.sum().item() for p in theirs)


def test_the_head_of_a_foreign_net() -> None:
    teacher = staged(nn.Identity(), [nn.ReLU()], PooledHead(6, 3, pool=Mean()))
    student = made(f"dscnn-xs~{head_name(teacher.head)}")
    take_over(student, [teacher], shared=True)
    assert set(student.head.parameters()) == set(teacher.head.parameters())
    assert set(student.state_dict()) == set(made("dscnn-xs~mean6").state_dict())


@pytest.mark.parametrize(("teacher", "kind"), [("eegnet-4-2", "PooledHead"), ("foreign", "Sequential")])
def test_heads_that_cannot_be_taken_over(teacher: str, kind: str) -> None:
    foreign = staged(nn.Identity(), [nn.ReLU()], nn.Sequential(nn.Conv1d(6, 3, 32), nn.Flatten()))
    says = f"^a student can take over a head that pools over time; this teacher's is a {kind} of another kind$"
    with pytest.raises(UsageError, match=says):
        head_name((foreign if teacher == "foreign" else made(teacher)).head)


def test_students_that_cannot_take_one_over() -> None:
    with pytest.raises(
        UsageError, match=r"^fusion-skeleton-s\+dscnn-xs cannot take over a head: its branches meet in their answers"
    ):
        NETS["reused"].make("fusion-skeleton-s+dscnn-xs", "mean32", FUSED, 3)
    for student in ("dscnn-xs", "dscnn-xs~mean16", "dscnn-xs~mean32~mean32"):
        with pytest.raises(UsageError, match=r"^a student that takes over its teachers' heads has a name that ends in ~mean32$"):
            take_over(made(student), [made("dscnn-s")])


# What becomes of it


def test_channels_in_physical_units_stay_so() -> None:
    body = Inputs(60, 32, 50.0, FUSED.sensors[:1])
    assert made("skeleton-s~mean32", inputs=body).physical == tuple(range(60))


@pytest.mark.parametrize(
    ("heads", "plain"), [("mean32", True), ("meanmax48", True), ("fused5+3", False), ("mean32~meanmax48", False)]
)
def test_on_a_watch(heads: str, plain: bool) -> None:
    """With one teacher's head it is a chain of plain layers, which every watch has; the norms fold into them."""
    net = made(f"dscnn-xs~{heads}")
    for _ in range(3):
        net(2 + 3 * torch.randn(16, 6, 32))
    deployed, x = deploy(net.eval()), draw(4, 6, 32)
    torch.testing.assert_close(deployed(x.unsqueeze(2)), net(x).logits, rtol=1e-4, atol=1e-4)
    assert deployed.plain == plain
    assert not any(isinstance(part, nn.BatchNorm2d) for part in deployed.modules())


@pytest.mark.slow
@pytest.mark.skipif(bool(missing("tflite", "onnx")), reason="needs the export extra")
@pytest.mark.parametrize("heads", ["mean32", "mean32~meanmax48"])
def test_the_files_answer_as_the_net_does(toy: Any, tmp_path: Path, heads: str) -> None:
    name = f"dscnn-xs~{heads}"
    student = Player.create(name, "all", toy.train)
    toy.fit(toy.phases("ce", student, epochs=8))
    student = student.frozen()
    student.prepare(torch.device("cpu"))
    parts = Parts(toy.train, toy.val, toy.val, {person: person for person in "1234"}, Cut(32, 32))
    _, found = export(student, parts, tmp_path / "export", Wanted(), name, name)
    assert [check.name for check in found.checks if not check.passed and "PyTorch" in check.name] == []
    assert sum("gives PyTorch's answers" in check.name for check in found.checks) == 2
    assert any("TensorFlow Lite Micro agree" in check.name for check in found.checks)


def test_a_run_from_the_command_line(world: Any, harkd: Any) -> None:
    """The student's run names the net that it is, with projector and head, and a later command finds it."""
    for method in ("simkd", "atsc"):
        said = harkd(*world.distill, "--method", method, "--epochs", "2", "--teacher-epochs", "2", "--out", method)
        assert said.code == 0, said.err
        told = json.loads(Path(method, "result.json").read_text())
        assert (told["net"], told["label"]) == ("dscnn-xs~mean32", f"dscnn-xs distilled ({method}) from dscnn-s")
        assert told["parameters"] == made("dscnn-xs~mean32").parameter_count, "with projector and head"
        said = harkd("evaluate", method, *world.data[2:], "--json")
        assert said.code == 0, said.err
        assert said.json["accuracy"] == told["test"]["accuracy"]
