"""Patch transformers: a window becomes a few tokens, each a patch of time with all channels in it.

After Nie, Nguyen, Sinthong, Kalagnanam: A time series is worth 64 words, ICLR 2023 (PatchTST), with what a recogniser of
activities needs instead (our design): PatchTST treats every channel alone and forecasts; here the patch embedding mixes the
channels, blocks normalise first, patches do not overlap, and the mean of all tokens is classified.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harkd.nets.net import Inputs, Net, Outputs, PooledHead

PATCH = 8
"""Samples of a patch."""
DROPOUT = 0.1
SIZES: dict[str, tuple[int, int, int]] = {"xs": (16, 2, 2), "s": (32, 2, 4), "m": (64, 3, 4)}
"""Width, blocks and attention heads by size."""


def positions(width: int, tokens: int, device: torch.device) -> Tensor:
    """(tokens, width) sines and cosines (Vaswani et al., NeurIPS 2017): places in a window of any length, nothing to learn."""
    # Numbered in floating point: an exporter that quantises cannot take whole numbers.
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=device) * (-math.log(10_000.0) / width))
    angles = torch.arange(tokens, dtype=torch.float32, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


class Patches(nn.Module):
    """(batch, channel, time) to (batch, width, patch); the last value is held up to a whole patch."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(channels, width, PATCH, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        lacking = -x.shape[2] % PATCH
        if lacking:
            x = torch.cat([x, x[:, :, -1:].expand(-1, -1, lacking)], 2)
        tokens: Tensor = self.embed(x)
        return tokens + positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype).T


class Block(nn.Module):
    """Attention, then two linear layers, both on normalised tokens beside a shortcut; (batch, width, patch) in and out."""

    def __init__(self, width: int, heads: int, last: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(DROPOUT)
        self.norm3 = nn.LayerNorm(width) if last else nn.Identity()

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The new tokens, and who looked at whom: (batch, head, patch, patch), rows sum to 1."""
        x = x.transpose(1, 2)
        # (batch, head, patch, width of a head) each. Written out: for so few tokens a fused kernel gains nothing, and its
        # gradients are not the same in every run on a GPU.
        query, key, told = self.queries(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        attention = (query @ key.transpose(2, 3) / math.sqrt(query.shape[3])).softmax(3)
        x = x + self.dropout(self.project((attention @ told).transpose(1, 2).flatten(2)))
        x = self.norm3(x + self.dropout(self.mlp(self.norm2(x))))
        return x.transpose(1, 2), attention

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x)[0]


class Patchformer(Net):
    """A net of blocks. Set `attends` to have the attention weights in its Outputs."""

    attends = False

    def forward(self, x: Tensor) -> Outputs:
        """(batch, channel, time) in physical units to Outputs; features are tokens as time, (batch, width, patch)."""
        if not self.attends:
            return super().forward(x)
        x, features, attention = self.stem(self.scaler(x)), [], []
        for block in self.stages:
            assert isinstance(block, Block)
            x, weights = block.look(x)
            features.append(x)
            attention.append(weights)
        logits, embedding = self.head(x)
        return Outputs(logits, tuple(features), embedding, attention=tuple(attention))


def patchformer(size: str, inputs: Inputs, classes: int) -> Net:
    """patchformer-size, for windows of any length."""
    width, depth, heads = SIZES[size]
    blocks = [Block(width, heads, last=number == depth - 1) for number in range(depth)]
    return Patchformer(Patches(inputs.width, width), blocks, PooledHead(width, classes))
