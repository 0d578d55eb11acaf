"""Phases and steps: training as data. A method returns phases and never owns a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from harkd.augment import Batch
from harkd.curriculum import Curriculum
from harkd.datasets import Signals, Windows
from harkd.nets import Outputs
from harkd.objectives import Objective
from harkd.optimiser import Optimiser
from harkd.player import Player
from harkd.schedule import Progress, Schedule


@dataclass(frozen=True)
class Step:
    """One update within a batch: which terms, with which weights, move which players.

    All gradients of a batch are taken before any parameter moves, unless a step is `fresh`: then what is pending moves first and
    everybody answers again. A `repeat` is fresh each time. `every` counts batches. Of a player NAME may move alone its head,
    NAME.head, or all but that, NAME.body.
    """

    weights: Mapping[str, Schedule]
    players: tuple[str, ...] = ("student",)
    repeat: int = 1
    every: int = 1
    from_epoch: int = 0
    fresh: bool = False


class Look(Protocol):
    """A player's answer.

    Args:
        forward: another way through the net of one that trains, (batch, channel, time) to Outputs.
        rows: positions in the batch of the windows that are shown; by default all.
    """

    def __call__(self, name: str, forward: Callable[[Tensor], Outputs] | None = None, rows: Tensor | None = None) -> Outputs: ...


@dataclass
class Round:
    """One batch, ready to be looked at.

    Attributes:
        batch: the objective sees this one; who mixes answers puts the mixed targets here.
        look: `look(name)` is a player's ordinary answer.
        signals: `signals(name)` is what a player is shown.
        target: name of the class target.
        look_at: `look_at(name, "clean")` is the answer to the windows as recorded, "again" to another draw of them.
        key: of everything that is drawn for the answers, a function of seed and step.
    """

    players: Mapping[str, Player]
    batch: Batch
    look: Look
    signals: Callable[[str], Signals]
    look_at: Callable[[str, Literal["clean", "again"]], Outputs]
    target: str
    key: int


def everyone(game: Round) -> dict[str, Outputs]:
    """The default outputs: every player answers once."""
    return {name: game.look(name) for name in game.players}


@dataclass
class Moment:
    """What a hook gets: the phase between two steps, with validation windows and never test windows."""

    phase: Phase
    progress: Progress
    train: Windows
    validation: Windows | None
    scores: Mapping[str, Mapping[str, float]]
    stopped: bool = False

    def stop(self) -> None:
        """End the phase after this epoch."""
        self.stopped = True


class Hook(Protocol):
    """Something that happens at certain moments. A hook with state is an `nn.Module`: its state is saved with the run."""

    def __call__(self, moment: Moment) -> None: ...


@dataclass(frozen=True)
class At:
    """When a hook is called: after every `epoch`, at the `end` of the phase, or after every n-th step."""

    when: Literal["epoch", "end"] | int
    do: Hook


@dataclass
class Phase:
    """A stretch of training with fixed roles.

    Attributes:
        name: for the history.
        outputs: makes everybody's Outputs from a batch.
        steps: the updates of every batch, in order.
        undecayed: players, or parts of them as in a step, without weight decay.
        domains: windows of other sensors or data sets, unpaired with the training windows, for players who name that domain.
            They are shuffled by themselves, and come in batches of the same size.
        watched: players whose accuracy on the validation windows goes into the history each epoch; default: those that train.
    """

    epochs: int
    players: Mapping[str, Player]
    objective: Objective
    steps: Sequence[Step]
    curriculum: Curriculum
    optimiser: Optimiser = field(default_factory=Optimiser)
    outputs: Callable[[Round], dict[str, Outputs]] = everyone
    at: Sequence[At] = ()
    name: str = "train"
    watched: tuple[str, ...] = ()
    undecayed: tuple[str, ...] = ()
    domains: Mapping[str, Windows] = field(default_factory=dict)


class Keeper(Protocol):
    """Where the state of a run is kept, so that it can go on after a stop (see harkd.runs)."""

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None: ...
    def due(self) -> bool: ...
    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None: ...
    def checked(self) -> None:
        """Called after a save: the place to stop an interrupted run."""


class Watcher(Protocol):
    """Who is told how a run goes (see harkd.progress)."""

    def step(self, phase: Phase, progress: Progress) -> None: ...
    def epoch(self, phase: Phase, record: dict[str, Any]) -> None: ...
    def say(self, text: str) -> None:
        """One line that the user should read."""
