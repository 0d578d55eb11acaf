"""Windows on their way through a strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from harkd.augment import keys
from harkd.augment.draws import Draws
from harkd.augment.spec import Spec
from harkd.augment.transform import Branching, Compose, Mixing, Transform, nodes
from harkd.datasets import Signals


@dataclass(frozen=True)
class Flow:
    """A batch between two ops.

    Attributes:
        x: per sensor (batch, channel, time).
        dense: per target (batch, time) labels of samples.
        labels: (batch,) classes, or None where there are none.
        index, draw: (batch,) positions and draw numbers.
        keys: (batch, node) one for each node of the strategy.
        words: (batch, slot) the words of the nodes that every window meets, drawn in one call; None: draw them by key.
        magnitude: (batch, 1) in [0, 1] how strong the ops are here, as a share of what they say; None: as they say.
    """

    x: Signals
    dense: dict[str, Tensor]
    labels: Tensor | None
    index: Tensor
    draw: Tensor
    keys: Tensor
    words: Tensor | None = None
    magnitude: Tensor | None = None

    def weakened(self, magnitude: Tensor) -> Flow:
        """The same windows, with ops at that share (batch, 1) of what they would be."""
        return replace(self, magnitude=magnitude if self.magnitude is None else self.magnitude * magnitude)

    def changed(self, x: Signals, dense: dict[str, Tensor]) -> Flow:
        """Another signal for the same windows."""
        return replace(self, x=x, dense=dense)

    def like(self, other: Flow) -> Flow:
        """These signals, and everything else as in `other`."""
        return other.changed(self.x, self.dense)

    def pick(self, mask: Tensor, other: Flow) -> Flow:
        """The windows (batch,) of `mask` as in `other`, the rest as here."""
        x = {name: torch.where(mask[:, None, None], other.x[name], signal) for name, signal in self.x.items()}
        return self.changed(x, {name: torch.where(mask[:, None], other.dense[name], t) for name, t in self.dense.items()})

    def route(self, choice: Tensor, change: Callable[[int, Flow], Flow]) -> Flow:
        """Each window through the change of its number; -1 leaves it alone.

        Windows are sorted by number, so that each change is called once, for the windows that are its own.

        Args:
            choice: (batch,) int64.
        """
        order = torch.argsort(choice, stable=True)
        numbers, counts = (found.tolist() for found in torch.unique_consecutive(choice[order], return_counts=True))
        if len(numbers) == 1:
            (number,) = numbers
            return self if number < 0 else change(number, self).like(self)
        parts = [
            part if number < 0 else change(number, part)
            for number, part in zip(numbers, (self._take(rows) for rows in order.split(counts)), strict=True)
        ]
        back = torch.argsort(order)
        x = {name: torch.cat([part.x[name] for part in parts])[back] for name in self.x}
        return self.changed(x, {name: torch.cat([part.dense[name] for part in parts])[back] for name in self.dense})

    def _take(self, rows: Tensor) -> Flow:
        def some(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[rows]

        return Flow(
            {name: signal[rows] for name, signal in self.x.items()},
            {name: labels[rows] for name, labels in self.dense.items()},
            some(self.labels),
            self.index[rows],
            self.draw[rows],
            self.keys[rows],
            some(self.words),
            some(self.magnitude),
        )


class Executor:
    """Sends flows through the ops of a strategy that mix nothing.

    Args:
        state: tells what the node at a position has learnt.
    """

    def __init__(self, strategy: Transform, spec: Spec, device: torch.device, state: Callable[[int], dict[str, Tensor]]) -> None:
        self.spec, self.state = spec, state
        self.nodes = list(nodes(strategy))
        met = list(_met(strategy, 0))
        # The first word of every op decides whether it is applied: changing p then moves no other number.
        counts = [_count(self.nodes[position], spec) for position in met]
        ends = [0, *torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()]
        self.span = dict(zip(met, pairwise(ends), strict=True))
        self._node_of_slot = torch.repeat_interleave(torch.tensor(met, dtype=torch.int64), torch.tensor(counts).long()).to(device)
        steps = [torch.arange(1, count + 1) for count in counts] or [torch.zeros(0, dtype=torch.int64)]
        self._steps = (torch.cat(steps) * keys.signed(keys.GOLDEN)).to(device)

    def words(self, node_keys: Tensor) -> Tensor:
        """(batch, slot) words of all nodes that every window meets, for keys (batch, node), in one call."""
        return keys.mix(node_keys[:, self._node_of_slot] + self._steps)

    def draws(self, flow: Flow, position: int) -> tuple[Tensor, Draws]:
        """What decides whether a node is applied, (batch,) uniforms, and what it draws."""
        if flow.words is not None and position in self.span:
            start, stop = self.span[position]
            words = flow.words[:, start:stop]
        else:
            words = keys.bits(flow.keys[:, position], _count(self.nodes[position], self.spec))
        return keys.uniform(words[:, 0]), Draws(words[:, 1:], flow.magnitude)

    def run(self, node: Transform, flow: Flow, position: int) -> Flow:
        """The flow through a node and what is below it."""
        if isinstance(node, Compose):
            for child in node.ops:
                flow = self.run(child, flow, position)
                position += len(list(nodes(child)))
            return flow
        if node.idle:
            return flow
        if isinstance(node, Branching):
            return self._branching(node, flow, position)
        return self.act(node, flow, *self.draws(flow, position))

    def _branching(self, node: Branching, flow: Flow, position: int) -> Flow:
        def decide(_: int, part: Flow) -> Flow:
            return node.run(part, self.draws(part, position)[1], Site(self, node, position))

        if node.p == 1:
            return decide(0, flow)
        return flow.route((self.draws(flow, position)[0] < node.p).long() - 1, decide)

    def act(self, op: Transform, flow: Flow, gate: Tensor, draws: Draws) -> Flow:
        """The flow through one op; windows that it is not meant for stay exactly as they are."""
        params = op.sample(draws, self.spec)
        dense = {name: op.apply_dense(labels, params) for name, labels in flow.dense.items()}
        moved = flow.changed(op.apply(flow.x, params, self.spec), dense)
        if flow.magnitude is None:
            return moved if op.p == 1 else flow.pick(gate < op.p, moved)
        magnitude = flow.magnitude[:, 0]
        share = magnitude * op.p if op.STRENGTH.field == "p" else op.p
        return flow.pick((gate < share) & (magnitude > 0), moved)


@dataclass(frozen=True)
class Site:
    """Where a branching node stands: what it may do there."""

    executor: Executor
    node: Branching
    position: int

    @property
    def spec(self) -> Spec:
        return self.executor.spec

    @property
    def state(self) -> dict[str, Tensor]:
        """What the node has learnt."""
        return self.executor.state(self.position)

    def branch(self, number: int, flow: Flow) -> Flow:
        """The flow through a branch."""
        before = sum(len(list(nodes(branch))) for branch in self.node.branches[:number])
        return self.executor.run(self.node.branches[number], flow, self.position + 1 + before)

    def turn(self, number: int, flow: Flow, turn: int) -> Flow:
        """The flow through an op of a pool, in its n-th turn: the same op draws anew in another turn."""
        op = self.node.branches[number]
        if op.idle:
            return flow
        key = keys.mix(flow.keys[:, self.position] ^ keys.signed(keys.stream("turn", turn)))
        words = keys.bits(key, _count(op, self.spec))
        return self.executor.act(op, flow, keys.uniform(words[:, 0]), Draws(words[:, 1:], flow.magnitude))


def _count(op: Transform, spec: Spec) -> int:
    """The words of a node: one decides whether it is applied, one draws each partner, the others are its own."""
    return 1 + (len(op.partners) if isinstance(op, Mixing) else 0) + op.slots(spec)


def _met(transform: Transform, position: int) -> list[int]:
    """Positions of the nodes that every window meets: all but those inside branches."""
    ops = transform.ops if isinstance(transform, Compose) else (transform,)
    met = []
    for op in ops:
        met.append(position)
        position += len(list(nodes(op)))
    return met
