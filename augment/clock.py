"""What clocks and radio links do: another rate, uneven steps, devices that do not start together, lost packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.keys import white_noise
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.augment.warp import TimeTransform, taken
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError


@dataclass(frozen=True)
class SampleRateChange(TimeTransform):
    """Play the window at a speed from U(1 / `factor`, `factor`), as if it had been sampled at another rate than it says.

    Slower, it shows a random part of the window; faster, it ends early, at a random place between ends that are held. Assumes
    the invariance `pace`. It is also what skeleton papers call speed perturbation. Our design.
    """

    factor: float = 1.25
    STRENGTH: ClassVar = Strength("factor", 1.5, identity=1.0, least=1.0, most=10.0, geometric=True)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"pace"})

    def slots(self, spec: Spec) -> int:
        return 2

    def sample(self, draws: Draws, spec: Spec) -> Params:
        u, factor = draws.uniform(2), draws.level(self)
        return {"speed": 1 / factor + u[:, :1] * (factor - 1 / factor), "place": u[:, 1:]}

    def positions(self, params: Params, time: int) -> Tensor:
        speed, last = params["speed"], time - 1
        each = torch.arange(time, device=speed.device)
        return (speed * each + (1 - speed) * params["place"] * last).clamp(0, last)


@dataclass(frozen=True)
class InterSensorShift(Transform):
    """Shift each body segment against the others by its own lag U(-`seconds`, `seconds`), in whole samples.

    Devices that were not started together. The end that is left open holds its value: what lies beyond the window is not known,
    and a roll would put its end before its beginning. Dense labels stay. Our design.
    """

    seconds: float = 0.1
    STRENGTH: ClassVar = Strength("seconds", 0.3)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if len(spec.segments) < 2:
            raise UsageError(
                f"InterSensorShift shifts body segments against each other; these windows have one, {next(iter(spec.segments))}"
            )

    def slots(self, spec: Spec) -> int:
        return len(spec.segments)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"lag": draws.level(self) * (2 * draws.uniform(len(spec.segments)) - 1)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            segment, time = spec.segment(name), signal.shape[2]
            lag = (params["lag"][:, segment, None] * spec.sensors[name].rate).round().long()
            at = (torch.arange(time, device=signal.device) - lag).clamp_(0, time - 1)
            moved[name] = taken(signal, at)
        return moved


@dataclass(frozen=True)
class ClockJitter(Transform):
    """Sample at uneven instants: each is off by N(0, `sigma`^2) sampling periods, and by less than half of one.

    Instants stay in order and dense labels where they are. Sensors of one body segment and rate have one clock. Our design.
    """

    sigma: float = 0.1
    STRENGTH: ClassVar = Strength("sigma", 0.3)

    def slots(self, spec: Spec) -> int:
        return len(spec.segments)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"words": draws.words(len(spec.segments)), "sigma": draws.level(self)}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = {}
        for name, signal in x.items():
            noise = white_noise(params["words"][:, spec.segment(name)], signal.shape[2]).to(signal.dtype)
            late = (params["sigma"] * noise).clamp_(-0.49, 0.49)[:, None]
            step = signal.diff(dim=2)
            # Linear between neighbours: the step after a sample if it is taken late, the one before if early.
            there = signal.clone()
            there[:, :, :-1].addcmul_(step, late[:, :, :-1].clamp_min(0))
            there[:, :, 1:].addcmul_(step, late[:, :, 1:].clamp_max(0))
            moved[name] = there
        return moved


@dataclass(frozen=True)
class PacketLoss(Transform):
    """Lose samples in bursts: a `share` of all in the long run, `burst` seconds at a time in the mean.

    Each body segment has a chain of two states, good and bad (Gilbert 1960, Elliott 1963): its sensors lose the same instants.
    Where `burst` is shorter than chance alone would make it, losses are independent. `fill`: `hold` repeats the last sample that
    came through (at the start of the window, the first one that does), `linear` draws a line between those on either side. A
    window that is lost as a whole keeps its first sample.
    """

    share: float = 0.1
    burst: float = 0.1
    fill: Literal["hold", "linear"] = "hold"
    STRENGTH: ClassVar = Strength("share", 0.3, most=0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.burst < float("inf"):
            raise UsageError(f"PacketLoss: burst is a positive number of seconds; got {self.burst}")

    def slots(self, spec: Spec) -> int:
        return len(spec.segments)

    def sample(self, draws: Draws, spec: Spec) -> Params:
        share, words, lost = draws.level(self), draws.words(len(spec.segments)), {}
        for segment in spec.segments.values():
            names = [name for name in spec.sensors if spec.segment(name) == segment]
            fastest = max(names, key=lambda name: spec.lengths[name])
            among = spec.lengths[fastest]
            chain = self._chain(words[:, segment], share, among, spec.sensors[fastest].rate)
            for time in {spec.lengths[name] for name in names}:
                lost[segment, time] = chain[:, torch.arange(time, device=chain.device) * among // time]
        return {"lost": lost}

    def _chain(self, words: Tensor, share: Tensor, time: int, rate: float) -> Tensor:
        """(batch, time) bool: the states of a chain in equilibrium, True where it is bad."""
        leave = (1 - share).clamp_max(1 / (self.burst * rate))
        enter = leave * share / (1 - share)
        # A number below that of `enter` makes any state bad, one above that of 1 - `leave` any state good, and others keep what
        # there was: the state is what the last number that decided says. The first one decides by `share` alone.
        z = white_noise(words, time)
        first, low, high = (torch.special.ndtri(p.double()).float() for p in (share, enter, 1 - leave))
        # Differences first: to compare with a number for each row is several times slower.
        bad, good = z - low < 0, z - high >= 0
        bad[:, :1] = z[:, :1] < first
        good[:, :1] = True
        code = (2 * torch.arange(time, dtype=torch.int32, device=z.device) + bad) * (bad | good)
        return (code.cummax(1).values & 1).bool()

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        # Sensors of one clock have their gaps in common.
        ends = {key: self._ends(lost) for key, lost in params["lost"].items()}
        return {name: self._filled(signal, *ends[spec.segment(name), signal.shape[2]]) for name, signal in x.items()}

    def _ends(self, lost: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time) for each sample the last one up to it that came through, and for a line the first one from it on."""
        time = lost.shape[1]
        from_start = torch.arange(time, dtype=torch.int32, device=lost.device) * ~lost
        from_end = torch.arange(time, 0, -1, dtype=torch.int32, device=lost.device) * ~lost
        # Ends have a sample on one side only; a window that is lost as a whole has none, and keeps its first.
        first = (time - from_end.amax(1, keepdim=True)) % time
        before = torch.maximum(from_start.cummax(1).values, first).long()
        if self.fill == "hold":
            return before, before
        after = time - from_end.flip(1).cummax(1).values.flip(1)
        return before, torch.minimum(after, before[:, -1:])

    def _filled(self, signal: Tensor, before: Tensor, after: Tensor) -> Tensor:
        held = taken(signal, before)
        if self.fill == "hold":
            return held
        each = torch.arange(signal.shape[2], device=signal.device)
        weight = (each - before) / (after - before).clamp_min(1)
        return held.lerp(taken(signal, after), weight.to(signal.dtype)[:, None])
