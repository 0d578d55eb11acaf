"""`vectors.npz`: windows with the answers that the exported files must give, for tests on the device."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harkd.export.runners import Floats

NAME = "vectors.npz"
COUNT = 32
"""Windows of each sort."""


def synthetic(mean: Floats, std: Floats, length: int, count: int = COUNT) -> Floats:
    """(window, channel, time) of made-up movement: a wave of random pace and size about each channel's mean, and noise.

    Args:
        mean, std: (channel,) of the training data, so that the windows are of a size that the model knows.
    """
    rng = np.random.Generator(np.random.Philox(0))
    shape = (count, len(mean), 1)
    turns, phase, size = rng.uniform(0.5, 8, (count, 1, 1)), rng.uniform(0, 2 * np.pi, shape), rng.exponential(1, shape)
    wave = np.sin(2 * np.pi * turns * np.arange(length) / length + phase) * size
    noise = 0.2 * rng.standard_normal((count, len(mean), length))
    x = mean[:, None] + std[:, None] * (wave + rng.standard_normal(shape) + noise)
    return x.astype(np.float32)


def packed(windows: Floats, recorded: NDArray[np.bool_], answers: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of `vectors.npz`.

    Args:
        windows: (window, channel, time) in the watch's units.
        recorded: (window,) whether it is a recorded window rather than a made-up one.
        answers: by model file what it gives, (window, class), int8 or float32 as the file has it.
    """
    file = io.BytesIO()
    arrays: dict[str, Any] = {"windows": windows, "recorded": recorded, **answers}
    np.savez_compressed(file, **arrays)
    return file.getvalue()
