"""Quantisation-aware training: int8 is simulated while the net is trained further, so that its weights learn to live with it.

Jacob et al., CVPR 2018: what is calculated is rounded as on the device, and gradients pass through the rounding as if it were not
there. With the float net as the teacher it is quantised distillation (Mishra, Marr: Apprentice, ICLR 2018). Training begins from
the deployed net, batch norm already folded: what is trained is what is shipped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harkd.export.deploy import Edges, deploy
from harkd.nets import Net, Outputs

MOMENTUM = 0.99
_LEAST = 2.0**-12  # the smallest step that the converter writes


class Rounded(nn.Module):
    """Rounds activations to 256 steps between moving averages of their extremes; zero is one of the steps."""

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                keep = MOMENTUM * self.seen  # the first batch counts whole
                for extreme, found in ((self.low, x.amin().clamp_max(0)), (self.high, x.amax().clamp_min(0))):
                    extreme.copy_(keep * extreme + (1 - keep) * found)
                self.seen.fill_(1)
        step = ((self.high - self.low) / 255).clamp_min(_LEAST)
        zero = (-128 - self.low / step).round().clamp(-128, 127).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, step, zero, -128, 127)


def rounded_weights(weight: Tensor) -> Tensor:
    """Weights rounded to 255 steps, symmetric about zero, for each output channel (the first dimension)."""
    step = (weight.detach().flatten(1).abs().amax(1) / 127).clamp_min(_LEAST)
    zero = torch.zeros_like(step, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -127, 127)


class SimulatedInt8(Net):
    """A deployed net with int8 simulated, for training: (batch, channel, time) in physical units to Outputs.

    Weights are rounded everywhere, activations wherever the device stores them between layers of the chain; inside residual
    blocks and in nets that are not plain, they stay float.

    Args:
        net: a trained net; it stays as it is.
        scale: (channel,) what an input is divided by before it is quantised: factors times gains, see `harkd.export.int8`.
    """

    scale: Tensor

    def __init__(self, net: Net, scale: Tensor) -> None:
        super().__init__(nn.Identity(), [], nn.Identity())
        self.register_buffer("scale", scale.reshape(-1, 1, 1))
        self.deployed = deploy(net, scale).requires_grad_(True)
        body = self.deployed.body
        layers = list(body) if isinstance(body, nn.Sequential) else [body]
        # A convolution and the ReLU behind it are one operator: what lies between is never stored.
        stored = [not isinstance(after, nn.ReLU | nn.ReLU6 | nn.Identity) for after in [*layers[1:], None]]
        self.rounds = nn.ModuleList(
            Rounded() if store and not isinstance(layer, Edges | nn.Flatten | nn.Identity) else nn.Identity()
            for layer, store in zip(layers, stored, strict=True)
        )
        self.first = Rounded()
        self.weights = tuple(
            f"{name}.weight" for name, part in body.named_modules() if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear)
        )

    def forward(self, x: Tensor) -> Outputs:
        """(batch, channel, time) in physical units to Outputs with logits alone."""
        body: Any = self.deployed.body
        x = self.first(x.unsqueeze(2) / self.scale)
        if not isinstance(body, nn.Sequential):
            return Outputs(self.rounds[0](self._run(body, "", x)))
        for number, (layer, rounds) in enumerate(zip(body, self.rounds, strict=True)):
            x = rounds(self._run(layer, f"{number}.", x))
        return Outputs(x)

    def _run(self, layer: nn.Module, prefix: str, x: Tensor) -> Tensor:
        mine = [name.removeprefix(prefix) for name in self.weights if name.startswith(prefix)]
        answer: Tensor = functional_call(layer, {name: rounded_weights(layer.get_parameter(name)) for name in mine}, x)
        return answer
