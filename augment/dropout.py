"""Samples that go missing here and there, as tsaug has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import Signals
from harkd.errors import UsageError


@dataclass(frozen=True)
class Dropout(Transform):
    """Lose a `share` of the samples, in blocks of `size` samples at random places, which may overlap (as in tsaug's Dropout).

    Each sample is lost with probability `share`. With `fill=ffill` (`bfill`) the first (last) sample of a window never is.

    tsaug loses fewer, fills a sample beside a lost one with the value that was lost, and starts no block outside of the
    window; `compat` does all that as tsaug does.

    Args:
        size: of a block, in samples of each sensor.
        fill: the last sample before the block, the first one after it, the mean of the channel in the window, or 0 in
            physical units.
        per_channel: else all channels of all sensors with the same number of samples lose theirs together.
    """

    share: float = 0.05
    size: int = 1
    fill: Literal["ffill", "bfill", "mean", "zero"] = "ffill"
    per_channel: bool = False
    compat: bool = False
    STRENGTH: ClassVar = Strength("share", 0.3, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise UsageError(f"Dropout: size counts the samples of a block, so it is at least 1; got {self.size}")

    def _places(self, spec: Spec) -> dict[str, int]:
        """Which word places the blocks of a sensor."""
        if self.per_channel:
            return {name: i for i, name in enumerate(spec.sensors)}
        lengths = list(dict.fromkeys(spec.lengths[name] for name in spec.sensors))
        return {name: lengths.index(spec.lengths[name]) for name in spec.sensors}

    def slots(self, spec: Spec) -> int:
        return max(self._places(spec).values()) + 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(self.slots(spec)), "share": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        places = self._places(spec)
        plans: dict[int, Tensor] = {}
        moved = {}
        for name, signal in x.items():
            place, time = places[name], signal.shape[2]
            if place not in plans:
                channels = signal.shape[1] if self.per_channel else 1
                plans[place] = self.plan(self.starts(params["words"][:, place], params["share"], channels, time), time)
            moved[name] = self.filled(signal, plans[place])
        return moved

    def starts(self, words: Tensor, share: Tensor, channels: int, time: int) -> Tensor:
        """(batch, channels, time + size - 1) whether a block starts: the first size - 1 places lie before the window."""
        places = time + self.size - 1
        # A normal below a quantile is an event of known probability, and normals come from the bank.
        chance = share.double() / self.size if self.compat else -torch.expm1(torch.log1p(-share.double()) / self.size)
        z = white_noise(words, channels * places).view(-1, channels, places)
        started = z < torch.special.ndtri(chance).float()[:, :, None]
        if self.compat:
            forward = self.fill != "bfill"
            started[..., : self.size - 1 + forward] = False
            started[..., max(time - (not forward), 0) :] = False
        return started

    def plan(self, starts: Tensor, time: int) -> Tensor:
        """(batch, channels, time) which samples are lost (bool), or where each sample comes from (int64)."""
        at = torch.arange(time, device=starts.device)
        every = torch.arange(starts.shape[2], device=starts.device)
        begun = torch.where(starts, every, -1 - self.size).cummax(2).values[..., self.size - 1 :] - (self.size - 1)
        gone = at - begun < self.size
        if self.fill in ("mean", "zero"):
            return gone
        if self.compat:
            return torch.where(gone, begun - 1 if self.fill == "ffill" else begun + self.size, at)
        if self.fill == "ffill":
            return torch.where(gone, 0, at).cummax(2).values
        return torch.where(gone, time - 1, at).flip(2).cummin(2).values.flip(2)

    def filled(self, signal: Tensor, plan: Tensor) -> Tensor:
        """The signal (batch, channel, time) with its lost samples filled."""
        if self.fill in ("ffill", "bfill"):
            return signal.gather(2, plan.expand_as(signal))
        filling = signal.mean(2, keepdim=True) if self.fill == "mean" else signal.new_zeros(())
        return torch.lerp(signal, filling, plan.to(signal.dtype))  # exact at 0 and at 1, and much faster than `where`
