"""Bodies whose joints have names: lost joints, mirrored bodies, and bones of other lengths.

A joint is three channels in a row that are called after it, like left_wrist_x, left_wrist_y, left_wrist_z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.channel import blanked
from harkd.augment.draws import Draws, Strength
from harkd.augment.mirror import other_side
from harkd.augment.skeleton import BODY, bodies, places
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Sensor, Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError

ROOTS = ("hip_center", "spine_base")
PARENTS: dict[str, tuple[str, ...]] = {
    "spine": ("hip_center",),
    "shoulder_center": ("spine",),
    "spine_mid": ("spine_base",),
    "spine_shoulder": ("spine_mid",),
    "neck": ("spine_shoulder",),
    "head": ("neck", "shoulder_center"),
    "shoulder": ("spine_shoulder", "shoulder_center"),
    "elbow": ("shoulder",),
    "wrist": ("elbow",),
    "hand": ("wrist",),
    "hand_tip": ("hand",),
    "thumb": ("hand",),
    "hip": ("spine_base", "hip_center"),
    "knee": ("hip",),
    "ankle": ("knee",),
    "foot": ("ankle",),
}
"""Where the bone comes from that ends in a joint, in the skeletons of Kinect v1 (20 joints, as in UTD-MHAD) and v2 (25, as in NTU
RGB+D). Limbs are without their side."""


def joint_names(sensor: Sensor) -> tuple[str, ...]:
    """The joints of a skeleton, in order.

    Raises:
        UsageError: three channels in a row are not x, y, z of one joint.
    """
    names = []
    for i in range(0, len(sensor.channels), 3):
        joint = sensor.channels[i].removesuffix("_x")
        if sensor.channels[i : i + 3] != tuple(f"{joint}_{axis}" for axis in "xyz"):
            found = ", ".join(sensor.channels[i : i + 3])
            raise UsageError(f"skeleton {sensor.name!r}: channels {found} are not <joint>_x, <joint>_y, <joint>_z of one joint")
        names.append(joint)
    return tuple(names)


@lru_cache(maxsize=64)
def bones(joints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of numbers of joints, a bone's start and its end, from the hips outwards.

    >>> bones(("left_hip", "hip_center", "knee_left"))
    ((1, 0), (0, 2))

    Raises:
        UsageError: names the joint that has no known place in the tree.
    """
    # The side may come first or last: only the limb and the side count.
    number = {_limb(joint): i for i, joint in enumerate(joints)}
    start: dict[int, int] = {}
    for (limb, side), end in number.items():
        if limb in ROOTS:
            continue
        towards = [(parent, at) for parent in PARENTS.get(limb, ()) for at in (side, "") if (parent, at) in number]
        if not towards:
            known = ", ".join((*ROOTS, *PARENTS))
            raise UsageError(f"no bone is known that ends in the joint {joints[end]!r} of {', '.join(joints)}; known are {known}")
        start[end] = number[towards[0]]
    depth = {end: _depth(end, start) for end in start}
    return tuple((start[end], end) for end in sorted(start, key=lambda end: depth[end]))


def _limb(joint: str) -> tuple[str, str]:
    """A joint without its side, and the side."""
    words = joint.lower().split("_")
    side = next((word for word in words if word in ("left", "right")), "")
    return "_".join(word for word in words if word != side), side


def _depth(joint: int, start: dict[int, int]) -> int:
    return 0 if joint not in start else 1 + _depth(start[joint], start)


