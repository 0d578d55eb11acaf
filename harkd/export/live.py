"""Signal preparation while samples arrive: the steps that need no later sample, to the same bits as for a whole recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from harkd.datasets import Recording, Sensor
from harkd.datasets.euclidean import Euclidean
from harkd.datasets.filters import Signal, butterworth
from harkd.datasets.prepare import to_text, usage
from harkd.datasets.recording import matching
from harkd.datasets.steps import Fill, Filter, Fit, Gravity, Limit, Reference, Resample, Sensors, Step
from harkd.errors import UsageError

Chunk = Mapping[str, Signal]
"""Per sensor (channel, time): the samples that came since the chunk before."""
Stage = Callable[[Chunk], Chunk]


class Live:
    """Preparation chunk by chunk.

    Args:
        preparation: its text.
        sensors: at the rates of their samples, which are those of the card.

    Attributes:
        sensors: as prepared.
        whole: the step that takes no missing samples, as text; '' if there is none.

    Raises:
        UsageError: a step needs samples that come later; names it and says why.
    """

    def __init__(self, preparation: str, sensors: Sequence[Sensor]) -> None:
        now: Sensors = {sensor.name: sensor for sensor in sensors}
        self.whole = ""
        self._stages: list[Stage] = []
        for step in usage(preparation):
            kind = next(kind for kind in STAGES if isinstance(step, kind))
            why, stage, missing = STAGES[kind](step, now)
            if why:
                raise UsageError(
                    f"this model's signals are prepared by {preparation}, and {to_text([step])} {why}: a stream cannot do that; "
                    "harkd predict takes the whole recording"
                )
            if not missing:
                self.whole = self.whole or to_text([step])
            if stage is not None:
                self._stages.append(stage)
            now = step.apply([], now, dict(now))[1]
        self.sensors = tuple(now.values())

    def __call__(self, chunk: Chunk) -> Chunk:
        for stage in self._stages:
            chunk = stage(chunk)
        return chunk


class _Running:
    """A causal filter that goes on where the last chunk ended; see `harkd.datasets.filters.run_filter`."""

    def __init__(self, sos: NDArray[np.float64]) -> None:
        self._sos = sos
        self._state: NDArray[np.float64] | None = None

    def __call__(self, x: Signal) -> Signal:
        if self._state is None:
            self._state = dsp.sosfilt_zi(self._sos)[:, None] * x[None, :, :1].astype(np.float64)
        done, self._state = dsp.sosfilt(self._sos, x, axis=1, zi=self._state)
        found: Signal = done.astype(np.float32)
        return found


Made = tuple[str, Stage | None, bool]
"""Why a step cannot be done ('': it can), what it does to a chunk (None: nothing), and whether samples may be missing."""


def _sample_by_sample(step: Step, sensors: Sensors) -> Made:
    def stage(chunk: Chunk) -> Chunk:
        # NumPy sums a lone column in another order, so that its last bit would differ: it comes twice.
        lone = {name: np.repeat(x, 2, axis=1) if x.shape[1] == 1 else x for name, x in chunk.items()}
        done = step.apply([Recording("stream", "", lone)], dict(sensors), {})[0][0].signals
        return {name: x[:, : chunk[name].shape[1]] for name, x in done.items()}

    return "", stage, True


def _fill(step: Step, sensors: Sensors) -> Made:
    assert isinstance(step, Fill)
    return "", None, step.seconds == 0  # where nothing is missing, it does nothing


def _resample(step: Step, sensors: Sensors) -> Made:
    assert isinstance(step, Resample)
    other = [s for s in matching(step.of, sensors) if step.rate not in (0, s.rate)]
    return (f"turns {other[0].rate:g} Hz into {step.rate:g} Hz with samples that come later" if other else ""), None, True


def _filter(step: Step, sensors: Sensors) -> Made:
    assert isinstance(step, Filter)
    if step.phase != "causal":
        return _BACKWARD, None, False
    running = {sensor.name: _Running(step.sections(sensor.rate)) for sensor in matching(step.of, sensors)}
    return "", lambda chunk: {n: running[n](x) if n in running else x for n, x in chunk.items()}, False


def _gravity(step: Step, sensors: Sensors) -> Made:
    assert isinstance(step, Gravity)
    if step.phase != "causal":
        return _BACKWARD, None, False
    low = {s.name: _Running(butterworth(step.order, step.cutoff, "lowpass", s.rate)) for s in matching(step.of, sensors)}

    def stage(chunk: Chunk) -> Chunk:
        done: dict[str, Signal] = {}
        for name, x in chunk.items():
            if name in low:
                slow = low[name](x)
                done |= {f"{name}_gravity": slow, f"{name}_motion": x - slow}
            else:
                done[name] = x
        return done

    return "", stage, False


_BACKWARD = "also runs backward over the recording (phase=causal does not)"
STAGES: dict[type[Step], Callable[[Step, Sensors], Made]] = {
    Limit: _sample_by_sample,
    Reference: _sample_by_sample,
    Fill: _fill,
    Resample: _resample,
    Filter: _filter,
    Gravity: _gravity,
    Fit: lambda step, sensors: ("stretches a whole recording to one window", None, False),
    Euclidean: lambda step, sensors: ("needs the covariance of the whole recording", None, False),
}
"""How a step is done on a stream."""
