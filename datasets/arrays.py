"""Windows from arrays that somebody has cut already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from harkd.datasets.card import Card, ClassTarget, Cut, Licence
from harkd.datasets.layout import Files
from harkd.datasets.recording import Sensor
from harkd.datasets.windows import Signals, Target, Windows, content_ids
from harkd.errors import DataError, UsageError

Layout = Literal["bct", "btc"]
"""The order of batch, channel and time in an array."""


def split_sensors(x: Tensor, sensors: Sequence[Sensor], layout: Layout = "bct") -> Signals:
    """Views (batch, channel, time) of each sensor's channels in an array that holds them side by side.

    Raises:
        UsageError: the array does not have three dimensions, or not the channels of the sensors.
    """
    if layout not in ("bct", "btc"):
        raise UsageError(f"layout is bct (batch, channel, time) or btc (batch, time, channel); got {layout!r}")
    widths = [len(sensor.channels) for sensor in sensors]
    if x.dim() != 3 or x.shape[layout.index("c")] != sum(widths):
        names = ", ".join(f"{sensor.name} ({width})" for sensor, width in zip(sensors, widths, strict=True))
        raise UsageError(f"expected an array ({', '.join(layout)}) with {sum(widths)} channels, {names}; got {tuple(x.shape)}")
    rows = x if layout == "bct" else x.transpose(1, 2)
    return dict(zip((sensor.name for sensor in sensors), rows.split(widths, 1), strict=True))


def join_sensors(signals: Signals, layout: Layout = "bct") -> Tensor:
    """The array that `split_sensors` takes apart."""
    joined = torch.cat(list(signals.values()), 1)
    return joined if layout == "bct" else joined.transpose(1, 2)


def from_arrays(
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor | None = None,
    *,
    sensors: Sequence[Sensor],
    subjects: Sequence[Any] | None = None,
    layout: Layout = "bct",
    name: str = "arrays",
) -> Windows:
    """Windows from an array that holds all sensors side by side, at one rate.

    Args:
        x: (window, channel, time) in the sensors' units, or (window, time, channel) with layout "btc".
        y: (window,) classes of any kind, or None.
        subjects: (window,) who each window is of; by default everybody is one person.
        name: of the data set. A window's id is made of it and of the window's position.

    Raises:
        UsageError: shapes do not fit each other.
        DataError: values are not finite.
    """
    if len({sensor.rate for sensor in sensors}) > 1:
        rates = ", ".join(f"{sensor.name} {sensor.rate:g} Hz" for sensor in sensors)
        raise UsageError(f"one array holds sensors of one rate; got {rates}: resample them, or write a card for the files")
    signals = torch.as_tensor(np.asarray(x) if not isinstance(x, Tensor) else x).float()
    rows = split_sensors(signals, sensors, layout)
    n, time = len(signals), next(iter(rows.values())).shape[2]
    if not n or not time:
        raise UsageError(f"expected at least one window of at least one sample, got an array {tuple(signals.shape)}")
    if not bool(signals.isfinite().all()):
        raise DataError(f"{int((~signals.isfinite()).sum())} values of the array are not finite")
    targets = {}
    classes: tuple[str, ...] = ("0", "1")
    if y is not None:
        values, codes = np.unique(np.asarray(y), return_inverse=True)
        if codes.shape != (n,):
            raise UsageError(f"expected a class for each of the {n} windows, got an array {np.asarray(y).shape}")
        classes = tuple(map(str, values)) if len(values) > 1 else (str(values[0]), f"not {values[0]}")
        targets["label"] = Target("class", torch.from_numpy(codes.astype(np.int64)), classes)
    people = np.array(["0"] * n if subjects is None else list(map(str, subjects)))
    if people.shape != (n,):
        raise UsageError(f"expected a subject for each of the {n} windows, got {len(people)}")
    card = Card(
        name=name,
        title="arrays",
        citation="",
        licence=Licence("unknown"),
        files=Files(hook="none"),
        sensors=tuple(sensors),
        target=ClassTarget("label", classes),
        windows=Cut(time, time),
    )
    starts = torch.arange(n) * time
    return Windows(
        card=card,
        signals={key: part.transpose(0, 1).reshape(part.shape[1], n * time).contiguous() for key, part in rows.items()},
        starts=dict.fromkeys(rows, starts),
        lengths=dict.fromkeys(rows, time),
        ids=torch.from_numpy(content_ids(name, "arrays", np.arange(n))),
        subjects=people,
        recordings=np.array(["arrays"] * n),
        sessions=np.array([""] * n),
        sensors={sensor.name: sensor for sensor in sensors},
        targets=targets,
    )
