"""Contrast of what two nets say of a window with what they say of others: of a memory, or of the batch (see `crd`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from harkd.datasets import Windows
from harkd.options import CRD
from harkd.teachers import latest, numbers

LARGEST = 4096
"""Most negatives that are taken if nobody says how many."""
TINY = 1e-7


def noise_contrast(positive: Tensor, negatives: Tensor, among: Tensor, noise: float) -> Tensor:
    """(...,) how badly a positive score (...,) is told from negative scores (..., other), of which some count (..., other).

    Args:
        noise: score of a window that has nothing to do with the anchor; 1 / N.
    """
    level = among.sum(-1) * noise
    found = positive / (positive + level + TINY)
    level = level.unsqueeze(-1)
    refused = torch.where(among, level / (negatives + level + TINY), torch.ones_like(negatives))
    return -found.log() - refused.log().sum(-1)


class InBatch(nn.Module):
    """Embeddings of student and teacher in one space, each window of a batch against the others."""

    def __init__(self, student: int, teacher: int, options: CRD) -> None:
        super().__init__()
        self.options = options
        self.maps = nn.ModuleList([nn.Linear(student, options.width), nn.Linear(teacher, options.width)])

    def embed(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        """(2, batch, width) embeddings of both nets, with length 1."""
        return torch.stack([normalize(each(x), dim=1) for each, x in zip(self.maps, pair, strict=True)])

    def forward(self, pair: tuple[Tensor, Tensor], index: Tensor, others: Tensor, among: Tensor, known: Tensor) -> Tensor:
        """(batch,) how badly a window is told from others, both ways.

        Args:
            pair: embeddings of student and teacher (batch, width).
            index, others: positions of the batch's windows, and of all that are negatives of some; here these are the same.
            among: (batch, other) which are negatives of which.
            known: (batch,) which windows both can see.
        """
        student, teacher = self.embed(pair)
        scores = student @ teacher.T / self.options.contrast_temperature
        counts = among & known | torch.eye(len(index), dtype=torch.bool, device=index.device)
        both = torch.stack([scores, scores.T]).masked_fill(~counts, -torch.inf)
        return -both.log_softmax(2).diagonal(dim1=1, dim2=2).sum(0)


class Memories(InBatch):
    """The same against a memory of what both nets said of all training windows, (2, window, width)."""

    said: Tensor
    scale: Tensor

    def __init__(self, windows: int, student: int, teacher: int, options: CRD) -> None:
        super().__init__(student, teacher, options)
        self.register_buffer("said", (2 * torch.rand(2, windows, options.width) - 1) / math.sqrt(options.width / 3))
        self.register_buffer("scale", torch.zeros(2))

    def forward(self, pair: tuple[Tensor, Tensor], index: Tensor, others: Tensor, among: Tensor, known: Tensor) -> Tensor:
        """As in the batch, where `others` may be any windows; what is said now is then remembered."""
        own = self.embed(pair)
        anchors, heat = own.flip(0), self.options.contrast_temperature  # each is compared with the other's memory
        positive = ((anchors * self.said[:, index]).sum(2) / heat).exp()
        negatives = (anchors @ self.said[:, others].transpose(1, 2) / heat).exp()
        with torch.no_grad():
            mean = (positive.sum(1) + (negatives * among).sum((1, 2))) / (among.sum() + len(index))
            self.scale.copy_(torch.where(self.scale > 0, self.scale, mean * self.said.shape[1]))
        scale, noise = self.scale[:, None], 1 / self.said.shape[1]
        loss = noise_contrast(positive / scale, negatives / scale[..., None], among, noise).sum(0)
        kept = self.options.momentum * self.said[:, index]
        new = normalize(kept + (1 - self.options.momentum) * own.detach(), dim=2)
        self.said[:, index] = torch.where(known[:, None], new, self.said[:, index])[:, latest(index)]
        return loss


class Negatives:
    """Which windows can be negatives of which."""

    def __init__(self, train: Windows, options: CRD) -> None:
        self.of_batch = options.negatives_from == "batch"
        sensor = next(iter(train.starts))
        self.starts, self.length, self.classes = train.starts[sensor], train.lengths[sensor], train.labels
        self.recordings, self.subjects = (numbers(names).to(train.device) for names in (train.recordings, train.subjects))
        apart = [options.contrast_with == "other_classes", options.other_subjects]
        self.differ = [kind for kind, wanted in zip((self.classes, self.subjects), apart, strict=True) if wanted]
        left = len(train) - sum(int(kind.unique(return_counts=True)[1].max()) for kind in self.differ)
        self.number = options.negatives or min(LARGEST, max(1, left // 2))

    def draw(self, index: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(other,) positions in random order, and (batch, other) the first `number` that can be negatives of each window.

        From the batch itself: all its windows, and which of them can be.
        """
        if self.of_batch:
            return index, self._can(index, index)
        order = torch.randperm(len(self.classes), generator=rng).to(index.device)
        can = self._can(index, order[: 2 * self.number])  # as a rule the first ones are enough
        if bool((can.sum(1) < self.number).any()):
            can = self._can(index, order)
        taken = can & (can.cumsum(1) <= self.number)
        some = taken.any(0)
        return order[: len(some)][some], taken[:, some]

    def _can(self, index: Tensor, others: Tensor) -> Tensor:
        """(batch, other) which windows can be negatives of which."""
        mine = index[:, None]
        overlap = (self.starts[others] - self.starts[mine]).abs() < self.length
        can = ~(overlap & (self.recordings[others] == self.recordings[mine]))
        for kind in self.differ:
            can &= kind[others] != kind[mine]
        return can
