"""Players: everyone who looks at a batch. Teachers, students, assistants and peers differ only in mode and place."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from harkd.augment import Transform
from harkd.augment.keys import stream
from harkd.datasets import Scaler, Sees, Signals, Statistics, Windows
from harkd.errors import UsageError
from harkd.nets import Inputs, Net, Outputs, build

Mode = Literal["train", "frozen", "adapter"]
Precision = Literal["float32", "bfloat16"]

CHUNK = 64
"""A net that does not train answers in chunks of this many windows, the last one padded. Kernels may round differently for
another batch size: with one fixed size, cached and live answers are equal to the bit."""


@dataclass
class Player:
    """A net, what it sees, whether it trains, and how its windows are augmented.

    Attributes:
        mode: `train`; `frozen` (eval mode, no gradients); `adapter` (only the parameters that `net.adapters` names train).
        domain: which windows it sees, of a phase that has others beside the training windows.
        augment: a strategy; `same` sees what the first training player with a strategy sees; `clean` sees the recorded window.
    """

    net: Net
    sees: Sees
    mode: Mode = "train"
    augment: Transform | Literal["same", "clean"] = "same"
    domain: str = ""

    @classmethod
    def create(cls, net: str, sees: str, train: Windows, *, seed: int = 0, name: str = "student", **more: Any) -> Player:
        """A new player with a freshly initialised net.

        Args:
            net: a name like `dscnn-s`.
            sees: what it sees, like `wrist_acc,wrist_gyro@20Hz` or `all`.
            train: the training windows; the scaler is fitted on them.
            seed, name: the initial weights are a function of both, whatever was drawn before.
        """
        view = Sees.parse(sees, train.sensors, train.lengths)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(seed, name, "initial weights") >> 1)
            made = build(net, Inputs.of(view), len(train.classes))
        made.scaler = Scaler.fit(Statistics.of(train), view, made.physical)
        return cls(made, view, **more)

    def frozen(self) -> Player:
        """The same net as a player that does not train."""
        return replace(self, mode="frozen")

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name."""
        named = dict(self.net.named_parameters())
        if self.mode == "train":
            return named
        if self.mode == "frozen":
            return {}
        kept = {name: p for name, p in named.items() if name.startswith(tuple(self.net.adapters))} if self.net.adapters else {}
        if not kept:
            raise UsageError(
                f"a player in adapter mode needs a net that names its adapters; this {type(self.net).__name__} has none"
            )
        return kept

    def prepare(self, device: torch.device) -> None:
        """Move the net, and set training mode and gradients by the player's mode."""
        self.net.to(device).train(self.mode == "train")
        if self.mode == "adapter":  # the fixed body keeps its statistics
            for name, module in self.net.named_modules():
                if name.startswith(tuple(self.net.adapters)):
                    module.train()
        kept = set(map(id, self.trainable().values()))
        for parameter in self.net.parameters():
            parameter.requires_grad_(id(parameter) in kept)

    def look(self, signals: Mapping[str, Tensor]) -> Outputs:
        """The net's answer to some signals, with gradients if it trains."""
        answer: Outputs = self.net(self.sees(signals))
        return answer

    @torch.no_grad()
    def answer(self, signals: Mapping[str, Tensor], precision: Precision = "float32") -> Outputs:
        """The answer in eval mode, without gradients, in padded chunks of `CHUNK` windows."""
        seen = {name: signals[name] for name in self.sees.sensors}
        first = next(iter(seen.values()))
        training = [module for module in self.net.modules() if module.training]  # of adapters that may be but some
        self.net.eval()
        with autocast(first.device, precision):
            parts = [
                # Padded before resampling, which rounds by the number of windows as well.
                self.net(self.sees({name: _padded(x[start : start + CHUNK]) for name, x in seen.items()}))
                for start in range(0, max(len(first), 1), CHUNK)
            ]
        for module in training:
            module.training = True
        return join(parts, len(first))


@dataclass(frozen=True)
class PlayerJudge:
    """A frozen player as augmentations may ask it (`harkd.augment.Judge`)."""

    player: Player
    precision: Precision = "float32"

    def probabilities(self, x: Signals) -> Tensor:
        """(batch, class) its softmax."""
        return self.player.answer(x, self.precision).logits.float().softmax(1)

    def attention(self, x: Signals) -> Tensor:
        """(batch, moment) mean squared activation of its last feature map (Zagoruyko, Komodakis, ICLR 2017)."""
        return self.player.answer(x, self.precision).features[-1].float().square().mean(1)


def _padded(x: Tensor) -> Tensor:
    return x if len(x) == CHUNK else nn.functional.pad(x, (0, 0, 0, 0, 0, CHUNK - len(x)))


def join(parts: list[Outputs], length: int) -> Outputs:
    """Outputs of successive chunks as one, cut to `length` windows."""
    columns = zip(*(tree_leaves(part) for part in parts), strict=True)
    joined = iter([torch.cat(column)[:length] for column in columns])
    return parts[0].map(lambda _: next(joined))


def autocast(device: torch.device, precision: Precision) -> torch.autocast | nullcontext[None]:
    """bfloat16 arithmetic where it is safe, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def predict(player: Player, windows: Windows, precision: Precision = "float32") -> Tensor:
    """Logits (n, class) for all windows, clean, as float32."""
    parts = [
        player.answer(windows.gather(index), precision).logits.float()
        for index in torch.arange(len(windows), device=windows.device).split(16 * CHUNK)
    ]
    return torch.cat(parts)
