"""What a distillation method is: declared needs, and a recipe that turns players into phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from harkd.curriculum import Curriculum, Shuffle
from harkd.engine import At, Phase
from harkd.errors import UsageError
from harkd.optimiser import Optimiser
from harkd.player import Player

Players = Mapping[str, Player]


@dataclass
class Plan:
    """How long and how fast: the same for every method, so that comparisons are fair.

    Attributes:
        at: hooks of the phase that trains the student.
    """

    epochs: int = 60
    curriculum: Curriculum = field(default_factory=Shuffle)
    optimiser: Optimiser = field(default_factory=Optimiser)
    at: Sequence[At] = ()


@dataclass(frozen=True)
class Method:
    """A distillation method.

    Attributes:
        key: its name, in `METHODS` and on the command line.
        recipe: (players, options, plan) to phases. Players are `student` and, where the method needs one, `teacher`.
        options: frozen dataclass of its options (see harkd.options).
        teachers: fewest and most teachers.
        teacher_weights: which of the teacher's checkpoints it learns from.
        bankable: whether frozen teachers may answer from the draw bank.
        source: paper; evidence: what the implementation follows (code, abstract, or our design).
    """

    key: str
    title: str
    recipe: Callable[[Players, Any, Plan], list[Phase]]
    options: type
    source: str
    evidence: str
    teachers: tuple[int, int] = (1, 1)
    teacher_weights: Literal["last", "best"] = "last"
    bankable: bool = True

    def __call__(self, players: Players, options: Any = None, plan: Plan | None = None) -> list[Phase]:
        """The phases of this method.

        Raises:
            UsageError: a needed player is missing or has the wrong role, or the options are another method's.
        """
        options = self.options() if options is None else options
        if type(options) is not self.options:  # a subclass would have options that nobody looks at
            raise UsageError(f"{self.key} takes options of type {self.options.__name__}, got {type(options).__name__}")
        teachers = [name for name in players if name != "student"]
        if "student" not in players:
            raise UsageError(f"{self.key} needs a player named 'student', got {', '.join(players) or 'none'}")
        low, high = self.teachers
        if not low <= len(teachers) <= high:
            wanted = {(0, 0): "no teacher", (1, 1): "one teacher"}.get(self.teachers, f"{low} to {high} teachers")
            raise UsageError(f"{self.key} needs {wanted}, got {len(teachers)}")
        if high == 1 and teachers not in ([], ["teacher"]):
            raise UsageError(f"{self.key} needs its teacher under the name 'teacher', got {teachers[0]!r}")
        for name in teachers:
            told, asked = _classes(players[name]), _classes(players["student"])
            if told is not None and asked is not None and told != asked:
                raise UsageError(f"{self.key}: {name} tells {told} classes apart and the student {asked}; they must be the same")
        return self.recipe(players, options, plan or Plan())


def _classes(player: Player) -> int | None:
    """How many classes a player tells apart, if its head ends in a linear layer."""
    linear = [module for module in player.net.head.modules() if isinstance(module, nn.Linear)]
    return linear[-1].out_features if linear else None
