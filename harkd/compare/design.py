"""The design of a comparison: factors and their levels, times folds, times seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any

from harkd.augment import parse, to_text
from harkd.compare.options import Study
from harkd.datasets import Windows
from harkd.datasets.splits import subjects_of
from harkd.errors import UsageError, unknown
from harkd.methods import method
from harkd.options import METHOD_OPTIONS, Distill, Pair, identity
from harkd.schema import validate

FACTORS = ("augment", "method", "student", "teacher")
"""Options that take several levels on the command line, in the order in which they stand in the names of levels."""
FOLDS = 5
BETWEEN = "/"
NO_TEACHER = "-"
_NAMED = re.compile(r"([\w.-]+)=(.*)")
_PATHS = re.compile(r"paths\((.*)\)")
_OWN = ("data", "data_folder", "window", "step", "split", "seed")
"""Options that cannot be factors: they say what is compared on, or how often."""


@dataclass(frozen=True)
class Factor:
    """An option and its levels, as they were written: each a value, or NAME=VALUE.

    >>> Factor("augment", ("none", "mild=jitter(0.02)")).values
    {'none': 'none', 'mild': 'jitter(0.02)'}
    """

    option: str
    levels: tuple[str, ...]

    @property
    def values(self) -> dict[str, str]:
        """The value of each level, by the level's name."""
        return dict(map(_named, self.levels))


@dataclass(frozen=True)
class Level:
    """A configuration: one level of every factor. `options` are those of its first seed, for the official split."""

    name: str
    options: Distill


@dataclass(frozen=True)
class Cell:
    """One run: a level in a fold, with a seed."""

    level: str
    fold: str
    seed: int
    options: Distill

    @property
    def name(self) -> str:
        """Of its folder; runs of equal options have the same, whatever design asks for them."""
        place = self.fold.replace(":", "-").replace("/", "of") if self.fold != "official" else "official"
        return f"{self.options.student}-{self.options.method}-{place}-s{self.seed}-{identity(self.options)}"


