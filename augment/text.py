"""One grammar for strategies, used on the command line, in recipes, in reports and in cache keys.

    removal(0.5)+shifting(0.5)                     one op after the other
    rotate(15, p=0.5)+jitter(0.05)|mixup(0.2)      after "|" stand the ops that mix windows and labels
    one_of(jitter(0.05), rotate(15)+scaling(0.1))  one branch per window
    jeon_mix1+jitter(0.05)                         a named strategy stands for its ops
    none                                           nothing

`to_text` gives the canonical text, with named strategies spelt out: `parse(to_text(t)) == t`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from harkd.augment.ops import NODES, OPS
from harkd.augment.transform import Branching, Compose, Transform
from harkd.errors import UsageError, unknown
from harkd.schema import STRICT_KEYS, load_toml, validate

STRATEGIES = Path(__file__).parent / "strategies"
# "+" joins ops, so only "-" can be a number's sign.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|"
    r'"(?P<text>[^"]*)"|(?P<mark>[()+|,=]))'
)
_WORD = re.compile(r"(?!(?:true|false)$)[A-Za-z_]\w*")


@dataclass(frozen=True)
class Strategy:
    """A named strategy: a file in augment/strategies."""

    __pydantic_config__ = STRICT_KEYS

    title: str
    strategy: str
    citation: str
    evidence: str = ""


def strategy_names() -> list[str]:
    """Names of the strategies that harkd ships."""
    return sorted(path.stem for path in STRATEGIES.glob("*.toml"))


def read_strategy(name: str) -> Strategy:
    """A named strategy with its citation."""
    if name not in strategy_names():
        raise unknown("strategy", name, strategy_names())
    return load_toml(Strategy, STRATEGIES / f"{name}.toml")


def parse(text: str) -> Compose:
    """The strategy that `text` describes.

    Raises:
        UsageError: quotes the text and says at which position it is not understood, with the nearest name.
    """
    return _Parser(text).strategy()


def to_text(transform: Transform) -> str:
    """The canonical text of a strategy."""
    if not isinstance(transform, Compose):
        return _op_text(transform)
    first_mix = next((i for i, op in enumerate(transform.ops) if op.MIXES), len(transform.ops))
    keep, mixing = transform.ops[:first_mix], transform.ops[first_mix:]
    text = "+".join(map(_op_text, keep)) or "none"
    return f"{text}|{'+'.join(map(_op_text, mixing))}" if mixing else text


def _op_text(op: Transform) -> str:
    if isinstance(op, Branching):
        name = next(name for name, kind in NODES.items() if kind is type(op))
        arguments = ["+".join(map(_op_text, op.branches))] if op.FLAT else [to_text(branch) for branch in op.branches]
        options = [f for f in fields(op) if f.name not in ("branches", "p")]
    else:
        name = next(name for name, kind in OPS.items() if kind is type(op))
        own = [f for f in fields(op) if f.name != "p"]
        arguments = [_value_text(getattr(op, f.name)) for f in own[:1]]
        options = own[1:]
    options += [f for f in fields(op) if f.name == "p"]
    arguments += [f"{f.name}={_value_text(getattr(op, f.name))}" for f in options if getattr(op, f.name) != f.default]
    return f"{name}({', '.join(arguments)})"


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not _WORD.fullmatch(value):
        return '"' + value.replace('"', "'") + '"'
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class _Parser:
    """Recursive descent over: strategy = sequence ["|" sequence]; sequence = op {"+" op}; op = name ["(" arguments ")"]."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if not match:
                self._fail(len(text) - len(text[at:].lstrip()), "an op name, a number, a text in quotes or one of ( ) + | , =")
            kind = match.lastgroup or "mark"
            self.tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()
        self.at = 0
        self.mixing = False

    def _wrong(self, at: int, problem: object) -> NoReturn:
        raise UsageError(f"strategy {self.text!r}, position {at + 1}: {problem}")

    def _fail(self, at: int, expected: str) -> NoReturn:
        found = repr(self.text[at : at + 12]) if self.text[at:].strip() else "the end"
        self._wrong(at, f"expected {expected}, found {found}")

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def _take(self, mark: str) -> bool:
        if self._peek()[:2] == ("mark", mark):
            self.at += 1
            return True
        return False

    def strategy(self) -> Compose:
        ops = self._sequence()
        if self._take("|"):
            self.mixing, at = True, self._peek()[2]
            mixing = self._sequence()
            if mixing and not mixing[0].MIXES:
                self._wrong(at, f"after '|' comes an op that mixes windows, and {to_text(mixing[0])} does not")
            ops += mixing
        if self._peek()[0] != "end":
            self._fail(self._peek()[2], "'+' or the end" if self.mixing else "'+', '|' or the end")
        return Compose(ops)

    def _sequence(self) -> tuple[Transform, ...]:
        ops = list(self._op())
        while self._take("+"):
            ops += self._op()
        return tuple(ops)

    def _op(self) -> tuple[Transform, ...]:
        kind, name, at = self._peek()
        if kind != "name":
            self._fail(at, "an op or a strategy")
        self.at += 1
        if name == "none":
            return ()
        if name in NODES:
            return (self._branching(name, at),)
        if name in OPS:
            if OPS[name].MIXES and not self.mixing:
                self._wrong(at, f"{name} mixes windows, so it stands after '|'")
            return (self._build(name, at),)
        if name not in strategy_names():
            self._wrong(at, unknown("augmentation", name, [*OPS, *NODES, *strategy_names(), "none"]))
        return parse(read_strategy(name).strategy).ops

    def _build(self, name: str, at: int) -> Transform:
        kind = OPS[name]
        defaults = {f.name: f.default for f in fields(kind)}
        own = [option for option in defaults if option != "p"]
        values: dict[str, Any] = {}
        for key, value, place in self._arguments(strategies=False):
            if not key and len(values) >= len(own):
                self._wrong(place, f"{name} takes at most {len(own)} values without a name ({', '.join(own)})")
            key = key or own[len(values)]
            if key not in defaults:
                self._wrong(place, unknown(f"option of {name}", key, defaults))
            if key in values:
                self._wrong(place, f"{key} is given twice")
            self._check_kind(key, value, defaults[key], place)
            values[key] = value
        try:
            return validate(kind, values, name)
        except UsageError as problem:
            self._wrong(at, problem)

    def _branching(self, name: str, at: int) -> Branching:
        kind = NODES[name]
        defaults = {f.name: f.default for f in fields(kind) if f.name != "branches"}
        branches: list[Transform] = []
        values: dict[str, Any] = {}
        for key, value, place in self._arguments(strategies=True):
            if not key:
                branches.append(value)
                continue
            if key not in defaults:
                self._wrong(place, unknown(f"option of {name}", key, defaults))
            self._check_kind(key, value, defaults[key], place)
            values[key] = value
        try:
            return validate(kind, {"branches": tuple(branches), **values}, name)
        except UsageError as problem:
            self._wrong(at, problem)

    def _check_kind(self, key: str, value: Any, default: Any, place: int) -> None:
        if isinstance(value, bool) != isinstance(default, bool):
            self._wrong(place, f"{key}: expected something like {_value_text(default)}, found {_value_text(value)}")

    def _arguments(self, strategies: bool) -> list[tuple[str, Any, int]]:
        """Triples of name (empty for a value without one), value and position."""
        found: list[tuple[str, Any, int]] = []
        if not self._take("("):
            return found
        while not self._take(")"):
            if found and not self._take(","):
                self._fail(self._peek()[2], "',' or ')'")
            start = self._peek()[2]
            key = self._key()
            if key and key in (name for name, _, _ in found):
                self._wrong(start, f"{key} is given twice")
            if not key and any(name for name, _, _ in found):
                self._wrong(start, "values without a name come before those with one")
            found.append((key, self._branch() if strategies and not key else self._value(), start))
        return found

    def _key(self) -> str:
        if self._peek()[0] == "name" and self.tokens[self.at + 1 : self.at + 2] and self.tokens[self.at + 1][1] == "=":
            self.at += 2
            return self.tokens[self.at - 2][1]
        return ""

    def _branch(self) -> Transform:
        return Compose(self._sequence())

    def _value(self) -> object:
        kind, text, at = self._peek()
        if kind not in ("number", "name", "text"):
            self._fail(at, "a value")
        self.at += 1
        if kind == "text":
            return text
        if kind == "name":
            return {"true": True, "false": False}.get(text, text)
        number = float(text)
        return int(number) if number.is_integer() else number
