"""The draw bank: what frozen teachers answered, per (teacher, data, strategy, draw), so that they are asked once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from harkd.augment import Augmenter
from harkd.datasets import Windows
from harkd.errors import HarkdError
from harkd.files import write_atomically
from harkd.nets import Outputs
from harkd.player import CHUNK, Player, PlayerJudge, Precision
from harkd.runs import tensor_bytes, tensors_of

HELD = frozenset({"logits", "embedding"})
"""What the bank holds of Outputs. Feature maps are too large: who needs them asks the teacher itself."""


@dataclass
class DrawBank:
    """Answers of frozen players, filled by whole draws, read by (draw, window). Runs that share a teacher, a strategy and an
    augmentation seed may share one bank.

    Looking up is equal to the bit to asking the teacher, because both run in padded chunks of the same size.

    Attributes:
        folder: keeps the draws for other processes and later runs; memory then holds those of the current epoch only. Without
            a folder all stay in memory.
    """

    folder: Path | None = None
    _shelves: dict[str, dict[int, Outputs]] = field(default_factory=dict)

    @property
    def lasting(self) -> bool:
        """Whether draws are worth keeping that come but once in a run: another run may ask for them."""
        return self.folder is not None

    def require(self, key: str, draws: Sequence[int], answer: Callable[[Tensor, Tensor], Outputs], windows: Windows) -> None:
        """Make sure that some draws are there: `answer(index, draw)` is asked for all windows of those that are not.

        Of its Outputs logits are held, and the embedding if it gives one.
        """
        shelf = self._shelves.setdefault(key, {})
        if self.lasting:
            for draw in shelf.keys() - set(draws):
                del shelf[draw]
        for draw in draws:
            if draw not in shelf:
                shelf[draw] = self._kept(key, draw, windows) or self._asked(key, draw, answer, windows)

    def _asked(self, key: str, draw: int, answer: Callable[[Tensor, Tensor], Outputs], windows: Windows) -> Outputs:
        parts = []
        for index in torch.arange(len(windows), device=windows.device).split(16 * CHUNK):
            told = answer(index, torch.full_like(index, draw))
            parts.append((told.logits, told.embedding))
        embedding = None if parts[0][1] is None else torch.cat([part[1] for part in parts if part[1] is not None])
        found = Outputs(torch.cat([part[0] for part in parts]), embedding=embedding)
        if self.folder is not None:
            tensors = {"logits": found.logits} | ({} if embedding is None else {"embedding": embedding})
            write_atomically(self.folder / key / f"{draw}.safetensors", tensor_bytes(tensors))
        return found

    def _kept(self, key: str, draw: int, windows: Windows) -> Outputs | None:
        """A draw from the folder; None if it is not there, or damaged."""
        if self.folder is None:
            return None
        path = self.folder / key / f"{draw}.safetensors"
        try:
            tensors = tensors_of(path.read_bytes(), path)
        except (OSError, HarkdError):
            return None
        there = {name: tensor.to(windows.device) for name, tensor in tensors.items()}
        return Outputs(there["logits"], embedding=there.get("embedding"))

    def look_up(self, key: str, index: Tensor, draw: Tensor, draws: list[int]) -> Outputs:
        """The answers for windows at `index` (batch,) in their draws (batch,); `draws` lists the numbers that may occur."""
        shelf = self._shelves[key]
        told = shelf[draws[0]].map(lambda rows: rows[index])
        for number in draws[1:]:
            told = merge((draw == number)[:, None], shelf[number].map(lambda rows: rows[index]), told)
        return told


def merge(mask: Tensor, yes: Outputs, no: Outputs) -> Outputs:
    """Per window, by mask (batch, 1), the answer of `yes` or of `no`."""
    other = iter(tree_leaves(no))
    return yes.map(lambda rows: torch.where(mask, rows, next(other)))


def bank_key(player: Player, windows: Windows, augmenter: Augmenter | None, precision: Precision) -> str:
    """Everything that an answer depends on: weights, windows, what the player sees, strategy and seed, chunk size, precision."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(player.net.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    judge = augmenter.spec.judge if augmenter else None
    if isinstance(judge, PlayerJudge):  # the strategy may have asked it
        for tensor in judge.player.net.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(windows.ids.cpu().numpy().tobytes())
    strategy = "clean" if augmenter is None else f"{augmenter.text} {augmenter.hash} {augmenter.seed} {_statistics(augmenter)}"
    digest.update(f"{windows.card.name} {player.sees} {strategy} {CHUNK} {precision} {windows.device.type}".encode())
    return digest.hexdigest()


def _statistics(augmenter: Augmenter) -> str:
    statistics = augmenter.spec.statistics
    return " ".join(
        f"{name} {statistics.mean[name].tolist()} {statistics.std[name].tolist()}" for name in sorted(statistics.mean)
    )
