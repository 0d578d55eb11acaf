"""Distillation methods by name. A new one is a file here and a row in `METHODS`."""

from harkd.errors import unknown
from harkd.methods import ce, eskd, fitnet, kd
from harkd.methods.method import Method, Plan, Players

__all__ = ["METHODS", "Method", "Plan", "Players", "method"]

METHODS: dict[str, Method] = {
    "ce": ce.METHOD,
    "kd": kd.METHOD,
    "eskd": eskd.METHOD,
    "fitnet": fitnet.METHOD,
}


def method(key: str) -> Method:
    """A method by name."""
    if key not in METHODS:
        raise unknown("method", key, METHODS)
    return METHODS[key]
