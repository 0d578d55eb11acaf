"""The pictures of the augmentations' pages: made-up people, before and after. They are drawn when the site is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harkd.augment import Augmenter, Spec, Transform, parse, to_text
from harkd.augment.learning import Evidence, Learner
from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Signals, Windows, read_card
from harkd.datasets.card import Counts
from harkd.datasets.synthetic import imagery, motion
from harkd.report import columns
from harkd.report.before_after import Case, State, cases, deviations, difference, possible
from harkd.report.catalogue import Entry, catalogue
from harkd.report.columns import Piece

DRAWS = 32
"""A picture shows the draw out of so many that changes most."""
VISITS = 8
"""Of each window, in the training that a policy believes to be in."""
BATCHES = (10, 40, 100)
"""After so many batches that the student finds easy, what grows with its success is shown."""


@dataclass(frozen=True)
class Example:
    """Windows to show ops on, and which of them."""

    windows: Windows
    at: int

    @cached_property
    def spec(self) -> Spec:
        return replace(Spec.of(self.windows), judge=Stillness(self.windows), visits=VISITS)


class Stillness:
    """A stand-in for a trained net: it knows classes by how much every channel moves, and attends to what moves most."""

    def __init__(self, windows: Windows) -> None:
        everything = self._moves(windows.gather(torch.arange(len(windows))))
        self.scale = everything.std(0).clamp_min(1e-6)
        self.centres = torch.stack([everything[windows.labels == number].mean(0) for number in range(len(windows.classes))])

    def probabilities(self, x: Signals) -> Tensor:
        distance = ((self._moves(x)[:, None] - self.centres) / self.scale).square().mean(2)
        return (-4 * distance).softmax(1)

    def attention(self, x: Signals) -> Tensor:
        first = next(iter(x.values()))
        return (first - first.mean(2, keepdim=True)).square().mean(1)

    @staticmethod
    def _moves(x: Signals) -> Tensor:
        return torch.cat([signal.std(2) for signal in x.values()], 1)


@cache
def examples() -> tuple[Example, ...]:
    """A run with a watch on each wrist, imagined movement, a waving skeleton, and electrodes on both forearms."""
    places, classes = ("right_wrist", "left_wrist"), ("walk", "jog", "wave_right", "squat")
    study = motion.Study(subjects=3, repetitions=1, activities=classes, places=places)
    card = read_card("synthetic_motion")
    card = replace(card, target=replace(card.target, classes=classes), invariances={}, counts=Counts(), splits={})
    moved = motion.recordings(study)
    brain = read_card("synthetic_imagery")
    (cap,) = brain.sensors
    rows = [cap.channels.index(name) for name in cap.montages["bci22"]]
    cap = replace(cap, channels=cap.montages["bci22"], montages={})
    brain = replace(brain, sensors=(cap,), counts=Counts(), splits={})
    trials = [replace(run, signals={"eeg": run.signals["eeg"][rows]}) for run in imagery.recordings(imagery.Study(2, runs=1))]
    devices = [f"{place}_{kind}" for place in places for kind in ("acc", "gyro")]
    return (
        _example(moved, card, devices, "jog", 128),
        _example(trials, brain, ["eeg"], "left", 320),
        _example(moved, card, ["skeleton"], "wave_right", 64),
        _example(*_fists(brain), ["emg"], "left", 256),
    )


def _fists(card: Card) -> tuple[list[Recording], Card]:
    """Two wristbands of 16 electrodes at 200 Hz, over muscles that contract one after the other."""
    sensor = Sensor("emg", "emg", "uV", 200.0, tuple(f"{side}{n + 1}" for side in ("left_", "right_") for n in range(16)))
    t = np.arange(512) / sensor.rate
    recordings = []
    for number, hand in enumerate(card.target.classes):
        peak = np.where(np.arange(32) // 16 == number, 0.3 + 0.7 * (np.arange(32) % 16) / 16, 0.0)
        force = 5 + 60 * np.exp(-(((t - peak[:, None]) / 0.12) ** 2)) * (peak[:, None] > 0)
        x = (force * np.random.default_rng(number).normal(size=force.shape)).astype(np.float32)
        segments = (Segment(0.0, len(t) / sensor.rate, {card.target.name: number}),)
        recordings.append(Recording(hand, str(number), {"emg": x}, segments=segments))
    return recordings, replace(card, sensors=(sensor,))


def _example(recordings: Sequence[Recording], card: Card, sensors: Sequence[str], name: str, length: int) -> Example:
    """The first window of a class, among the windows of some sensors."""
    own = replace(card, sensors=tuple(sensor for sensor in card.sensors if sensor.name in sensors))
    kept = [replace(each, signals={sensor: each.signals[sensor] for sensor in sensors}) for each in recordings]
    windows = Windows.cut(kept, own, Cut(length, length))
    return Example(windows, int((windows.labels == windows.classes.index(name)).nonzero()[0, 0]))


def shown(entry: Entry) -> tuple[Example, Case]:
    """An op on a window: as recorded, at its default, and at its strongest, each time the draw that changes most.

    A policy is shown in three of eight visits; one that grows with the student's success, at three times in a training.
    """
    strategy = parse(entry.strategy)
    example = next(each for each in examples() if not possible(entry.strategy, each.windows, each.spec))
    (op,) = strategy.ops
    if entry.kind != "policy":
        states = _strengths(example, entry, op)
    elif isinstance(op, Learner) and not (op.needs_teacher or op.needs_validation):
        grown = [_case(example, strategy, 1, _easy(batches)) for batches in BATCHES]
        late = [replace(case.drawn[0], title=f"{batches} batches") for case, batches in zip(grown, BATCHES, strict=True)]
        states = [grown[0].recorded, *late]
    else:
        case = _case(example, strategy, VISITS)
        states = [case.recorded, *case.drawn[1::3]]
    return example, Case(example.at, str(example.windows.subjects[example.at]), tuple(states))


def _strengths(example: Example, entry: Entry, op: Transform) -> list[State]:
    """The window as recorded, through an op as it is, and through the strongest of its kind if that is another."""
    field, strongest = op.STRENGTH.field, op.at(1)
    prefix = "none|" if entry.kind == "mixing op" else ""
    states = []
    for each in [op] if strongest == op else [op, strongest]:
        case = _case(example, parse(prefix + to_text(each)), DRAWS)
        change = {n: max(changes(example, case.recorded, state).values()) for n, state in enumerate(case.drawn)}
        # Of what mixes, a draw that mixes classes.
        most = max(change, key=lambda n: (case.drawn[n].shares != case.recorded.shares, change[n]))
        states.append(replace(case.drawn[most], title=f"{field} {getattr(each, field):g}"))
    return [case.recorded, *states]


def _case(example: Example, strategy: Transform, draws: int, teach: Callable[[Augmenter], None] | None = None) -> Case:
    (case,) = cases(strategy, example.windows, [example.at], range(draws), spec=example.spec, teach=teach)
    return case


def _easy(batches: int) -> Callable[[Augmenter], None]:
    """What an augmenter is told of a student that has been sure and right for so many batches."""

    def teach(augmenter: Augmenter) -> None:
        labels = augmenter.windows.labels
        evidence = Evidence(torch.arange(len(labels)), torch.zeros_like(labels), labels, 8.0 * one_hot(labels))
        for _ in range(batches):
            augmenter.learn(evidence)

    return teach


def changes(example: Example, recorded: State, state: State) -> dict[str, float]:
    """How much each sensor was changed, in standard deviations."""
    stds = deviations(example.windows, example.spec)
    return {name: difference(x, state.x[name], stds[name]) for name, x in recorded.x.items()}


def pieces(entry: Entry) -> list[Piece]:
    """The drawings of an op: what becomes of the label, if anything does, and of the sensor that it changes most."""
    example, case = shown(entry)
    moved = [changes(example, case.recorded, state) for state in case.drawn]
    most = max(case.recorded.x, key=lambda name: max(each[name] for each in moved))
    mixed = any(state.shares != case.recorded.shares for state in case.drawn)
    labels = [columns.labels(entry.name, case)] if mixed else []
    return [*labels, columns.signals(entry.name, case, example.windows.sensors[most])]


def picture(name: str) -> str:
    """The picture of an op's page as HTML, in the colours of the page."""
    (entry,) = [entry for entry in catalogue() if entry.name == name and entry.kind != "strategy"]
    drawn = pieces(entry)
    how = "in three visits" if entry.kind == "policy" else f"in the one of {DRAWS} draws that changes most"
    said = f"{drawn[-1].title}, of a made-up recording, {how}. Below are amplitude spectra; dashed is what was recorded."
    boxes = (f'<div style="max-width: {piece.size[0]}px">{columns.svg(piece)}</div>' for piece in drawn)
    scrolling = "".join(f'<div style="overflow-x: auto">{box}</div>' for box in boxes)
    return f"<figure>{scrolling}<figcaption>{said}</figcaption></figure>"
