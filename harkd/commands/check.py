"""Mistakes on the command line, each told in one line with the nearest valid name.

Words are checked here before tyro parses them: its own messages are framed boxes whose wording is no part of its interface.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional

from harkd.errors import UsageError, unknown
from harkd.options import METHOD_OPTIONS, Machine, Pair, Train

_POSITIONAL = get_args(Positional[str])[1]
_NUMBERS: dict[type, str] = {int: "whole number", float: "number"}


@dataclass(frozen=True)
class Argument:
    """What one field of a dataclass of options takes on the command line; `kind` is its type."""

    name: str
    kind: Any
    positional: bool = False
    required: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def many(self) -> bool:
        return get_origin(self.kind) is tuple

    def check(self, word: str) -> None:
        """Refuse a word that is no value of this argument."""
        kind = get_args(self.kind)[0] if self.many else self.kind
        called = self.name if self.positional else self.flag
        if get_origin(kind) is Literal and word not in get_args(kind):
            raise unknown(called, word, get_args(kind))
        if kind in _NUMBERS:
            try:
                kind(word)
            except ValueError:
                what = f"{_NUMBERS[kind]}s, like {called} 1 2" if self.many else f"a {_NUMBERS[kind]}"
                raise UsageError(f"{called} takes {what}; got {word!r}") from None


def arguments(kind: type) -> list[Argument]:
    """The arguments of a dataclass and of the dataclasses in it."""
    found: list[Argument] = []
    hints = get_type_hints(kind, include_extras=True)
    for f in fields(kind):
        hint = hints[f.name]
        marks: tuple[Any, ...] = ()
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            marks = tuple(rest)
        if is_dataclass(hint):
            found += arguments(hint)  # type: ignore[arg-type]
        else:
            required = f.default is MISSING and f.default_factory is MISSING
            found.append(Argument(f.name, hint, _POSITIONAL in marks, required))
    return found


def flags(kind: type) -> list[str]:
    """All flags of a dataclass of options."""
    return [argument.flag for argument in arguments(kind) if not argument.positional]


def check(kind: type, prog: str, argv: Sequence[str]) -> None:
    """Refuse words that the dataclass `kind` has no use for.

    Raises:
        UsageError: names the word, and what was probably meant.
    """
    found = arguments(kind)
    known = {argument.flag: argument for argument in found if not argument.positional}
    known |= {f"--no-{a.flag[2:]}": a for a in known.values() if a.kind is bool}
    places = [argument for argument in found if argument.positional]
    free: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            return
        if not _is_flag(word):
            free.append(word)
            continue
        name, equals, value = word.partition("=")
        argument = known.get(name.replace("_", "-"))
        if argument is None:
            raise UsageError(f"unknown option {name}: {_hint(name, list(known), prog)}")
        if argument.kind is bool:
            if equals:
                raise UsageError(f"{name} takes no value; got {value!r}")
            continue
        values = [value] if equals else []
        while words and not equals and not _is_flag(words[0]) and (argument.many or not values):
            values.append(words.pop(0))
        if not values and not argument.many:
            raise UsageError(f"{name} needs a value; see {prog} --help")
        for value in values:
            argument.check(value)
    _check_places(free, places, list(known), prog)


def _check_places(free: list[str], places: list[Argument], known: list[str], prog: str) -> None:
    for number, argument in enumerate(places):
        mine = free[number:] if argument.many else free[number : number + 1]
        if argument.required and not mine:
            choices = f": {', '.join(get_args(argument.kind))}" if get_origin(argument.kind) is Literal else ""
            raise UsageError(f"{prog} needs {argument.name.upper()}{choices}; see {prog} --help")
        for word in mine:
            argument.check(word)
    spare = [] if places and places[-1].many else free[len(places) :]
    if spare:
        near = difflib.get_close_matches(f"--{spare[0]}", known, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else f"see {prog} --help"
        raise UsageError(f"{prog} has no use for {spare[0]!r}: {hint}")


def _is_flag(word: str) -> bool:
    if not word.startswith("-") or word == "-":
        return False
    try:
        float(word)
    except ValueError:
        return True
    return False


def _hint(name: str, known: list[str], prog: str) -> str:
    """What an unknown option may have meant: one of another command or method, or a misspelt one."""
    flag = f"--{name.strip('-').replace('_', '-')}"
    if flag in known:
        return f"did you mean {flag}?"
    methods = [key for key, options in METHOD_OPTIONS.items() if flag in flags(options)]
    if "--method" in known and methods:
        return f"it belongs to --method {' or '.join(methods)}"
    if "--method" in known and flag in flags(Train):
        return "it belongs to harkd train; here there are --student and --teacher"
    if "--net" in known and (methods or flag in flags(Pair)):
        return "it belongs to harkd distill"
    word = flag[2:]
    names = [each[2:] for each in known]
    parts = [each for each in names if each in word.split("-")]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6) or parts
    if near:
        return f"did you mean --{near[0]}?"
    return f"it belongs to harkd train and distill; see {prog} --help" if flag in flags(Machine) else f"see {prog} --help"
