"""Filters with random bands: a stopped band, a kept band, a low-pass. None takes the offset away, which is gravity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.spec import Spec
from harkd.augment.spectrum import add_scaled, frequencies, nyquist
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError

EDGE = 1.0
"""Hz from where a filter passes everything to where it passes nothing."""


def ramp(beyond: Tensor, width: Tensor | float = EDGE) -> Tensor:
    """Raised cosine: 0 at `beyond` = 0 and below, 1 from `width` on, all in Hz."""
    width = torch.as_tensor(width, dtype=beyond.dtype, device=beyond.device).clamp_min(1e-6)
    return (beyond / width).clamp(0, 1).mul_(torch.pi / 2).sin().square()


@dataclass(frozen=True)
class Filter(Transform):
    """Base of the filters: the same band in Hz for all sensors, so that a slow one may have nothing in it."""

    def removed(self, params: Params, hertz: Tensor) -> Tensor:
        """(batch, bin) the share of each frequency (bin,) that is taken away."""
        raise NotImplementedError

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            at = frequencies(signal, spec.sensors[name].rate)
            known = {key: value.to(signal.dtype) for key, value in params.items()}
            moved[name] = add_scaled(signal, self.removed(known, at).neg()[:, None])
        return moved


@dataclass(frozen=True)
class BandStop(Filter):
    """Take away a band `width` Hz wide, at a uniform place at least 1 Hz from the offset and from the Nyquist frequency.

    As in braindecode (`BandstopFilter`), which filters window by window on the CPU; here the spectrum is multiplied by a mask
    whose edges, on either side of the band, are raised cosines of 1 Hz (of `width`, where that is less). At magnitude 1 the
    band is a fifth of what lies below the Nyquist frequency of a wearable sensor at 50 Hz.
    """

    width: float = 1.0
    STRENGTH: ClassVar = Strength("width", 5.0)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if nyquist(spec) < self.width + 2 * EDGE:
            raise UsageError(
                f"BandStop: a band of {self.width:g} Hz and its two edges of {EDGE:g} Hz do not fit below {nyquist(spec):g} Hz, "
                "the Nyquist frequency of the fastest sensor; take a narrower band"
            )

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        width = draws.level(self)
        return {"centre": EDGE + width / 2 + draws.uniform(1) * (nyquist(spec) - 2 * EDGE - width), "width": width}

    def removed(self, params: Params, hertz: Tensor) -> Tensor:
        edge = params["width"].clamp(max=EDGE)
        return ramp(params["width"] / 2 + edge - (hertz - params["centre"]).abs(), edge)


@dataclass(frozen=True)
class LowPass(Filter):
    """Take away what lies above a cut-off from U(`cutoff`, 1) of the fastest sensor's Nyquist frequency.

    Our design. The filter falls to nothing in a raised cosine of 1 Hz above the cut-off.
    """

    cutoff: float = 0.25
    STRENGTH: ClassVar = Strength("cutoff", 0.25, identity=1.0, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"above": nyquist(spec) * (1 - (1 - draws.level(self)) * draws.uniform(1))}

    def removed(self, params: Params, hertz: Tensor) -> Tensor:
        return ramp(hertz - params["above"])


@dataclass(frozen=True)
class BandPass(Filter):
    """Keep a band from U(0, `low` (1 - `cutoff`)) Hz up to U(`cutoff`, 1) of the fastest sensor's Nyquist frequency.

    Our design. The offset is kept too. The edges, on either side of the band, are raised cosines of 1 Hz; the lower one ends
    at the offset.
    """

    cutoff: float = 0.25
    low: float = 1.0
    STRENGTH: ClassVar = Strength("cutoff", 0.25, identity=1.0, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.low < float("inf"):
            raise UsageError(f"BandPass: low is a frequency in Hz, from 0 up; got {self.low}")

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        above, below = ((1 - draws.level(self)) * draws.uniform(2)).split(1, 1)
        return {"above": nyquist(spec) * (1 - above), "below": self.low * below}

    def removed(self, params: Params, hertz: Tensor) -> Tensor:
        below = params["below"]
        gone = torch.maximum(ramp(hertz - params["above"]), ramp(below - hertz, below.clamp(max=EDGE)))
        return gone * (hertz > 0)
