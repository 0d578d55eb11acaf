"""Who takes part in a run beside the student, and how each is trained before: teachers and assistants."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harkd.domains import domains_of
from harkd.errors import UsageError
from harkd.methods import Method, method
from harkd.nets import NETS, family
from harkd.options import METHOD_OPTIONS, Data, Distill, Train, Training, identity

FIRST_GENERATION = 1000
"""Added to the seed of generation 0: no student begins with the weights that its own teacher began with."""


@dataclass(frozen=True)
class Helper:
    """A teacher or an assistant.

    Attributes:
        name: of the player.
        training: the options that it is trained with; None if it is the folder of a finished run, or begins with the student.
        source: net or folder, as the options say it.
        sees: what it sees, if it is given by net.
        weights: which of a folder's weights it has, like `epoch-10`; empty: those that the method asks for.
    """

    name: str
    training: Train | Distill | None
    source: str
    sees: str
    weights: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder beside those of its students; equal trainings have the same."""
        assert self.training is not None
        kind = "teacher" if isinstance(self.training, Train) else "assistant"
        return f"{kind}-{net_of(self.training)}-{identity(self.training)}"


def net_of(options: Train | Distill) -> str:
    """The net that a run trains."""
    return options.net if isinstance(options, Train) else options.student


def check(options: Distill) -> Method:
    """The method of a run, which the cast that the options name suits.

    Raises:
        UsageError: it needs more, or fewer; it goes with no curriculum; there is no such net.
    """
    wanted = method(options.method)
    wanted.check_curriculum(options.curriculum == "shuffle")
    teachers = 1 if wanted.own_teacher else len(options.teachers) if wanted.teachers[1] != 0 else 0
    assistants, peers, domains = options.assistants_in_turn, peers_of(options), len(domains_of(options))
    if wanted.own_teacher and assistants:
        raise UsageError(f"{wanted.key} takes the student's own net for assistants: leave --assistants {options.assistants} out")
    wanted.check_numbers({"teacher": teachers, "assistant": len(assistants), "peer": peers, "domain": domains})
    for net in (options.student, *(net for net, _ in assistants), *([options.peer] if options.peer else [])):
        family(net)  # says which nets there are
    return wanted


def unasked(options: Distill) -> str:
    """What to say of a teacher that is named and whom the method does not ask; empty where there is nothing to say."""
    wanted = method(options.method)
    if options.teacher == Distill.teacher or (wanted.teachers[1] != 0 and not wanted.own_teacher):
        return ""
    why = "is its own teacher" if wanted.own_teacher else "has no teacher"
    return f"{wanted.key} {why}: --teacher {options.teacher} does nothing"


def peers_of(options: Distill) -> int:
    """How many peers learn with the student."""
    return options.peers or method(options.method).peers[0]


def helpers(options: Distill, validates: bool) -> tuple[Helper, ...]:
    """Teachers and assistants of a run, in the order of its players.

    Args:
        validates: whether the split has validation subjects.

    Raises:
        UsageError: a teacher is neither a net nor a folder, there are too few or too many, or the method needs validation
            subjects.
    """
    wanted = check(options)
    if wanted.teachers[1] == 0:
        return ()
    if wanted.own_teacher:
        return _generations(options, validates)
    names = [f"teacher-{place}" for place in range(1, len(options.teachers) + 1)] if len(options.teachers) > 1 else ["teacher"]
    found = [_teacher(name, options, place, validates) for place, name in enumerate(names)]
    trainings = [_assistant(options, place, validates) for place in range(len(options.assistants_in_turn))]
    return *found, *(
        Helper(f"assistant-{place}", each, each.student, each.student_sees) for place, each in enumerate(trainings, 1)
    )


def nets_beside(options: Distill, validates: bool) -> list[tuple[str, str]]:
    """Net and what it sees of everybody beside the student who is trained by this run, or for it before."""
    asked = helpers(options, validates)
    peer = options.peer or options.student, options.peer_sees or options.student_sees
    own = [(each.source, each.sees) for each in asked if each.training is not None or is_net(each.source)]
    return own + [peer] * peers_of(options)


def is_net(name: str) -> bool:
    """Whether a text names a net, and not a folder."""
    return any(re.fullmatch(kind.pattern, name) for kind in NETS.values())


def _teacher(name: str, options: Distill, place: int, validates: bool) -> Helper:
    net, sees = options.teachers[place]
    if not is_net(net):
        folder, _, weights = net.rpartition("@") if "@" in net and not Path(net).exists() else (net, "", "")
        if os.sep not in folder and not Path(folder).exists():
            family(folder)  # says which nets there are
        return Helper(name, None, folder, sees, weights)
    wanted = method(options.method)
    if wanted.role_of(options.method_options) == "online":
        return Helper(name, None, net, sees)
    if not validates and wanted.teacher_weights == "best":
        raise UsageError(
            f"method {options.method!r} stops its teacher on validation subjects, and split {options.split!r} has none"
        )
    shared = {f.name: getattr(options, f.name) for f in (*fields(Data), *fields(Training))}
    training = Train(**{**shared, **options.for_helpers(validates), "net": net, "sees": sees})
    return Helper(name, training, net, sees)


def _generations(options: Distill, validates: bool) -> tuple[Helper, ...]:
    """The student's own net, once trained on labels, then taught by itself; each generation begins with weights of its own."""
    mine: Any = options.method_options
    found: list[Train | Distill] = []
    for number in range(mine.generations):
        changed = {**options.for_helpers(validates), "seed": options.teacher_seed + FIRST_GENERATION + number}
        if number:
            changed |= {"method_options": replace(mine, generations=number), "curriculum": "shuffle"}
            found.append(replace(options, **changed))
        else:
            shared = {f.name: getattr(options, f.name) for f in (*fields(Data), *fields(Training))}
            found.append(Train(**{**shared, **changed, "net": options.student, "sees": options.student_sees}))
    names = ["teacher", *(f"assistant-{place}" for place in range(1, len(found)))]
    return tuple(Helper(name, each, net_of(each), options.student_sees) for name, each in zip(names, found, strict=False))


def _assistant(options: Distill, place: int, validates: bool) -> Distill:
    """An assistant learns from the teacher and from the assistants before it, with what the options of its method share with
    the student's."""
    every = options.assistants_in_turn
    learns = method(options.method).assistants_learn
    if not place and method(learns).assistants[1] != 0:
        learns = "takd"  # the first one has the teacher alone, and is then the same for all methods with assistants
    mine = METHOD_OPTIONS[learns]
    known = {f.name for f in fields(mine)}
    shared = {f.name: getattr(options.method_options, f.name) for f in fields(options.method_options) if f.name in known}
    return replace(
        options,
        **options.for_helpers(validates),
        student=every[place][0],
        student_sees=every[place][1],
        curriculum="shuffle",
        method=learns,
        method_options=mine(**shared),
        assistants=",".join(net for net, _ in every[:place]),
        assistants_see=" & ".join(sees for _, sees in every[:place]),
        peers=0,
        peer="",
        peer_sees="",
        domains="",
    )
