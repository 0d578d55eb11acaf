"""What a distillation method is: declared needs, and a recipe that turns players into phases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Literal

from torch import nn

from harkd.curriculum import Curriculum, Shuffle
from harkd.datasets import Windows
from harkd.engine import At, Phase, Step
from harkd.errors import UsageError
from harkd.hooks import BestOnValidation, Counting
from harkd.objectives import CrossEntropy, Distillation, Objective, Together
from harkd.optimiser import Optimiser
from harkd.options import KD
from harkd.player import Player
from harkd.schedule import Schedule

Players = Mapping[str, Player]
Kind = Literal["teacher", "assistant", "peer", "domain"]
Role = Literal["frozen", "adapted", "online"]

_NUMBERS = ("no", "one", "two", "three", "four")


@dataclass
class Plan:
    """How long and how fast: the same for every method, so that comparisons are fair.

    Attributes:
        at: hooks of the phase that trains the student.
        domains: windows beside the training windows, by the name of the player who sees them.
        validation: for what a method chooses before its first phase; None: there are none.
    """

    epochs: int = 60
    curriculum: Curriculum = field(default_factory=Shuffle)
    optimiser: Optimiser = field(default_factory=Optimiser)
    at: Sequence[At] = ()
    domains: Mapping[str, Windows] = field(default_factory=dict)
    validation: Windows | None = None


@dataclass(frozen=True)
class Method:
    """A distillation method.

    Attributes:
        key: its name, in `METHODS` and on the command line.
        recipe: (players, options, plan) to phases. Players are `student`, and where the method needs them teachers (`teacher` if
            there is one, else `teacher-1`, ...), `assistant-1`, ... from the largest on, `peer-1`, ...
            and `domain-1`, ..., who share the student's kernels and see other windows.
        options: frozen dataclass of its options (see harkd.options).
        teachers, assistants, peers, domains: fewest and most of them; most None: as many as there are.
        role: what becomes of teachers: `frozen`; `adapted`, trained before and by the method; `online`, begun by the method.
        own_teacher: the teacher is the student's own net, and `options.generations` says how often it taught itself before.
        teacher_weights: which of the teacher's checkpoints it learns from.
        assistants_learn: the method by which assistants are made, the student's own or another one.
        phases: how many there are, in words; cost: who answers in a step.
        reuses_heads: the student answers with the heads of its teachers (see harkd.nets.reused).
        bankable: whether frozen teachers may answer from the draw bank.
        orders: it says itself which windows come when, and goes with no curriculum.
        source: paper; evidence: what the implementation follows (code, abstract, or our design).
    """

    key: str
    title: str
    recipe: Callable[[Players, Any, Plan], list[Phase]]
    options: type
    source: str
    evidence: str
    teachers: tuple[int, int | None] = (1, 1)
    assistants: tuple[int, int | None] = (0, 0)
    peers: tuple[int, int | None] = (0, 0)
    domains: tuple[int, int | None] = (0, 0)
    role: Role = "frozen"
    own_teacher: bool = False
    teacher_weights: Literal["last", "best"] = "last"
    assistants_learn: str = "takd"
    phases: str = "1"
    cost: str = "student, teacher"
    reuses_heads: bool = False
    bankable: bool = True
    orders: bool = False

    def __call__(self, players: Players, options: Any = None, plan: Plan | None = None) -> list[Phase]:
        """The phases of this method.

        Raises:
            UsageError: a needed player is missing or has the wrong role, the options are another method's, or the plan has a
                curriculum and the method one of its own.
        """
        options = self.options() if options is None else options
        if type(options) is not self.options:  # a subclass would have options that nobody looks at
            raise UsageError(f"{self.key} takes options of type {self.options.__name__}, got {type(options).__name__}")
        self._check(players)
        plan = plan or Plan()
        self.check_curriculum(type(plan.curriculum) is Shuffle)
        return self.recipe(players, options, plan)

    def check_numbers(self, found: Mapping[Kind, int]) -> None:
        """Refuse a cast of the wrong size.

        Raises:
            UsageError: says what is needed and how many there are.
        """
        for kind, (low, high) in self.wanted.items():
            if found[kind] < low or (high is not None and found[kind] > high):
                wanted = _amount(low, kind) if low == high else f"at least {_amount(low, kind)}"
                if found[kind] >= low and low != high:
                    wanted = f"at most {_amount(high or 0, kind)}"
                raise UsageError(f"{self.key} needs {wanted}, got {_number(found[kind]) if found[kind] else 'none'}")

    def check_curriculum(self, shuffles: bool) -> None:
        """Refuse a second order of the windows.

        Raises:
            UsageError: the method has one of its own, and the plan does not just shuffle.
        """
        if self.orders and not shuffles:
            raise UsageError(
                f"{self.key} orders the windows by itself; leave the curriculum at shuffle, or take the method kd with another"
            )

    @property
    def wanted(self) -> dict[Kind, tuple[int, int | None]]:
        """Fewest and most players of each kind."""
        return {"teacher": self.teachers, "assistant": self.assistants, "peer": self.peers, "domain": self.domains}

    def role_of(self, options: object) -> Role:
        """What becomes of teachers with these options: a method that has `mode = "offline"` then keeps them frozen."""
        return "frozen" if getattr(options, "mode", "") == "offline" else self.role

    @property
    def need(self) -> str:
        """Whom it needs beside the student, in words."""
        if self.own_teacher:
            return "earlier generations of itself"
        kinds: list[str] = [_amounts(*numbers, kind) for kind, numbers in self.wanted.items() if numbers[1] != 0]
        return ", ".join(kinds) or "nobody"

    def _check(self, players: Players) -> None:
        if "student" not in players:
            raise UsageError(f"{self.key} needs a player named 'student', got {', '.join(players) or 'none'}")
        kinds = {name: name.partition("-")[0] for name in players if name != "student"}
        if strange := [name for name, kind in kinds.items() if kind not in self.wanted]:
            raise UsageError(f"{self.key}: players are student, teacher, assistant-1, peer-1 ...; got {strange[0]!r}")
        self.check_numbers({kind: len(named(players, kind)) for kind in self.wanted})
        if self.teachers[1] == 1 and "teacher" not in kinds and self.teachers[0]:
            raise UsageError(f"{self.key} needs its teacher under the name 'teacher', got {next(iter(kinds))!r}")
        for name in kinds:
            told, asked = _classes(players[name]), _classes(players["student"])
            if told is not None and asked is not None and told != asked:
                raise UsageError(f"{self.key}: {name} tells {told} classes apart and the student {asked}; they must be the same")


def named(players: Players, kind: Kind) -> tuple[str, ...]:
    """The names of the players of a kind, in their order."""
    return tuple(name for name in players if name.partition("-")[0] == kind)


def frozen(players: Players, *kinds: Kind) -> dict[str, Player]:
    """The student as it is, and the players of some kinds (by default all) as players that do not train."""
    wanted = kinds or ("teacher", "assistant", "peer")
    cast = {"student": players["student"]}
    return cast | {name: players[name].frozen() for kind in wanted for name in named(players, kind)}


def taught(
    players: Players,
    options: KD,
    plan: Plan,
    *more: Objective,
    weights: Mapping[str, Schedule] | None = None,
    answers: type[Distillation] = Distillation,
) -> Phase:
    """The phase of plain distillation from `teacher`, with further objectives beside its terms.

    Args:
        weights: of the terms of `more`; they may replace those of `ce` and `kl`.
        answers: how the student's answers are compared with the teacher's.
    """
    compared = answers(temperature=options.temperature, reduction=options.reduction)
    objective = Together(CrossEntropy(smoothing=options.smoothing), compared, *more)
    step = Step({"ce": 1 - options.weight, "kl": options.weight, **(weights or {})})
    cast = frozen(players, "teacher")
    return Phase(plan.epochs, cast, objective, [step], plan.curriculum, plan.optimiser, at=plan.at, name="distil")


def in_turn(phases: Sequence[Phase], plan: Plan, judged: Collection[str] | None = None) -> list[Phase]:
    """Phases of different names that follow each other, with the plan's hooks, which count the epochs of all of them.

    Args:
        judged: names of the phases of which an epoch may be the best one on validation windows; None: all.
    """
    first = dict(zip((phase.name for phase in phases), accumulate((phase.epochs for phase in phases), initial=0), strict=False))
    epochs = sum(phase.epochs for phase in phases)
    hooks = [At("epoch", Counting(at.do, first, epochs)) if at.when == "epoch" else at for at in plan.at]
    for phase in phases:
        mine = judged is None or phase.name in judged
        last = phase is phases[-1]
        phase.at = [
            *phase.at,
            *(at for at in hooks if (mine or not _judges(at)) and (last or at.when != "end")),
        ]
    return list(phases)


def _judges(at: At) -> bool:
    return isinstance(at.do, Counting) and isinstance(at.do.hook, BestOnValidation)


def split_epochs(plan: Plan, *shares: float) -> list[int]:
    """The plan's epochs in parts of these shares, at least one each.

    Raises:
        UsageError: there are fewer epochs than parts.
    """
    if plan.epochs < len(shares):
        raise UsageError(f"{len(shares)} phases need at least {len(shares)} epochs, got {plan.epochs}")
    ends = [round(plan.epochs * part) for part in accumulate(shares, initial=0.0)]
    ends[-1] = plan.epochs
    for place in range(1, len(ends)):
        ends[place] = min(max(ends[place], ends[place - 1] + 1), plan.epochs - (len(shares) - place))
    return [stop - start for start, stop in pairwise(ends)]


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _amounts(low: int, high: int | None, kind: str) -> str:
    if high == low:
        return _amount(low, kind)
    if high is None:
        return f"{_amount(low, kind)} or more" if low else f"any {kind}s"
    return f"{_number(low)} to {_amount(high, kind)}" if low else f"at most {_amount(high, kind)}"


def _amount(number: int, kind: str) -> str:
    return f"{_number(number)} {kind}{'' if number == 1 else 's'}"


def _classes(player: Player) -> int | None:
    """How many classes a player tells apart, if its head ends in a linear layer."""
    linear = [module for module in player.net.head.modules() if isinstance(module, nn.Linear)]
    return linear[-1].out_features if linear else None
