"""The integer arithmetic of a device, calculated in PyTorch from the quantised graph.

TensorFlow Lite's reference kernels, TensorFlow Lite Micro and CMSIS-NN bring the 32-bit sums of a convolution to 8 bits with a
fixed point multiplier, rounding twice: after a multiplication that keeps the upper half, and after a shift. (gemmlowp's
SaturatingRoundingDoublingHighMul and RoundingDivideByPOT; Jacob et al., CVPR 2018, section 2.2.) A graph that quantises and
dequantises in floating point rounds once, and ends a step away here and there: by the end of a net a few steps. This runs the
graph with the device's rounding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

OPERATORS = frozenset({"ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PAD", "RESHAPE"})
"""What a .tflite file may consist of for its graph to be calculated here to the bit."""
QUANTISE = "quantized_decomposed.quantize_per_tensor.default"
FROM_TENSOR = "quantized_decomposed.dequantize_per_tensor.default"
FROM_CHANNELS = "quantized_decomposed.dequantize_per_channel.default"
ADD = "aten.add.Tensor"
_RELU = ("aten.relu.default", "aten.relu_.default")
_HALF = 1 << 30
_ADDED = 20


def multiplier(scale: float) -> tuple[int, int]:
    """A positive real number as (m, shift): m / 2**31 * 2**shift, with m from 2**30 below 2**31.

    >>> multiplier(0.25)
    (1073741824, -1)
    """
    mantissa, shift = math.frexp(scale)
    m = round(mantissa * (1 << 31))
    return (_HALF, shift + 1) if m == 1 << 31 else (m, shift)


def rescaled(sums: Tensor, m: Tensor, shift: Tensor) -> Tensor:
    """Whole numbers times m / 2**31 * 2**shift, rounded twice as devices do; int64 in and out.

    >>> rescaled(torch.tensor([3, -3]), torch.tensor([1 << 30]), torch.tensor([0])).tolist()  # 1.5 and -1.5
    [2, -1]
    """
    left, right = shift.clamp_min(0), (-shift).clamp_min(0)
    product = (sums << left) * m
    # Nudged by a half of the right sign, and cut off towards zero.
    high = torch.div(product + torch.where(product >= 0, _HALF, 1 - _HALF), 1 << 31, rounding_mode="trunc")
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


class DeviceArithmetic(torch.fx.Interpreter):
    """Runs a quantised graph: convolutions, linear layers and sums with the rounding of devices.

    Args:
        graph: of `harkd.export.int8.quantise`.
    """

    def __init__(self, graph: Any) -> None:
        super().__init__(graph, garbage_collect_values=False)  # what a layer was fed is looked up when its result is rounded
        self._layers = {node: found for node in graph.graph.nodes if (found := _rounded(node))}

    def run_node(self, n: torch.fx.Node) -> Any:
        if n not in self._layers:
            return super().run_node(n)
        layer, rectified = self._layers[n]
        scale, zero = float(n.args[1]), int(n.args[2])  # type: ignore[arg-type]
        whole = self._sum(layer, scale) if str(layer.target) == ADD else self._product(layer, scale)
        return (whole + zero).clamp(max(zero if rectified else -128, -128), 127).to(torch.int8)

    def _product(self, layer: Any, scale: float) -> Tensor:
        """The sums of a convolution or a linear layer in steps of `scale`."""
        source, weight, bias, *more = (*layer.args, None)[: max(3, len(layer.args))]
        step = float(source.args[1]) * self._value(weight.args[1]).double()
        offset = None if bias is None else (self._value(bias).double() / step).round()
        # Whole numbers in double precision are exact: sums stay far below 2**53.
        inputs = self._value(source.args[0]).double() - source.args[2]
        sums = layer.target(inputs, self._value(weight.args[0]).double(), offset, *more, **layer.kwargs).long()
        pairs = [multiplier(each / scale) for each in step.tolist()]
        shape = (-1, 1, 1) if sums.ndim == 4 else (-1,)
        m, shift = (torch.tensor(column).reshape(shape) for column in zip(*pairs, strict=True))
        return rescaled(sums, m, shift)

    def _sum(self, layer: Any, scale: float) -> Tensor:
        """The sum of two tensors in steps of `scale`: both are brought to one scale first, with 20 bits more."""
        sources = layer.args[:2]
        common = 2 * max(float(source.args[1]) for source in sources)
        total = torch.zeros((), dtype=torch.int64)
        for source in sources:
            wide = (self._value(source.args[0]).long() - source.args[2]) << _ADDED
            total = total + rescaled(wide, *_pair(float(source.args[1]) / common))
        return rescaled(total, *_pair(common / ((1 << _ADDED) * scale)))

    def _value(self, node: Any) -> Tensor:
        """The value that a node had."""
        found: Tensor = self.env[node] if node in self.env else self.fetch_attr(str(node.target))
        return found


def _pair(scale: float) -> tuple[Tensor, Tensor]:
    m, shift = multiplier(scale)
    return torch.tensor(m), torch.tensor(shift)


def _rounded(node: torch.fx.Node) -> tuple[Any, bool] | None:
    """The layer whose result a node quantises, and whether a ReLU lies between; None if it is not of those that round twice."""
    if str(node.target) != QUANTISE:
        return None
    layer: Any = node.args[0]
    rectified = str(layer.target) in _RELU
    layer = layer.args[0] if rectified else layer
    told = [str(arg.target) for arg in getattr(layer, "args", ())[:2] if isinstance(arg, torch.fx.Node)]
    if told == [FROM_TENSOR, FROM_CHANNELS] or (told == [FROM_TENSOR, FROM_TENSOR] and str(layer.target) == ADD):
        return layer, rectified
    return None
