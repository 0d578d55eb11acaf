"""Units that watches and loggers use, and what turns one into another."""

from __future__ import annotations

import math

from scipy.constants import g as GRAVITY

from harkd.errors import UsageError, unknown

QUANTITIES: dict[str, dict[str, float]] = {
    "acceleration": {"g": 1.0, "mg": 1e-3, "m/s2": 1 / GRAVITY, "m/s^2": 1 / GRAVITY, "m/s²": 1 / GRAVITY},
    "angular velocity": {"rad/s": 1.0, "deg/s": math.pi / 180, "dps": math.pi / 180, "°/s": math.pi / 180},
    "voltage": {"uV": 1.0, "µV": 1.0, "mV": 1e3, "V": 1e6},
    "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3},
    "magnetic flux density": {"uT": 1.0, "µT": 1.0, "mT": 1e3, "T": 1e6, "G": 100.0},
}
"""What one of each unit is in the first unit of its quantity."""


def factor(units: str, wanted: str) -> float:
    """What a value in `units` is multiplied with to be in `wanted`.

    Raises:
        UsageError: one of them is not known, or they measure different things. Equal units need not be known.

    >>> factor("deg/s", "rad/s")
    0.017453292519943295
    >>> factor("counts", "counts")
    1.0
    """
    if units == wanted:
        return 1.0
    for table in QUANTITIES.values():
        if wanted in table:
            if units not in table:
                raise unknown(f"unit (of what is measured in {wanted!r}):", units, table)
            return table[units] / table[wanted]
    raise UsageError(
        f"units {wanted!r} cannot be turned into {units!r}: harkd knows {', '.join(t for q in QUANTITIES.values() for t in q)}"
    )
