"""Policies: which ops of a pool a window meets, and how strong each of them is.

A pool is a sequence of ops at their strongest, like `har_safe`; a policy makes each of them weaker window by window. Magnitudes
are given on the usual scale from 0 to 30. All windows that meet the same op go through it together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harkd.augment.draws import Draws
from harkd.augment.flow import Flow, Site
from harkd.augment.keys import below, distinct
from harkd.augment.spec import Spec
from harkd.augment.transform import Branching
from harkd.augment.warp import TimeTransform
from harkd.errors import UsageError

SCALE = 30.0
"""The largest magnitude (Cubuk et al.: RandAugment, CVPR workshops 2020)."""


def through(flow: Flow, site: Site, choice: Tensor, magnitude: Tensor, turn: int) -> Flow:
    """Each window through the op of its number (batch,), -1 for none, at a magnitude (batch, 1) in [0, 1]."""
    return flow.weakened(magnitude).route(choice, lambda number, part: site.turn(number, part, turn)).like(flow)


@dataclass(frozen=True)
class Policy(Branching):
    """Base of the policies over a pool."""

    FLAT: ClassVar = True


@dataclass(frozen=True)
class RandAugment(Policy):
    """`n` different ops of a pool, one after the other, all at magnitude `m` of 30 (Cubuk et al., CVPR workshops 2020).

    After the paper, where the ops may repeat; here they differ (our design).
    """

    n: int = 2
    m: float = 9.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, 0 <= self.m <= SCALE, f"m is a magnitude from 0 to {SCALE:g}; got {self.m}")
        _check(self, 1 <= self.n <= len(self.branches), f"n is 1 to {len(self.branches)} ops of the pool; got {self.n}")

    def slots(self, spec: Spec) -> int:
        return self.n

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        words = draws.words(self.n)
        choice = distinct(words, torch.full_like(words[:, :1], len(self.branches)))
        magnitude = torch.full_like(words[:, :1], self.m / SCALE, dtype=torch.float32)
        for turn in range(self.n):
            flow = through(flow, site, choice[:, turn], magnitude, turn)
        return flow


@dataclass(frozen=True)
class TrivialAugment(Policy):
    """One op of a pool, at a magnitude drawn uniformly from its whole range (Müller, Hutter, ICCV 2021)."""

    def slots(self, spec: Spec) -> int:
        return 2

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        return through(flow, site, draws.below(len(self.branches)), draws.uniform(1), 0)


@dataclass(frozen=True)
class UniformAugment(Policy):
    """`n` different ops of a pool, each with probability one half and at a magnitude drawn uniformly.

    After LingChen et al.: UniformAugment, 2020.
    """

    n: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, 1 <= self.n <= len(self.branches), f"n is 1 to {len(self.branches)} ops of the pool; got {self.n}")

    def slots(self, spec: Spec) -> int:
        return 3 * self.n

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        words = draws.words(self.n)
        choice = distinct(words, torch.full_like(words[:, :1], len(self.branches)))
        choice = torch.where(draws.uniform(self.n) < 0.5, choice, -1)
        magnitude = draws.uniform(self.n)
        for turn in range(self.n):
            flow = through(flow, site, choice[:, turn], magnitude[:, turn : turn + 1], turn)
        return flow


@dataclass(frozen=True)
class AugMix(Policy):
    """A random mixture of the window and of `width` chains of 1 to `depth` ops (Hendrycks et al.: AugMix, ICLR 2020).

    The chains are weighed by Dirichlet(1), their mixture against the window itself by Beta(1, 1); the magnitude of each op is
    drawn from 0 up to `m` of 30. The label is kept. The consistency term that belongs to it is `--consistency` in training.
    """

    width: int = 3
    depth: int = 3
    m: float = 9.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, 0 <= self.m <= SCALE, f"m is a magnitude from 0 to {SCALE:g}; got {self.m}")
        _check(self, self.width >= 1 and self.depth >= 1, f"width and depth are at least 1; got {self.width} and {self.depth}")

    def slots(self, spec: Spec) -> int:
        return self.width * (1 + 2 * self.depth) + self.width

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        if flow.dense and any(isinstance(op, TimeTransform) for op in self.branches):
            raise UsageError(
                "aug_mix mixes windows whose time was moved in different ways: labels of single samples have no meaning then; "
                "take the ops that move time out of its pool"
            )
        keep = draws.uniform(1)
        # The gaps between sorted uniforms are Dirichlet(1).
        cuts = draws.uniform(self.width - 1).sort(1).values
        weights = torch.diff(torch.nn.functional.pad(torch.nn.functional.pad(cuts, (1, 0)), (0, 1), value=1.0))
        parts = [(keep[:, 0], flow.x)]
        for chain in range(self.width):
            deep = draws.below(self.depth)
            part = flow
            words, magnitude = draws.words(self.depth), draws.uniform(self.depth) * (self.m / SCALE)
            choice = below(words, len(self.branches))
            for step in range(self.depth):
                chosen = torch.where(step <= deep, choice[:, step], -1)
                part = through(part, site, chosen, magnitude[:, step : step + 1], chain * self.depth + step)
            parts.append((weights[:, chain] * (1 - keep[:, 0]), part.x))
        mixed = {}
        for name, signal in flow.x.items():
            # Deviations are mixed, so that a window which nothing changed comes out as it went in.
            mixed[name] = signal.clone()
            for weight, x in parts[1:]:
                mixed[name].add_(weight[:, None, None].to(signal.dtype) * (x[name] - signal))
        return flow.changed(mixed, flow.dense)


Pace = Literal["linear", "root", "step"]


@dataclass(frozen=True)
class Wrapper(Branching):
    """Base of what takes one strategy and changes how strong it is, or whether it counts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, len(self.branches) == 1, f"takes one strategy; got {len(self.branches)}")


