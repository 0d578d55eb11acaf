"""One answer to every mismatch of width and length between the feature maps of two nets."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, interpolate


@lru_cache(maxsize=64)
def resampling(time: int, wanted: int, device: torch.device) -> Tensor:
    """(time, wanted): averages over equal parts if the map is longer than wanted, linear interpolation if it is shorter."""
    each = torch.eye(time)[None]
    rows = adaptive_avg_pool1d(each, wanted) if time > wanted else interpolate(each, wanted, mode="linear")
    return rows[0].to(device)


class Align(nn.Module):
    """Makes a map (batch, inputs, time) comparable with another, (batch, outputs, time').

    Time is averaged (`adaptive_avg_pool1d`) where this map is the longer one, and interpolated linearly where it is the shorter
    one. Both are one product with a fixed matrix, whose gradient, unlike that of torch's own layers, is the same in every run
    on a GPU. Channels pass through a convolution of kernel 1 and batch norm. It belongs to an objective, trains with the
    student, and is dropped at export.

    Args:
        norm: batch norm after the convolution.
        project: whether channels are projected; by default where the widths differ.
    """

    def __init__(self, inputs: int, outputs: int, norm: bool = True, project: bool | None = None) -> None:
        super().__init__()
        self.project: nn.Module = nn.Identity()
        if inputs != outputs or project:
            layers: list[nn.Module] = [nn.Conv1d(inputs, outputs, 1, bias=not norm)]
            self.project = nn.Sequential(*layers, nn.BatchNorm1d(outputs)) if norm else layers[0]

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """(batch, inputs, time) to the shape of `like`."""
        if x.shape[2] != like.shape[2]:
            x = x @ resampling(x.shape[2], like.shape[2], x.device).to(x.dtype)
        aligned: Tensor = self.project(x)
        return aligned
