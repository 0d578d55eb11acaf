"""The form in which a net runs on a watch: one chain of plain layers over (batch, channel, 1, time), in the watch's units.

What training needs is folded away. Units, scaler and batch norm before the first convolution are one affine map per channel,
y = a x + b, and go into its weights; batch norm after a convolution goes into that convolution; dropout, auxiliary heads and
features fall away. (Folding batch norm: Jacob et al., CVPR 2018.) A zero that training pads y with is x = -b / a before the
fold: the first convolution pads with that, so that the edges of a window are right as well.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harkd.datasets import Scaler
from harkd.nets import Flat, Mean, MeanMax, Net, PooledHead
from harkd.nets.net import ForeignHead

_PAIRS = {(nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d)}  # exact types: a subclass may use its weights in its own way


class Deployed(nn.Module):
    """A net in the form that watches run: (batch, channel, 1, time) in their units to logits (batch, class).

    Attributes:
        plain: whether it is a chain of layers that every watch runtime has. Others keep the shape they were trained in.
    """

    def __init__(self, body: nn.Module, plain: bool) -> None:
        super().__init__()
        self.body = body
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x)
        return logits


def affine(a: Tensor, b: Tensor) -> nn.Conv2d:
    """y = a x + b for each channel, (batch, channel, 1, time) in and out, as the depthwise convolution that it is.

    Runtimes have it in int8, with a scale for each channel. Written as a product and a sum it may become float arithmetic (seen
    with litert-torch 0.10, and TensorFlow Lite Micro then answered otherwise than LiteRT).
    """
    made = nn.Conv2d(len(a), len(a), 1, groups=len(a))
    with torch.no_grad():
        made.weight.copy_(a.reshape(-1, 1, 1, 1))
        assert made.bias is not None
        made.bias.copy_(b)
    return made.eval().requires_grad_(False)


class Edges(nn.Module):
    """Pads the time axis with one value per channel: (batch, channel, 1, time) to (batch, channel, 1, time + left + right)."""

    left: Tensor
    right: Tensor

    def __init__(self, value: Tensor, left: int, right: int) -> None:
        super().__init__()
        value = value.reshape(1, -1, 1, 1)
        self.register_buffer("left", value.repeat(1, 1, 1, left))
        self.register_buffer("right", value.repeat(1, 1, 1, right))

    def forward(self, x: Tensor) -> Tensor:
        # The batch is 1 wherever this is exported; elsewhere the edges are repeated for each window.
        left, right = (edge if x.shape[0] == 1 else edge.expand(x.shape[0], -1, -1, -1) for edge in (self.left, self.right))
        return torch.cat([left, x, right], 3)


class Pool(nn.Module):
    """Time pooled away, (batch, channel, 1, time) to (batch, channel), or twice that with the largest values beside the means.

    The mean is a depthwise convolution with equal weights: in int8 it has a finer scale of its own, as a mean over many steps
    deserves, and it rounds once. TensorFlow Lite's MEAN keeps the scale of its input, and its reference kernel rounds upwards by
    0.07 steps on average (seen in ai-edge-litert 2.3: decisions changed).
    """

    def __init__(self, largest: bool = False) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, x: Tensor) -> Tensor:
        channels, time = x.shape[1], x.shape[3]
        pooled = conv2d(x, x.new_full((channels, 1, 1, time), 1 / time), groups=channels)
        if self.largest:
            pooled = torch.cat([pooled, x.amax((2, 3), keepdim=True)], 1)
        return pooled.flatten(1)


class AsTrained(nn.Module):
    """A net whose layers are not all plain: the affine map first, then the net over (batch, channel, time)."""

    def __init__(self, first: nn.Module, net: Net) -> None:
        super().__init__()
        self.first, self.net = first, net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(self.first(x).squeeze(2)).logits
        return logits


def deploy(net: Net, factors: Tensor | None = None) -> Deployed:
    """The form in which a trained net runs on a watch. The net itself stays as it is.

    Args:
        factors: (channel,) what a value in the watch's units is multiplied with to have the units of training.
    """
    net = copy.deepcopy(net).cpu().eval().requires_grad_(False)
    scaler, net.scaler = net.scaler, nn.Identity()
    a, b = torch.ones(()), torch.zeros(())
    if isinstance(scaler, Scaler):
        a, b = (1 / scaler.std).flatten(), -(scaler.mean / scaler.std).flatten()
    if factors is not None:
        a = a * factors
    layers = _chain([net.stem, *net.stages, net.head])
    if layers is None or not _ends_flat(layers) or not _is(net, Net):
        first = nn.Identity() if a.ndim == 0 else affine(a, b.expand(len(a)))
        return Deployed(_folded(AsTrained(first, net)), plain=False).eval()
    return Deployed(_folded(nn.Sequential(*_with_affine(a, b, layers))), plain=True).eval()


def _with_affine(a: Tensor, b: Tensor, layers: list[nn.Module]) -> list[nn.Module]:
    """The layers behind y = a x + b, which goes into the first convolution if it can."""
    if isinstance(layers[0], nn.BatchNorm2d):
        norm = layers.pop(0)
        assert isinstance(norm, nn.BatchNorm2d)
        c, d = _affine_of(norm)
        a, b = a * c, b * c + d
    first = layers[0]
    if not _foldable(first) or not bool((a != 0).all()):
        return layers if a.ndim == 0 else [affine(a, b.expand(len(a))), *layers]
    a, b = (value.expand(first.in_channels) for value in (a, b))
    left, right = _padding(first)
    inner = copy.deepcopy(first)
    inner.padding = (0, 0)
    inner.bias = nn.Parameter(torch.zeros(first.out_channels))
    with torch.no_grad():
        inner.weight.copy_(first.weight * a.reshape(1, -1, 1, 1))
        # In double precision: means of many units times many weights add up.
        offset = (first.weight.double().sum((2, 3)) * b.double()).sum(1)
        inner.bias.copy_(offset + (0 if first.bias is None else first.bias.double()))
    padded = [Edges(-b / a, left, right)] if left or right else []
    return [*padded, inner.requires_grad_(False), *layers[1:]]


def _foldable(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros":
        return False
    return layer.kernel_size[0] == 1 and (isinstance(layer.padding, str) or layer.padding[0] == 0)


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    """Samples of padding on either side."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":
        whole = layer.dilation[1] * (layer.kernel_size[1] - 1)
        return whole // 2, whole - whole // 2
    return int(layer.padding[1]), int(layer.padding[1])


