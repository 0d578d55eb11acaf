"""How alike two nets are on the same windows: what they decide, how their embeddings lie, and the loss between their weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harkd.datasets import Windows
from harkd.losses import cross_entropy
from harkd.player import CHUNK, Player, predict


@dataclass(frozen=True)
class Likeness:
    """What two nets have in common.

    Attributes:
        churn: share of the windows that they decide differently.
        cka: likeness of their embeddings, 0 to 1.
        way: mean loss at equal steps on the straight line from the weights of the one to those of the other; None: they are
            nets of different kinds, or see different things.
    """

    churn: float
    cka: float
    way: tuple[float, ...] | None


def likeness(one: Player, other: Player, windows: Windows) -> Likeness:
    """How alike two nets are on clean windows."""
    decided = [predict(player, windows).argmax(1) for player in (one, other)]
    embedded = [_embeddings(player, windows) for player in (one, other)]
    return Likeness(float((decided[0] != decided[1]).double().mean()), linear_cka(*embedded), way(one, other, windows))


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of embeddings (n, width) and (n, other width) of the same windows.

    1 if the one is the other turned, mirrored, scaled and moved; 0 where one of them tells no windows apart. S. Kornblith,
    M. Norouzi, H. Lee, G. Hinton: Similarity of neural network representations revisited, ICML 2019.
    """
    x, y = (each.double() - each.double().mean(0) for each in (x, y))
    sizes = (x.T @ x).norm() * (y.T @ y).norm()
    return float((y.T @ x).norm().square() / sizes) if sizes > 0 else 0.0


def way(one: Player, other: Player, windows: Windows, points: int = 11) -> tuple[float, ...] | None:
    """Mean cross-entropy on the straight line between the weights of two nets, the statistics of their norms with them.

    I. J. Goodfellow, O. Vinyals, A. M. Saxe: Qualitatively characterizing neural network optimization problems, ICLR 2015.
    """
    begin, end = one.net.state_dict(), other.net.state_dict()
    same = {name: value.shape for name, value in begin.items()} == {name: value.shape for name, value in end.items()}
    if not same or type(one.net) is not type(other.net) or one.sees.text != other.sees.text:
        return None
    between = replace(one, net=copy.deepcopy(one.net))
    losses = []
    for share in torch.linspace(0, 1, points).tolist():
        moved = {n: torch.lerp(begin[n], end[n], share) if begin[n].is_floating_point() else begin[n] for n in begin}
        between.net.load_state_dict(moved)
        losses.append(float(cross_entropy(windows.labels, predict(between, windows).double()).mean()))
    return tuple(losses)


def together(players: Sequence[Player], windows: Windows) -> Tensor:
    """(n, class) mean of the logits of several nets, as in born-again networks (T. Furlanello et al., ICML 2018)."""
    return torch.stack([predict(player, windows) for player in players]).mean(0)


def _embeddings(player: Player, windows: Windows) -> Tensor:
    """(n, width) what the last layer sees; of a net that does not tell, its last map, averaged over time."""
    parts = []
    for index in torch.arange(len(windows), device=windows.device).split(16 * CHUNK):
        answer = player.answer(windows.gather(index))
        parts.append(answer.features[-1].mean(-1) if answer.embedding is None else answer.embedding)
    return torch.cat(parts)
