"""A body of rigid segments: forward kinematics from joint angles, with exact velocities and accelerations.

Room axes are those of Kinect's camera coordinates with the person facing the camera: x to the person's right, y up,
z away from the camera, which is the person's back (a right-handed frame). The origin is on the floor. In the neutral pose,
upright with hanging arms, the axes of every segment are the room's, so flexion is a turn about x, abduction about z, and
turning about y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from harkd.datasets.synthetic.jet import Array, Jet, acos, atan2, cos, sin, softplus

GRAVITY = 9.80665
"""Standard gravity in m/s^2; the unit g of the accelerometers."""

JOINTS = (
    *("head", "shoulder_center", "spine", "hip_center"),
    *("left_shoulder", "left_elbow", "left_wrist", "left_hand", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot"),
)
"""The 20 joints of Kinect v1, in the order of UTD-MHAD."""
BONES = (
    *(("hip_center", "spine"), ("spine", "shoulder_center"), ("shoulder_center", "head")),
    *((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))),
    *((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("wrist", "hand"), ("hip", "knee"))),
    *((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("knee", "ankle"), ("ankle", "foot"))),
    *(("spine", f"{s}_shoulder") for s in ("left", "right")),
    *(("hip_center", f"{s}_hip") for s in ("left", "right")),
)
"""Pairs of joints on one rigid segment: their distance never changes."""
SIDES = {"left": -1.0, "right": 1.0}
X, Y, Z = 0, 1, 2

Vector = tuple[float, float, float]
Turn = tuple[int, float, str]
"""Axis, sign and name of a joint angle."""


def _links() -> tuple[tuple[str, str, str, tuple[Turn, ...]], ...]:
    rows: list[tuple[str, str, str, tuple[Turn, ...]]] = [
        ("chest", "pelvis", "spine", ((X, -1.0, "trunk_flexion"), (Z, 1.0, "trunk_side"), (Y, 1.0, "trunk_turn"))),
        ("head", "chest", "shoulder_center", ((X, -1.0, "neck_flexion"), (Y, 1.0, "neck_turn"))),
    ]
    for side, s in SIDES.items():
        upper = ((X, 1.0, "shoulder_flexion"), (Z, s, "shoulder_abduction"), (Y, s, "shoulder_rotation"))
        for segment, parent, joint, turns in (
            ("upper_arm", "chest", "shoulder", upper),
            ("forearm", f"{side}_upper_arm", "elbow", ((X, 1.0, "elbow_flexion"),)),
            ("thigh", "pelvis", "hip", ((X, 1.0, "hip_flexion"), (Z, 1.0, "hip_roll"))),
            ("shank", f"{side}_thigh", "knee", ((X, -1.0, "knee_flexion"),)),
            ("foot", f"{side}_shank", "ankle", ((X, 1.0, "ankle_flexion"),)),
        ):
            named = tuple((axis, sign, f"{side}_{angle}") for axis, sign, angle in turns)
            rows.append((f"{side}_{segment}", parent, f"{side}_{joint}", named))
    return tuple(rows)


LINKS = _links()
"""Segment, parent segment, joint between them, and the turns there from the parent outwards. The pelvis is the root."""


@dataclass(frozen=True)
class Body:
    """Lengths in metres. The defaults are a person of 1.72 m after the proportions of Drillis and Contini (as printed in
    D. Winter, Biomechanics and Motor Control of Human Movement, 4th ed., 2009, figure 4.1), fitted to Kinect's joints.
    """

    spine: float = 0.07
    trunk: float = 0.36
    neck: float = 0.18
    half_shoulders: float = 0.18
    shoulder_drop: float = 0.07
    upper_arm: float = 0.30
    forearm: float = 0.25
    hand: float = 0.08
    half_hips: float = 0.09
    hip_drop: float = 0.07
    thigh: float = 0.42
    shank: float = 0.42
    ankle: float = 0.08
    foot: float = 0.13

    @property
    def leg(self) -> float:
        """Length of the straight leg from hip to ankle."""
        return self.thigh + self.shank

    def points(self) -> dict[str, tuple[str, Vector]]:
        """For every joint the segment that carries it and its place in that segment's axes."""
        points: dict[str, tuple[str, Vector]] = {
            "hip_center": ("pelvis", (0.0, 0.0, 0.0)),
            "spine": ("pelvis", (0.0, self.spine, 0.0)),
            "shoulder_center": ("chest", (0.0, self.trunk, 0.0)),
            "head": ("head", (0.0, self.neck, 0.0)),
        }
        for side, s in SIDES.items():
            points |= {
                f"{side}_shoulder": ("chest", (s * self.half_shoulders, self.trunk - self.shoulder_drop, 0.0)),
                f"{side}_elbow": (f"{side}_upper_arm", (0.0, -self.upper_arm, 0.0)),
                f"{side}_wrist": (f"{side}_forearm", (0.0, -self.forearm, 0.0)),
                f"{side}_hand": (f"{side}_forearm", (0.0, -self.forearm - self.hand, 0.0)),
                f"{side}_hip": ("pelvis", (s * self.half_hips, -self.hip_drop, 0.0)),
                f"{side}_knee": (f"{side}_thigh", (0.0, -self.thigh, 0.0)),
                f"{side}_ankle": (f"{side}_shank", (0.0, -self.shank, 0.0)),
                f"{side}_foot": (f"{side}_foot", (0.0, 0.02 - self.ankle, -self.foot)),
            }
        return points


