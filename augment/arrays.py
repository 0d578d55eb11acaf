"""Strategies for those who bring their own loop: arrays in, arrays out.

>>> import torch
>>> from harkd.augment import ArrayAugment
>>> from harkd.datasets import Sensor
>>> sensors = [Sensor("acc", "acc", "g", 50.0, segment="wrist"), Sensor("gyro", "gyro", "rad/s", 50.0, segment="wrist")]
>>> x, y = torch.randn(100, 128, 6), torch.arange(100) % 4
>>> augment = ArrayAugment("jeon_mix1+rotate(15)|mixup(0.2)", x, y, sensors=sensors, layout="btc")
>>> batch, labels = augment(torch.tensor([5, 17, 42]), draw=3)
>>> batch.shape, labels.shape
(torch.Size([3, 128, 6]), torch.Size([3, 4]))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from harkd.augment.augmenter import Augmenter
from harkd.augment.spec import Spec
from harkd.augment.text import parse
from harkd.augment.transform import Transform
from harkd.datasets import Sensor, from_arrays
from harkd.datasets.arrays import Layout, join_sensors
from harkd.errors import UsageError


class ArrayAugment:
    """A strategy bound to training arrays.

    The same (seed, strategy, window, draw) gives the same window, in any batch, worker or process.

    Args:
        strategy: a text, or what `parse` made of one.
        x: (window, channel, time) the training windows in physical units, or (window, time, channel) with layout "btc".
        y: (window,) their classes, or None. Class numbers in what comes out are positions in `classes`.
        sensors: what the channels are, in order, all at one rate.
        subjects: (window,) who each window is of, for ops that mix people.
        device: where the windows lie and are augmented.

    Attributes:
        classes: the classes in `y`, sorted.
    """

    def __init__(
        self,
        strategy: str | Transform,
        x: ArrayLike | Tensor,
        y: ArrayLike | Tensor | None = None,
        *,
        sensors: Sequence[Sensor],
        subjects: Sequence[Any] | None = None,
        layout: Layout = "bct",
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        windows = from_arrays(x, y, sensors=sensors, subjects=subjects, layout=layout).to(device)
        transform = parse(strategy) if isinstance(strategy, str) else strategy
        self.layout, self.windows = layout, windows
        self.augmenter = Augmenter(transform, windows, Spec.of(windows), seed)
        if self.augmenter.learns:
            raise UsageError(
                f"{self.augmenter.text} learns from the training that it is part of: use it with harkd.train or distill"
            )
        self.classes = np.unique(np.asarray(y)) if y is not None else np.array([])

    def __len__(self) -> int:
        return len(self.windows)

    def __call__(self, index: ArrayLike | Tensor, draw: int | Tensor = 0) -> tuple[Tensor, Tensor | None]:
        """The windows at `index` (batch,), augmented, and their labels.

        Args:
            draw: which variant of each window: the epoch, say.

        Returns:
            Windows in the layout of `x`, and (batch,) class numbers, or (batch, class) shares where the strategy mixes; None
            without `y`.
        """
        at = torch.as_tensor(index, device=self.windows.device)
        batch = self.augmenter(at, torch.as_tensor(draw, device=at.device).expand(at.shape))
        return join_sensors(batch.x, self.layout), batch.targets.get("label")

    def collate(self, samples: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """For `DataLoader(range(len(augment)), collate_fn=augment.collate, ...)`: positions in, an augmented batch out.

        Draws come from torch's generator, which the loader seeds anew in every worker and epoch.
        """
        index = torch.as_tensor(samples)
        return self(index, torch.randint(2**31, index.shape))
