"""How parts of an answer relate: moments and channels of one feature map, or the windows of a batch to each other.

Pure functions. Targets come first. What compares maps gives one value per sample, what compares windows with each other one value
for the batch. All dimensions before the last named ones are batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize, one_hot, smooth_l1_loss

from harkd.align import resampling
from harkd.datasets import IGNORE

SPREAD = 1e-5
"""Added to variances, so that a constant channel has a gradient."""
NEAR = 1e-6
"""Added to squared distances and lengths of embeddings, so that windows that coincide have a gradient."""


def map_distance(target: Tensor, maps: Tensor) -> Tensor:
    """(...,) mean squared difference of maps (..., channel, time)."""
    return (maps - target).square().mean((-2, -1))


def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over time, (..., channel) each, of maps (..., channel, time).

    The variance is the population's, so that a map of length 1 has one.
    """
    return maps.mean(-1), (maps.var(-1, correction=0) + SPREAD).sqrt()


def statistics_distance(target: Tensor, maps: Tensor) -> Tensor:
    """(...,) mean over channels of the squared differences of means and of standard deviations, of maps (..., channel, time).

    The lengths of the two may differ.
    """
    (mean, std), (my_mean, my_std) = statistics(target), statistics(maps)
    return ((my_mean - mean).square() + (my_std - std).square()).mean(-1)


