"""Residual CNNs over time with mean and max pooling: teachers for a few hundred recordings.

resnet1d-m follows the inertial teacher that reached 91.9 % on unseen people in UTD-MHAD before harkd was built (three seeds).
Batch norm on the input, one convolution, three residual blocks of two convolutions that halve the time axis each, dropout.
After He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016 (the block in its original order).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from harkd.nets.net import Flat, Inputs, MeanMax, Net, PooledHead, conv

SIZES: dict[str, tuple[int, int, int]] = {"s": (24, 32, 48), "m": (48, 64, 96)}
"""Widths of the three stages by size; the stem is as wide as the first."""


class Residual(nn.Module):
    """conv5-BN-ReLU-conv5-BN beside conv1-BN, then ReLU; on (batch, channel, 1, time), halving the time."""

    folds = (("conv1", "bn1"), ("conv2", "bn2"), ("shortcut", "bn3"))

    def __init__(self, inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, kernel), nn.BatchNorm2d(outputs)
        self.shortcut, self.bn3 = conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        through: Tensor = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(through + self.bn3(self.shortcut(x)))


def trunk(channels: int, widths: tuple[int, int, int], kernel: int, stride: int) -> tuple[Flat, list[Flat]]:
    """Stem and stages for `channels` inputs; kernel and stride are the stem's."""
    stem = Flat(nn.BatchNorm2d(channels), conv(channels, widths[0], kernel, stride), nn.BatchNorm2d(widths[0]), nn.ReLU())
    return stem, [Flat(Residual(before, after)) for before, after in zip((widths[0], *widths), widths, strict=False)]


def resnet1d(size: str, inputs: Inputs, classes: int) -> Net:
    """resnet1d-size: a stem of kernel 7 and stride 2, so that the features have 1/4, 1/8 and 1/16 of the samples."""
    widths = SIZES[size]
    stem, stages = trunk(inputs.width, widths, kernel=7, stride=2)
    return Net(stem, stages, PooledHead(2 * widths[-1], classes, 0.4, MeanMax()))
