"""TOML files as frozen dataclasses: one validation for cards, strategies and recipes."""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harkd.errors import HarkdError, UsageError, unknown

T = TypeVar("T")

# Dataclasses that mirror a file carry this as `__pydantic_config__`: a misspelt key is an error, not a silent default.
STRICT_KEYS = ConfigDict(extra="forbid")
_UNEXPECTED = {"extra_forbidden", "unexpected_keyword_argument"}


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def validate(kind: type[T], values: Any, where: str, text: str = "") -> T:
    """Build the dataclass `kind` from plain values.

    Args:
        where: what the values come from, for the message (a file name).
        text: the TOML source, if at hand: messages then give the line.

    Raises:
        UsageError: names the key, what was found and what was expected.
    """
    try:
        return _adapter(cast(Any, kind)).validate_python(values)
    except ValidationError as problem:
        errors = problem.errors()
        # A misspelt key makes two errors, "unexpected" and "missing": the first is the cause.
        first = next((error for error in errors if error["type"] in _UNEXPECTED), errors[0])
        path = first["loc"]
        dotted = ".".join(map(str, path))
        line = _line_of(path[:-1] if first["type"] == "missing" else path, text)
        at = f"{where}:{line}" if line else where
        if first["type"] in _UNEXPECTED:
            known = _keys_at(kind, path[:-1])
            near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
            near += [str(e["loc"][-1]) for e in errors if e["type"] == "missing" and e["loc"][:-1] == path[:-1]]
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
            raise UsageError(f"{at}: unknown key {dotted!r}; {hint}") from None
        if first["type"] == "literal_error":
            choices = re.findall(r"'([^']*)'", first.get("ctx", {}).get("expected", ""))
            if path[-1] == "[key]":
                dotted, what = ".".join(map(str, path[:-2])), "key"
            else:
                what = "value"
            told = unknown(what, str(first["input"]), filter(None, choices))
            raise UsageError(": ".join(filter(None, (at, dotted, str(told))))) from None
        shown = isinstance(first["input"], str | int | float) and first["type"] != "missing"
        found = f" (found {first['input']!r})" if shown else ""
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise UsageError(": ".join(filter(None, (at, dotted, f"{message}{found}")))) from None


def load_toml(kind: type[T], path: Path) -> T:
    """Read a TOML file into the dataclass `kind`."""
    values, text = read_toml(path)
    return validate(kind, values, str(path), text)


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Values and text of a TOML file.

    Raises:
        UsageError: there is no such file, or it is not TOML.
        HarkdError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise HarkdError(f"{path}: cannot be read as UTF-8 text ({problem})") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"{path}: not valid TOML: {problem}") from None


def _keys_at(kind: Any, path: Sequence[str | int]) -> list[str]:
    """The keys of the dataclass that `path` leads to."""
    for part in path:
        if is_dataclass(kind):
            kind = get_type_hints(kind).get(str(part))
        else:  # an element of a tuple, a value of a mapping
            kind = next((inner for inner in reversed(get_args(kind)) if inner is not Ellipsis), None)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _line_of(path: Sequence[str | int], text: str) -> int | None:
    """The line of the innermost key of `path` that the text spells out."""
    at, line = 0, None
    for i, key in enumerate(path):
        if isinstance(key, int):
            continue
        spelled = rf"^[ \t]*(?:\[+(?:[\w-]+\.)*)?[\"']?{re.escape(key)}[\"']?\s*[\].=]"
        found = list(re.compile(spelled, re.MULTILINE).finditer(text, at))
        headers = [each for each in found if "[[" in each[0] and each[0].endswith("]")]
        number = path[i + 1] if i + 1 < len(path) else 0
        if isinstance(number, int) and number < len(headers):
            found = headers[number:]
        if found:
            at, line = found[0].end(), text[: found[0].end()].count("\n") + 1
    return line


def json_schema(kind: type) -> dict[str, Any]:
    """The JSON schema of a dataclass's TOML file, with the docstrings of all dataclasses in it."""
    schema = _adapter(kind).json_schema()
    for inner in _dataclasses(kind):
        told = schema if inner is kind else schema.get("$defs", {}).get(inner.__name__, {})
        if told and inner.__doc__:
            told.setdefault("description", inspect.cleandoc(inner.__doc__))  # pydantic leaves out some, by version
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _dataclasses(kind: Any) -> Iterator[type]:
    """The dataclasses that a type consists of, itself included."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _dataclasses(hint)
    for inner in get_args(kind):
        yield from _dataclasses(inner)
