"""A made-up study: people who move in front of a camera with inertial sensors on, and the truth behind it.

Every random number comes from a generator of (seed, what for, subject, activity, repetition): subject 3 is the same person
with the same recordings in a study of 4 people and of 400, and with any selection of activities and places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np

from harkd.datasets.recording import Recording, Segment
from harkd.datasets.synthetic.activities import ACTIVITIES, DEGREE, RIPPLES, SWAYING, Style
from harkd.datasets.synthetic.imu import PLACES, Imu, Unit
from harkd.datasets.synthetic.jet import Array, time
from harkd.datasets.synthetic.skeleton import JOINTS, Body, Motion, moving

_PERSON, _HABIT, _REPETITION, _DEVICE, _CLOCK, _CAMERA, _DEVICES = range(7)

CHANNELS = tuple(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")
"""Names of the 60 channels of the skeleton."""


@dataclass(frozen=True)
class Study:
    """What is recorded.

    Attributes:
        seconds: length of each recording.
        places: where devices are worn, names of `PLACES`.
        skeleton_noise: of each joint coordinate, in metres.
        clock_offset, clock_drift: standard deviations of how late the devices' clock starts, in seconds, and of its
            relative error of rate. The devices share a clock, which is not the camera's.
    """

    subjects: int = 10
    repetitions: int = 5
    seconds: float = 3.2
    activities: tuple[str, ...] = tuple(ACTIVITIES)
    places: tuple[str, ...] = ("right_wrist", "left_wrist", "hip", "right_thigh")
    imu: Imu = field(default_factory=Imu)
    imu_rate: float = 50.0
    skeleton_rate: float = 25.0
    skeleton_noise: float = 0.008
    clock_offset: float = 0.0
    clock_drift: float = 0.0
    seed: int = 0

    def rng(self, purpose: int, subject: int, activity: str = "", repetition: int = 0) -> np.random.Generator:
        # Always five numbers: SeedSequence takes a shorter tuple for one with zeros at its end.
        number = list(ACTIVITIES).index(activity) if activity else 0
        return np.random.default_rng((self.seed, purpose, subject, number, repetition))


@dataclass(frozen=True)
class Person:
    """A subject: the body, habits of movement, and where the camera sees it.

    Attributes:
        tempo, vigour, lead, lean, arms_out, elbows: see `Style`.
        yaw: how far the person turns away from the camera, in radians.
        origin: (3,) of the room's origin in camera coordinates, in metres.
    """

    body: Body
    tempo: float
    vigour: float
    lead: float
    lean: float
    arms_out: float
    elbows: float
    yaw: float
    origin: Array

    def seen(self, joints: Array) -> Array:
        """Joints (20, 3, ...) in room axes as the camera sees them: the same turned by `yaw` and moved."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        return np.einsum("ij,kj...->ki...", turn, joints) + self.origin.reshape(3, *[1] * (joints.ndim - 2))


def person(study: Study, subject: int) -> Person:
    """Subject number 1, 2, ..."""
    z = study.rng(_PERSON, subject).standard_normal(32)
    size = 1.0 + 0.05 * np.clip(z[0], -2.5, 2.5)
    lengths = {f.name: getattr(Body(), f.name) * size * np.exp(0.04 * z[1 + i]) for i, f in enumerate(fields(Body))}
    return Person(
        body=Body(**lengths),
        tempo=float(np.exp(0.09 * z[20])),
        vigour=float(np.exp(0.10 * z[21])),
        lead=1.0 if z[22] < 1.2 else -1.0,
        lean=(2.0 + 3.0 * z[23]) * DEGREE,
        arms_out=(9.0 + 2.0 * z[24]) * DEGREE,
        elbows=(14.0 + 4.0 * np.clip(z[25], -2, 2)) * DEGREE,
        yaw=5.0 * z[26] * DEGREE,
        origin=np.array([0.15 * z[27], -1.0 + 0.03 * z[28], 2.9 + 0.15 * z[29]]),
    )


def device(study: Study, subject: int, place: str) -> Unit:
    """The device that a subject wears at a place, throughout the study."""
    return study.imu.unit(study.rng(_DEVICE, subject, repetition=list(PLACES).index(place)))


