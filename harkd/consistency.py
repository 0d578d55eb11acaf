"""Consistency: a player should answer alike for a window as it is and for two of its augmentations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from harkd.augment import leaves
from harkd.engine import Phase
from harkd.errors import UsageError
from harkd.losses import jensen_shannon
from harkd.nets import Outputs
from harkd.objectives import Context, Objective, Terms, Together
from harkd.phase import Round

VIEWS: tuple[Literal["clean"], Literal["again"]] = ("clean", "again")


@dataclass(frozen=True)
class Views:
    """Adds a player's answers for the clean windows and for another draw of them to what a phase's outputs are."""

    outputs: Callable[[Round], dict[str, Outputs]]
    player: str = "student"

    def __call__(self, game: Round) -> dict[str, Outputs]:
        told = self.outputs(game)
        for view in VIEWS:
            told[f"{self.player} {view}"] = game.look_at(self.player, view)
        return told


class Consistency(Objective):
    """Term `js`: Jensen-Shannon divergence of a player's answers for a window, clean and in two draws (AugMix, ICLR 2020)."""

    needs = frozenset[str]()

    def __init__(self, player: str = "student") -> None:
        super().__init__()
        self.player = player

    def forward(self, context: Context) -> Terms:
        names = (self.player, *(f"{self.player} {view}" for view in VIEWS))
        # The dry run has the ordinary answer only.
        logits = [context.outputs[name].logits.float() for name in names if name in context.outputs]
        return {"js": context.known(jensen_shannon(torch.stack(logits)), self.player)}


def consistent(phases: Sequence[Phase], weight: float, player: str = "student") -> list[Phase]:
    """The phases with `weight` times the consistency of a player added to the steps that move it; 0 changes nothing.

    Raises:
        UsageError: the player's strategy mixes windows, so that two draws show two mixtures.
    """
    return [_consistent(phase, weight, player) if weight and player in phase.players else phase for phase in phases]


def _consistent(phase: Phase, weight: float, player: str) -> Phase:
    if phase.players[player].mode == "frozen":
        return phase
    strategy = phase.players[player].augment
    if not isinstance(strategy, str) and any(op.MIXES for op in leaves(strategy)):
        raise UsageError("consistency compares draws of one window, and mixtures are others: take the ops after '|' out")
    steps = [replace(step, weights={**step.weights, "js": weight}) if player in step.players else step for step in phase.steps]
    objective = Together(phase.objective, Consistency(player))
    return replace(phase, objective=objective, outputs=Views(phase.outputs, player), steps=steps)
