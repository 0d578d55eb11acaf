"""Which windows calibrate, what range a sensor has, and what a quantised net is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harkd.datasets import Scaler
from harkd.export.deploy import deploy
from harkd.export.int8 import Quantised, arranged, calibration_index, gains, quantise
from harkd.export.manifest import ModelFile
from harkd.export.runners import quantised
from harkd.nets import PooledHead, staged


def test_calibration_takes_every_class_evenly_from_first_to_last() -> None:
    """Class 0 stands at 0, 2, 4, 6, 8, class 1 at 1, 3, 5, 7, 9: three of each are the first, middle and last."""
    assert calibration_index(torch.tensor([0, 1] * 5), 2, count=6).tolist() == [0, 1, 4, 5, 8, 9]
    assert calibration_index(torch.tensor([0, 1] * 5), 2, count=7).tolist() == [0, 1, 4, 5, 8, 9]


def test_a_common_class_does_not_crowd_out_a_rare_one() -> None:
    labels = torch.tensor([0] * 1000 + [1] * 10 + [2] * 400)
    found = calibration_index(labels, 3, count=90)
    assert labels[found].bincount().tolist() == [30, 10, 30]
    assert found.tolist() == sorted(set(found.tolist()))
    mine = found[:30]
    assert (mine[0], mine[-1]) == (0, 999)
    assert set(mine.diff().tolist()) <= {34, 35}, "999 over 29 steps is 34.4"


def test_a_class_without_windows_leaves_its_share_to_the_others() -> None:
    labels = torch.tensor([0] * 50 + [3] * 50)
    assert labels[calibration_index(labels, 4, count=40)].bincount(minlength=4).tolist() == [20, 0, 0, 20]


def test_gains_are_by_sensor_and_withstand_a_glitch() -> None:
    """The first sensor has the sizes 0 to 1999 over its two channels, of which 1997 is the 99.9 % quantile; one is then a
    glitch. The second sensor is silent."""
    x = torch.zeros(2, 3, 500)
    x[:, :2] = (torch.arange(2000.0) * torch.tensor([1, -1]).repeat(1000)).reshape(2, 2, 500)
    assert gains(x, [2, 1]).tolist() == [1997, 1997, 1]
    x[1, 1, 499] = 1e9
    assert gains(x, [2, 1]).tolist() == [1997, 1997, 1]


def test_inputs_are_laid_out_channels_last() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    found = arranged(x, torch.tensor([1.0, 2.0, 4.0]))
    assert found.shape == (2, 1, 1, 4, 3)
    assert found[1, 0, 0, 2].tolist() == [14 / 1, 18 / 2, 22 / 4]


def test_a_watch_quantises_as_the_manifest_says() -> None:
    """q = clamp(round(x / scale) + zero_point): half to even, as the converter does."""
    model = ModelFile("m", "tflite", "int8", 1, "", "1,1,time,channel", (0.5, 2.0), 10, 1.0, 0)
    x = np.array([[[0.0, 0.5, 1.3, -0.25, 100.0], [0.0, 2.0, -5.2, 1.0, -1000.0]]], np.float32)
    assert quantised(x, model).tolist() == [[[10, 11, 13, 10, 127], [10, 11, 7, 10, -128]]]


@pytest.fixture(scope="module")
def small() -> tuple[Quantised, Any, torch.Tensor]:
    """A net with five layers that have weights, quantised on the noise that it is then given."""
    pytest.importorskip("litert_torch.quantize.pt2e_quantizer", exc_type=ImportError)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv1d(6, 8, 3, 2, padding=1), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Conv1d(8, 16, 1)]
        net = staged(nn.Sequential(*layers), [nn.Sequential(nn.Conv1d(16, 16, 3), nn.ReLU())], PooledHead(16, 4))
        net.scaler = Scaler(torch.randn(6), torch.rand(6) + 0.5)
        windows = torch.randn(40, 6, 64)
    gain = gains(windows, [3, 3])
    deployed = deploy(net.eval(), gain)
    return quantise(deployed, gain, windows), deployed, windows


def test_biases_are_whole_multiples_of_what_the_device_adds_up_in(small: tuple[Quantised, Any, torch.Tensor]) -> None:
    """Input scale times weight scale; they are then the nearest ones to the biases that the net has."""
    graph = small[0].graph
    found, moved = 0, 0
    for node in graph.graph.nodes:
        if node.target not in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default) or len(node.args) < 3:
            continue
        source, weight, bias = node.args[:3]
        if bias is None or weight.op == "get_attr":
            continue
        step = source.args[1] * getattr(graph, str(weight.args[1].target)).double()
        values = _at(graph, bias.target).double()
        assert torch.allclose(values / step, (values / step).round(), atol=0.01)
        there = [p.double() for name, p in small[1].named_parameters() if name.endswith("bias") and p.shape == values.shape]
        distances = [((values - one).abs() / step).max() for one in there]
        assert min(distances) <= 0.501
        moved += int(min(distances) > 0)
        found += 1
    assert found == 5
    assert moved == 5, "and the net keeps its own"


def _at(module: nn.Module, path: str) -> torch.Tensor:
    for part in path.split("."):
        module = getattr(module, part)
    return module  # type: ignore[return-value]


def test_what_is_quantised_answers_like_the_float_net(small: tuple[Quantised, Any, torch.Tensor]) -> None:
    made, deployed, windows = small
    with torch.no_grad():
        expected = deployed((windows / made.gain[:, None]).unsqueeze(2))
    error = (made(windows) - expected).abs()
    assert 0 < float(error.max()) < 0.05 * float(expected.abs().max())
    assert made(windows).shape == (40, 4)
