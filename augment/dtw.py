"""Dynamic time warping (DTW) of many pairs of windows at once.

Symmetric steps in a Sakoe-Chiba band, as in uchidalab/time_series_augmentation: a path goes from the first samples of two
windows to the last, by one sample in either or in both, and never further than the band from the diagonal. It costs the sum of
the Euclidean distances, over all channels, between the samples that it joins. shapeDTW compares the neighbourhoods of samples
instead (Zhao and Itti, Pattern Recognition 74, 2018).

All pairs go together from one anti-diagonal of the band to the next. Every number comes from elementwise operations in a fixed
order, in float32 whatever the signals are: no other pair of the batch can change a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

_BYTES = {"cpu": 2**25, "cuda": 2**30}
"""Costs that are held at once: on a CPU what its cache may keep; a GPU has the room, and is slow to start each operation."""
_ROWS = 16
"""Samples of the first window whose costs are worked on together, so that they stay in a CPU's nearest cache."""


def band(time: int) -> int:
    """The usual width of the band, a tenth of the window, rounded up."""
    return -(-time // 10)


def neighbourhood(time: int) -> int:
    """Samples of a shapeDTW descriptor, a twentieth of the window from 5 to 100, as in uchidalab/time_series_augmentation."""
    return min(max(round(time * 0.05), 5), 100)


def distances(windows: Sequence[Tensor], pairs: Sequence[tuple[int, int]], shape: bool = False) -> Tensor:
    """What the best paths cost between windows that are given as n times (batch, channel, time).

    Args:
        pairs: which of the n are compared.
        shape: by shapeDTW.

    Returns:
        (batch, n, n), symmetric, 0 for what is not compared.
    """
    grid = _Grid.of(windows[0], shape)
    parts = []
    for group in zip(*(window.split(grid.at_once(window, len(pairs))) for window in windows), strict=True):
        rows = [_pairs_last(window) for window in group]
        first, second = (torch.cat([rows[number] for number in side], 2) for side in zip(*pairs, strict=True))
        parts.append(grid.accumulate(grid.costs(first, second))[grid.last].unflatten(0, (len(pairs), -1)))
    found = pad(torch.cat(parts, 1).T, (0, 1))
    place = torch.full((len(windows), len(windows)), len(pairs))
    for number, (i, j) in enumerate(pairs):
        place[i, j] = place[j, i] = number
    return found[:, place.to(found.device)]


def align(first: Tensor, second: Tensor, shape: bool = False) -> Paths:
    """The best paths between windows (batch, channel, time) and others, one each.

    Of ways that cost the same, a path has come by a step in both windows rather than in one, and then in the first.

    Args:
        shape: by shapeDTW.
    """
    grid = _Grid.of(first, shape)
    size = grid.at_once(first, 1)
    costs, cells = [], []
    for one, other in zip(first.split(size), second.split(size), strict=True):
        ways = grid.accumulate(grid.costs(_pairs_last(one), _pairs_last(other)))
        costs.append(ways[grid.last])
        cells.append(grid.trace(ways))
    i, j = grid.samples(torch.cat(cells, 1).T.contiguous())
    return Paths(i, j, torch.cat(costs))


@dataclass(frozen=True)
class Paths:
    """A path for each pair of windows.

    Attributes:
        first, second: (batch, 2 * time - 1) int64, the samples that it joins, from the end to the start. Paths differ in length:
            the start is repeated.
        cost: (batch,) of the whole path; 0 where a window meets itself.
    """

    first: Tensor
    second: Tensor
    cost: Tensor

    @property
    def time(self) -> int:
        """Samples of a window."""
        return self.first.shape[1] // 2 + 1

    @cached_property
    def steps(self) -> Tensor:
        """(batch, 1) int64 how many steps it takes."""
        return ((self.first + self.second) > 0).sum(1, keepdim=True)

    def at(self, where: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Positions in the first and in the second window, (batch, n) float32, when the path is walked at an even speed.

        Args:
            where: (1 or batch, n) moments of the walk, which takes as long as a window of `time` samples.
            time: samples of a window at the rate that `where` and the positions are meant at.
        """
        # Whole numbers come out whole: a window that is aligned with itself is then read at its own samples.
        back = self.steps * (time - 1 - where) / max(time - 1, 1)
        low = back.long()
        high = (low + 1).clamp_max(2 * self.time - 2)
        scale = (time - 1) / max(self.time - 1, 1)
        first, second = (
            torch.lerp(side.gather(1, low).float(), side.gather(1, high).float(), back - low).mul_(scale)
            for side in (self.first, self.second)
        )
        return first, second

    def joined(self) -> tuple[Tensor, Tensor]:
        """(batch, time) the lowest and the highest sample of the second window that each sample of the first is joined to."""
        lowest, highest = (
            torch.zeros_like(self.first[:, : self.time]).scatter_reduce(1, self.first, self.second, way, include_self=False)
            for way in ("amin", "amax")
        )
        return lowest, highest


@dataclass(frozen=True)
class _Grid:
    """The cells (i, j) of a band, |i - j| <= width, for all pairs in one tensor (address, pair).

    A cell's address is origin + (width + 2) i + (width + 1) j. The three cells that a path may come from then lie at fixed
    distances before it, each anti-diagonal is one run of addresses, and one address stays free between two runs. Whatever a
    path may not touch is infinite, free addresses too.

    Attributes:
        extent: samples of a neighbourhood; 1 compares samples.
    """

    time: int
    width: int
    extent: int

    @classmethod
    def of(cls, windows: Tensor, shape: bool) -> _Grid:
        time = windows.shape[2]
        return cls(time, band(time), neighbourhood(time) if shape else 1)

    @property
    def down(self) -> int:
        """From (i, j) to (i + 1, j)."""
        return self.width + 2

    @property
    def right(self) -> int:
        """From (i, j) to (i, j + 1)."""
        return self.width + 1

    @property
    def both(self) -> int:
        """From (i, j) to (i + 1, j + 1)."""
        return self.down + self.right

    @property
    def origin(self) -> int:
        """The address of (0, 0): before it there is room for all that lies before the start."""
        return self.width * self.right + 2 * self.both

    @property
    def last(self) -> int:
        """The address of (time - 1, time - 1)."""
        return self.origin + (self.time - 1) * self.both

    @property
    def size(self) -> int:
        return self.last + self.extent * self.both + self.width * self.right

    def at_once(self, windows: Tensor, pairs: int) -> int:
        """How many windows, of so many pairs each, are worked on together: it changes memory and speed, and no number."""
        room = _BYTES["cpu" if windows.device.type == "cpu" else "cuda"]
        return max(1, room // (4 * self.size * pairs))

    def costs(self, first: Tensor, second: Tensor) -> Tensor:
        """(address, pair) distances between the samples, or the neighbourhoods, of windows (channel, time, pair)."""
        before = self.extent // 2
        first, second = (_held(window, before, self.extent - 1 - before) for window in (first, second))
        channels, time, pairs = first.shape
        offsets = 2 * self.width + 1
        # Before the start of the second window all is infinitely far.
        second = pad(second, (0, 0, self.width, self.width), value=-torch.inf)
        cells = first.new_full((self.size, pairs), torch.inf)
        # Both as (..., i, i - j, pair).
        strides = (self.both * pairs, self.right * pairs, 1)
        all_costs = cells.as_strided((time, offsets, pairs), strides, (self.origin - self.width * self.right) * pairs)
        near = second.as_strided((channels, time, offsets, pairs), (second.stride(0), pairs, pairs, 1))
        spare = first.new_empty((_ROWS, offsets, pairs))
        for start in range(0, time, _ROWS):
            rows = slice(start, start + _ROWS)
            total = all_costs[rows]
            apart = spare[: len(total)]
            torch.sub(first[0, rows, None], near[0, rows], out=total).square_()
            for channel in range(1, channels):
                torch.sub(first[channel, rows, None], near[channel, rows], out=apart)
                total.addcmul_(apart, apart)
        return self._along_diagonals(cells).sqrt_()

    def _along_diagonals(self, cells: Tensor) -> Tensor:
        """Each cell plus the `extent` - 1 that follow it by steps in both windows. Sums are doubled, and grow by one."""
        sums, done = cells, 1
        for bit in f"{self.extent:b}"[1:]:
            sums = sums[: -done * self.both] + sums[done * self.both :]
            done *= 2
            if bit == "1":
                sums = sums[: -self.both].add_(cells[done * self.both :])
                done += 1
        return sums

    def accumulate(self, cells: Tensor) -> Tensor:
        """Each cell plus the cheapest way to it, in place: (address, pair) costs of the best paths from the start."""
        pairs = cells.shape[1]
        best = cells.new_empty((self.width + 1, pairs))
        cells[self.origin - self.both] = 0  # where all paths come from

        def runs(start: int, length: int) -> Iterator[tuple[Tensor, ...]]:
            """The runs of every other anti-diagonal, and what lies one step before them."""
            form = (self.time, length, pairs), (self.both * pairs, pairs, 1)
            steps = (0, self.down, self.right, self.both)
            return zip(*(cells.as_strided(*form, (start - step) * pairs).unbind() for step in steps), strict=True)

        even, odd = 2 * (self.width // 2) + 1, 2 * ((self.width + 1) // 2)
        ways = best[:even], best[:odd]
        for two in zip(runs(self.origin - even // 2, even), runs(self.origin + self.right + 1 - odd // 2, odd), strict=True):
            for way, (cell, down, right, both) in zip(ways, two, strict=True):
                torch.minimum(down, right, out=way)
                torch.minimum(way, both, out=way)
                cell.add_(way)
        return cells

    def trace(self, ways: Tensor) -> Tensor:
        """(2 * time - 1, pair) int64 addresses of the best path, from its end; its start is repeated."""
        pairs = ways.shape[1]
        jumps = self._jumps(ways).flatten()
        path = torch.empty((2 * self.time - 1, pairs), dtype=torch.int32, device=ways.device)
        cells = path.unbind()
        torch.add(torch.arange(pairs, device=ways.device), self.last * pairs, out=cells[0])
        jump = torch.empty_like(cells[0])
        for cell, before in pairwise(cells):
            torch.index_select(jumps, 0, cell, out=jump)
            torch.sub(cell, jump, alpha=pairs, out=before)
        return path.div_(pairs, rounding_mode="floor").long()

    def _jumps(self, ways: Tensor) -> Tensor:
        """(address, pair) int32 how far back the cell lies that the best way comes from; 0 at the start."""
        jumps = torch.empty(ways.shape, dtype=torch.int32, device=ways.device)
        for start in range(self.origin, self.last + 1, _ROWS * self.both):
            stop = min(start + _ROWS * self.both, self.last + 1)
            down, right, both = (ways[start - step : stop - step] for step in (self.down, self.right, self.both))
            # both = down + right, and right = down - 1.
            less = jumps[start:stop].copy_(right < down).add_(self.right).mul_(torch.minimum(down, right) < both)
            less.neg_().add_(self.both)
        jumps[self.origin] = 0
        return jumps

    def samples(self, addresses: Tensor) -> tuple[Tensor, Tensor]:
        """The samples i and j of cells."""
        address = addresses - self.origin
        # Modulo 2 width + 3, width + 2 is the half of 1 and width + 1 that of -1: twice the address is i - j.
        apart = (2 * address + self.right).remainder(self.both) - self.right
        j = (address - self.down * apart).div_(self.both, rounding_mode="floor")
        return j + apart, j


def _held(window: Tensor, before: int, after: int) -> Tensor:
    """A window (channel, time, pair) whose first and last samples are held for longer."""
    if not before + after:
        return window
    return torch.cat([window[:, :1].expand(-1, before, -1), window, window[:, -1:].expand(-1, after, -1)], 1)


def _pairs_last(window: Tensor) -> Tensor:
    """(batch, channel, time) to (channel, time, batch), float32."""
    return window.detach().float().permute(1, 2, 0).contiguous()