@dataclass(frozen=True)
class Design:
    """Levels, folds and seeds.

    Attributes:
        levels: in the order in which they were written; no two have the same options.
        control: name of the level that all others are compared with.
        notes: what became of the levels that were asked for, where that needs saying.
    """

    levels: tuple[Level, ...]
    control: str
    folds: tuple[str, ...]
    seeds: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, pair: Pair, study: Study, folds: Sequence[str]) -> Design:
        """The design that options ask for.

        Raises:
            UsageError: a level is not one of its option, the control is none of the levels, or nothing is compared.
        """
        factors = factors_of(pair, study)
        found = list(_levels(pair, factors))
        levels: dict[str, Level] = {}
        notes = []
        for level in found:
            same = levels.setdefault(identity(level.options), level)
            if same is not level and same.name != level.name:
                notes.append(f"{level.name} is the same as {same.name}")
        if len(levels) < 2:
            why = f" ({notes[0]})" if notes else ""
            raise UsageError(f"there is nothing to compare: give an option several levels, like --augment none,jeon_mix1{why}")
        control = _control(study.control, [factor for factor in factors if len(factor.levels) > 1], found)
        kept = levels[identity(control.options)]
        seeds = tuple(range(pair.seed, pair.seed + study.seeds))
        return cls(tuple(levels.values()), kept.name, tuple(folds), seeds, tuple(notes))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    def only(self, names: Sequence[str], seeds: Sequence[int] | None = None) -> Design:
        """The same design with some of its levels, and some of its seeds."""
        levels = tuple(level for level in self.levels if level.name in names)
        return replace(self, levels=levels, seeds=self.seeds if seeds is None else tuple(seeds))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All runs: a whole seed before the next one, so that what is finished is always nearly balanced."""
        return tuple(
            Cell(level.name, fold, seed, replace(level.options, split=fold, seed=seed))
            for seed in self.seeds
            for fold in self.folds
            for level in self.levels
        )


def listed(text: str) -> tuple[str, ...]:
    """The levels in a text: between semicolons if there are any, else between the commas that stand in no brackets.

    >>> listed("none,trivial(jitter(0.1), rotate(15)),um2017")
    ('none', 'trivial(jitter(0.1), rotate(15))', 'um2017')
    >>> listed("wrist_acc; wrist_acc,wrist_gyro")
    ('wrist_acc', 'wrist_acc,wrist_gyro')
    """
    mark = ";" if ";" in text else ","
    found, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == '"'
        if not quoted:
            depth += (sign in "([{") - (sign in ")]}")
        if sign == mark and depth == 0 and not quoted:
            found.append("")
        else:
            found[-1] += sign
    return tuple(level.strip() for level in found)


def factors_of(pair: Pair, study: Study) -> tuple[Factor, ...]:
    """The factors that options give: those with flags of their own, then those of `vary`.

    Raises:
        UsageError: an option does not exist, cannot be varied, or is given twice; a level is empty or stands there twice.
    """
    factors = [Factor(option, listed(getattr(pair, option))) for option in FACTORS]
    for text in study.vary:
        option, equals, written = text.partition("=")
        option = option.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--vary takes OPTION=LEVEL,LEVEL, like rate=0.001,0.003; got {text!r}")
        check_option(option, "--vary")
        if option in FACTORS:
            raise UsageError(f"--vary {option}: it has a flag of its own, --{option} LEVEL,LEVEL")
        levels = listed(written)
        if option == "assistants":
            levels = tuple(path for level in levels for path in paths(level))
        factors.append(Factor(option, levels))
    for factor in factors:
        if len(factor.values) < len(factor.levels):
            names = [_named(level)[0] for level in factor.levels]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{factor.option}: level {twice!r} stands there twice")
        if "" in factor.levels or ("" in factor.values.values() and not _may_be_empty(factor.option)):
            raise UsageError(f"{factor.option}: a level is empty; got {','.join(factor.levels)!r}")
    options = [factor.option for factor in factors]
    if doubled := [option for option in options if options.count(option) > 1]:
        raise UsageError(f"--vary gives {doubled[0]} twice; write all its levels in one")
    return tuple(factors)


def paths(level: str) -> tuple[str, ...]:
    """All ways from the teacher to the student over some of the assistants in `paths(...)`; other levels stay as they are.

    S.-I. Mirzadeh et al.: Improved knowledge distillation via teacher assistant, AAAI 2020.

    >>> paths("paths(dscnn-l, dscnn-m)")
    ('direct=', 'dscnn-l', 'dscnn-m', 'dscnn-l,dscnn-m')
    """
    found = _PATHS.fullmatch(level)
    if not found:
        return (level,)
    nets = [net.strip() for net in found[1].split(",")]
    chosen = (",".join(some) for number in range(1, len(nets) + 1) for some in combinations(nets, number))
    return ("direct=", *chosen)


def _may_be_empty(option: str) -> bool:
    return any(f.name == option and f.default == "" for f in fields(Pair))


def _named(level: str) -> tuple[str, str]:
    """Name and value of a level as it was written."""
    found = _NAMED.fullmatch(level)
    return (found[1], found[2]) if found else (level, level)


def check_option(option: str, flag: str) -> None:
    """Refuse what is no option of a run, or cannot differ between the runs of a study.

    Raises:
        UsageError: names the nearest option.
    """
    key, dot, inner = option.partition(".")
    if dot:
        if key not in METHOD_OPTIONS:
            raise unknown(f"method in {flag}", key, METHOD_OPTIONS)
        if inner not in (known := [f.name for f in fields(METHOD_OPTIONS[key])]):
            raise unknown(f"option of {key} in {flag}", inner, known)
        return
    if option in _OWN:
        instead = {"split": "--folds", "seed": "--seeds"}.get(option, "a study for each")
        raise UsageError(f"{flag} {option}: it says what is compared on, and is the same for all; use {instead}")
    known = [f.name for f in fields(Pair) if f.name not in _OWN]
    if option not in known:
        raise unknown(f"option in {flag}", option, known)


def level_options(pair: Pair, chosen: Mapping[str, str]) -> Distill:
    """The options of a configuration.

    Args:
        chosen: a level of every factor, as text, by option.

    Raises:
        UsageError: a level is not one of its option.
    """
    inner = {name.partition(".")[2]: text for name, text in chosen.items() if name.startswith(f"{chosen['method']}.")}
    method(chosen["method"])  # says which methods there are
    outer = {name: text for name, text in chosen.items() if "." not in name}
    values = {f.name: getattr(pair, f.name) for f in fields(Pair)} | outer | {"split": "official"}
    where = ", ".join(f"{name}={text}" for name, text in chosen.items())
    options = validate(METHOD_OPTIONS[chosen["method"]], inner, where)
    made = validate(Pair, values, where)
    # Who has no teacher is the same whatever the teacher would be.
    unused: dict[str, Any] = {f.name: f.default for f in fields(Pair) if not _matters(f.name, made.method)}
    made = replace(made, **unused)
    most = method(made.method).teachers[1]
    if most and len(made.teachers) > most:  # methods of one teacher and of several in one study: the former take the first
        first = made.teachers[:most]
        made = replace(made, teacher=" & ".join(net for net, _ in first), teacher_sees=" & ".join(sees for _, sees in first))
    # One strategy can be written in several ways, and its runs should be the same.
    made = replace(made, augment=to_text(parse(made.augment)))
    return Distill(**{f.name: getattr(made, f.name) for f in fields(Pair)}, method_options=options)


def _levels(pair: Pair, factors: Sequence[Factor]) -> Iterator[Level]:
    named = [factor.option for factor in factors if len(factor.levels) > 1]
    for choice in product(*(factor.values.items() for factor in factors)):
        chosen = {factor.option: value for factor, (_, value) in zip(factors, choice, strict=True)}
        names = {factor.option: name for factor, (name, _) in zip(factors, choice, strict=True)}
        options = level_options(pair, chosen)
        words = [names[option] if _concerns(option, options) else NO_TEACHER for option in named]
        yield Level(BETWEEN.join(words) or names["augment"], options)


def _concerns(option: str, options: Distill) -> bool:
    """Whether a factor makes a difference to a level; in its name it is a dash otherwise."""
    of_other = "." in option and option.partition(".")[0] != options.method
    return not of_other and _matters(option, options.method)


def _matters(option: str, name: str) -> bool:
    """Whether an option makes a difference to a method: not if it is one of players that the method does not have."""
    if method(name).own_teacher and option in ("teacher", "teacher_sees", "assistants", "assistants_see"):
        return False
    return all(numbers[1] != 0 or not option.startswith(kind) for kind, numbers in method(name).wanted.items())


def _control(wanted: str, named: Sequence[Factor], levels: Sequence[Level]) -> Level:
    if not wanted:
        return levels[0]
    for level in levels:
        if level.name == wanted:
            return level
    form = BETWEEN.join(factor.option.upper() for factor in named)
    raise unknown(f"control (of the form {form})", wanted, [level.name for level in levels])


def folds_of(pair: Pair, study: Study, windows: Windows, codes: Mapping[str, str]) -> tuple[str, ...]:
    """The splits of a study.

    Args:
        codes: what stands for each subject in results.

    Raises:
        UsageError: the folds are not understood, or there are too few subjects or sessions.
    """
    names, text = subjects_of(windows), study.folds
    if not text:
        text = "split" if pair.split != "official" else str(min(FOLDS, len(names)))
    elif pair.split != "official" and text != "split":
        raise UsageError(f"--split {pair.split} and --folds {text}: give one of them")
    if text == "split":
        return (pair.split,)
    if text == "loso":
        return tuple(f"loso:{codes[name]}" for name in names)
    if text == "session":
        sessions = sorted(set(windows.sessions.tolist()))
        if len(sessions) < 2:
            raise UsageError(f"--folds session needs at least two sessions, {windows.card.name} has {len(sessions)}")
        return tuple(f"session:{name}" for name in sessions)
    parts = listed(text)
    if all(part in windows.card.splits for part in parts):
        tested = [subject for part in parts for subject in windows.card.splits[part].test]
        if twice := sorted(subject for subject in set(tested) if tested.count(subject) > 1):
            raise UsageError(f"--folds {text}: every subject is tested once, and {len(twice)} are in the test part of several")
        return parts
    if text.isdecimal() and 2 <= int(text) <= len(names):
        return tuple(f"kfold:{int(text)}/{fold}" for fold in range(int(text)))
    own = f", splits of the card ({', '.join(windows.card.splits)})" if windows.card.splits else ""
    raise UsageError(f"--folds is a number from 2 to {len(names)} (the subjects), loso, session{own} or split; got {text!r}")
