"""Post-training quantisation to int8: ranges of activations from calibration windows, weights per output channel.

The scheme is TensorFlow Lite's (Jacob et al., CVPR 2018): activations affine per tensor, weights symmetric per channel. The input
is one tensor too, and sensors of different units would share its 256 steps. So each sensor has a gain: the graph takes x / gain,
every sensor then has about the same range, and the gain goes into the first convolution on one side and into the scale that the
manifest tells on the other. It costs nothing on the device.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harkd.export.arithmetic import FROM_CHANNELS, FROM_TENSOR, DeviceArithmetic
from harkd.export.deploy import Deployed
from harkd.export.tools import need, quiet

CALIBRATION = 512
"""Windows for calibration, spread evenly over the classes."""


@dataclass(frozen=True)
class Quantised:
    """A net in int8 arithmetic, simulated.

    Attributes:
        graph: (1, 1, time, channel) of x / gain to logits (1, class), with quantised and dequantised values in between.
        quantizer: what annotated it, for the converter.
        gain: (channel,).
        example: an input of the graph.
    """

    graph: Any
    quantizer: Any
    gain: Tensor
    example: Tensor

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(window, channel, time) in the watch's units to logits (window, class), rounded as devices do it."""
        run = DeviceArithmetic(self.graph).run
        return torch.cat([run(window) for window in arranged(x, self.gain)])


def calibration_index(labels: Tensor, classes: int, count: int = CALIBRATION) -> Tensor:
    """Positions of the windows to calibrate with: of every class the same number, as far as there are so many, evenly spaced.

    Args:
        labels: (n,) of the training windows.

    >>> calibration_index(torch.tensor([0, 0, 0, 0, 1, 1]), classes=2, count=4)
    tensor([0, 3, 4, 5])
    """
    places = [(labels == number).nonzero()[:, 0] for number in range(classes)]
    share = max(1, count // max(1, sum(len(place) > 0 for place in places)))
    spaced = [place[_spaced(len(place), share)] for place in places if len(place)]
    return torch.cat(spaced).sort().values


def _spaced(length: int, count: int) -> Tensor:
    return torch.linspace(0, length - 1, min(length, count), dtype=torch.float64).round().long()


def gains(x: Tensor, sensors: Sequence[int]) -> Tensor:
    """(channel,) per sensor the absolute value that 99.9 % of the calibration samples stay below; 1 if all are zero.

    Args:
        x: calibration windows (window, channel, time).
        sensors: number of channels of each sensor, in order.
    """
    made = []
    for part, count in zip(x.split(list(sensors), 1), sensors, strict=True):
        ordered = part.abs().flatten().sort().values
        top = ordered[round(0.999 * (len(ordered) - 1))]
        made.append((top if top > 0 else torch.ones_like(top)).expand(count))
    return torch.cat(made)


def arranged(x: Tensor, gain: Tensor) -> Tensor:
    """(window, channel, time) as inputs of the graph, (window, 1, 1, time, channel)."""
    return (x / gain[:, None]).transpose(1, 2)[:, None, None].contiguous()


def channels_last(net: nn.Module) -> nn.Module:
    """The same on (1, 1, time, channel)."""
    made: nn.Module = need("litert_torch").to_channel_last_io(net, args=[0])
    return made


def quantise(net: Deployed, gain: Tensor, windows: Tensor) -> Quantised:
    """Quantise a deployed net.

    Args:
        net: takes x / gain.
        windows: calibration windows x (window, channel, time) in the watch's units, of training subjects.
    """
    pt2e = need("torchao.quantization.pt2e.quantize_pt2e")
    scheme = need("litert_torch.quantize.pt2e_quantizer")
    inputs = arranged(windows, gain)
    model = channels_last(copy.deepcopy(net)).eval()  # the graph shares its parameters, and biases are rounded in place
    quantizer = scheme.PT2EQuantizer()
    quantizer.set_global(scheme.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
    with torch.no_grad(), quiet():
        graph = pt2e.prepare_pt2e(torch.export.export(model, (inputs[0],)).module(), quantizer)
        for window in inputs:
            graph(window)
        # Weights stay beside their quantisation, where the converter looks for them.
        graph = pt2e.convert_pt2e(graph, fold_quantize=False)
    _round_biases(graph)
    return Quantised(graph, quantizer, gain, inputs[0])


def _round_biases(graph: Any) -> None:
    """Give the graph the biases that the device has: whole multiples of input scale times weight scale."""
    wanted = [FROM_TENSOR, FROM_CHANNELS, "get_attr"]
    for node in graph.graph.nodes:
        told: list[Any] = [arg for arg in node.args[:3] if isinstance(arg, torch.fx.Node)]
        if [_kind(arg) for arg in told] != wanted:
            continue
        source, weight, bias = told
        step = source.args[1] * _tensor(graph, weight.args[1]).double()
        values = _tensor(graph, bias)
        with torch.no_grad():
            values.copy_((values.double() / step).round() * step)


def _kind(node: torch.fx.Node) -> str:
    return node.op if node.op == "get_attr" else str(node.target)


def _tensor(graph: nn.Module, node: Any) -> Tensor:
    """The tensor that a get_attr node stands for."""
    *path, name = str(node.target).split(".")
    found: Tensor = getattr(graph.get_submodule(".".join(path)), name)
    return found
