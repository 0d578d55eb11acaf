"""Imagined movement of the left or right hand: brain sources with a known course, mixed to electrodes by a head model.

While a hand is imagined to move, the mu (8-13 Hz) and beta (16-26 Hz) rhythms of the motor cortex on the other side grow
weaker: event-related desynchronisation (G. Pfurtscheller, F. Lopes da Silva: Event-related EEG/MEG synchronization and
desynchronization, Clinical Neurophysiology 110 (1999) 1842-1857). All else goes on regardless of the hand: alpha over the
back of the head, a background with a 1/f spectrum, blinks and glances, line noise, electrode noise. So the hand shows around
C3 and C4, less in a headband of four electrodes, and not at the forehead; any montage is some rows of the one lead field.

Random numbers come from (seed, what for, subject, run): a subject does not depend on how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harkd.datasets.recording import Recording, Segment
from harkd.datasets.synthetic.head import CHANNELS, lead_field, position
from harkd.datasets.synthetic.jet import Array, minimum_jerk, time

_PERSON, _RUN, _SENSORS = range(3)
HANDS = ("left", "right")
SOURCES = (
    *("left_mu", "right_mu", "left_beta", "right_beta", "left_alpha", "right_alpha", "blinks", "glances"),
    *(f"background_{i + 1}" for i in range(40)),
)
"""Left and right are sides of the head; the right hand belongs to the left motor cortex."""
RHYTHMS = 6
MOTOR = 4
BACKGROUND = 33.0
"""Root mean square of each background source, in nAm."""
DEPTH = 0.6
"""Of the sources, in head radii. A homogeneous sphere lets the scalp see more detail than a skull does; sources at 0.6 of
the radius make up for it: J. Ary, S. Klein, D. Fender: Location of sources of evoked scalp potentials: corrections for skull
and scalp thicknesses. IEEE Trans. Biomed. Eng. 28 (1981) 447-452."""
BLINK, GLANCE = 600.0, 400.0
"""Dipole moments of the eyes, in nAm: some 100 uV and 30 uV at the forehead."""


@dataclass(frozen=True)
class Study:
    """What is recorded: `runs` of `trials` each, half of them of either hand in random order.

    Attributes:
        rest, imagery: seconds before a cue, and of imagery after it.
        gaze: share of trials in which the eyes glance to the side of the hand at the cue. Above 0 the frontal electrodes
            carry a shortcut to the class, as targets at the side of the screen make in real recordings.
        noise: of each electrode, in uV; line: amplitude of line noise at `line_frequency`, in uV.
        units: standard deviation over subjects of the log of the overall gain.
    """

    subjects: int = 10
    runs: int = 3
    trials: int = 12
    rest: float = 1.5
    imagery: float = 4.0
    rate: float = 160.0
    gaze: float = 0.0
    noise: float = 1.5
    line: float = 2.0
    line_frequency: float = 60.0
    units: float = 0.3
    seed: int = 0

    def rng(self, purpose: int, subject: int, run: int = 0) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose, subject, run))

    @property
    def samples(self) -> int:
        """Of a run, which ends with a rest."""
        return round((self.trials * (self.rest + self.imagery) + self.rest) * self.rate)

    @property
    def cues(self) -> Array:
        """(trial,) when imagery begins, in seconds."""
        return self.rest + np.arange(self.trials, dtype=np.float64) * (self.rest + self.imagery)


@dataclass(frozen=True)
class Person:
    """A subject's head and rhythms.

    Attributes:
        field: (64, source) the lead field, in uV per nAm.
        gain: of everything, the electrodes' noise excepted.
        strength: (source,) root mean square of each source at rest, in nAm.
        frequency, width: (6,) of the six rhythms, in Hz.
        contralateral, ipsilateral: share of mu and beta power that imagery of the opposite and of the same side's hand takes.
        latency: seconds from the cue until power begins to drop.
    """

    field: Array
    gain: float
    strength: Array
    frequency: Array
    width: Array
    contralateral: float
    ipsilateral: float
    latency: float


@dataclass(frozen=True)
class Run:
    """The truth of one run.

    Attributes:
        hands: (trial,) 0 left, 1 right.
        envelope: (4, time) what is left of the power of left_mu, right_mu, left_beta, right_beta; 1 at rest.
        sources: (source, time) dipole moments in nAm.
        signal: (64, time) lead field times sources times gain, in uV: without line and electrode noise.
    """

    hands: Array
    envelope: Array
    sources: Array
    signal: Array


def person(study: Study, subject: int) -> Person:
    """Subject number 1, 2, ..."""
    rng = study.rng(_PERSON, subject)
    z = rng.standard_normal(16)
    left, right = (_source(name, 0.04 * rng.standard_normal(3)) for name in ("C3", "C4"))
    back = [_source(name, 0.05 * rng.standard_normal(3)) for name in ("PO3", "PO4")]
    inside = rng.standard_normal((len(SOURCES) - 8, 3))
    inside *= (0.65 * rng.random((len(inside), 1)) ** (1 / 3)) / np.linalg.norm(inside, axis=1, keepdims=True)
    # Eyes: both move as one pair of dipoles in front; the cornea is positive, so blinks are upward and glances sideways.
    eyes = np.array([[0.0, 0.8, -0.35]] * 2)
    places = np.vstack([left, right, left, right, *back, eyes, inside])
    # Rhythms are mostly radial, with a tilt of the subject's own; the background has any direction.
    tilted = places[:RHYTHMS] / DEPTH + 0.35 * rng.standard_normal((RHYTHMS, 3))
    moments = np.vstack([tilted, [[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]], rng.standard_normal((len(inside), 3))])
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    mu, beta = 10.5 + 1.0 * np.clip(z[0], -2, 2), 21.0 + 1.5 * np.clip(z[1], -2, 2)
    motor = np.array([26.0, 26.0, 9.0, 9.0]) * np.exp(0.25 * z[2] + 0.12 * z[3:7])
    return Person(
        field=lead_field(np.stack([position(name) for name in CHANNELS]), places, moments),
        gain=float(np.exp(study.units * z[7])),
        strength=np.concatenate([motor, 22.0 * np.exp(0.3 * z[8:10]), [1.0, 1.0], np.full(len(inside), BACKGROUND)]),
        frequency=np.array([mu, mu, beta, beta, 9.8 + 0.7 * z[10], 9.8 + 0.7 * z[10]]),
        width=np.array([1.0, 1.0, 2.0, 2.0, 0.8, 0.8]),
        contralateral=float(np.clip(0.58 + 0.12 * z[11], 0.2, 0.85)),
        ipsilateral=float(np.clip(0.12 + 0.06 * z[12], 0.0, 0.25)),
        latency=float(np.clip(0.45 + 0.1 * z[13], 0.2, 0.8)),
    )


def _source(electrode: str, jitter: Array) -> Array:
    """A place under an electrode, at `DEPTH`."""
    place = position(electrode) + jitter
    return place * (DEPTH / np.linalg.norm(place))


def truth(study: Study, subject: int, run: int) -> Run:
    """Run number 1, 2, ... of a subject, without what the electrodes and the mains add."""
    who = person(study, subject)
    rng = study.rng(_RUN, subject, run)
    hands = rng.permutation(np.arange(study.trials) % 2)
    t = np.arange(study.samples) / study.rate
    # How far each hand's imagery is under way: in after the latency, out after its end.
    under_way = np.zeros((2, len(t)))
    for cue, hand in zip(study.cues, hands, strict=True):
        _rise_and_fall(under_way[hand], t, cue + who.latency, cue + study.imagery, 0.4)
    opposite, same = under_way[::-1], under_way
    envelope = np.tile(1.0 - who.contralateral * opposite - who.ipsilateral * same, (2, 1))
    sources = np.empty((len(SOURCES), len(t)))
    hertz = np.fft.rfftfreq(len(t), 1 / study.rate)
    for i in range(RHYTHMS):
        sources[i] = _noise(rng, len(t), np.exp(-0.5 * ((hertz - who.frequency[i]) / who.width[i]) ** 2))
    sources[:MOTOR] *= np.sqrt(envelope)
    sources[RHYTHMS], sources[RHYTHMS + 1] = _eyes(study, rng, t, hands)
    for i in range(RHYTHMS + 2, len(SOURCES)):
        sources[i] = _noise(rng, len(t), 1.0 / np.maximum(hertz, 0.5))
    sources *= who.strength[:, None]
    return Run(hands, envelope, sources, who.gain * (who.field @ sources))


def _noise(rng: np.random.Generator, samples: int, power: Array) -> Array:
    """(samples,) Gaussian noise of mean square 1 (expected) with a power spectrum of the given shape, without a mean."""
    power = np.concatenate([[0.0], power[1:]])
    shaped = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * np.sqrt(power), samples)
    # Every frequency but the last of an even number stands for two.
    weight = np.full(len(power), 2.0)
    weight[-1] = 1.0 if samples % 2 == 0 else 2.0
    return np.asarray(shaped / np.sqrt((weight * power).sum() / samples))


def _eyes(study: Study, rng: np.random.Generator, t: Array, hands: Array) -> tuple[Array, Array]:
    """(time,) blinks and (time,) glances (positive to the right), in nAm."""
    blinks, glances = np.zeros_like(t), np.zeros_like(t)
    for at in np.cumsum(rng.exponential(4.0, 3 * len(hands))):
        near = slice(*np.searchsorted(t, [at - 0.6, at + 0.6]))
        blinks[near] += BLINK * np.exp(-0.5 * ((t[near] - at) / 0.08) ** 2)
    looks = list(zip(np.cumsum(rng.exponential(3.0, 3 * len(hands))), rng.choice([-1.0, 1.0], 3 * len(hands)), strict=True))
    to_target = rng.random(len(hands)) < study.gaze
    looks += [(cue + 0.2, 2.0 * hand - 1.0) for cue, hand, look in zip(study.cues, hands, to_target, strict=True) if look]
    for at, side in looks:
        # A jump of the eyes takes some 40 ms; they come back as quickly.
        _rise_and_fall(glances, t, at, at + 0.7, 0.04, GLANCE * side)
    return blinks, glances


def _rise_and_fall(signal: Array, t: Array, up: float, down: float, seconds: float, height: float = 1.0) -> None:
    """Add, in place, a smooth step up that begins at `up` and one down that begins at `down`."""
    near = slice(*np.searchsorted(t, [up, down + seconds]))
    risen, fallen = (minimum_jerk(time((t[near] - at) / seconds)).value for at in (up, down))
    signal[near] += height * (risen - fallen)


def recordings(study: Study | None = None) -> list[Recording]:
    """The recordings, named `subject-run`, one per run (the session), each trial a segment with the target `hand`.

    The one sensor is `eeg` (64, time) in uV, in the order of `head.CHANNELS`.
    """
    study = study or Study()
    return [_recording(study, subject, run) for subject in range(1, study.subjects + 1) for run in range(1, study.runs + 1)]


def _recording(study: Study, subject: int, run: int) -> Recording:
    real = truth(study, subject, run)
    rng = study.rng(_SENSORS, subject, run)
    t = np.arange(study.samples) / study.rate
    # The mains come in through every lead a little differently.
    pickup = study.line * (1.0 + 0.3 * rng.standard_normal((len(CHANNELS), 1)))
    mains = pickup * np.sin(2 * np.pi * (study.line_frequency * t + rng.random()))
    eeg = real.signal + mains + study.noise * rng.standard_normal(real.signal.shape)
    return Recording(
        name=f"{subject}-run{run}",
        subject=str(subject),
        session=f"run{run}",
        signals={"eeg": eeg.astype(np.float32)},
        segments=tuple(
            Segment(float(cue), float(cue + study.imagery), {"hand": int(hand)})
            for cue, hand in zip(study.cues, real.hands, strict=True)
        ),
    )
