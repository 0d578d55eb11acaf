"""The state of a run as flat tensors by name, so that it can be kept and gone on from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from harkd.errors import TrainingError

Tensors = dict[str, Tensor]


def collect(modules: Mapping[str, nn.Module], kind: str) -> Tensors:
    """Parameters and buffers of some modules, named `kind/module/tensor`, on the CPU."""
    return {
        f"{kind}/{name}/{key}": v.detach().cpu() for name, module in modules.items() for key, v in module.state_dict().items()
    }


def restore(modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], kind: str) -> None:
    """Put back what `collect` took.

    Raises:
        TrainingError: the tensors are another run's.
    """
    for name, module in modules.items():
        prefix = f"{kind}/{name}/"
        state = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
        try:
            module.load_state_dict(state)
        except RuntimeError as problem:
            raise TrainingError(
                f"the checkpoint does not fit this run ({name}: {str(problem).splitlines()[-1].strip()})"
            ) from None


def collect_optimiser(optimiser: torch.optim.Optimizer) -> Tensors:
    """The moments and step counts of an optimiser, named `optimiser/parameter/slot`, on the CPU."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser/{i}/{key}": v.detach().cpu() for i, slots in state.items() for key, v in slots.items() if v is not None}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `collect_optimiser` took."""
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimiser":
            number, slot = rest.split("/")
            state.setdefault(int(number), {})[slot] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