@dataclass(frozen=True)
class JointMask(Transform):
    """Lose each joint, over the whole window, with probability `share`.

    `fill`: `mean` puts the training mean, which is zero after standardisation; `centre` puts the body's centre in the first
    frame; `hold` puts where the joint was in the first frame. The share is recalled, not verified.
    """

    share: float = 0.1
    fill: Literal["mean", "centre", "hold"] = "mean"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)
    KINDS: ClassVar = frozenset({BODY})

    def slots(self, spec: Spec) -> int:
        return sum(len(spec.sensors[name].channels) // 3 for name in bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        widths = [len(spec.sensors[name].channels) // 3 for name in bodies(spec)]
        gone = draws.uniform(sum(widths)) < draws.level(self)
        return dict(zip(bodies(spec), gone.split(widths, 1), strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, centre in places(x, spec):
            if self.fill == "mean":
                filling = spec.mean(name, place).view(-1, 3, 1)
            else:
                filling = centre if self.fill == "centre" else place[..., :1]
            moved[name] = blanked(place, params[name][:, :, None, None], filling).flatten(1, 2)
        return moved


@lru_cache(maxsize=64)
def mirror_images(joints: tuple[str, ...], device: torch.device) -> Tensor:
    """(joint,) number of the joint that each one exchanges its place with; itself in the middle of the body.

    Raises:
        UsageError: no joint has a side, or one has no like on the other.
    """
    others = [other_side(joint) for joint in joints]
    alone = [joint for joint, other in zip(joints, others, strict=True) if other not in joints]
    if alone or others == list(joints):
        found = f"{', '.join(alone)} has no like on the other side" if alone else "none has a side"
        raise UsageError(f"MirrorBody exchanges joints called left and right; of {', '.join(joints)}, {found}")
    return torch.tensor([joints.index(other) for other in others], device=device)


@dataclass(frozen=True)
class MirrorBody(Transform):
    """The same movement by a mirrored person: left and right joints exchanged, and the coordinate `axis` mirrored.

    The mirror passes through the centre of all bodies in the first frame; any level axis will do. Sides are known by the names of
    joints. Devices are mirrored by `AxisMirror`. Assumes the invariance `mirror`. Our form of what is usual with skeletons.
    """

    axis: Literal["x", "y", "z"] = "x"
    KINDS: ClassVar = frozenset({BODY})

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"mirror"})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        for name in bodies(spec):
            mirror_images(joint_names(spec.sensors[name]), torch.device("cpu"))

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved, axis = dict(x), "xyz".index(self.axis)
        found = list(places(x, spec))
        middle = sum((centre[:, :, axis] for _, _, centre in found[1:]), found[0][2][:, :, axis]) / len(found)
        for name, place, _ in found:
            mirrored = place.index_select(1, mirror_images(joint_names(spec.sensors[name]), place.device))
            mirrored[:, :, axis].neg_().add_(2 * middle)
            moved[name] = mirrored.flatten(1, 2)
        return moved


@dataclass(frozen=True)
class BoneLengthScale(Transform):
    """Make each bone longer or shorter by its own factor U(1 - `share`, 1 + `share`); directions stay.

    Another body that moves alike: the hips stay where they are. Joints have to have the names of Kinect v1 or v2. The share is
    recalled, not verified.
    """

    share: float = 0.1
    STRENGTH: ClassVar = Strength("share", 0.3, most=1.0)
    KINDS: ClassVar = frozenset({BODY})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        for name in bodies(spec):
            bones(joint_names(spec.sensors[name]))

    def slots(self, spec: Spec) -> int:
        return sum(len(bones(joint_names(spec.sensors[name]))) for name in bodies(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        more = draws.level(self) * (2 * draws.uniform(self.slots(spec)) - 1)
        widths = [len(bones(joint_names(spec.sensors[name]))) for name in bodies(spec)]
        return dict(zip(bodies(spec), more.split(widths, 1), strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, place, _ in places(x, spec):
            more = params[name].to(place.dtype)
            shift = [torch.zeros_like(place[:, 0])] * place.shape[1]
            for number, (start, end) in enumerate(bones(joint_names(spec.sensors[name]))):
                bone = place[:, end] - place[:, start]
                shift[end] = torch.addcmul(shift[start], bone, more[:, number, None, None])
            moved[name] = (place + torch.stack(shift, 1)).flatten(1, 2)
        return moved
