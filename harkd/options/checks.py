"""What options have to be."""

from __future__ import annotations

import math

from harkd.errors import UsageError


def at_least(options: object, **bounds: float) -> None:
    for name, bound in bounds.items():
        found = getattr(options, name)
        if not bound <= found < math.inf:
            raise UsageError(f"{name} is at least {bound:g}{' and finite' if found == math.inf else ''}, got {found}")


def positive(**values: float) -> None:
    for name, found in values.items():
        if not 0 < found < math.inf:
            raise UsageError(f"{name} is positive{' and finite' if found == math.inf else ''}, got {found}")


def shares(**values: float) -> None:
    for name, found in values.items():
        if not 0 <= found <= 1:
            raise UsageError(f"{name} lies between 0 and 1, got {found}")
