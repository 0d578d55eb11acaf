"""What augmentations there are: every op, every policy and every named strategy, as plain values for a table, JSON or a page."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from harkd.augment import OPS, Branching, Mixing, Transform, leaves, parse, read_strategy, strategy_names, to_text
from harkd.augment.ops import NODES
from harkd.report.words import listed

EXAMPLES = {"one_of": "one_of(jitter(0.05), rotate(15))"}
"""How policies are written that take neither one pool nor one strategy."""
_KINDS = {float: "number", int: "whole number", bool: "true or false", str: "word"}
_POOL, _STRATEGY = "har_safe", "jeon_mix1"


@dataclass(frozen=True)
class Option:
    """A parameter as it is written in a strategy."""

    name: str
    kind: str
    default: float | int | bool | str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One thing that can be named in a strategy.

    Attributes:
        kind: a policy chooses among ops, or says how strong they are.
        family: the module of an op or policy.
        text: how it is written, with its defaults.
        strategy: the same as a whole strategy: ops that mix stand after "none|".
        about: what it does, in one line; details: the rest of its documentation.
        label: what becomes of the label, at the default strength.
        assumes: what has to leave the label alone at that strength; assumes_most: at the greatest.
        strength: the field that magnitudes set, its values at magnitude 0 and 1, and what is allowed.
        sensors: kinds that it changes, if not all.
        partners: who the windows are that it takes from the training windows.
        citation, evidence: of a named strategy.
    """

    name: str
    kind: Literal["op", "mixing op", "policy", "strategy"]
    family: str
    text: str
    strategy: str
    about: str
    details: str = ""
    label: str = "kept"
    assumes: tuple[str, ...] = ()
    assumes_most: tuple[str, ...] = ()
    strength: dict[str, Any] | None = None
    options: tuple[Option, ...] = ()
    sensors: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    host: bool = False
    learns: bool = False
    version: int | None = None
    citation: str = ""
    evidence: str = ""

    @property
    def effect(self) -> str:
        """What becomes of the label, in a few words."""
        if self.kind == "policy":
            return "as its ops say"
        if self.assumes:
            return f"{self.label if self.label != 'kept if' else 'kept'} if {listed(self.assumes)}"
        return f"{self.label}; stronger: if {listed(self.assumes_most)}" if self.assumes_most else self.label

    @property
    def range(self) -> str:
        """What magnitudes from 0 to 1 stand for."""
        return "{field} {identity:g} to {strongest:g}".format(**self.strength) if self.strength else ""

    def has(self, words: tuple[str, ...]) -> bool:
        """Whether each of some words stands in it."""
        said = [self.name, self.kind, self.family, self.strategy, self.about, self.details, self.effect, self.citation]
        found = " ".join([*said, *self.sensors, *(option.name for option in self.options)]).lower()
        return all(word.lower() in found for word in words)


def spaced(strategy: str) -> str:
    """A strategy that can be wrapped between its ops; it means the same.

    >>> spaced("removal(0.5)+shifting(0.5)|mixup(0.2)")
    'removal(0.5) + shifting(0.5) | mixup(0.2)'
    """
    return strategy.replace(")+", ") + ").replace(")|", ") | ")


def worded(text: str) -> str:
    """Documentation with the names of parameters in quotation marks rather than marked as code."""
    return re.sub("`([^`]*)`", r"‘\1’", text)


def catalogue() -> list[Entry]:
    """All ops by family and name, then all policies, then all named strategies."""
    ops = sorted((_op(name, kind) for name, kind in OPS.items()), key=lambda entry: (entry.family, entry.name))
    return [*ops, *(_policy(name, kind) for name, kind in sorted(NODES.items())), *map(_strategy, strategy_names())]


def _op(name: str, kind: type[Transform]) -> Entry:
    op, strength = kind(), kind.STRENGTH
    strongest = op.at(1)
    text = to_text(op)
    told = {f.name: getattr(strength, f.name) for f in fields(strength)}
    return Entry(
        name,
        "mixing op" if kind.MIXES else "op",
        family=kind.__module__.rpartition(".")[2],
        text=text,
        strategy=f"none|{text}" if kind.MIXES else text,
        label=op.label,
        assumes=tuple(sorted(op.assumes)),
        assumes_most=tuple(sorted(strongest.assumes)),
        strength=told | {"most": None if strength.most == sys.float_info.max else strength.most},
        sensors=tuple(sorted(kind.KINDS)),
        partners=op.partners if isinstance(op, Mixing) else (),
        host=kind.HOST,
        **_shared(kind),
    )


def _policy(name: str, kind: type[Branching]) -> Entry:
    text = EXAMPLES.get(name) or f"{name}({_POOL if kind.FLAT else _STRATEGY})"
    return Entry(name, "policy", "policy", text=text, strategy=text, learns=kind.LEARNS, **_shared(kind))


def _shared(kind: type[Transform]) -> dict[str, Any]:
    about, _, details = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    return {
        "about": " ".join(about.split()),
        "details": details,
        "options": tuple(_option(kind, f) for f in sorted(fields(kind), key=lambda f: f.name == "p") if f.name != "branches"),
        "version": kind.VERSION,
    }


def _option(kind: type[Transform], f: Any) -> Option:
    hint = get_type_hints(kind)[f.name]
    choices = tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
    return Option(f.name, "choice" if choices else _KINDS[hint], f.default, choices)


def _strategy(name: str) -> Entry:
    told = read_strategy(name)
    strategy = parse(told.strategy)
    ops = list(leaves(strategy))
    effects = [op.label for op in ops]
    return Entry(
        name,
        "strategy",
        "strategies",
        text=name,
        strategy=told.strategy,
        about=told.title,
        label=next((effect for effect in ("mixed", "same class", "kept if") if effect in effects), "kept"),
        assumes=tuple(sorted(strategy.assumes)),
        citation=told.citation,
        evidence=told.evidence,
    )
