"""WRN1D-d-k: wide residual networks over time, as used for wearable sensors by Jeon et al. (after the authors' published code).

Zagoruyko, Komodakis: Wide residual networks, BMVC 2016.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import relu

from harkd.errors import UsageError
from harkd.nets.net import Flat, Inputs, Net, PooledHead, conv


class _Block(nn.Module):
    """BN-ReLU-conv3-BN-ReLU-conv3 with a shortcut; a 1x1 shortcut works on the activated input."""

    folds = (("conv1", "bn2"),)

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        active = relu(self.bn1(x))
        around: Tensor = x if self.shortcut is None else self.shortcut(active)
        through: Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return around + through


def wrn1d(depth: int, widening: int, inputs: Inputs, classes: int) -> Net:
    """WRN1D-depth-widening; stages of width 16k, 32k, 64k at strides 1, 2, 2."""
    if depth < 10 or (depth - 4) % 6 or widening < 1:
        raise UsageError(f"wrn1d-{depth}-{widening}: the depth is 6 n + 4 (10, 16, 22, 28, 40 ...), the widening at least 1")
    blocks = (depth - 4) // 6
    width, stages = 16, []
    for stage, stride in enumerate((1, 2, 2)):
        outputs = 16 * 2**stage * widening
        layers: list[nn.Module] = [
            _Block(width, outputs, stride),
            *(_Block(outputs, outputs, 1) for _ in range(blocks - 1)),
        ]
        if stage == 2:
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        stages.append(Flat(*layers))
        width = outputs
    net = Net(Flat(conv(inputs.width, 16, 3)), stages, PooledHead(width, classes))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, math.sqrt(2 / (module.kernel_size[1] * module.out_channels)))
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return net
