"""Channels and sensors that fail: dropped, exchanged, noisy, of another gain."""

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
from harkd.datasets.card import Invariance
from harkd.errors import UsageError

Fill = Literal["mean", "zero"]


def widths(spec: Spec) -> list[int]:
    """Channels of each sensor."""
    return [len(sensor.channels) for sensor in spec.sensors.values()]


def _by_sensor(each: Tensor, spec: Spec) -> Params:
    """(batch, channel of all sensors) numbers, per sensor."""
    return dict(zip(spec.sensors, each.split(widths(spec), 1), strict=True))


def blanked(rows: Tensor, gone: Tensor, filling: Tensor | float) -> Tensor:
    """Rows (..., time) with those that are gone (..., 1) filled: a product and a sum are far quicker than a choice."""
    lost = gone.to(rows.dtype)
    return (rows * (1 - lost)).add_(lost * filling)


def _filled(signal: Tensor, gone: Tensor, name: str, fill: Fill, spec: Spec) -> Tensor:
    return blanked(signal, gone[:, :, None], spec.mean(name, signal) if fill == "mean" else 0.0)


@dataclass(frozen=True)
class ChannelDropout(Transform):
    """Blank each channel, over the whole window, with probability `share` (as ChannelsDropout in braindecode, which zeroes).

    `fill`: `mean` puts the training mean, which is zero after standardisation; `zero` puts 0 in physical units.
    """

    share: float = 0.2
    fill: Fill = "mean"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def slots(self, spec: Spec) -> int:
        return sum(widths(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return _by_sensor(draws.uniform(sum(widths(spec))) < draws.level(self), spec)

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: _filled(signal, params[name], name, self.fill, spec) for name, signal in x.items()}


@dataclass(frozen=True)
class SensorDropout(Transform):
    """Blank each body segment with all its sensors, over the whole window, with probability `share`; one is always kept.

    A device that was left at home or ran out of power; with several bodies or cameras, one of those. `by=sensor` drops each
    sensor on its own. Where all would go, a random one stays: of n, each goes with probability share - share^n / n. `fill` as
    in `ChannelDropout`. Our design.
    """

    share: float = 0.2
    by: Literal["segment", "sensor"] = "segment"
    fill: Fill = "mean"
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def _groups(self, spec: Spec) -> dict[str, int]:
        """Number of the group that each sensor goes with."""
        if self.by == "segment":
            return {name: spec.segment(name) for name in spec.sensors}
        return {name: number for number, name in enumerate(spec.sensors)}

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if self.slots(spec) < 2:
            names = ", ".join(spec.sensors)
            hint = "; by=sensor drops single sensors" if self.by == "segment" and len(spec.sensors) > 1 else ""
            raise UsageError(f"SensorDropout keeps one {self.by} at least, and these windows have no more ({names}){hint}")

    def slots(self, spec: Spec) -> int:
        return len(set(self._groups(spec).values()))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u = draws.uniform(self.slots(spec))
        # The one with the largest number would be the last to go. It is a random one, whether all go or not.
        gone = (u < draws.level(self)) & (torch.arange(u.shape[1], device=u.device) != u.argmax(1, keepdim=True))
        return {"gone": gone}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        groups = self._groups(spec)
        gone = params["gone"].split(1, 1)
        return {name: _filled(signal, gone[groups[name]], name, self.fill, spec) for name, signal in x.items()}


@dataclass(frozen=True)
class ChannelShuffle(Transform):
    """Pick each channel with probability `share`, and permute the picked ones within their sensor.

    As ChannelsShuffle in braindecode, which has one sensor. Assumes the invariance `layout`.
    """

    share: float = 0.2
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"layout"})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if max(widths(spec)) < 2:
            raise UsageError(f"ChannelShuffle permutes channels within a sensor; each of {', '.join(spec.sensors)} has only one")

    def slots(self, spec: Spec) -> int:
        return sum(widths(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        level = draws.level(self)
        keys = draws.uniform(sum(widths(spec))).split(widths(spec), 1)
        return {name: self._sources(key, level) for name, key in zip(spec.sensors, keys, strict=True)}

    @staticmethod
    def _sources(key: Tensor, level: Tensor) -> Tensor:
        """(batch, channel) where each channel comes from. The keys below the level are in random order themselves."""
        place = torch.arange(key.shape[1], device=key.device)
        picked = key < level
        # Both orders have the picked channels first: by place, and by key. The others follow in their own order.
        by_place = torch.where(picked, place, place + len(place)).argsort(dim=1)
        by_key = torch.where(picked, key, place + 1.0).argsort(dim=1, stable=True)
        return torch.empty_like(by_key).scatter_(1, by_place, by_key)

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            batch, channels = signal.shape[:2]
            rows = params[name] + channels * torch.arange(batch, device=signal.device)[:, None]
            moved[name] = signal.flatten(0, 1).index_select(0, rows.flatten()).view_as(signal)
        return moved


@dataclass(frozen=True)
class ChannelNoise(Transform):
    """Bad channels: each, with probability `share`, gets white Gaussian noise of standard deviation `sigma`.

    Meant on standardised signals: noise of sigma 1 is as strong as the signal. Our design.
    """

    share: float = 0.1
    sigma: float = 1.0
    STRENGTH: ClassVar = Strength("share", 0.5, most=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sigma < float("inf"):
            raise UsageError(f"ChannelNoise: sigma is a finite number from 0 up; got {self.sigma}")

    def slots(self, spec: Spec) -> int:
        return len(spec.sensors) + sum(widths(spec))

    def sample(self, draws: Draws, spec: Spec) -> Params:
        words = dict(zip(spec.sensors, draws.words(len(spec.sensors)).unbind(1), strict=True))
        bad = _by_sensor(draws.uniform(sum(widths(spec))) < draws.level(self), spec)
        return {name: (words[name], bad[name]) for name in spec.sensors}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            words, bad = params[name]
            rows = white_noise(words, signal.shape[1] * signal.shape[2]).view_as(signal)
            level = bad[:, :, None] * (self.sigma * spec.std(name, signal))
            moved[name] = torch.addcmul(signal, level, rows.to(signal.dtype))
        return moved


@dataclass(frozen=True)
class ChannelGain(Transform):
    """Multiply by a gain that is log-uniform between 1 / `factor` and `factor`.

    `share`: one gain per channel, or per sensor, which keeps the direction of a vector. Beyond a factor of 1.25 it assumes the
    invariance `amplitude`. Our design.
    """

    factor: float = 1.25
    share: Literal["channel", "sensor"] = "channel"
    STRENGTH: ClassVar = Strength("factor", 2.0, identity=1.0, least=1.0, most=100.0, geometric=True)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"amplitude"}) if self.factor > 1.25 else frozenset()

    def slots(self, spec: Spec) -> int:
        return sum(widths(spec)) if self.share == "channel" else len(spec.sensors)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        gain = ((2 * draws.uniform(self.slots(spec)) - 1) * draws.level(self).log()).exp()
        return _by_sensor(gain, spec) if self.share == "channel" else dict(zip(spec.sensors, gain.split(1, 1), strict=True))

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        return {name: signal * params[name].to(signal.dtype)[:, :, None] for name, signal in x.items()}
