"""Every family of nets goes to a watch: the float file is the net, and the int8 file runs on a microcontroller's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harkd.datasets import Cut
from harkd.export.formats import missing
from harkd.export.package import Parts, Wanted, export
from harkd.export.verify import Check
from harkd.player import Player

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing("tflite", "onnx")), reason="needs the export extra")]
EXACT = ("gives PyTorch's answers", "agree", "is compact", "calibration windows", "no file tells")
"""What must hold of nets that have hardly learnt anything; decisions near a tie may fall either way."""


@pytest.mark.parametrize("net", ["wrn1d-10-1", "resnet1d-s", "patchformer-xs", "eegnet-4-2"])
def test_a_family(net: str, toy: Any, tmp_path: Path) -> None:
    student = Player.create(net, "all", toy.train)
    toy.fit(toy.phases("ce", student, epochs=8))
    student = student.frozen()
    student.prepare(torch.device("cpu"))
    parts = Parts(toy.train, toy.val, toy.val, {name: name for name in "1234"}, Cut(32, 32))
    manifest, found = export(student, parts, tmp_path / "export", Wanted(), net, net)
    checks = [check for check in found.checks if any(part in check.name for part in EXACT)]
    assert len(checks) >= 7
    assert [check for check in checks if not check.passed] == list[Check]()
    assert found.ram["model_int8.tflite"] > 1000
    assert found.float is not None
    assert found.int8 is not None
    assert abs(found.float.accuracy - found.int8.accuracy) <= 2 / 21
    assert len(manifest.files) == 4
