"""Time played at other speeds, and a part of it played longer, as tsaug has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength, samples
from harkd.augment.spec import Spec
from harkd.augment.transform import Params
from harkd.augment.warp import CROPPED, TimeTransform
from harkd.datasets.card import Invariance
from harkd.errors import UsageError


@lru_cache(maxsize=64)
def _places(pieces: int, time: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(time,) the piece of [0, 1] that each sample lies in, and where in it, from 0 to 1."""
    place = torch.arange(time, dtype=torch.float64) * (pieces / max(time - 1, 1))
    piece = place.floor().clamp_max(pieces - 1)
    return piece.long().to(device), (place - piece).float().to(device)


def rising_curve(rises: Tensor, time: int) -> Tensor:
    """(batch, time) a curve from 0 that rises by `rises` (batch, pieces) > 0 over equal pieces, without any bump.

    It is PCHIP, the monotone cubic of Fritsch and Butland (SIAM J. Sci. Stat. Comput. 5(2), 1984), as SciPy's
    PchipInterpolator has it for knots at equal distances; at least two pieces.
    """
    before, after = rises[:, :-1], rises[:, 1:]
    inner = 2 * before * after / (before + after)
    first = (1.5 * rises[:, :1] - 0.5 * rises[:, 1:2]).clamp_min(0)
    last = (1.5 * rises[:, -1:] - 0.5 * rises[:, -2:-1]).clamp_min(0)
    slopes = torch.cat([first, inner, last], 1)
    risen = torch.nn.functional.pad(rises.cumsum(1), (1, 0))
    piece, s = _places(rises.shape[1], time, rises.device)
    # Hermite's form: where the piece starts, its slopes at both ends, and its rise.
    curve = risen.index_select(1, piece).addcmul_(rises.index_select(1, piece), s**2 * (3 - 2 * s))
    curve.addcmul_(slopes.index_select(1, piece), s * (1 - s) ** 2)
    return curve.addcmul_(slopes.index_select(1, piece + 1), s**2 * (s - 1))


@dataclass(frozen=True)
class SpeedWarp(TimeTransform):
    """Play the window at `changes` + 1 speeds, one after the other, the fastest `ratio` times the slowest (tsaug's TimeWarp).

    Speeds are uniform and mapped so that their ratio is met exactly; between them time runs smoothly (PCHIP), and the two
    ends of the window stay where they are. All channels and sensors share the map. Assumes the invariance `pace`.
    """

    ratio: float = 3.0
    changes: int = 3
    STRENGTH: ClassVar = Strength("ratio", 3.0, identity=1.0, least=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.changes < 1:
            raise UsageError(f"SpeedWarp: changes counts the changes of speed, so it is at least 1; got {self.changes}")

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"})

    def slots(self, spec: Spec) -> int:
        return self.changes + 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(self.changes + 1)
        low = u.amin(1, keepdim=True)
        spread = (u.amax(1, keepdim=True) - low).clamp_min(1e-12)
        return {"speeds": 1 + (draws.level(self) - 1) * (u - low) / spread}

    def positions(self, params: Params, time: int) -> Tensor:
        speeds = params["speeds"]
        return rising_curve(speeds * ((time - 1) / speeds.sum(1, keepdim=True)), time)


@dataclass(frozen=True)
class Crop(TimeTransform):
    """Cut out a part of `size` (a share of the window) at a random place, and stretch it to the old length (tsaug's Crop).

    The part consists of whole samples, as in tsaug; sensors of different rates agree to within one. `window_slice` cuts
    anywhere, and `cropping` also draws how much. tsaug gives back the part as short as it is unless told to resize it; here
    windows keep their length, which sensors of several rates and nets of fixed input need (`crop_to` only cuts). Where less
    than four fifths remain it assumes the invariance `pace`.
    """

    size: float = 0.9
    STRENGTH: ClassVar = Strength("size", 0.5, identity=1.0, most=1.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"}) if self.size < 1 - CROPPED else frozenset()

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"size": draws.level(self), "place": draws.uniform(1)}

    def positions(self, params: Params, time: int) -> Tensor:
        kept = samples(params["size"], time).clamp_min(1)
        start = (params["place"] * (time - kept + 1)).floor()
        return start + torch.arange(time, device=start.device) * ((kept - 1) / max(time - 1, 1))


def crop_to(x: Tensor, start: Tensor, size: int) -> Tensor:
    """(batch, channel, size): the samples of x (batch, channel, time) from `start` (batch,) on, as tsaug's Crop cuts them."""
    if not 1 <= size <= x.shape[-1]:
        raise UsageError(f"crop_to: a part of a window of {x.shape[-1]} samples has 1 to {x.shape[-1]} of them; got {size}")
    at = start[:, None] + torch.arange(size, device=x.device)
    return x.gather(2, at[:, None].expand(-1, x.shape[1], -1))