def standardised(maps: Tensor) -> Tensor:
    """Maps (..., channel, time) with mean 0 and standard deviation 1 over time in every channel."""
    mean, std = (each.unsqueeze(-1) for each in statistics(maps))
    return (maps - mean) / std


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance normalisation: `content` (..., channel, time) with the mean and standard deviation of `style`, whose
    length may be another.

    X. Huang, S. Belongie: Arbitrary style transfer in real-time with adaptive instance normalization, ICCV 2017.
    """
    mean, std = (each.unsqueeze(-1) for each in statistics(style))
    return std * standardised(content) + mean


def attention_map(maps: Tensor, time: int = 0) -> Tensor:
    """Where in time maps (..., channel, time) are active: squares averaged over channels, with length 1 as a vector, (..., time).

    S. Zagoruyko, N. Komodakis: Paying more attention to attention, ICLR 2017.

    Args:
        time: length that is wanted; 0: that of the maps.
    """
    energy = maps.square().mean(-2)
    if time and time != energy.shape[-1]:
        energy = energy @ resampling(energy.shape[-1], time, energy.device).to(energy.dtype)
    return normalize(energy, dim=-1)


def attention_distance(target: Tensor, maps: Tensor) -> Tensor:
    """(...,) mean squared difference of the attention maps of maps (..., channel, time), of any widths and lengths."""
    wanted = attention_map(target)
    return (attention_map(maps, wanted.shape[-1]) - wanted).square().mean(-1)


def fsp(before: Tensor, after: Tensor, standardise: bool = False) -> Tensor:
    """The flow between two maps of one net, (..., channel, channel'): products of all their channels, averaged over time.

    J. Yim, D. Joo, J. Bae, J. Kim: A gift from knowledge distillation, CVPR 2017.

    Args:
        before, after: (..., channel, time) and (..., channel', time'); the longer one is averaged to the shorter.
        standardise: every channel first, so that the flow is a correlation.
    """
    time = min(before.shape[-1], after.shape[-1])
    pair = [x if x.shape[-1] == time else x @ resampling(x.shape[-1], time, x.device).to(x.dtype) for x in (before, after)]
    one, other = map(standardised, pair) if standardise else pair
    return one @ other.transpose(-1, -2) / time


def pkt(target: Tensor, embedding: Tensor) -> Tensor:
    """(...,) how differently the windows of a batch resemble each other in two embeddings (..., batch, width), of any widths.

    For each window its similarities to all are made probabilities, by a cosine kernel and by a heavy-tailed one. The symmetric KL
    divergence of those of the target and of the embedding is averaged over all pairs of windows, so that it falls with the size
    of the batch, and summed over the two kernels.

    N. Passalis, A. Tefas: Learning deep representations with probabilistic knowledge transfer, ECCV 2018; the second kernel and
    the symmetric divergence after the code of N. Passalis, M. Tzelepi, A. Tefas: Heterogeneous knowledge distillation using
    information flow modeling, CVPR 2020.
    """
    one = jeffreys(conditional(cosine_kernel(target)), conditional(cosine_kernel(embedding)))
    return one + jeffreys(conditional(heavy_tailed_kernel(target)), conditional(heavy_tailed_kernel(embedding)))


def cosine_kernel(embedding: Tensor, near: float = NEAR) -> Tensor:
    """(1 + cosine) / 2 of all pairs of windows, (..., batch, batch), of an embedding (..., batch, width)."""
    unit = embedding / (embedding.square().sum(-1, keepdim=True) + near).sqrt()
    return (1 + unit @ unit.transpose(-1, -2)) / 2


def heavy_tailed_kernel(embedding: Tensor, near: float = NEAR) -> Tensor:
    """1 / (1 + distance) of all pairs of windows, (..., batch, batch), of an embedding (..., batch, width)."""
    return 1 / (1 + distances(embedding, near))


def conditional(kernel: Tensor) -> Tensor:
    """A kernel (..., batch, batch) as probabilities: each row sums to 1."""
    return kernel / kernel.sum(-1, keepdim=True)


def jeffreys(target: Tensor, shares: Tensor) -> Tensor:
    """(...,) mean over all pairs of (p - q)(log p - log q), of probabilities (..., batch, batch)."""
    tiny = torch.finfo(shares.dtype).tiny
    return _mean((target - shares) * (target.clamp_min(tiny).log() - shares.clamp_min(tiny).log()), 2)


def distances(embedding: Tensor, near: float = NEAR) -> Tensor:
    """Euclidean distances of all pairs of windows, (..., batch, batch), of an embedding (..., batch, width)."""
    return (_squared_distances(_products(embedding)) + near).sqrt()


def rkd_distance(target: Tensor, embedding: Tensor) -> Tensor:
    """(...,) mean Huber loss of the distances of all pairs of windows, each over the mean distance of its embedding.

    Embeddings are (..., batch, width), of any widths. W. Park, D. Kim, Y. Lu, M. Cho: Relational knowledge distillation, CVPR
    2019.
    """
    return _mean(smooth_l1_loss(_relative(embedding), _relative(target), reduction="none"), 2)


def rkd_angle(target: Tensor, embedding: Tensor) -> Tensor:
    """(...,) mean Huber loss of the cosines of the angles that all triplets of windows form; takes batch^3 numbers.

    Embeddings are (..., batch, width), of any widths. W. Park, D. Kim, Y. Lu, M. Cho: Relational knowledge distillation, CVPR
    2019.
    """
    return _mean(smooth_l1_loss(angles(embedding), angles(target), reduction="none"), 3)


def angles(embedding: Tensor, near: float = NEAR) -> Tensor:
    """Cosines (..., i, j, k) of the angles at window i between the directions to j and to k; 0 where i is j or k."""
    gram = _products(embedding)
    mine = gram.diagonal(dim1=-2, dim2=-1)
    # <x_j - x_i, x_k - x_i> = <j, k> - <i, j> - <i, k> + <i, i>
    inner = gram.unsqueeze(-3) - gram.unsqueeze(-1) - gram.unsqueeze(-2) + mine[..., None, None]
    length = (_squared_distances(gram) + near).sqrt()
    itself = torch.eye(gram.shape[-1], dtype=torch.bool, device=gram.device)
    alone = itself.unsqueeze(-1) | itself.unsqueeze(-2)
    return (inner / (length.unsqueeze(-1) * length.unsqueeze(-2))).masked_fill(alone, 0)


def cka(target: Tensor, embedding: Tensor) -> Tensor:
    """(...,) linear centred kernel alignment over the batch, from 0 to 1, of embeddings (..., batch, width), of any widths.

    S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of neural network representations revisited, ICML 2019. A constant
    embedding has 0.
    """
    one, other = _products(target), _products(embedding)
    norms = one.square().sum((-2, -1)).sqrt() * other.square().sum((-2, -1)).sqrt()
    return (one * other).sum((-2, -1)) / norms.clamp_min(torch.finfo(norms.dtype).tiny)


def separability(embedding: Tensor, labels: Tensor) -> Tensor:
    """Share of windows that are nearest to the mean embedding of their own class: how far classes lie apart already.

    Args:
        embedding: (window, width).
        labels: (window,) class numbers; windows with `IGNORE` do not count.
    """
    known = labels != IGNORE
    embedding, labels = embedding[known], labels[known]
    member = one_hot(labels).to(embedding.dtype)
    sizes = member.sum(0)
    means = (member.T @ embedding) / sizes.clamp_min(1).unsqueeze(1)
    apart = torch.cdist(embedding, means).masked_fill(sizes == 0, torch.inf)
    return (apart.argmin(1) == labels).to(embedding.dtype).mean()


def gram_distance(target: Tensor, maps: Tensor, gram: Callable[[Tensor], Tensor]) -> Tensor:
    """(...,) mean squared difference of what `gram` says of two maps (..., batch, channel, time), of any widths and lengths."""
    return _mean((gram(maps) - gram(target)).square(), 2)


def correlation_gram(maps: Tensor) -> Tensor:
    """Correlation of any two windows along time, averaged over channels: (..., batch, batch) of maps (..., batch, channel, time).

    X.-Y. Huang, S.-Y. Chen, C.-S. Wei: Enhancing low-density EEG-based brain-computer interfacing with similarity-keeping
    knowledge distillation, 2022. Offset and gain of a channel drop out. A channel that is constant in a window correlates with
    nothing there, not even with itself, and has no gradient. Maps of length 1 are correlated along their channels.
    """
    maps = maps.transpose(-1, -2) if maps.shape[-1] == 1 else maps
    # What rounding leaves of a constant is no signal.
    noise = 8 * torch.finfo(maps.dtype).eps * vector_norm(maps, dim=-1, keepdim=True)
    flat = _unit(maps - maps.mean(-1, keepdim=True), noise).flatten(-2)
    return flat @ flat.transpose(-1, -2) / maps.shape[-2]


def similarity_gram(maps: Tensor) -> Tensor:
    """Products of any two windows' maps (..., batch, channel, time), each row of them with length 1: (..., batch, batch).

    F. Tung, G. Mori: Similarity-preserving knowledge distillation, ICCV 2019.
    """
    flat = maps.flatten(-2)
    return _unit(flat @ flat.transpose(-1, -2))


def cosine_gram(maps: Tensor) -> Tensor:
    """Cosine between any two windows' maps (..., batch, channel, time), as they are: (..., batch, batch)."""
    flat = _unit(maps.flatten(-2))
    return flat @ flat.transpose(-1, -2)


def _products(embedding: Tensor) -> Tensor:
    """Inner products of all pairs of windows, (..., batch, batch), around the mean of the batch."""
    centred = embedding - embedding.mean(-2, keepdim=True)
    return centred @ centred.transpose(-1, -2)


def _squared_distances(gram: Tensor) -> Tensor:
    mine = gram.diagonal(dim1=-2, dim2=-1)
    return (mine.unsqueeze(-1) + mine.unsqueeze(-2) - 2 * gram).clamp_min(0)


def _relative(embedding: Tensor) -> Tensor:
    """Distances over their mean, which is taken of windows that are not the same."""
    batch = embedding.shape[-2]
    apart = distances(embedding) * (1 - torch.eye(batch, dtype=embedding.dtype, device=embedding.device))
    mean = apart.sum((-2, -1), keepdim=True) / max(batch * (batch - 1), 1)
    return apart / mean.clamp_min(torch.finfo(mean.dtype).tiny)


def _mean(x: Tensor, dims: int) -> Tensor:
    """Mean over the last dimensions; zero where there is nothing."""
    last = tuple(range(-dims, 0))
    return x.sum(last) / max(1, math.prod(x.shape[-dims:]))


def _unit(x: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """Vectors (..., n) with length 1; those no longer than `least` become zero, and have no gradient."""
    length = vector_norm(x, dim=-1, keepdim=True)
    there = length > least
    return torch.where(there, x, torch.zeros_like(x)) / torch.where(there, length, torch.ones_like(length))
