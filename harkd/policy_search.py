"""The bilevel search of `differentiable(...)`: the policy moves so that a step of the student helps on validation windows.

    w' = w - rate * dL_train(w, policy)/dw                                     one step ahead, with the student's own rate
    dL_val(w')/dpolicy = -rate * d/dpolicy <dL_train(w, policy)/dw, v>         with v = dL_val(w')/dw'

After Liu, Simonyan, Yang: DARTS, ICLR 2019, and for augmentation Li et al.: DADA, ECCV 2020. They take the mixed derivative as a
difference of two gradients; across rectifiers that may have the wrong sign, so here it is exact, by a second backward pass.
Nothing of the student moves: parameters and statistics are copies.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from harkd.augment import Augmenter, Batch
from harkd.augment.keys import below, bits, signed, stream
from harkd.augment.learning import Differentiable
from harkd.datasets import Signals, Windows
from harkd.losses import cross_entropy
from harkd.player import Player

Weights = dict[str, Tensor]


class PolicySearch:
    """Moves the weights and magnitudes of a strategy's differentiable policies.

    Args:
        target: name of the class target.
        seed: of the validation batches.
    """

    def __init__(self, player: Player, augmenter: Augmenter, validation: Windows, target: str, seed: int) -> None:
        self.player, self.augmenter, self.validation = player, augmenter, validation
        self.target, self.seed = target, seed
        learners = augmenter.memory.learners
        self.policies = {at: policy for at, policy in learners.items() if isinstance(policy, Differentiable)}

    def step(self, number: int, index: Tensor, draw: Tensor, rate: float) -> None:
        """After the training step of that number, on the windows (batch,) that it saw; `rate` is the student's learning rate."""
        due = {at: policy for at, policy in self.policies.items() if number % policy.every == 0}
        if not due:
            return
        memory = self.augmenter.memory
        asked = {at: {name: tensor.clone().requires_grad_() for name, tensor in memory[at].items()} for at in due}
        for at, state in asked.items():
            memory.write(at, state)
        flat = [tensor for state in asked.values() for tensor in state.values()]
        gradients = self._gradients(self.augmenter(index, draw), self._validation_batch(number, len(index)), flat, rate)
        found = iter(gradients)
        for at, policy in due.items():
            moved = {}
            for name, tensor in asked[at].items():
                gradient = next(found)
                moved[name] = tensor.detach() - policy.rate * gradient / gradient.norm().clamp_min(1e-12)
            memory.write(at, moved)

    def _validation_batch(self, number: int, size: int) -> tuple[Signals, Tensor]:
        key = torch.tensor(signed(stream(self.seed, "policy search", number)), device=self.validation.device)
        index = below(bits(key, size), len(self.validation))
        return self.validation.gather(index), self.validation.labels[index]

    def _gradients(self, batch: Batch, held: tuple[Signals, Tensor], policy: list[Tensor], rate: float) -> tuple[Tensor, ...]:
        """Of the validation loss one step ahead, by each tensor of the policy."""
        weights = {name: p.detach().requires_grad_() for name, p in self.player.trainable().items()}
        x = self.player.sees(batch.x)
        down = torch.autograd.grad(self._loss(weights, x, batch.targets[self.target]), list(weights.values()), create_graph=True)
        ahead = {
            name: (p - rate * slope).detach().requires_grad_() for (name, p), slope in zip(weights.items(), down, strict=True)
        }
        v = torch.autograd.grad(self._loss(ahead, self.player.sees(held[0]), held[1]), list(ahead.values()))
        mixed = torch.autograd.grad(down, policy, v, allow_unused=True, materialize_grads=True)
        return tuple(-rate * slope for slope in mixed)

    def _loss(self, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        buffers = {name: tensor.clone() for name, tensor in self.player.net.named_buffers()}
        fixed = {name: p.detach() for name, p in self.player.net.named_parameters() if name not in weights}
        logits = functional_call(self.player.net, {**buffers, **fixed, **weights}, (x,)).logits
        return cross_entropy(y, logits.float()).mean()
