"""Euclidean alignment: every subject's covariance becomes the identity, so that nets meet subjects on equal terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harkd.datasets.recording import Recording, Sensor, matching
from harkd.datasets.steps import Sensors, Step


@dataclass(frozen=True)
class Euclidean(Step):
    """Multiply the channels by the inverse root of the mean covariance over a subject's (or session's) labelled stretches.

    He, Wu: Transfer learning for brain-computer interfaces: a Euclidean space data alignment approach, IEEE TBME 67(2), 2020.
    No label is used, but the signals of test subjects are: a watch would have to collect some before it can start. Directions
    without variance (a common average reference has one) stay empty.
    """

    by: Literal["subject", "session"] = "subject"
    of: str = "eeg"

    def apply(self, recordings: list[Recording], sensors: Sensors, target: Sensors) -> tuple[list[Recording], Sensors]:
        for sensor in matching(self.of, sensors):
            groups: dict[tuple[str, str], list[int]] = {}
            for number, recording in enumerate(recordings):
                if sensor.name in recording.signals:
                    key = (recording.subject, recording.session if self.by == "session" else "")
                    groups.setdefault(key, []).append(number)
            for members in groups.values():
                trials = [x for number in members for x in _trials(recordings[number], sensor)]
                if not trials:  # nothing but missing samples
                    continue
                whitener = inverse_root(np.mean([x @ x.T / x.shape[1] for x in trials], 0)).astype(np.float32)
                for number in members:
                    signals = recordings[number].signals
                    changed = {**signals, sensor.name: whitener @ signals[sensor.name]}
                    recordings[number] = replace(recordings[number], signals=changed)
        return recordings, {n: replace(s, units="1") if s in matching(self.of, sensors) else s for n, s in sensors.items()}


def _trials(recording: Recording, sensor: Sensor) -> Iterator[NDArray[np.float64]]:
    onset = recording.onsets.get(sensor.name, 0.0)
    x = recording.signals[sensor.name]
    stretches = [(round((s.start - onset) * sensor.rate), round((s.stop - onset) * sensor.rate)) for s in recording.segments]
    found = [x[:, max(0, a) : b] for a, b in stretches or [(0, x.shape[1])]]
    for trial in found if any(part.shape[1] for part in found) else [x]:
        seen = trial[:, ~np.isnan(trial).any(0)].astype(np.float64)
        if seen.shape[1]:
            yield seen


def inverse_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """C^(-1/2) of a symmetric matrix, on the directions that have variance."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values.max()
    scaled = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    root: NDArray[np.float64] = (vectors * scaled) @ vectors.T
    return root