@dataclass(frozen=True)
class Frame:
    """Where a rigid segment is and how it moves, in room axes; every field ends with the shape of time.

    Attributes:
        rotation: (3, 3, ...) columns are the segment's axes.
        spin, spin_rate: (3, ...) angular velocity in rad/s and its rate in rad/s^2.
        position, velocity, acceleration: (3, ...) of the frame's origin, in m, m/s, m/s^2.
    """

    rotation: Array
    spin: Array
    spin_rate: Array
    position: Array
    velocity: Array
    acceleration: Array

    @classmethod
    def root(cls, x: Jet, y: Jet, z: Jet) -> Frame:
        """A frame that does not turn, with its origin at (x, y, z)."""
        shape = np.broadcast_shapes(x.value.shape, y.value.shape, z.value.shape)
        position, velocity, acceleration = (
            np.stack([np.broadcast_to(getattr(axis, part), shape) for axis in (x, y, z)]) for part in ("value", "rate", "curve")
        )
        still = np.zeros((3, *shape))
        turn = np.broadcast_to(np.eye(3).reshape(3, 3, *[1] * len(shape)), (3, 3, *shape)).copy()
        return cls(turn, still, still, position, velocity, acceleration)

    def turned(self, axis: int, angle: Jet) -> Frame:
        """Turned by `angle` (rad) about one of the frame's own axes."""
        line = self.rotation[:, axis]
        j, k = (axis + 1) % 3, (axis + 2) % 3
        c, s = np.cos(angle.value), np.sin(angle.value)
        rotation = self.rotation.copy()
        rotation[:, j] = self.rotation[:, j] * c + self.rotation[:, k] * s
        rotation[:, k] = self.rotation[:, k] * c - self.rotation[:, j] * s
        return replace(
            self,
            rotation=rotation,
            spin=self.spin + line * angle.rate,
            spin_rate=self.spin_rate + line * angle.curve + cross(self.spin, line) * angle.rate,
        )

    def at(self, offset: Vector) -> Frame:
        """The same segment seen from a point that is fixed on it: `offset` (m) in the segment's axes."""
        arm = self._arm(offset)
        swing = cross(self.spin, arm)
        return replace(
            self,
            position=self.position + arm,
            velocity=self.velocity + swing,
            acceleration=self.acceleration + cross(self.spin_rate, arm) + cross(self.spin, swing),
        )

    def point(self, offset: Vector) -> Array:
        """Where a point of the segment is: the position of `at(offset)`."""
        return self.position + self._arm(offset)

    def _arm(self, offset: Vector) -> Array:
        """An offset on the segment in room axes. Most lie along one axis."""
        parts = [self.rotation[:, i] * length for i, length in enumerate(offset) if length]
        return sum(parts[1:], parts[0]) if parts else np.zeros_like(self.position)

    def part(self, instants: slice) -> Frame:
        """The same frame at some of the instants."""
        return Frame(*(getattr(self, f.name)[..., instants] for f in fields(self)))


@dataclass(frozen=True)
class Pose:
    """A movement: where the pelvis is (m, room axes) and the joint angles (rad, by name; absent ones are zero)."""

    root: tuple[Jet, Jet, Jet]
    angles: Mapping[str, Jet]


@dataclass(frozen=True)
class Motion:
    """The moving body: the exact state of every segment, from which joints and sensors are read."""

    body: Body
    segments: Mapping[str, Frame]

    def joints(self) -> Array:
        """(20, 3, ...) positions in metres, in the order of `JOINTS` and room axes."""
        points = self.body.points()
        return np.stack([self.segments[points[name][0]].point(points[name][1]) for name in JOINTS])


def moving(body: Body, pose: Pose) -> Motion:
    """Forward kinematics: the outward recursion of J. J. Craig, Introduction to Robotics, 3rd ed., 2005, section 6.5."""
    points = body.points()
    segments = {"pelvis": Frame.root(*pose.root).turned(X, pose.angles["pelvis_tilt"])}
    for segment, parent, joint, turns in LINKS:
        frame = segments[parent].at(points[joint][1])
        for axis, sign, angle in turns:
            if angle in pose.angles:
                frame = frame.turned(axis, pose.angles[angle] * sign)
        segments[segment] = frame
    return Motion(body, segments)


def leg_angles(body: Body, down: Jet, forward: Jet) -> tuple[Jet, Jet]:
    """Angle of the thigh from the vertical (forwards positive) and flexion of the knee that put the ankle at a place.

    The law of cosines, knee forwards. A place out of reach is drawn in smoothly until the leg is 0.3 % short of straight.

    Args:
        down, forward: from hip to ankle, in metres.
    """
    a, b = body.thigh, body.shank
    wanted = (down * down + forward * forward) * (1.0 / body.leg**2)
    # Bend the squared reach, not the reach: it is smooth everywhere.
    square = (wanted - softplus(wanted - 0.994, 0.002)) * body.leg**2
    knee = acos((square - (a**2 + b**2)) * (1.0 / (2.0 * a * b)))
    return atan2(forward, down) + atan2(sin(knee) * b, cos(knee) * b + a), knee


def cross(u: Array, v: Array) -> Array:
    """Vector product along the first axis; several times faster than numpy.cross."""
    out = np.empty(np.broadcast_shapes(u.shape, v.shape))
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        np.multiply(u[j], v[k], out=out[i])
        out[i] -= u[k] * v[j]
    return out
