"""Every family of nets goes to a watch: the float file is the net, and the int8 file runs on a microcontroller's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harkd.datasets import Cut
from harkd.export.formats import missing
from harkd.export.package import Parts, Wanted, export
from harkd.player import Player

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing("tflite", "onnx")), reason="needs the export extra")]


@pytest.mark.parametrize(
    ("net", "micro"),
    [
        ("wrn1d-10-1", True),
        ("resnet1d-s", True),
        ("patchformer-xs", False),
        ("eegnet-4-2", False),
        ("sccnet", True),
        ("shallowconvnet", True),
    ],
)
def test_a_family(net: str, micro: bool, toy: Any, tmp_path: Path) -> None:
    """Whatever was checked passed. TensorFlow Lite Micro lacks operators of some: they are for Wear OS, and it is said so."""
    student = Player.create(net, "all", toy.train)
    toy.fit(toy.phases("ce", student, epochs=8))
    student = student.frozen()
    student.prepare(torch.device("cpu"))
    parts = Parts(toy.train, toy.val, toy.val, {name: name for name in "1234"}, Cut(32, 32))
    manifest, found = export(student, parts, tmp_path / "export", Wanted(), net, net)
    decided = ("decides as the float net does", "is as good as the float net")  # 21 windows tell too little of these
    failed = [check.name for check in found.checks if not check.passed and not check.name.endswith(decided)]
    assert failed == []
    assert sum("gives PyTorch's answers" in check.name for check in found.checks) == 2
    assert any("TensorFlow Lite Micro agree" in check.name for check in found.checks) == micro
    assert set(found.ram) == ({"model_int8.tflite"} if micro else set())
    assert {budget.target: budget.fits for budget in found.budgets} == {"mcu-s": micro, "mcu-m": micro, "wear-os": True}
    assert found.float is not None
    assert found.int8 is not None
    assert abs(found.float.accuracy - found.int8.accuracy) <= 2 / 21
    assert len(manifest.files) == 4
