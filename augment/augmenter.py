"""A strategy bound to windows: positions and draw numbers in, augmented batches out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from harkd.augment import keys
from harkd.augment.text import to_text
from harkd.augment.transform import Compose, Draws, OneOf, Params, Spec, Transform, always, leaves, nodes, pick
from harkd.datasets import Card, Signals, Windows
from harkd.errors import UsageError


@dataclass(frozen=True)
class Batch:
    """Some windows as a step sees them.

    Attributes:
        x: per sensor (batch, channel, time) in physical units.
        targets: by name; class targets are (batch,) numbers, or (batch, class) shares once a strategy mixes windows.
        index, ids, draw: (batch,) position, content id and draw number.
        present: (batch,) bool for sensors that some windows lack, where they are zero.
    """

    x: Signals
    targets: Mapping[str, Tensor]
    index: Tensor
    ids: Tensor
    draw: Tensor
    present: Signals = field(default_factory=dict)


class Augmenter:
    """Augments windows of one set. The same (seed, strategy, window, draw) gives the same window, in any batch.

    Args:
        windows: the windows that batches are taken from, and that mixing ops take partners from.
        spec: by default that of `windows`.
        seed: of the run.

    Attributes:
        text: the canonical text of the strategy.
        hash: of the strategy but for its p: with another p, other windows are changed, and those in the same way.

    Raises:
        UsageError: a mixing strategy meets dense labels, or a spec whose pool holds other windows.
    """

    def __init__(self, strategy: Transform, windows: Windows, spec: Spec | None = None, seed: int = 0) -> None:
        self.strategy = strategy if isinstance(strategy, Compose) else Compose((strategy,))
        self.windows = windows
        self.spec = spec or Spec.of(windows)
        self.seed = seed
        self.text = to_text(self.strategy)
        self._nodes = list(nodes(self.strategy))
        self.hash = keys.text_bits(f"{to_text(always(self.strategy))} {[op.VERSION for op in self._nodes]}")
        self.mixes = any(op.MIXES for op in self.strategy.ops)
        dense = [name for name, target in windows.targets.items() if target.kind == "dense"]
        if self.mixes and dense:
            raise UsageError(
                f"{self.text} mixes windows, but target {dense[0]!r} has a label per sample: mixing those is not defined"
            )
        pool = self.spec.pool
        if self.mixes and pool and not (windows.device == pool.windows.device and torch.equal(windows.ids, pool.windows.ids)):
            raise UsageError(
                f"{self.text} takes partners from the {len(pool.windows)} windows of its pool, but is bound to {len(windows)} "
                "others; bind it to the windows that its spec was made of"
            )
        # The first word of every op decides whether it is applied: changing p then moves no other number.
        counts = [1 + op.slots(self.spec) for op in self._nodes]
        self._ends = torch.tensor([0, *counts]).cumsum(0).tolist()
        device = windows.device
        self._node_of_slot = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.int64)).to(
            device
        )
        steps = [torch.arange(1, count + 1) for count in counts] or [torch.zeros(0, dtype=torch.int64)]
        self._steps = (torch.cat(steps) * keys.signed(keys.GOLDEN)).to(device)

    def __call__(self, index: Tensor, draw: Tensor) -> Batch:
        """The windows at `index` (batch,), each as its draw number `draw` (batch,) makes it."""
        x, targets, present = self._run(len(self.strategy.ops), index, draw)
        return Batch(x, targets, index, self.windows.ids[index], draw, present)

    def clean(self, index: Tensor, draw: Tensor) -> Batch:
        """The same windows as they were recorded."""
        x, targets = self.windows.gather(index), self._targets(index, soft=False)
        return Batch(x, targets, index, self.windows.ids[index], draw, self._present(index))

    def draw_words(self, ids: Tensor, draw: Tensor) -> Tensor:
        """(batch, slots of all ops) random words, in one call."""
        per_op = keys.window_keys(self.seed, self.hash, len(self._nodes), ids, draw)
        return keys.mix(per_op[:, self._node_of_slot] + self._steps)

    def _targets(self, index: Tensor, soft: bool) -> dict[str, Tensor]:
        picked = {}
        for name, target in self.windows.targets.items():
            values = target.values[index]
            picked[name] = one_hot(values, len(target.classes)).float() if soft and target.kind == "class" else values
        return picked

    def _present(self, index: Tensor) -> Signals:
        return {name: there[index] for name, there in self.windows.present.items()}

    def _run(self, stop: int, index: Tensor, draw: Tensor) -> tuple[Signals, dict[str, Tensor], Signals]:
        """Apply the first `stop` ops. A mixing op's partner passes through the ops before it, under its own id."""
        x, targets, present = self.windows.gather(index), self._targets(index, self.mixes), self._present(index)
        if not stop:
            return x, targets, present
        words = self.draw_words(self.windows.ids[index], draw)
        position = 0
        for number, op in enumerate(self.strategy.ops[:stop]):
            if op.MIXES:
                gate, draws = self._draws(words, position)
                params = op.sample(draws, self.spec)
                assert self.spec.pool is not None
                partner = self.spec.pool.partners(params["word"], index, params["who"])
                other_x, other_targets, other_present = self._run(number, partner, draw)
                share = torch.where(gate < op.p, params["share"], torch.ones_like(params["share"]))
                x = op.apply(x, {**params, "share": share, "other": other_x}, self.spec)
                targets = {name: share[:, None] * y + (1 - share[:, None]) * other_targets[name] for name, y in targets.items()}
                # A window is mixed with one that lacks the sensor: what comes out is neither.
                present = {name: there & ((share == 1) | other_present[name]) for name, there in present.items()}
            else:
                x, targets = self._apply(op, x, targets, words, position)
            position += len(list(nodes(op)))
        return x, targets, present

    def _draws(self, words: Tensor, position: int) -> tuple[Tensor, Draws]:
        mine = words[:, self._ends[position] : self._ends[position + 1]]
        return keys.uniform(mine[:, 0]), Draws(mine[:, 1:])

    def _apply(
        self, op: Transform, x: Signals, targets: dict[str, Tensor], words: Tensor, position: int
    ) -> tuple[Signals, dict[str, Tensor]]:
        if isinstance(op, Compose):
            for child in op.ops:
                x, targets = self._apply(child, x, targets, words, position)
                position += len(list(nodes(child)))
            return x, targets
        if isinstance(op, OneOf):
            return self._one_of(op, x, targets, words, position)
        gate, draws = self._draws(words, position)
        params = op.sample(draws, self.spec)
        moved, moved_targets = op.apply(x, params, self.spec), self._move_dense(op, targets, params)
        if op.p < 1:
            chosen = gate < op.p
            return pick(chosen, moved, x), {n: torch.where(_like(chosen, t), t, targets[n]) for n, t in moved_targets.items()}
        return moved, moved_targets

    def _one_of(
        self, op: OneOf, x: Signals, targets: dict[str, Tensor], words: Tensor, position: int
    ) -> tuple[Signals, dict[str, Tensor]]:
        gate, draws = self._draws(words, position)
        choice = op.sample(draws, self.spec)["choice"]
        result, result_targets = x, targets
        position += 1
        for number, branch in enumerate(op.branches):
            chosen = (choice == number) & (gate < op.p)
            branch_x, branch_targets = self._apply(branch, x, targets, words, position)
            result = pick(chosen, branch_x, result)
            result_targets = {n: torch.where(_like(chosen, t), t, result_targets[n]) for n, t in branch_targets.items()}
            position += len(list(nodes(branch)))
        return result, result_targets

    def _move_dense(self, op: Transform, targets: dict[str, Tensor], params: Params) -> dict[str, Tensor]:
        kinds = self.windows.targets
        return {n: op.apply_dense(t, params) if kinds[n].kind == "dense" else t for n, t in targets.items()}


def _like(mask: Tensor, values: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (values.dim() - 1))


def check_invariances(strategy: Transform, card: Card) -> None:
    """Refuse a strategy that assumes an invariance which the card denies for some class.

    Raises:
        UsageError: names the op, the invariance, the card and the classes.
    """
    for op in leaves(strategy):
        for invariance in sorted(op.assumes):
            broken = card.breaks(invariance)
            if broken:
                raise UsageError(
                    f"{to_text(op)} assumes that {invariance} does not change the class, but the card of {card.name} "
                    f"denies it for {', '.join(broken)}; take it out, or force it if you know better (--force-augment)"
                )