def _affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation, as y = a x + b."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    a = (norm.running_var + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight)
    return a, -norm.running_mean * a + (0.0 if norm.bias is None else norm.bias)


def _folded(module: nn.Module) -> nn.Module:
    """Batch norm that follows a convolution goes into it, in chains and where a block declares such pairs in `folds`.

    What is left of it becomes a convolution of its own.
    """
    for part in module.eval().modules():
        if isinstance(part, nn.Sequential) and _is(part, nn.Sequential):
            for number in range(len(part) - 1):
                conv, norm = part[number], part[number + 1]
                if (type(conv), type(norm)) in _PAIRS:
                    part[number], part[number + 1] = _fused(conv, norm), nn.Identity()
        for first, then in getattr(part, "folds", ()):
            setattr(part, first, _fused(getattr(part, first), getattr(part, then)))
            setattr(part, then, nn.Identity())
    for part in list(module.modules()):
        for name, norm in part.named_children():
            if type(norm) is nn.BatchNorm2d:  # before a convolution rather than behind one
                part.add_module(name, affine(*_affine_of(norm)))
    return module


def _fused(conv: Any, norm: Any) -> nn.Module:
    made: nn.Module = fuse_conv_bn_eval(conv, norm)
    return made


def _chain(parts: Sequence[nn.Module]) -> list[nn.Module] | None:
    """The parts as one list of layers over (batch, channel, 1, time); None if one of them is not plain."""
    layers: list[nn.Module] = []
    for part in parts:
        flat = _flat(part)
        if flat is None:
            return None
        layers += flat
    return layers


