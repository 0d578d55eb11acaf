"""Every module imports, and the examples in its docstrings hold."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import harkd

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = [
    module.name
    for module in pkgutil.walk_packages(harkd.__path__, "harkd.", onerror=lambda name: None)  # the test below reports it
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(import_module(name), optionflags=FLAGS).failed == 0


@pytest.mark.parametrize(("name", "examples"), [("harkd.datasets", 4), ("harkd.errors", 1)])
def test_the_examples_are_found(name: str, examples: int) -> None:
    assert name in MODULES
    assert doctest.testmod(import_module(name), optionflags=FLAGS).attempted >= examples
