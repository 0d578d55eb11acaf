"""The pages of all distillation methods, made from the code."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from augmentations import marked, row

from harkd.methods import METHODS, Method

FOLDER = "methods"


def pages() -> dict[str, str]:
    """A page for every method, and one that lists them; by name in this folder."""
    return {f"{FOLDER}/index.md": _index(), **{f"{FOLDER}/{key}.md": _page(method) for key, method in METHODS.items()}}


def _index() -> str:
    lines = [
        "# All methods",
        "",
        "Made from the code by `python docs/generate.py`. `harkd list methods` tells the same, [Distil](../distil.md) helps to",
        "choose, and [Compare](../compare.md) finds out which one helps on your data.",
        "",
        "| method | what it is | needs | phases | answers in a step | draw bank |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        row(f"[`{m.key}`]({m.key}.md)", marked(m.title), m.need, m.phases, m.cost, "yes" if m.bankable else "no")
        for m in METHODS.values()
    ]
    return "\n".join([*lines, ""])


def _page(method: Method) -> str:
    about = inspect.getdoc(sys.modules[method.recipe.__module__]) or ""
    title, _, rest = about.partition("\n")
    lines = [f"# {method.key}", "", marked(title), "", *_markdown(rest.strip("\n")), ""]
    lines += ["```sh", _command(method), "```", ""]
    lines += [
        "| | |",
        "| --- | --- |",
        row("needs", method.need),
        row("phases", method.phases),
        row("answers in a step", method.cost),
    ]
    lines += [row("teacher's answers can be kept (`--draws`)", "yes" if method.bankable else "no")]
    lines += [row("source", marked(method.source)), row("what is followed", marked(method.evidence)), ""]
    lines += ["## Options", "", "| option | default | values | |", "| --- | --- | --- | --- |", *_options(method.options)]
    return "\n".join([*lines, "", "[All methods](index.md)", ""])


def _command(method: Method) -> str:
    """A command that runs as it stands."""
    several = " --teacher wrn1d-16-1 --teacher dscnn-xl" if method.teachers[0] > 1 else ""
    chain = " --assistants dscnn-l,dscnn-m" if method.assistants[1] is None and not method.own_teacher else ""
    unpaired = " --student-sees wrist_acc --domains wrist_gyro" if method.domains[0] else ""
    return f"harkd distill --method {method.key}{several}{chain}{unpaired}"


def _markdown(text: str) -> Iterator[str]:
    """Paragraphs as they are, indented ones as blocks of text."""
    for place, block in enumerate(re.split(r"\n\s*\n", text)):
        if place:
            yield ""
        if all(line.startswith("    ") for line in block.splitlines()):
            yield from ("```text", textwrap.dedent(block), "```")
        else:
            yield marked(block)


def _options(kind: type) -> Iterator[str]:
    told, hints = _documented(kind), get_type_hints(kind)
    for field in fields(kind):
        flag = f"`--{field.name.replace('_', '-')}`"
        yield row(flag, f"`{_value(field.default)}`", _values(hints[field.name]), marked(told[field.name]))


def _documented(kind: type) -> dict[str, str]:
    """What stands below each field of a dataclass and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("harkd."):
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
            assert isinstance(body, ast.ClassDef)
            for field, after in zip(body.body, body.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    assert isinstance(field.target, ast.Name)
                    found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def _values(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "whole numbers"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[hint]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
