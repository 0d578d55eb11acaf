"""One net for several domains: shared kernels, and for each domain its own normalisation and, where widths differ, its own stem.

Q. Dou, Q. Liu, P. A. Heng, B. Glocker: Unpaired multi-modal segmentation via knowledge distillation, IEEE TMI 39(7), 2020.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn

from harkd.nets.net import Net

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


class Widened(nn.Module):
    """A convolution of kernel 1 to the width that the shared stem takes, then that stem."""

    def __init__(self, inputs: int, outputs: int, stem: nn.Module) -> None:
        super().__init__()
        self.widen = nn.Conv1d(inputs, outputs, 1)
        self.stem = stem

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.stem(self.widen(x))
        return maps


def with_own_norms(net: Net, width: int, takes: int) -> Net:
    """The same net for another domain: parameters are the same objects, but for those of normalisation layers.

    Its normalisation starts as a copy, running statistics too, and its scaler is to be set.

    Args:
        width: channels of the other domain.
        takes: channels that the net was built for; a private convolution of kernel 1 leads there from another width.
    """
    norms = {name for name, module in net.named_modules() if isinstance(module, NORMS)}
    own = {f"{name}.{key}" for name in norms for key, _ in net.get_submodule(name).named_parameters(recurse=False)}
    shared = {id(parameter): parameter for name, parameter in net.named_parameters() if name not in own}
    other = copy.deepcopy(net, shared)  # what is in the memo is taken as it is
    other.scaler = nn.Identity()
    if width != takes:
        other.stem = Widened(width, takes, other.stem)
    return other
