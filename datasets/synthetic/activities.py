"""Twelve activities as joint angles over time. What tells them apart, and from where, is known by construction.

- `stand` and `sit` are the same from the waist up, and so are `wave_right` and `wave_both` but for the left arm: given the
  same style, the right wrist measures the same to rounding. From the right wrist no recogniser beats 10/12 = 0.833, while
  the skeleton shows everything.
- `stand_up` is `sit_down` run backwards: whoever ignores the direction of time confuses them.
- The mirror image of `wave_right` is another activity (waving with the left hand); the others have both sides.

Angles are in radians; the poses are plausible rather than measured. The feet stand on the floor because the legs are
solved from where the feet are; balance, heel strikes and skin are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from harkd.datasets.synthetic.jet import Array, Jet, bounce, cos, minimum_jerk, sin, softplus
from harkd.datasets.synthetic.skeleton import GRAVITY, SIDES, Body, Pose, leg_angles

DEGREE = np.pi / 180.0
SWAYING = (
    *("trunk_flexion", "trunk_side", "trunk_turn", "neck_flexion", "neck_turn"),
    *(f"{side}_{angle}" for side in SIDES for angle in ("shoulder_flexion", "shoulder_abduction", "elbow_flexion")),
)
"""Joint angles that are never quite still. All are above the pelvis, so a chair does not show in them."""
RIPPLES = 3
UPRIGHT = 0.99
"""Height of the hips above the ankles in leg lengths when standing: knees not quite straight."""
AIR = 0.02
"""Metres over which contact passes into flight."""
SITTING_DOWN = 1.5
"""Seconds from standing to sitting at tempo 1."""


@dataclass(frozen=True)
class Style:
    """How a repetition is done. Each field has the shape (n, 1) for n repetitions, the sways (n, angle, ripple, 1).

    Attributes:
        tempo, vigour: factors on pace and on the size of the movement.
        phase: where in its cycle a repeated movement begins, in radians.
        lead: 1.0 if the right side begins, -1.0 for the left.
        middle: when a single movement (sit_down, stand_up) is half done, in seconds.
        lean, arms_out, elbows: posture at rest, in radians.
        sway, sway_rate, sway_phase: small wandering of the angles `SWAYING`: rad, Hz, rad.
    """

    tempo: Array
    vigour: Array
    phase: Array
    lead: Array
    middle: Array
    lean: Array
    arms_out: Array
    elbows: Array
    sway: Array
    sway_rate: Array
    sway_phase: Array

    @classmethod
    def plain(cls, middle: float = 1.6) -> Style:
        """The average person, right side first, without sway."""
        one, nothing = np.ones((1, 1)), np.zeros((1, len(SWAYING), RIPPLES, 1))
        rest = (one * 2 * DEGREE, one * 9 * DEGREE, one * 14 * DEGREE)
        return cls(one, one, 0 * one, one, middle * one, *rest, nothing, nothing, nothing)

    @classmethod
    def stacked(cls, styles: list[Style]) -> Style:
        """Several repetitions, to be moved at once."""
        return cls(*(np.concatenate([getattr(style, f.name) for style in styles]) for f in fields(cls)))


Angles = dict[str, Jet]
Foot = tuple[Jet | float, Jet | float, Jet | float]
"""Forwards of the standing place (m), above the floor (m), and pitch (rad, toes up)."""
FLAT: Foot = (0.0, 0.0, 0.0)


def _rest(style: Style, t: Jet) -> Angles:
    """Upright with hanging arms, a little sway on top."""
    still = 0.0 * t
    angles = {"trunk_flexion": still + style.lean, "pelvis_tilt": still}
    for side in SIDES:
        angles[f"{side}_shoulder_abduction"] = still + style.arms_out
        angles[f"{side}_elbow_flexion"] = still + style.elbows
    if np.any(style.sway):
        pace = 2 * np.pi * style.sway_rate
        phase = pace * t.value[:, None, None] + style.sway_phase
        wave = style.sway * np.sin(phase)
        rate = pace * style.sway * np.cos(phase)
        parts = [part.sum(2) for part in (wave, rate, -(pace**2) * wave)]
        for i, name in enumerate(SWAYING):
            angles[name] = angles.get(name, still) + Jet(*(part[:, i] for part in parts))
    return angles


def _add(angles: Angles, name: str, more: Jet | Array | float) -> None:
    angles[name] = angles.get(name, 0.0 * angles["pelvis_tilt"]) + more


def _posed(body: Body, angles: Angles, height: Jet, back: Jet | float = 0.0, left: Foot = FLAT, right: Foot = FLAT) -> Pose:
    """Put the hip joints `height` leg lengths above the ankles' standing height and solve both legs.

    Args:
        back: of the hips, in metres behind the standing place.
    """
    tilt = angles["pelvis_tilt"]
    still = 0.0 * height
    for side, (forward, lift, pitch) in (("left", left), ("right", right)):
        toes_up = still + pitch
        # Toes that point down would go through the floor: the ankle rises instead.
        rise = lift + softplus(sin(toes_up) * -body.foot, 0.01) - 0.01 * np.log(2.0)
        thigh, knee = leg_angles(body, height * body.leg - rise, still + forward + back)
        angles[f"{side}_hip_flexion"] = thigh - tilt
        angles[f"{side}_knee_flexion"] = knee
        angles[f"{side}_ankle_flexion"] = toes_up - thigh + knee
    root = (
        still,
        height * body.leg + body.ankle + cos(tilt) * body.hip_drop,
        still + back + sin(tilt) * body.hip_drop,
    )
    return Pose(root, angles)


def _cycle(t: Jet, style: Style, rate: float) -> Jet:
    """The phase of a movement that repeats `rate` times a second, in radians."""
    return t * (2 * np.pi * rate * style.tempo) + style.phase


def stand(body: Body, style: Style, t: Jet) -> Pose:
    return _posed(body, _rest(style, t), 0.0 * t + UPRIGHT)


def sit(body: Body, style: Style, t: Jet) -> Pose:
    return _seated(body, _rest(style, t), 0.0 * t + 1.0)


def sit_down(body: Body, style: Style, t: Jet) -> Pose:
    return _transfer(body, style, t, (t - style.middle) * (style.tempo / SITTING_DOWN) + 0.5)


def stand_up(body: Body, style: Style, t: Jet) -> Pose:
    return _transfer(body, style, t, (style.middle - t) * (style.tempo / SITTING_DOWN) + 0.5)


def _transfer(body: Body, style: Style, t: Jet, done: Jet) -> Pose:
    """Between standing (done <= 0) and sitting (done >= 1): the trunk leans while the pelvis goes down and back."""
    angles = _rest(style, t)
    seated = minimum_jerk(done)
    lean = seated * (1.0 - seated) * (4 * 42 * DEGREE * style.vigour)
    _add(angles, "trunk_flexion", lean)
    for side in SIDES:
        _add(angles, f"{side}_shoulder_flexion", lean * 1.5)
    return _seated(body, angles, seated)


def _seated(body: Body, angles: Angles, seated: Jet) -> Pose:
    # The pelvis rolls back on the chair and the small of the back takes it up: the trunk stays as it was.
    slump = seated * (18 * DEGREE)
    angles["pelvis_tilt"] = slump
    _add(angles, "trunk_flexion", slump)
    chair = body.shank * 1.02 / body.leg
    return _posed(body, angles, UPRIGHT - seated * (UPRIGHT - chair), seated * (0.92 * body.thigh))


def walk(body: Body, style: Style, t: Jet) -> Pose:
    """On a treadmill: what a sensor feels is the same as on the ground at even pace."""
    angles = _rest(style, t)
    right = _cycle(t, style, 0.92) + (style.lead - 1.0) * (np.pi / 2)
    feet = {}
    for side, own in (("left", right + np.pi), ("right", right)):
        # A stance longer than the swing: the phase runs slowly while the sine is positive.
        p = own + cos(own) * 0.3
        lift = ((1.0 - sin(p)) * 0.5) ** 3 * (0.09 * style.vigour)
        pitch = ((1.0 + cos(p)) * 0.5) ** 4 * (18 * DEGREE) - ((1.0 + cos(p - 1.15 * np.pi)) * 0.5) ** 4 * (38 * DEGREE)
        feet[side] = (cos(p) * (0.29 * body.leg * style.vigour), lift, pitch)
        _add(angles, f"{side}_shoulder_flexion", cos(own) * (-20 * DEGREE * style.vigour) - 2 * DEGREE)
        _add(angles, f"{side}_elbow_flexion", (1.0 - cos(own)) * (9 * DEGREE * style.vigour))
    _add(angles, "trunk_turn", cos(right) * (-5 * DEGREE * style.vigour))
    _add(angles, "trunk_flexion", 3 * DEGREE)
    pose = _posed(body, angles, 0.955 - cos(right * 2.0) * (0.016 * style.vigour), 0.0, feet["left"], feet["right"])
    # The pelvis shifts over the standing leg; both legs lean with it, so that the feet stay where they are.
    shift = sin(right) * (0.02 * style.vigour)
    for side in SIDES:
        _add(angles, f"{side}_hip_roll", shift * (-1.0 / body.leg))
    return Pose((pose.root[0] + shift, *pose.root[1:]), angles)


def jog(body: Body, style: Style, t: Jet) -> Pose:
    """Two bounces a stride with free flight in between, elbows bent."""
    angles = _rest(style, t)
    rate = 1.38
    right = _cycle(t, style, rate) + (style.lead - 1.0) * (np.pi / 2)
    duty = 0.65
    # In the middle of contact the foot passes under the hip, where the sine of its phase is 1.
    height = bounce(right * (1 / np.pi) - 0.5 + 0.5 * duty, 0.5 / (rate * style.tempo), duty, GRAVITY)
    flight = softplus(height, AIR)
    feet = {}
    for side, own in (("left", right + np.pi), ("right", right)):
        lift = ((1.0 - sin(own + 0.45)) * 0.5) ** 4 * (0.26 * style.vigour)
        pitch = ((1.0 + cos(own - 1.25 * np.pi)) * 0.5) ** 3 * (-55 * DEGREE)
        feet[side] = (cos(own) * (0.26 * body.leg * style.vigour) - 0.03, flight + lift, pitch)
        _add(angles, f"{side}_shoulder_flexion", cos(own) * (-30 * DEGREE * style.vigour) - 10 * DEGREE)
        _add(angles, f"{side}_elbow_flexion", 78 * DEGREE - cos(own) * (12 * DEGREE * style.vigour))
        _add(angles, f"{side}_shoulder_rotation", 15 * DEGREE)
    _add(angles, "trunk_turn", cos(right) * (-8 * DEGREE * style.vigour))
    _add(angles, "trunk_flexion", 8 * DEGREE)
    return _posed(body, angles, height * (1 / body.leg) + 0.955, 0.0, feet["left"], feet["right"])


def jump(body: Body, style: Style, t: Jet) -> Pose:
    """In place, on both legs, the arms swinging up; the hip is weightless in flight."""
    angles = _rest(style, t)
    rate, duty = 1.35, 0.52
    phase = _cycle(t, style, rate)
    height = bounce(phase * (1 / (2 * np.pi)), 1.0 / (rate * style.tempo), duty, GRAVITY)
    flight = softplus(height, AIR)
    crouch = softplus(-height, 3 * AIR)
    _add(angles, "trunk_flexion", crouch * (90 * DEGREE))
    swing = cos(phase - 2 * np.pi * (1 + duty) / 2)
    for side in SIDES:
        _add(angles, f"{side}_shoulder_flexion", (swing * 42 * DEGREE) * style.vigour + 22 * DEGREE)
        _add(angles, f"{side}_elbow_flexion", 25 * DEGREE)
    pitch = flight * (-250 * DEGREE)
    foot: Foot = (0.0, flight, pitch)
    return _posed(body, angles, height * (1 / body.leg) + 0.975, crouch * 0.4, foot, foot)


def squat(body: Body, style: Style, t: Jet) -> Pose:
    """Down and up again, the arms coming forward for balance."""
    angles = _rest(style, t)
    depth = (1.0 - cos(_cycle(t, style, 0.5))) * 0.5 * style.vigour
    _add(angles, "trunk_flexion", depth * (36 * DEGREE))
    angles["pelvis_tilt"] = depth * (-8 * DEGREE)
    for side in SIDES:
        _add(angles, f"{side}_shoulder_flexion", depth * (105 * DEGREE))
    return _posed(body, angles, UPRIGHT - depth * 0.36, depth * (0.26 * body.leg))


def wave_right(body: Body, style: Style, t: Jet) -> Pose:
    return _waving(body, style, t, ("right",))


def wave_both(body: Body, style: Style, t: Jet) -> Pose:
    return _waving(body, style, t, ("right", "left"))


def _waving(body: Body, style: Style, t: Jet, sides: tuple[str, ...]) -> Pose:
    """The upper arm out, the forearm up, the elbow beating to and fro."""
    angles = _rest(style, t)
    beat = sin(_cycle(t, style, 1.5)) * (30 * DEGREE * style.vigour)
    for side in sides:
        _add(angles, f"{side}_shoulder_flexion", 12 * DEGREE)
        _add(angles, f"{side}_shoulder_abduction", 58 * DEGREE)
        _add(angles, f"{side}_shoulder_rotation", -82 * DEGREE)
        _add(angles, f"{side}_elbow_flexion", beat + 88 * DEGREE)
    return _posed(body, angles, 0.0 * t + UPRIGHT)


def clap(body: Body, style: Style, t: Jet) -> Pose:
    """Hands together in front of the chest: the upper arms turn inwards until the hands meet."""
    angles = _rest(style, t)
    together = (1.0 + cos(_cycle(t, style, 1.7))) * 0.5
    closed = np.arcsin(min(0.95, 0.9 * body.half_shoulders / (body.forearm + body.hand)))
    opened = closed - 38 * DEGREE * style.vigour
    for side in SIDES:
        _add(angles, f"{side}_shoulder_flexion", 32 * DEGREE)
        _add(angles, f"{side}_shoulder_abduction", -0.8 * style.arms_out)
        _add(angles, f"{side}_elbow_flexion", 70 * DEGREE)
        _add(angles, f"{side}_shoulder_rotation", together * (closed - opened) + opened)
    return _posed(body, angles, 0.0 * t + UPRIGHT)


def box(body: Body, style: Style, t: Jet) -> Pose:
    """Punches by turns, quick out and slower back, from a guard with one foot ahead."""
    angles = _rest(style, t)
    right = _cycle(t, style, 0.85) + (style.lead - 1.0) * (np.pi / 2)
    for side, own in (("left", right + np.pi), ("right", right)):
        out = ((1.0 + cos(own + sin(own) * 0.5 + 0.5 * cos(own))) * 0.5) ** 3
        _add(angles, f"{side}_shoulder_flexion", out * (50 * DEGREE * style.vigour) + 32 * DEGREE)
        _add(angles, f"{side}_shoulder_rotation", out * (-8 * DEGREE) + 18 * DEGREE)
        _add(angles, f"{side}_elbow_flexion", out * (-96 * DEGREE) + 106 * DEGREE)
    _add(angles, "trunk_turn", cos(right) * (14 * DEGREE * style.vigour))
    _add(angles, "trunk_flexion", 6 * DEGREE)
    ahead = 0.0 * t + 0.12 * style.lead
    return _posed(body, angles, 0.0 * t + 0.955, 0.0, (ahead, 0.0, 0.0), (-ahead, 0.0, 0.0))


Activity = Callable[[Body, Style, Jet], Pose]
ACTIVITIES: dict[str, Activity] = {
    "stand": stand,
    "sit": sit,
    "walk": walk,
    "jog": jog,
    "jump": jump,
    "wave_right": wave_right,
    "wave_both": wave_both,
    "clap": clap,
    "box": box,
    "squat": squat,
    "sit_down": sit_down,
    "stand_up": stand_up,
}