def style(study: Study, subject: int, activity: str) -> Style:
    """How a subject does an activity: all repetitions, stacked."""
    who = person(study, subject)
    # A person has habits for each activity; repetitions differ less than people do.
    habit = np.exp(0.06 * study.rng(_HABIT, subject, activity).standard_normal(2))
    styles = []
    for repetition in range(study.repetitions):
        rng = study.rng(_REPETITION, subject, activity, repetition)
        z, u = rng.standard_normal(4), rng.random(2)
        number = {
            "tempo": who.tempo * habit[0] * np.exp(0.03 * z[0]),
            "vigour": who.vigour * habit[1] * np.exp(0.04 * z[1]),
            "phase": 2 * np.pi * u[0],
            "lead": who.lead,
            "middle": 0.5 * study.seconds + 0.3 * (u[1] - 0.5),
            "lean": who.lean + DEGREE * z[2],
            "arms_out": who.arms_out,
            "elbows": who.elbows + DEGREE * z[3],
        }
        shape = (1, len(SWAYING), RIPPLES, 1)
        styles.append(
            Style(
                **{name: np.full((1, 1), value) for name, value in number.items()},
                sway=0.4 * DEGREE * rng.standard_normal(shape),
                sway_rate=rng.uniform(0.15, 0.9, shape),
                sway_phase=rng.uniform(0, 2 * np.pi, shape),
            )
        )
    return Style.stacked(styles)


def truth(study: Study, subject: int, activity: str, times: Array) -> Motion:
    """The exact movement in all repetitions, at any instants.

    Args:
        times: in seconds since the camera's first frame, (time,) or (repetitions, time).

    Returns:
        A `Motion` whose arrays end with (repetitions, time).
    """
    shape = (study.repetitions, np.shape(times)[-1])
    t = time(np.broadcast_to(np.asarray(times, np.float64), shape))
    body = person(study, subject).body
    return moving(body, ACTIVITIES[activity](body, style(study, subject, activity), t))


def device_times(study: Study, subject: int, activity: str) -> Array:
    """(repetitions, time): when the devices take their samples, in seconds since the camera's first frame."""
    samples = np.arange(round(study.seconds * study.imu_rate)) / study.imu_rate
    z = [study.rng(_CLOCK, subject, activity, repetition).standard_normal(2) for repetition in range(study.repetitions)]
    return np.stack([study.clock_offset * late + samples / (1.0 + study.clock_drift * fast) for late, fast in z])


def recordings(study: Study | None = None) -> list[Recording]:
    """The recordings, named `subject-activity-repetition`, each one segment with the target `activity`.

    Sensors are `skeleton` (60, time) in metres and, for each place, `{place}_acc` in g and `{place}_gyro` in rad/s.
    """
    study = study or Study()
    return [
        recording
        for subject in range(1, study.subjects + 1)
        for number, activity in enumerate(study.activities)
        for recording in _repetitions(study, subject, activity, number)
    ]


def _repetitions(study: Study, subject: int, activity: str, number: int) -> Iterator[Recording]:
    who = person(study, subject)
    frames = np.arange(round(study.seconds * study.skeleton_rate)) / study.skeleton_rate
    at = device_times(study, subject, activity)
    # One pass through the body for camera and devices together.
    motion = truth(study, subject, activity, np.concatenate([np.broadcast_to(frames, (len(at), len(frames))), at], axis=1))
    camera = who.seen(motion.joints()[..., : len(frames)])
    camera += study.skeleton_noise * _noise(study, subject, activity, _CAMERA, camera.shape)
    signals = {"skeleton": camera.reshape(len(CHANNELS), *camera.shape[2:])}
    for place in study.places:
        frame = PLACES[place].on(motion).part(slice(len(frames), None))
        noise = _noise(study, subject, activity, _DEVICES + list(PLACES).index(place), (2, 3, *at.shape))
        signals[f"{place}_acc"], signals[f"{place}_gyro"] = study.imu.measure(frame, device(study, subject, place), *noise)
    for repetition in range(study.repetitions):
        yield Recording(
            name=f"{subject}-{activity}-{repetition + 1}",
            subject=str(subject),
            signals={name: np.ascontiguousarray(s[:, repetition], dtype=np.float32) for name, s in signals.items()},
            segments=(Segment(0.0, study.seconds, {"activity": number}),),
        )


def _noise(study: Study, subject: int, activity: str, purpose: int, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers of a shape (..., repetition, time), from a generator of each repetition's own."""
    each = [study.rng(purpose, subject, activity, repetition) for repetition in range(study.repetitions)]
    return np.stack([rng.standard_normal((*shape[:-2], shape[-1])) for rng in each], axis=-2)
