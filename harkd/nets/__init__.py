"""Nets by name. A new family is a file here and a row in `NETS`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from harkd.errors import unknown
from harkd.nets.dscnn import SIZES, dscnn
from harkd.nets.net import Flat, Net, Outputs, PooledHead, staged
from harkd.nets.wrn import wrn1d

__all__ = ["NETS", "Family", "Flat", "Net", "Outputs", "PooledHead", "build", "staged"]


@dataclass(frozen=True)
class Family:
    """A family of nets.

    Attributes:
        pattern: regular expression of its names; the groups go to `make` before channels and classes.
        examples: some of its names, for listings.
    """

    pattern: str
    make: Callable[..., Net]
    summary: str
    examples: tuple[str, ...]


NETS: dict[str, Family] = {
    "dscnn": Family(
        rf"dscnn-({'|'.join(SIZES)})",
        dscnn,
        "depthwise-separable CNN for watches",
        tuple(f"dscnn-{size}" for size in SIZES),
    ),
    "wrn1d": Family(
        r"wrn1d-(\d+)-(\d+)",
        lambda depth, widening, channels, classes: wrn1d(int(depth), int(widening), channels, classes),
        "wide residual network over time, wrn1d-DEPTH-WIDENING",
        ("wrn1d-10-1", "wrn1d-16-1", "wrn1d-16-3", "wrn1d-16-8", "wrn1d-28-1", "wrn1d-28-3"),
    ),
}


def build(name: str, channels: int, classes: int) -> Net:
    """A freshly initialised net (from torch's global generator) for (batch, channels, time).

    >>> build("wrn1d-16-1", channels=3, classes=14).parameter_count
    61374
    """
    for family in NETS.values():
        found = re.fullmatch(family.pattern, name)
        if found:
            return family.make(*found.groups(), channels, classes)
    raise unknown("net", name, [example for family in NETS.values() for example in family.examples])
