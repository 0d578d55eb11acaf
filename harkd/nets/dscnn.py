"""Depthwise-separable CNNs for watches, from about 1k to 60k parameters (our design).

They keep to what every watch runtime does well: ReLU, batch norm that folds away, channels in multiples of 8, a plain mean over
time, no softmax inside. The first convolution strides, so later layers work on half the samples.
"""

from __future__ import annotations

from torch import nn

from harkd.nets.net import Flat, Inputs, Net, PooledHead, conv

SIZES: dict[str, tuple[tuple[int, ...], int]] = {
    "xs": ((8, 8, 8, 16), 5),
    "s": ((16, 24, 32, 32), 5),
    "m": ((32, 48, 56, 72), 7),
    "l": ((40, 64, 88, 104), 7),
    "xl": ((56, 88, 120, 144), 7),
}
"""Widths of the stem and the blocks, and the kernel, by size."""


def _separable(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    depthwise = [conv(inputs, inputs, kernel, stride, groups=inputs), nn.BatchNorm2d(inputs), nn.ReLU()]
    return [*depthwise, conv(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()]


def dscnn(size: str, inputs: Inputs, classes: int) -> Net:
    """dscnn-size: a strided stem, then one stage per width; all but the last stage halve the time axis."""
    widths, kernel = SIZES[size]
    stem = Flat(conv(inputs.width, widths[0], kernel, 2), nn.BatchNorm2d(widths[0]), nn.ReLU())
    stages = []
    for number, (before, after) in enumerate(zip(widths, (*widths[1:], widths[-1]), strict=True)):
        stride = 2 if number < len(widths) - 2 else 1
        stages.append(Flat(*_separable(before, after, kernel, stride)))
    return Net(stem, stages, PooledHead(widths[-1], classes))
