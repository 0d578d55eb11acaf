"""Manifold mixup: hidden maps are mixed instead of windows. A builder of outputs, for phases in which labels teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harkd.augment import Batch
from harkd.augment.keys import bits, signed, stream
from harkd.augment.mixing import greater_part
from harkd.errors import UsageError
from harkd.nets import Net, Outputs
from harkd.phase import Round

Blend = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ManifoldMixup:
    """Mixes a player's maps with those of another window of the batch, at a random place of its net, and the labels alike.

    Verma et al.: Manifold mixup: better representations by interpolating hidden states, ICML 2019 (recalled, not verified). The
    place is drawn for each step, the share Beta(alpha, alpha) for each window, folded so that it stays the greater part.

    Partners come from the batch, unlike those of `mixup`: a map belongs to the weights of the moment and has no key, and batch
    norm makes it depend on its batch in any case. So nothing is computed twice. What is drawn is a function of seed and step.

    The other players answer for their windows as they are: a term that compares them with this player compares different
    windows. The batch that losses see has shares for labels; values are mixed too, further class targets stay the window's own.

    Args:
        alpha: 0.4 in a study of physiological signals, 2 in the paper.
        stages: after which stages, counted from 0, or from the end with -1; None: after each.
        inputs: whether the windows are among the places too: there it is mixup.
        player: who is mixed; it has to train.

    Raises:
        UsageError: when it is called: a stage that the net does not have, a frozen player, dense labels.
    """

    alpha: float = 2.0
    stages: Sequence[int] | None = None
    inputs: bool = True
    player: str = "student"

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise UsageError(f"manifold mixup draws shares from Beta(alpha, alpha), alpha from 0 up; got {self.alpha}")
        if not self.inputs and self.stages is not None and not self.stages:
            raise UsageError("manifold mixup needs a place to mix at: name stages, or mix inputs")

    def __call__(self, game: Round) -> dict[str, Outputs]:
        player, batch = game.players[self.player], game.batch
        if player.mode == "frozen":
            raise UsageError(f"manifold mixup is for a player that trains; {self.player!r} is frozen")
        places = self._places(player.net)
        place = places[stream(game.key, "place") % len(places)]
        words = (torch.tensor(signed(stream(game.key, what)), device=batch.ids.device) for what in ("share", "partner"))
        share, order = (bits(word, len(batch.ids)) for word in words)
        kept, partner = greater_part(share, self.alpha), order.argsort()

        def blend(x: Tensor) -> Tensor:
            weight = (1 - kept).to(x.dtype).view(-1, *[1] * (x.dim() - 1))
            return torch.lerp(x, x[partner], weight)

        outputs = {
            name: game.look(name, lambda x: _answer(player.net, x, place, blend)) if name == self.player else game.look(name)
            for name in game.players
        }
        classes = outputs[self.player].logits.shape[-1]
        game.batch = _mixed(batch, game.target, classes, blend, partner, kept == 1)
        return outputs

    def _places(self, net: Net) -> list[int | None]:
        """Numbers of stages, and None for the input."""
        depth = len(net.stages)
        stages = range(depth) if self.stages is None else self.stages
        if stages and type(net).forward is not Net.forward:
            raise UsageError(f"the stages of a {type(net).__name__} do not stand in a row: mix its inputs only (stages=())")
        for stage in stages:
            if not -depth <= stage < depth:
                raise UsageError(f"manifold mixup after stage {stage} of {self.player!r}, whose net has {depth} stages")
        return [*([None] if self.inputs else []), *(stage % depth for stage in stages)]


def _answer(net: Net, x: Tensor, place: int | None, blend: Blend) -> Outputs:
    """What `net(x)` gives, with a blend after a stage, or of the input."""
    if place is None:
        mixed: Outputs = net(blend(x))
        return mixed
    x, features = net.stem(net.scaler(x)), []
    for number, stage in enumerate(net.stages):
        x = stage(x)
        if number == place:
            x = blend(x)
        features.append(x)
    logits, embedding = net.head(x)
    return Outputs(logits, tuple(features), embedding)


def _mixed(batch: Batch, target: str, classes: int, blend: Blend, partner: Tensor, alone: Tensor) -> Batch:
    """The batch with mixed targets. Where a window met one that lacks a sensor, it lacks it too."""
    targets: Mapping[str, Tensor] = {name: _label(y, classes if name == target else 0) for name, y in batch.targets.items()}
    for name, y in targets.items():
        if y.dim() == 2 and not y.is_floating_point():
            raise UsageError(f"manifold mixup mixes labels of windows, but target {name!r} has a label per sample")
    present = {name: there & (alone | there[partner]) for name, there in batch.present.items()}
    return replace(batch, targets={n: blend(y) if y.is_floating_point() else y for n, y in targets.items()}, present=present)


def _label(y: Tensor, classes: int) -> Tensor:
    """Class numbers (batch,) as shares (batch, class), where the number of classes is known."""
    return one_hot(y, classes).float() if classes and y.dim() == 1 else y
