"""Geometry of a body in motion: from joint positions in metres to streams that do not depend on place, view and size.

Nothing here is learned. Coordinates are those of a Kinect: y points up, z away from the camera, and a person who faces the camera
has the right side at larger x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harkd.errors import UsageError

PARENTS: dict[str, str] = {
    "hip_center": "",
    "spine": "hip_center",
    "shoulder_center": "spine",
    "head": "shoulder_center",
    "left_shoulder": "shoulder_center",
    "left_elbow": "left_shoulder",
    "left_wrist": "left_elbow",
    "left_hand": "left_wrist",
    "right_shoulder": "shoulder_center",
    "right_elbow": "right_shoulder",
    "right_wrist": "right_elbow",
    "right_hand": "right_wrist",
    "left_hip": "hip_center",
    "left_knee": "left_hip",
    "left_ankle": "left_knee",
    "left_foot": "left_ankle",
    "right_hip": "hip_center",
    "right_knee": "right_hip",
    "right_ankle": "right_knee",
    "right_foot": "right_ankle",
}
"""The 20 joints of a Kinect v1, each with the joint it hangs on, parents before children."""

ALIASES: dict[str, tuple[str, ...]] = {
    "hip_center": ("hip_centre", "center_hip", "pelvis", "root", "spine_base", "mid_hip"),
    "spine": ("spine_mid", "torso", "mid_spine"),
    "shoulder_center": ("shoulder_centre", "center_shoulder", "spine_shoulder", "neck"),
}
"""Other names of joints. Sides may stand first or last (left_knee, knee_left), capital letters do not matter."""

NEEDED = ("hip_center", "head", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""What place, view and size are read from; of the other joints any may be missing."""

ENDS = 0.1
"""The view is read from this share of the frames at either end, where people stand before and after an action."""
SMALLEST = 0.05
"""A distance of hip and head below this (metres) is no body: nothing is scaled."""


def joints(channels: Sequence[str]) -> list[str]:
    """The joints of channels that come as JOINT_x, JOINT_y, JOINT_z.

    Raises:
        UsageError: a name is no joint's, a triple is torn apart, or joints are missing.
    """
    known = {alias: joint for joint in PARENTS for alias in (joint, _turned(joint), *ALIASES.get(joint, ()))}
    found = []
    for start in range(0, len(channels), 3):
        triple = [name.lower() for name in channels[start : start + 3]]
        stem = triple[0].removesuffix("_x")
        if triple != [f"{stem}_x", f"{stem}_y", f"{stem}_z"]:
            raise UsageError(
                f"skeleton net needs the channels JOINT_x, JOINT_y, JOINT_z of each joint in a row; "
                f"found {', '.join(channels[start : start + 3])}"
            )
        if stem not in known:
            raise UsageError(f"skeleton net does not know the joint {stem!r}; it knows {', '.join(PARENTS)}")
        found.append(known[stem])
    twice = sorted({joint for joint in found if found.count(joint) > 1})
    if twice:
        raise UsageError(f"skeleton net found the joint {', '.join(twice)} more than once")
    missing = [joint for joint in NEEDED if joint not in found]
    if missing:
        raise UsageError(f"skeleton net needs the joints {', '.join(NEEDED)}; missing are {', '.join(missing)}")
    return found


def _turned(joint: str) -> str:
    first, _, rest = joint.partition("_")
    return f"{rest}_{first}"


class Streams(nn.Module):
    """(batch, 3 joint, time) in metres to (batch, 9 joint, time): joints, bones times 2, velocities times 6.

    Joints are relative to the hip of the same frame; the hip's own place carries its path from the first frame, so that squats
    and steps are not lost. Bones point from the nearest joint above that is there; the hip has none (zero). Velocities are
    differences of successive frames, zero in the first.

    Args:
        names: the joints in order (see `joints`).
        view: turn about the vertical so that shoulders and hips face the camera, by the median angle over the first and the last
            tenth of the frames (about the mean direction, so that a turned body gives the same streams).
        size: divide by the median distance of hip and head.
    """

    def __init__(self, names: Sequence[str], view: bool = True, size: bool = True) -> None:
        super().__init__()
        self.names, self.view, self.size = tuple(names), view, size
        self.hip = self.names.index("hip_center")
        self.register_buffer("parents", torch.tensor([self._above(name) for name in names]), persistent=False)

    def _above(self, name: str) -> int:
        above = PARENTS[name]
        while above and above not in self.names:
            above = PARENTS[above]
        return self.names.index(above or name)

    @property
    def width(self) -> int:
        """Channels that come out."""
        return 9 * len(self.names)

    def forward(self, x: Tensor) -> Tensor:
        place = x.unflatten(1, (-1, 3))  # (batch, joint, 3, time)
        hip = place[:, self.hip : self.hip + 1]
        path, place = hip - hip[..., :1], place - hip
        if self.view:
            # Read from the window, not learned from: no gradient passes through the angle and the size.
            angle = self._angle(place.detach())
            path, place = turned(path, angle), turned(place, angle)
        if self.size:
            size = self._size(place.detach())
            path, place = path / size, place / size
        bones = place - place.index_select(1, self.get_buffer("parents"))
        place = torch.cat([place[:, : self.hip], path, place[:, self.hip + 1 :]], 1)
        velocities = torch.cat([torch.zeros_like(place[..., :1]), place[..., 1:] - place[..., :-1]], 3)
        return torch.cat([place, 2 * bones, 6 * velocities], 1).flatten(1, 2)

    def _joint(self, place: Tensor, name: str) -> Tensor:
        return place[:, self.names.index(name)]

    def _angle(self, place: Tensor) -> Tensor:
        """(batch,) by how much to turn about y."""
        time = place.shape[3]
        ends = max(1, int(ENDS * time))
        across = sum(self._joint(place, f"right_{part}") - self._joint(place, f"left_{part}") for part in ("shoulder", "hip"))
        assert isinstance(across, Tensor)
        across = torch.cat([across[..., :ends], across[..., time - ends :]], 2)
        x, z = across[:, 0], across[:, 2]
        mean = torch.atan2(z.mean(1), x.mean(1))
        # Angles about the mean direction do not jump at half a turn.
        cos, sin = mean.cos()[:, None], mean.sin()[:, None]
        return mean + middle(torch.atan2(cos * z - sin * x, cos * x + sin * z))

    def _size(self, place: Tensor) -> Tensor:
        """(batch, 1, 1, 1) what to divide by."""
        size = middle(self._joint(place, "head").square().sum(1).sqrt())
        return torch.where(size > SMALLEST, size, torch.ones_like(size))[:, None, None, None]


def turned(place: Tensor, angle: Tensor) -> Tensor:
    """(batch, joint, 3, time) turned about y, so that the direction (cos angle, 0, sin angle) becomes (1, 0, 0)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = place.unbind(2)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], 2)


def middle(x: Tensor) -> Tensor:
    """(batch, time) to (batch,): the median, the mean of the two in the middle where their number is even."""
    ordered, time = x.sort(1).values, x.shape[1]
    return (ordered[:, (time - 1) // 2] + ordered[:, math.ceil((time - 1) / 2)]) / 2
