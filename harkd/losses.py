"""Losses as pure functions, one value per sample; the engine reduces. All dimensions before the last are batch.

Targets come first, as in KL(target || answer).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from harkd.datasets import IGNORE


def cross_entropy(target: Tensor, logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (...,) of logits (..., class).

    Args:
        target: class numbers (...,), where `IGNORE` counts zero, or shares of classes (..., class), as mixing makes them; they
            sum to less than 1 where a label is unknown.
        smoothing: weight of the uniform distribution in the target.
    """
    log_p = log_softmax(logits, -1)
    if target.is_floating_point():
        loss = -(target * log_p).sum(-1)
    else:
        loss = -log_p.gather(-1, target.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    if smoothing:
        uniform = -log_p.mean(-1)
        loss = (1 - smoothing) * loss + smoothing * (target.sum(-1) * uniform if target.is_floating_point() else uniform)
    return loss if target.is_floating_point() else torch.where(target == IGNORE, torch.zeros_like(loss), loss)


def difficulty(target: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy (...,) of logits (..., class), with the class that they find likeliest where the target is `IGNORE`.

    Args:
        target: class numbers (...,), or shares of classes (..., class).
    """
    if not target.is_floating_point():
        target = torch.where(target == IGNORE, logits.argmax(-1), target)
    return cross_entropy(target, logits)


def kl(target: Tensor, logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """temperature^2 KL(softmax(target / temperature) || softmax(logits / temperature)), (...,), of logits (..., class).

    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015. It is written out because vmap has no rule for
    `torch.nn.functional.kl_div`, whose default also divides by the number of classes.

    Args:
        temperature: a number, or one that broadcasts with the logits, like (..., 1).
    """
    log_p = log_softmax(target / temperature, -1)
    log_q = log_softmax(logits / temperature, -1)
    return (temperature**2 * log_p.exp() * (log_p - log_q)).sum(-1)


def jensen_shannon(logits: Tensor) -> Tensor:
    """Jensen-Shannon divergence (...,) in nats of several answers, logits (answer, ..., class)."""
    log_p = log_softmax(logits, -1)
    mean = log_p.logsumexp(0) - math.log(len(logits))
    return (log_p.exp() * (log_p - mean)).sum(-1).mean(0)


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats (...,) of softmax(logits)."""
    log_p = log_softmax(logits, -1)
    return -(log_p.exp() * log_p).sum(-1)
