"""The one place that knows about devices and compilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from harkd.errors import UsageError

F = TypeVar("F", bound=Callable[..., object])


def pick_device(name: str) -> torch.device:
    """The torch device for `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1` ...

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise UsageError(f"device {name!r} cannot be used here ({str(problem).splitlines()[0]}); try cpu or auto") from None
    if device.type == "cuda":
        # The same numbers in every run are worth more than the last per cent of speed.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return device


def seed_everything(seed: int, device: torch.device) -> None:
    """Start torch's global generators anew, on the CPU and on `device`.

    `torch.manual_seed` does so for every kind of device there is, at a hundred times the cost: too much for every step.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


def accelerate(fn: F, compiled: bool) -> F:
    """`fn` as it is, or through torch.compile. Shapes are static, so it compiles once."""
    return torch.compile(fn, fullgraph=True) if compiled else fn  # type: ignore[return-value]
