"""Missing data: removal of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.transform import Draws, Params, Spec, Transform
from harkd.datasets import Signals


@dataclass(frozen=True)
class Removal(Transform):
    """Blank one contiguous block of time in all channels, of length U{0..floor(share * T)} at a uniform place.

    After Jeon et al., IEEE IoT Journal 9(14), 2022; the default share is recalled, not verified. `fill`: `mean` puts the
    training mean, which is zero after standardisation; `zero` puts 0 in physical units; `hold` repeats the last sample
    before the block (a block at the start of the window holds its first sample).
    """

    share: float = 0.5
    fill: Literal["mean", "zero", "hold"] = "mean"
    STRENGTH: ClassVar = ("share", 0.5)
    MOST: ClassVar = 1.0

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(2)
        return {"length": u[:, :1], "place": u[:, 1:]}

    def block(self, params: Params, time: int) -> tuple[Tensor, Tensor]:
        """First sample and length (batch, 1) of the block, for a sensor with `time` samples."""
        longest = int(self.share * time)
        length = (params["length"] * (longest + 1)).long()
        return (params["place"] * (time - length + 1)).long(), length

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            start, length = self.block(params, signal.shape[-1])
            time = torch.arange(signal.shape[-1], device=signal.device)
            gone = ((time >= start) & (time < start + length))[:, None]
            moved[name] = torch.where(gone, self._filling(signal, name, start, spec), signal)
        return moved

    def _filling(self, signal: Tensor, name: str, start: Tensor, spec: Spec) -> Tensor:
        if self.fill == "mean":
            return spec.mean(name, signal)
        if self.fill == "zero":
            return signal.new_zeros(())
        before = (start - 1).clamp_min(0)[:, None].expand(-1, signal.shape[1], 1)
        return signal.gather(2, before)
