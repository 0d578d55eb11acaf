"""Bodies that several ops are tried on: four joints that stand still, and a person who moves, with the mirror image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from harkd.augment.mirror import other_side
from harkd.datasets import Sensor
from harkd.datasets.synthetic.activities import ACTIVITIES
from harkd.datasets.synthetic.jet import time
from harkd.datasets.synthetic.motion import CHANNELS, Study, style
from harkd.datasets.synthetic.skeleton import Body, Motion, Pose, moving


@dataclass(frozen=True)
class Tetrahedron:
    """Four joints around (0.5, 0.25, 2) that stand still, 2 m high."""

    sensor = Sensor("four", "skeleton", "m", 25.0, channels=tuple(f"{joint}_{axis}" for joint in "abcd" for axis in "xyz"))
    corners = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    centre = torch.tensor([0.5, 0.25, 2.0])

    def fill(self, sensor: Sensor, total: int, label: int) -> NDArray[Any]:
        """The signal; that of other sensors stays at 1."""
        if sensor.kind != "skeleton":
            return np.ones((len(sensor.channels), total))
        return np.repeat((self.corners + self.centre).reshape(12, 1).numpy(), total, 1)

    @staticmethod
    def places(x: dict[str, Tensor]) -> Tensor:
        """(batch, joint, 3, time)."""
        return x["four"].unflatten(1, (4, 3))


@pytest.fixture(scope="session")
def tetrahedron() -> Tetrahedron:
    return Tetrahedron()


@pytest.fixture(scope="session")
def kinect() -> Sensor:
    """A skeleton of 20 joints with names."""
    return Sensor("body", "skeleton", "m", 25.0, channels=CHANNELS)


@pytest.fixture(scope="session")
def motions() -> tuple[Motion, Motion]:
    """A person who walks and sways, and the movement of the mirrored person, from mirrored joint angles."""
    body, study = Body(), Study(repetitions=1)
    t = time(np.arange(0.0, 2.56, 0.02)[None])
    pose = ACTIVITIES["walk"](body, style(study, 1, "walk"), t)
    sideways = {"trunk_side", "trunk_turn", "neck_turn", "left_hip_roll", "right_hip_roll"}
    angles = {other_side(name): angle * (-1.0 if name in sideways else 1.0) for name, angle in pose.angles.items()}
    x, y, z = pose.root
    return moving(body, pose), moving(body, Pose((x * -1.0, y, z), angles))
