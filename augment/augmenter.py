"""A strategy bound to windows: positions and draw numbers in, augmented batches out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from harkd.augment import keys
from harkd.augment.draws import Draws
from harkd.augment.flow import Executor, Flow
from harkd.augment.learning import Evidence, Learner, Memory
from harkd.augment.spec import Spec
from harkd.augment.text import to_text
from harkd.augment.transform import Branching, Compose, Mixing, Transform, always, leaves, nodes
from harkd.datasets import Card, Signals, Windows, class_shares
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
        memory: what the strategy has learnt, if it learns.
        left_out: why ops of a pool were left out that can do nothing with these windows.

    Raises:
        UsageError: an op can do nothing with these windows; a mixing strategy meets dense labels, or a spec whose pool holds
            other windows.
    """

    def __init__(self, strategy: Transform, windows: Windows, spec: Spec | None = None, seed: int = 0) -> None:
        self.windows = windows
        self.spec = spec or Spec.of(windows)
        self.left_out: list[str] = []
        self.strategy = Compose((self._fitting(strategy),))
        self.seed = seed
        self.text = to_text(self.strategy)
        learners = {n: op for n, op in enumerate(nodes(self.strategy)) if isinstance(op, Learner)}
        self.memory = Memory(learners, len(windows), _classes(windows), windows.device)
        self._executor = Executor(self.strategy, self.spec, windows.device, self.memory.__getitem__)
        pools = [op for node in self._executor.nodes if isinstance(node, Branching) and node.FLAT for op in node.branches]
        versions = [op.VERSION for op in (*self._executor.nodes, *pools)]
        self.hash = keys.text_bits(f"{to_text(always(self.strategy))} {versions}")
        self.mixes = any(op.MIXES for op in self.strategy.ops)
        self.softens = any(isinstance(op, Mixing) and op.softens for op in self.strategy.ops)
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

    def __call__(self, index: Tensor, draw: Tensor) -> Batch:
        """The windows at `index` (batch,), each as its draw number `draw` (batch,) makes it."""
        return self.after(len(self.strategy.ops), index, draw)

    def after(self, ops: int, index: Tensor, draw: Tensor) -> Batch:
        """The windows after the first ops of the strategy, which draw what they draw in the whole of it."""
        x, targets, present = self._run(ops, index, draw)
        return Batch(x, targets, index, self.windows.ids[index], draw, present)

    def clean(self, index: Tensor, draw: Tensor) -> Batch:
        """The same windows as they were recorded."""
        x, targets = self.windows.gather(index), self._targets(index, soft=False)
        return Batch(x, targets, index, self.windows.ids[index], draw, self._present(index))

    def draw_words(self, ids: Tensor, draw: Tensor) -> Tensor:
        """(batch, slots of all ops that every window meets) random words, in one call."""
        return self._executor.words(self._keys(ids, draw))

    def _keys(self, ids: Tensor, draw: Tensor) -> Tensor:
        # What a strategy has learnt is part of what a window becomes.
        strategy = keys.stream(self.hash, self.memory.version) if self.learns else self.hash
        return keys.window_keys(self.seed, strategy, len(self._executor.nodes), ids, draw)

    @property
    def changes(self) -> bool:
        """Whether there is any op: else all draws of a window are the recorded one."""
        return any(True for _ in leaves(self.strategy))

    @property
    def learns(self) -> bool:
        """Whether the strategy changes with what happens in training."""
        return bool(self.memory.learners)

    @torch.no_grad()
    def learn(self, evidence: Evidence) -> None:
        """Tell the strategy what came of a batch; windows drawn from now on are others."""
        node_keys = self._keys(self.windows.ids[evidence.index], evidence.draw)
        for position, learner in self.memory.learners.items():
            words = keys.bits(node_keys[:, position], 1 + learner.slots(self.spec))
            self.memory.write(position, learner.learn(self.memory[position], evidence, Draws(words[:, 1:])))
        self.memory.changed()

    def told(self) -> dict[str, float]:
        """What the strategy has learnt, in words."""
        told: dict[str, float] = {}
        for position, learner in self.memory.learners.items():
            for what, numbers in learner.tell(self.memory[position]).items():
                names = map(to_text, learner.branches) if len(numbers) == len(learner.branches) else [to_text(learner)]
                told |= {f"{what} of {name}": float(number) for name, number in zip(names, numbers, strict=True)}
        return told

    @torch.no_grad()
    def finish_epoch(self, accuracy: float) -> None:
        """Tell the strategy the accuracy on validation windows after an epoch."""
        seed = keys.stream(self.seed, self.hash, self.memory.version)
        for position, learner in self.memory.learners.items():
            self.memory.write(position, learner.finish(self.memory[position], accuracy, keys.stream(seed, position)))
        self.memory.changed()

    def _fitting(self, strategy: Transform) -> Transform:
        """The strategy, checked, without the ops of pools that can do nothing with these windows: a pool is for all data."""
        if isinstance(strategy, Compose):
            return Compose(tuple(self._fitting(op) for op in strategy.ops))
        strategy.check(self.spec)
        if not isinstance(strategy, Branching):
            return strategy
        if not strategy.FLAT:
            return replace(strategy, branches=tuple(self._fitting(branch) for branch in strategy.branches))
        kept, problems = [], []
        for op in strategy.branches:
            try:
                op.check(self.spec)
                kept.append(op)
            except UsageError as problem:
                problems.append(f"{to_text(op)} is left out of its pool: {problem}")
        if not kept:
            raise UsageError(f"no op of this pool can do anything with these windows. {problems[0]}")
        self.left_out += problems
        return replace(strategy, branches=tuple(kept))

    def _targets(self, index: Tensor, soft: bool) -> dict[str, Tensor]:
        picked = {}
        for name, target in self.windows.targets.items():
            values = target.values[index]
            picked[name] = class_shares(values, len(target.classes)) if soft and target.kind == "class" else values
        return picked

    def _present(self, index: Tensor) -> Signals:
        return {name: there[index] for name, there in self.windows.present.items()}

    def _run(self, stop: int, index: Tensor, draw: Tensor) -> tuple[Signals, dict[str, Tensor], Signals]:
        """Apply the first `stop` ops. A mixing op's partners pass through the ops before it, under their own ids."""
        x, targets, present = self.windows.gather(index), self._targets(index, self.softens), self._present(index)
        if not stop:
            return x, targets, present
        node_keys = self._keys(self.windows.ids[index], draw)
        kinds = self.windows.targets
        dense = {name: target for name, target in targets.items() if kinds[name].kind == "dense"}
        own = self.windows.targets.get(self.windows.card.target.name)
        labels = own.values[index] if own and own.kind == "class" else None
        flow = Flow(x, dense, labels, index, draw, node_keys, self._executor.words(node_keys))
        position = 0
        for number, op in enumerate(self.strategy.ops[:stop]):
            if isinstance(op, Mixing) and not op.idle:
                flow, targets, present = self._mix(op, number, position, flow, targets, present)
            elif not op.MIXES:
                flow = self._executor.run(op, flow, position)
            position += len(list(nodes(op)))
        return flow.x, {**targets, **flow.dense}, present

    def _mix(
        self, op: Mixing, number: int, position: int, flow: Flow, targets: dict[str, Tensor], present: Signals
    ) -> tuple[Flow, dict[str, Tensor], Signals]:
        gate, draws = self._executor.draws(flow, position)
        assert self.spec.pool is not None
        partners = self.spec.pool.partners(draws.words(len(op.partners)), flow.index, op.partners)
        others = [self._run(number, partner, flow.draw) for partner in partners.unbind(1)]
        mixed, share = op.mix(flow.x, [other[0] for other in others], op.sample(draws, self.spec), self.spec)
        share = torch.where(gate < op.p, share, torch.ones_like(share))
        if op.softens:
            lent = others[0][1]
            targets = {name: share[:, None] * y + (1 - share[:, None]) * lent[name] for name, y in targets.items()}
        alone = (gate >= op.p) | ((share == 1) if op.softens else False)
        # A window is mixed with one that lacks the sensor: what comes out is neither.
        for _, _, theirs in others:
            present = {name: there & (alone | theirs[name]) for name, there in present.items()}
        return flow.pick(gate < op.p, flow.changed(mixed, flow.dense)), targets, present


def _classes(windows: Windows) -> int:
    target = windows.targets.get(windows.card.target.name)
    return len(target.classes) if target else 1


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