def _ends_flat(layers: Sequence[nn.Module]) -> bool:
    """Whether no layer needs the time axis after one that takes it away."""
    gone = False
    for layer in layers:
        if gone and isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.MaxPool2d | nn.AvgPool2d | Pool):
            return False
        gone = gone or isinstance(layer, Pool | nn.Flatten)
    return True


def _is(part: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a part is of a kind and runs as that kind does: a subclass may not."""
    return isinstance(part, kind) and type(part).forward is kind.forward


def _flat(part: nn.Module) -> list[nn.Module] | None:
    """One part over (batch, channel, time) as layers over (batch, channel, 1, time), or None."""
    if isinstance(part, Flat) and _is(part, Flat):
        return [layer for layer in part.body if not isinstance(layer, nn.Identity)]
    if isinstance(part, nn.Sequential) and _is(part, nn.Sequential):
        return _chain(list(part))
    if isinstance(part, ForeignHead):
        return _flat(part.inner)
    if isinstance(part, PooledHead) and _is(part, PooledHead):
        pool = _flat(part.pool)
        return None if pool is None else [*pool, part.linear]
    make = PLAIN.get(type(part))
    return None if make is None else make(part)


def _conv(layer: nn.Conv1d) -> list[nn.Module]:
    padding = layer.padding if isinstance(layer.padding, str) else (0, layer.padding[0])
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (1, layer.kernel_size[0]),
        (1, layer.stride[0]),
        padding,
        (1, layer.dilation[0]),
        layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )
    with torch.no_grad():
        made.weight.copy_(layer.weight.unsqueeze(2))
        if made.bias is not None and layer.bias is not None:
            made.bias.copy_(layer.bias)
    return [made.requires_grad_(False)]


def _norm(layer: nn.BatchNorm1d) -> list[nn.Module] | None:
    if layer.running_mean is None:
        return None
    made = nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)
    made.load_state_dict(layer.state_dict())
    return [made.eval().requires_grad_(False)]


def _max(layer: nn.MaxPool1d) -> list[nn.Module]:
    kernel, stride, padding, dilation = map(_number, (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
    return [nn.MaxPool2d((1, kernel), (1, stride), (0, padding), (1, dilation), ceil_mode=layer.ceil_mode)]


def _average(layer: nn.AvgPool1d) -> list[nn.Module]:
    kernel, stride, padding = map(_number, (layer.kernel_size, layer.stride, layer.padding))
    return [nn.AvgPool2d((1, kernel), (1, stride), (0, padding), layer.ceil_mode, layer.count_include_pad)]


def _number(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _same(layer: nn.Module) -> list[nn.Module]:
    return [layer]


PLAIN: dict[type, Callable[..., list[nn.Module] | None]] = {
    nn.Identity: lambda layer: [],
    nn.Dropout: lambda layer: [],
    nn.ReLU: _same,
    nn.ReLU6: _same,
    nn.Flatten: lambda layer: [layer] if (layer.start_dim, layer.end_dim) == (1, -1) else None,
    nn.Linear: _same,
    nn.Conv1d: _conv,
    nn.BatchNorm1d: _norm,
    nn.MaxPool1d: _max,
    nn.AvgPool1d: _average,
    nn.AdaptiveAvgPool1d: lambda layer: [Pool()] if layer.output_size in (1, (1,)) else None,
    Mean: lambda layer: [Pool()],
    MeanMax: lambda layer: [Pool(largest=True)],
}
"""Layers of foreign nets and heads that are plain, and what they are over (batch, channel, 1, time)."""
