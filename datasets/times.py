"""Time stamps in the forms that loggers write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harkd.datasets.layout import TimeUnit
from harkd.errors import DataError

PER_SECOND: dict[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def seconds(column: Any, unit: TimeUnit, where: str) -> NDArray[np.float64]:
    """A column of time stamps as seconds since 1970 (or since whatever the numbers count from).

    Whole numbers are divided apart from their fraction, so that nanoseconds since 1970 keep a tenth of a microsecond.

    Raises:
        DataError: a stamp is missing or no time; says which.
    """
    if unit == "iso":
        stamps = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        return _complete(stamps.dt.as_unit("ns").astype("int64").to_numpy() / 1e9, stamps.isna().to_numpy(), column, where)
    numbers = pd.to_numeric(column, errors="coerce")
    missing = numbers.isna().to_numpy()
    values = numbers.to_numpy()
    if values.dtype.kind in "iu":
        whole = int(PER_SECOND[unit])
        return values // whole + (values % whole) / whole
    return _complete(values.astype(np.float64) / PER_SECOND[unit], missing | ~np.isfinite(values.astype(float)), column, where)


def _complete(at: NDArray[np.float64], missing: NDArray[np.bool_], column: Any, where: str) -> NDArray[np.float64]:
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(f"{where}: the time stamp of row {row + 1} is {column.iloc[row]!r}, not a time")
    return at
