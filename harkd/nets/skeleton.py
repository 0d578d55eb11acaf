"""Skeleton nets: joints, bones and velocities of a body, then a residual CNN over time.

skeleton-m follows the recipe that reached 96.7 % on unseen people in UTD-MHAD before harkd was built (three seeds). That
joints, bones and motion complement each other is after Shi, Zhang, Cheng, Lu: Two-stream adaptive graph convolutional networks,
CVPR 2019.
"""

from __future__ import annotations

from torch import Tensor, nn

from harkd.errors import UsageError
from harkd.nets.body import PARENTS, Streams, joints
from harkd.nets.net import Inputs, MeanMax, Net, PooledHead
from harkd.nets.resnet1d import trunk

SIZES: dict[str, tuple[int, int, int]] = {"s": (32, 48, 64), "m": (64, 96, 128), "l": (96, 144, 192)}
"""Widths of the three stages by size; the stem is as wide as the first."""

CHANNELS = tuple(f"{joint}_{axis}" for joint in PARENTS for axis in "xyz")
"""Channels of the 20 joints of a Kinect v1, as an example."""


class SkeletonStem(nn.Module):
    """Streams, then the first convolution."""

    def __init__(self, streams: Streams, inner: nn.Module) -> None:
        super().__init__()
        self.streams, self.inner = streams, inner

    def forward(self, x: Tensor) -> Tensor:
        flat: Tensor = self.inner(self.streams(x))
        return flat


def skeleton(size: str, raw: str | None, inputs: Inputs, classes: int) -> Net:
    """skeleton-size for one sensor of kind skeleton, whose channels stay in metres; -raw keeps view and size of the body.

    Raises:
        UsageError: the sensor is not there, is not alone, or lacks joints.
    """
    bodies = [sensor for sensor in inputs.sensors if sensor.kind == "skeleton"]
    if not bodies:
        raise UsageError(f"skeleton net needs a sensor of kind skeleton; this player sees {inputs}")
    if len(inputs.sensors) > 1:
        raise UsageError(
            f"skeleton net looks at one skeleton and nothing else; this player sees {inputs} (let it see {bodies[0].name}, "
            f"or take a fused net like fusion-skeleton-{size}+resnet1d-m)"
        )
    streams = Streams(joints(bodies[0].channels), view=not raw, size=not raw)
    widths = SIZES[size]
    stem, stages = trunk(streams.width, widths, kernel=3, stride=1)
    net = Net(SkeletonStem(streams, stem), stages, PooledHead(2 * widths[-1], classes, 0.5, MeanMax()))
    net.physical = tuple(range(inputs.width))
    return net