@dataclass(frozen=True)
class Grow(Wrapper):
    """A strategy whose magnitude grows from 0 to its own over the first share `over` of the training.

    `pace`: linear; root (of the share: quick at first, as Platanios et al., NAACL 2019); step (three equal steps). Our design:
    the magnitude follows a window's own visits, so it needs no state. Draws that come back (`--draws`) would stop it: refused.
    """

    over: float = 0.5
    pace: Pace = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, 0 < self.over <= 1, f"over is a share of the training, above 0 and up to 1; got {self.over}")

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if spec.visits is None:
            raise UsageError(
                "grow follows how often a window was visited, and needs to know how often it will be (Spec.visits); draws that "
                "come back (--draws) have no end: take draws 0"
            )

    def slots(self, spec: Spec) -> int:
        return 0

    def magnitude(self, draw: Tensor, visits: int) -> Tensor:
        """(batch, 1) the magnitude at a visit, counted from 0."""
        done = (draw[:, None].float() / max(self.over * visits, 1.0)).clamp_max(1.0)
        if self.pace == "root":
            return done.sqrt()
        return (done * 3).floor() / 3 if self.pace == "step" else done

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        assert site.spec.visits is not None
        return site.branch(0, flow.weakened(self.magnitude(flow.draw, site.spec.visits))).like(flow)


@dataclass(frozen=True)
class FilterByTeacher(Wrapper):
    """A strategy whose result is dropped where the teacher no longer recognises it: its probability for the window's class falls
    below `q` times what it was before. Our design.

    Ops that are harmless for some windows only become usable; the teacher must be good.
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, 0 <= self.q <= 1, f"q is a share of the probability, from 0 to 1; got {self.q}")

    def check(self, spec: Spec) -> None:
        super().check(spec)
        if spec.judge is None:
            raise UsageError("filter_by_teacher asks a trained teacher: use it with `harkd distill`, or give Spec.judge")

    def slots(self, spec: Spec) -> int:
        return 0

    def run(self, flow: Flow, draws: Draws, site: Site) -> Flow:
        if flow.labels is None:
            raise UsageError("filter_by_teacher compares probabilities of a window's class, and these windows have no classes")
        assert site.spec.judge is not None
        moved = site.branch(0, flow)
        before, after = (site.spec.judge.probabilities(x).gather(1, flow.labels[:, None])[:, 0] for x in (flow.x, moved.x))
        return flow.pick(after >= self.q * before, moved)


def _check(policy: Branching, holds: bool, problem: str) -> None:
    if not holds:
        raise UsageError(f"{type(policy).__name__}: {problem}")
