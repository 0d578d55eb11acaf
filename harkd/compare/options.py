"""What a comparison asks for besides the options of its runs, and where it is carried out. No torch import."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from harkd.errors import UsageError
from harkd.schema import STRICT_KEYS


@dataclass(frozen=True, kw_only=True)
class Study:
    """Which configurations are compared, on whom, and against what."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    control: str = ""
    """What all others are compared with, like none/ce: a level of each factor that has several. By default the first ones."""
    vary: tuple[str, ...] = ()
    """More factors: OPTION=LEVEL,LEVEL of any option of harkd distill, kd.weight=0.5,0.9 of a method's; one level fixes it."""
    folds: str = ""
    """Number of subject folds, loso (leave one subject out), session, splits of the card with commas between, or split (the one
    of --split). By default 5, or --split."""
    seeds: int = 2
    """Runs of each configuration and fold; they share teachers and augmented windows, and differ in weights and batch order."""
    score: Literal["accuracy", "macro_f1"] = "accuracy"
    """Score of a subject."""
    alpha: float = 0.05
    """Level of the tests, after Holm's correction."""
    rope: float = 0.01
    """Differences up to this share are of no practical importance."""
    halving: int = 0
    """Keep one of so many configurations after 1, 2, 4 ... seeds, by their paired differences on validation subjects; 0: all."""
    trials: int = 0
    """Try so many configurations of the search space (--search) on validation subjects, and compare the best one."""
    search: tuple[str, ...] = ()
    """Search space for --trials: OPTION=LOW..HIGH, OPTION=LOW..HIGH:log or OPTION=LEVEL,LEVEL."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"seeds is at least 1, got {self.seeds}")
        for name in ("alpha", "rope"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} lies between 0 and 1, got {getattr(self, name)}")
        if self.halving not in (0, *range(2, 17)):
            raise UsageError(f"halving is 0 (off) or 2 to 16 (keep one of so many), got {self.halving}")
        if self.halving and self.seeds < 2:
            raise UsageError("halving decides after the first seed: it needs --seeds 2 or more")
        if self.trials < 0:
            raise UsageError(f"trials is at least 0, got {self.trials}")
        if bool(self.trials) != bool(self.search):
            raise UsageError("--trials and --search belong together: how many configurations, and from which space")
        if self.trials and self.halving:
            raise UsageError("--trials and --halving are two ways of leaving configurations out: choose one")


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a comparison is carried out; none of it changes a number."""

    workers: int = 0
    """Processes that train; 0: one for each processor, as far as memory goes."""
    memory: float = 0.0
    """GiB that they may take together; 0: four fifths of what is free."""
    executor: Literal["local", "ray"] = "local"
    """Where runs are trained: on this machine, or on a Ray cluster."""
    address: str = "auto"
    """Address of the Ray cluster."""
    retry: bool = False
    """Try failed runs again."""
    export: bool = True
    """Export a run of every net, so that its size on a watch is measured; without it a byte is counted for each parameter."""
    dry_run: bool = False
    """Show the plan and what it costs, and train nothing."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UsageError(f"workers is at least 0, got {self.workers}")
        if not 0 <= self.memory < math.inf:
            raise UsageError(f"memory is at least 0 GiB, got {self.memory}")
