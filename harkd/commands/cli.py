"""Options from the command line: flags over recipe over defaults, and errors in one line.

tyro was chosen over typer after trying both on `distill`: it takes the frozen dataclasses of harkd.options as they are, with
a recipe as the default that flags override; typer would have wanted every option a second time, as a function signature.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import tyro
from tyro.conf import OmitArgPrefixes

from harkd.commands import Answered
from harkd.commands.check import check
from harkd.errors import UsageError, unknown
from harkd.options import METHOD_OPTIONS, Distill, Machine, Pair, Train, distill_of
from harkd.schema import read_toml, validate

T = TypeVar("T")
RECIPES = Path(__file__).parents[1] / "recipes"
SEVERAL = ("--teacher", "--teacher-sees")
"""Flags that may be given several times, once for each teacher."""
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_FRAME = re.compile(r"[│╭╮╰╯─]")


def parse(kind: type[T], prog: str, argv: Sequence[str], default: T | None = None) -> T:
    """The dataclass `kind` from flags.

    Raises:
        UsageError: in one line, with the nearest flag.
        Answered: the help was asked for and is printed.
    """
    check(kind, prog, argv)
    argv = _merged(argv)
    told, refused = io.StringIO(), io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(refused):
            return cast(T, tyro.cli(kind, prog=prog, args=list(argv), config=(OmitArgPrefixes,), **given))
    except SystemExit as stop:
        if not stop.code:
            print(fitted(_COLOURS.sub("", told.getvalue())))
            raise Answered from None
        lines = _FRAME.sub("", _COLOURS.sub("", refused.getvalue())).split()
        raise UsageError(" ".join(lines) or f"not understood; see {prog} --help") from None


def action(command: str, actions: Mapping[str, str], words: str, argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Which of several actions a command is asked for, and what is left for it.

    Args:
        actions: what each of them does.
        words: what is written after an action, for the usage.

    Raises:
        UsageError: none, or one that does not exist.
        Answered: the help was asked for and is printed.
    """
    if not argv:
        raise UsageError(f"harkd {command} needs ACTION: {', '.join(actions)}; see harkd {command} --help")
    first, rest = argv[0], argv[1:]
    if first in ("-h", "--help"):
        rows = "\n".join(f"  {name:<8} {summary}" for name, summary in actions.items())
        told = f"usage: harkd {command} ACTION {words}\n\n{rows}\n\nharkd {command} ACTION --help tells an action's options."
        print(fitted(told))
        raise Answered
    if first.startswith("-"):
        raise UsageError(f"harkd {command} needs ACTION before options: {', '.join(actions)}")
    if first not in actions:
        raise unknown(f"ACTION of harkd {command}", first, actions)
    return first, rest


def parse_run(kind: type[T], prog: str, argv: Sequence[str]) -> tuple[T, Machine]:
    """Options of a run, and of the machine it runs on; a recipe gives the defaults.

    Args:
        kind: Train or Distill. The options of Distill's method are flags of their own.
    """
    recipe = value_of("--recipe", argv)
    base: Any = read_recipe(kind, recipe) if recipe else kind()
    if kind is not Distill:
        args = _joined(kind, run=kind, machine=Machine)
        found = parse(args, prog, argv, args(base, Machine()))
        return found.run, found.machine
    method = value_of("--method", argv) or base.method
    if method not in METHOD_OPTIONS:
        raise unknown("method", method, METHOD_OPTIONS)
    options = base.method_options if method == base.method else METHOD_OPTIONS[method]()
    pair = Pair(**{f.name: getattr(base, f.name) for f in fields(Pair)} | {"method": method})
    args = _joined(kind, run=Pair, method=METHOD_OPTIONS[method], machine=Machine)
    found = parse(args, prog, argv, args(pair, options, Machine()))
    flat = {f.name: getattr(found.run, f.name) for f in fields(Pair)}
    return cast(T, Distill(**flat, method_options=found.method)), found.machine


def read_recipe(kind: type[T], name: str) -> T:
    """Options from a TOML file (the config.toml of a run is one), or from a recipe that harkd ships.

    Args:
        kind: Train or Distill.

    Raises:
        UsageError: no such recipe, a key or value in it is wrong, or it is one for the other command.
        HarkdError: it cannot be read.
    """
    path = recipe_path(name)
    values, text = read_toml(path)
    _check_command(kind, path, values)
    try:
        if kind is not Distill:
            return validate(kind, values, str(path), text)
        return cast(T, distill_of(values, str(path), text))
    except UsageError as problem:
        told = str(problem)
        raise UsageError(told if told.startswith(str(path)) else f"{path}: {told}") from None


def recipe_path(name: str) -> Path:
    """The TOML file of that path, or the recipe of that name that harkd ships.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    shipped = RECIPES / f"{name}.toml"
    # A plain name is a recipe that harkd ships, whatever folders of that name lie about (`harkd demo` makes one).
    if os.sep not in name and shipped.is_file():
        return shipped
    if path.is_dir():
        hint = f"; did you mean {path / 'config.toml'}?" if (path / "config.toml").is_file() else ""
        raise UsageError(f"{path} is a folder, and a recipe is a TOML file{hint}")
    if path.suffix == ".toml" or os.sep in name:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        return path
    raise unknown("recipe", name, (each.stem for each in RECIPES.glob("*.toml")))


def _check_command(kind: type, path: Path, values: dict[str, Any]) -> None:
    """Refuse a recipe that is one for the other command."""
    keys = {command: {f.name for f in fields(options)} for command, options in (("train", Train), ("distill", Distill))}
    mine, other = ("distill", "train") if kind is Distill else ("train", "distill")
    strange = [key for key in values if key in keys[other] - keys[mine]]
    if strange:
        raise UsageError(f"{path} is a recipe for harkd {other} (it says {strange[0]!r}), not for harkd {mine}")


def fitted(text: str) -> str:
    """A help text with the lines wrapped that tyro leaves longer than the terminal is wide."""
    columns = max(20, shutil.get_terminal_size().columns)
    lines: list[str] = []
    for line in text.splitlines():
        fits = len(line.rstrip()) <= columns
        lines += [line.rstrip()] if fits else textwrap.wrap(line, columns, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _merged(argv: Sequence[str]) -> list[str]:
    """The words with every flag of `SEVERAL` once, where it first stands, and all its values joined."""
    words = list(argv)
    for flag in SEVERAL:
        places = [place for place, word in enumerate(words) if word.partition("=")[0].replace("_", "-") == flag]
        if len(places) < 2 or ("=" not in words[-1] and places[-1] == len(words) - 1):  # the latter is refused as of any flag
            continue
        values = [word.partition("=")[2] if "=" in word else words[place + 1] for place in places if (word := words[place])]
        spent = {place + 1 for place in places if "=" not in words[place]} | set(places)
        words[places[0]] = f"{flag}={' & '.join(values)}"
        words = [word for place, word in enumerate(words) if place not in spent - {places[0]}]
    return words


def _joined(about: type, **kinds: type) -> Any:
    """One dataclass of several, so that tyro parses them together; the names head the sections of the help."""
    joined = make_dataclass("Options", list(kinds.items()), frozen=True)
    joined.__doc__ = about.__doc__
    return joined


def value_of(flag: str, argv: Sequence[str]) -> str:
    """The value of a flag that decides which other flags there are; the last one counts, as everywhere."""
    found = ""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == flag and not after.startswith("--"):
            found = after
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found
