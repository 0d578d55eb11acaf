"""How flat the loss is where a net has settled: its curvature there, what a small step away can do, and a plane to draw.

    largest eigenvalue and trace of H, the Hessian of the mean loss by the weights
    sharpness = L(w + e) - L(w),   e = radius * g / |g|,   g the gradient: one step of ascent

That students of their own kind settle in flatter places than their teachers is a claim of M. Pham et al.: Revisiting
self-distillation, 2022 (see `selfkd`); what is measured here, and how, is our design.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from harkd.datasets import Windows
from harkd.losses import cross_entropy
from harkd.player import Player

Loss = Callable[[], Tensor]
"""The mean loss, a scalar, at the weights as they are now."""


def products(loss: Loss, weights: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """The function v -> H v, of vectors with one number for each weight."""
    with sdpa_kernel(SDPBackend.MATH):  # the faster kernels of attention have no second derivative
        gradient = _flat(torch.autograd.grad(loss(), weights, create_graph=True, materialize_grads=True))
    return lambda v: _flat(torch.autograd.grad(gradient, weights, v, retain_graph=True, materialize_grads=True))


def largest_eigenvalue(loss: Loss, weights: Sequence[Tensor], seed: int = 0) -> float:
    """The largest eigenvalue of H, by Lanczos' method; needs two weights or more."""
    times, like = products(loss, weights), parameters_to_vector(weights).detach()

    def matvec(v: np.ndarray) -> np.ndarray:
        told: np.ndarray = times(torch.from_numpy(v.ravel()).to(like)).double().cpu().numpy()
        return told

    start = np.random.default_rng(seed).normal(size=len(like))
    operator = LinearOperator((len(like), len(like)), matvec=matvec, dtype=np.float64)
    return float(eigsh(operator, k=1, which="LA", v0=start, tol=1e-4, return_eigenvectors=False)[0])


def trace(loss: Loss, weights: Sequence[Tensor], probes: int = 200, seed: int = 0) -> float:
    """The trace of H: the mean of <v, H v> over vectors of random signs (Hutchinson)."""
    times, like, rng = products(loss, weights), parameters_to_vector(weights).detach(), torch.Generator().manual_seed(seed)
    signs = ((2 * torch.randint(2, (len(like),), generator=rng) - 1).to(like) for _ in range(probes))
    return float(torch.stack([v @ times(v) for v in signs]).double().mean())


def sharpness(loss: Loss, weights: Sequence[Tensor], radius: float = 0.05, filterwise: bool = False) -> float:
    """How much the loss grows by one step of ascent of a length; 0 where there is no gradient. The weights stay as they are.

    P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur: Sharpness-aware minimization, ICLR 2021.

    Args:
        filterwise: measure steps by the length of the filters, so that a net whose filters are scaled is as sharp as before
            (J. Kwon, J. Kim, H. Park, I. K. Choi: ASAM, ICML 2021).
    """
    before = loss()
    gradient = torch.autograd.grad(before, weights, materialize_grads=True)
    sizes = _flat([_size(weight.detach()).expand_as(weight) for weight in weights]) if filterwise else 1.0
    step = _flat(gradient) * sizes
    if not step.any():
        return 0.0
    start = parameters_to_vector(weights).detach().clone()
    with torch.no_grad():
        vector_to_parameters(start + radius * sizes * step / step.norm(), weights)
        after = loss()
        vector_to_parameters(start, weights)
    return float(after - before.detach())


@dataclass(frozen=True)
class Flatness:
    """How flat the loss of a net is where it has settled."""

    largest_eigenvalue: float
    trace: float
    sharpness: float


def flatness(player: Player, windows: Windows, *, most: int = 1024, probes: int = 50, seed: int = 0) -> Flatness:
    """Of the mean cross-entropy of some windows, as they were recorded.

    The net answers in eval mode, so that the statistics of batch norm are constants.

    Args:
        most: windows that are taken, chosen at random.
    """
    loss, weights = _resting(player, windows, most, seed)
    return Flatness(
        largest_eigenvalue(loss, weights, seed), trace(loss, weights, probes, seed), sharpness(loss, weights, filterwise=True)
    )


@dataclass(frozen=True)
class Plane:
    """The loss on a plane through the weights of a net.

    Attributes:
        steps: (n,) how far one goes, in lengths of each filter; the net is at 0.
        loss: (n, n) by steps along the first and along the second direction.
    """

    steps: NDArray[np.float64]
    loss: NDArray[np.float64]


def plane(player: Player, windows: Windows, *, points: int = 21, reach: float = 1.0, most: int = 512, seed: int = 0) -> Plane:
    """The mean cross-entropy of some windows, as they were recorded, in two random directions from where a net has settled.

    A direction is as long in every filter as the filter is, and leaves single numbers (biases, scales of norms) alone: H. Li,
    Z. Xu, G. Taylor, C. Studer, T. Goldstein: Visualizing the loss landscape of neural nets, NeurIPS 2018.

    Args:
        points: odd, so that the net itself is one of them.
        most: windows that are taken, chosen at random.
    """
    loss, weights = _resting(player, windows, most, seed)
    rng, start = torch.Generator().manual_seed(seed), parameters_to_vector(weights).detach().clone()
    along, across = (filterwise_direction(weights, rng) for _ in range(2))
    steps = np.linspace(-reach, reach, points)
    found = np.empty((points, points))
    with torch.no_grad():
        for place, (one, other) in zip(np.ndindex(found.shape), product(steps.tolist(), repeat=2), strict=True):
            vector_to_parameters(start + one * along + other * across, weights)
            found[place] = float(loss())
    return Plane(steps, found)


def filterwise_direction(weights: Sequence[Tensor], rng: torch.Generator) -> Tensor:
    """A random direction, a number for each weight: in each filter as long as the filter, and zero for single numbers."""
    parts = []
    for weight in (weight.detach() for weight in weights):
        drawn = torch.randn(weight.shape, generator=rng).to(weight)
        parts.append(drawn / _size(drawn) * _size(weight) if weight.dim() > 1 else torch.zeros_like(weight))
    return _flat(parts)


def _resting(player: Player, windows: Windows, most: int, seed: int) -> tuple[Loss, list[Tensor]]:
    """The loss of a copy of a net on some of the windows, and the copy's weights."""
    net = copy.deepcopy(player.net).eval().requires_grad_()
    index = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))[:most].to(windows.device)
    x, y = player.sees(windows.gather(index)), windows.labels[index]

    def loss() -> Tensor:
        return cross_entropy(y, net(x).logits).mean()

    return loss, list(net.parameters())


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _size(weight: Tensor) -> Tensor:
    """The length of every filter, and of single numbers their size; of a shape that expands to the weight's."""
    return weight.abs() if weight.dim() < 2 else weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
