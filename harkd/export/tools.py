"""Tools that are extras: one line says what is missing and how to get it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from harkd.errors import HarkdError

EXTRAS = {
    "ai_edge_litert": "export",
    "alembic": "mlflow",
    "litert_torch": "export",
    "mlflow": "mlflow",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "optuna": "search",
    "ray": "ray",
    "sqlalchemy": "mlflow",
    "tensorboard": "tensorboard",
    "tflite_micro": "export",
    "torchao": "export",
}
"""Which extra of harkd brings which module."""


def need(module: str) -> ModuleType:
    """Import a module of an extra.

    Raises:
        HarkdError: it is not installed; names the extra.
    """
    tool = module.partition(".")[0]
    if loaded := sys.modules.get(module):
        return loaded
    try:
        with quiet():
            return import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name is None or problem.name.partition(".")[0] != tool:
            raise
        raise _missing(tool) from None


def lacks(tool: str) -> HarkdError | None:
    """The error that `need` would end with, without importing the tool."""
    return None if find_spec(tool) else _missing(tool)


def _missing(tool: str) -> HarkdError:
    return HarkdError(f"{tool} is not installed: pip install -c constraints.txt 'harkd[{EXTRAS[tool]}]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the tools say to themselves off the terminal: they log, warn and print, from C++ too.

    What was said before an exception is added to it, as a note.
    """
    with tempfile.TemporaryFile() as said:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        kept = {number: os.dup(number) for number in (1, 2)}
        level = logging.root.manager.disable
        try:
            for number in kept:
                os.dup2(said.fileno(), number)
            logging.disable(logging.WARNING)
            with (
                warnings.catch_warnings(action="ignore"),
                open(said.fileno(), "w", closefd=False) as text,
                redirect_stdout(text),  # where standard output has been replaced, its descriptor alone says nothing
                redirect_stderr(text),
            ):
                yield
        except Exception as problem:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            problem.add_note("\n".join(lines[-5:]))
            raise
        finally:
            logging.disable(level)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, place in kept.items():
                os.dup2(place, number)
                os.close(place)
