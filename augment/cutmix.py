"""Mixing of two windows piece by piece: stretches of time, sensors, channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.mixing import Pair, beta, check_alpha
from harkd.augment.pool import Partner
from harkd.augment.spec import Spec
from harkd.augment.transform import Params
from harkd.datasets import Signals
from harkd.errors import UsageError


def choose(mask: Tensor, theirs: Tensor, own: Tensor) -> Tensor:
    """`torch.where` for finite numbers, several times as fast: with weights of 0 and 1 either is taken exactly as it is."""
    return torch.lerp(own, theirs, mask.to(own.dtype))


class _Stretch(Pair):
    """Base of the ops that take one stretch of time, in all sensors, from the partner.

    Parameters: `cut` (batch, 1), its share of the window, and `place` (batch, 1) in [0, 1], where it lies.
    """

    def block(self, params: Params, time: int) -> tuple[Tensor, Tensor]:
        """First sample and length (batch, 1) of the stretch, for a sensor with `time` samples."""
        length = (params["cut"] * time - 1e-4).ceil().long().clamp_min(0)
        last = time - length
        return torch.minimum((params["place"] * (last + 1)).long(), last), length

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        moved, theirs = {}, {}
        lent, total = torch.zeros(len(params["cut"]), dtype=torch.int64, device=params["cut"].device), 0
        for name, signal in x.items():
            channels, time = signal.shape[1:]
            start, length = self.block(params, time)
            if time not in theirs:
                each = torch.arange(time, device=signal.device)
                theirs[time] = ((each >= start) & (each < start + length))[:, None]
            moved[name] = choose(theirs[time], others[0][name], signal)
            lent = lent + channels * length[:, 0]
            total += channels * time
        return moved, (total - lent) / total


@dataclass(frozen=True)
class CutMix(_Stretch):
    """Put a block of a partner's time into the window: at most `share` of it, times a number from Beta(`alpha`, `alpha`).

    CutMix (Yun et al., ICCV 2019) in one dimension: with a share of 1 it is theirs; by default the window stays the greater
    part. The label is mixed by the share of all values, over all sensors, that are kept.
    """

    share: float = 0.5
    alpha: float = 1.0
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self, self.alpha)

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"cut": draws.level(self) * beta(draws.words(1), self.alpha), "place": draws.uniform(1)}


@dataclass(frozen=True)
class StepMix(_Stretch):
    """Join the start of one window to the end of another at a random moment; the partner's part is U(0, `share`).

    The partner gives the start or the end, each in half of the windows, and both parts stay at their own time. The label is
    mixed by the share of all values that are kept. Our design.
    """

    share: float = 0.5
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(2)
        return {"cut": draws.level(self) * u[:, :1], "place": (u[:, 1:] < 0.5).float()}


@dataclass(frozen=True)
class ChannelCutMix(Pair):
    """Take whole sensors from a partner, each with the probability `share`; the label is mixed by the channels that are kept.

    `group` says what goes together: the sensors of a body `segment`, the channels of a `sensor`, or nothing: `channel`. Axes of
    a sensor that come from two windows have no direction in space, so that is for sensors like electrodes. Our design.
    """

    share: float = 0.5
    group: Literal["segment", "sensor", "channel"] = "sensor"
    partner: Partner = "any"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if self.slots(spec) == 1:
            (only, *_), finer = spec.sensors, "sensor" if self.group == "segment" else "channel"
            what = spec.sensors[only].segment or only if self.group == "segment" else only
            raise UsageError(
                f"ChannelCutMix takes some {self.group}s from a partner and keeps others, but these windows have one only "
                f"({what}); let a {finer} go by itself (group={finer}), if there are several"
            )

    def _columns(self, spec: Spec) -> dict[str, slice]:
        """For each sensor, the groups of its channels: one for each, or one for all of them."""
        columns, channels = {}, 0
        for number, (name, sensor) in enumerate(spec.sensors.items()):
            width = len(sensor.channels)
            first = {"segment": spec.segment(name), "sensor": number, "channel": channels}[self.group]
            columns[name] = slice(first, first + (width if self.group == "channel" else 1))
            channels += width
        return columns

    def slots(self, spec: Spec) -> int:
        return max(columns.stop for columns in self._columns(spec).values())

    def sample(self, draws: Draws, spec: Spec) -> Params:
        taken = draws.uniform(self.slots(spec)) < draws.level(self)
        return {name: taken[:, columns] for name, columns in self._columns(spec).items()}

    def mix(self, x: Signals, others: Sequence[Signals], params: Params, spec: Spec) -> tuple[Signals, Tensor]:
        moved = {name: choose(params[name][:, :, None], others[0][name], signal) for name, signal in x.items()}
        theirs = torch.cat([params[name].expand(-1, signal.shape[1]) for name, signal in x.items()], 1)
        return moved, (~theirs).sum(1) / theirs.shape[1]
