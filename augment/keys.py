"""Counter-based randomness: a window becomes what (seed, strategy, op, window id, draw) make of it, and nothing else.

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) on int64 tensors. Integer
products wrap, so every device, batch size and batch order gives the same bits.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_TABLE_BITS = 16
NOISE_BITS = 22
"""Rows of the noise bank start at 2**22 places: with fewer, overlaps in one batch become visible in its statistics."""
_SPARE = 2**16  # samples beyond the last place: rows up to this length share one bank


def signed(value: int) -> int:
    """The int64 with the same 64 bits as `value` (modulo 2**64): what tensors hold, and what they may be multiplied by.

    >>> signed(2**64 - 1), signed(5)
    (-1, 5)
    """
    value &= _MASK
    return value - 2**64 if value >= 2**63 else value


def mix(z: Tensor) -> Tensor:
    """The SplitMix64 finaliser, elementwise on int64."""
    if z.device.type == "cpu":
        # NumPy has unsigned numbers and starts an operation sooner: it takes a half to a quarter of the time.
        return torch.from_numpy(_mix_array(z.numpy().view(np.uint64)).view(np.int64))
    return _mix_tensor(z)


def _mix_tensor(z: Tensor) -> Tensor:
    # The masks make the arithmetic shifts logical ones.
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * signed(_M1)
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * signed(_M2)
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def _mix_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = np.asarray(z ^ (z >> 30))
    z *= _M1
    z ^= z >> 27
    z *= _M2
    z ^= z >> 31
    return z


def mix_int(z: int) -> int:
    """`mix` on a Python int; the scalars of a key are mixed so, which saves tensor calls."""
    z &= _MASK
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def text_bits(text: str) -> int:
    """A 64-bit hash of a text, equal in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def stream(*parts: int | str) -> int:
    """A 64-bit number from names and counters: equal parts give equal streams, any change gives another.

    >>> stream(0, "student", 7) == stream(0, "student", 7) != stream(0, "student", 8)
    True
    """
    state = 0
    for part in parts:
        number = part if isinstance(part, int) else text_bits(part)
        state = mix_int(state + GOLDEN ^ mix_int(number))
    return state


def bits(key: Tensor, n: int) -> Tensor:
    """(..., n) random int64 for keys (...,): the first n outputs of SplitMix64 seeded with the key."""
    steps = torch.arange(1, n + 1, device=key.device, dtype=torch.int64) * signed(GOLDEN)
    return mix(key[..., None] + steps)


def uniform(words: Tensor) -> Tensor:
    """Random words to float32 in [0, 1): 24 bits, exact."""
    return (words >> 40).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)


def normal(words: Tensor) -> Tensor:
    """Random words to float32 standard normals, by a table of 65,536 quantiles.

    Calls no transcendental function, so it is equal on all devices. The largest possible |z| is 4.32.
    """
    return _normals(words.device)[table_index(words)]


def table_index(words: Tensor) -> Tensor:
    """Random words to positions in a table of 65,536 quantiles."""
    return (words >> (64 - _TABLE_BITS)).bitwise_and_(2**_TABLE_BITS - 1)


def below(words: Tensor, n: int | Tensor) -> Tensor:
    """Random words to int64 in [0, n). The bias is below n / 2**43."""
    return ((words >> 20) & (2**43 - 1)) % n


def distinct(words: Tensor, n: Tensor) -> Tensor:
    """Random words (batch, k) to int64 in [0, n), for n (batch, 1), that differ in each row.

    Where k is larger than n, the first n differ and the others are any.
    """
    drawn: list[Tensor] = []
    for k in range(words.shape[1]):
        left = n - k
        place = below(words[:, k : k + 1], torch.where(left > 0, left, n.clamp_min(1)))
        # Among those that are left: step over the places that are taken, in ascending order.
        for taken in torch.cat(drawn, 1).sort(1).values.split(1, 1) if drawn else ():
            place = torch.where(left > 0, place + (place >= taken), place)
        drawn.append(place)
    return torch.cat(drawn, 1)


@lru_cache
def midpoints() -> Tensor:
    """(65536,) the probabilities whose quantiles fill a table."""
    size = 2**_TABLE_BITS
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


@lru_cache
def _normals(device: torch.device) -> Tensor:
    return torch.special.ndtri(midpoints()).float().to(device)


@lru_cache
def _noise(device: torch.device, spare: int) -> Tensor:
    """(2, 2**22 + spare) standard normals and their negatives, the same numbers on every device and for every `spare`."""
    words = bits(torch.tensor(signed(stream("noise bank"))), 2**NOISE_BITS + spare)
    fraction = (((words >> 11) & (2**53 - 1)).double() + 0.5) * 2.0**-53
    normals = torch.special.ndtri(fraction).float()
    return torch.stack([normals, -normals]).to(device)


def white_noise(words: Tensor, row: int) -> Tensor:
    """(batch, row) standard normals for random words (batch,): a row of the noise bank and a sign.

    The bank is read at a random offset, which is several times faster than drawing. Two windows of a batch of 256 may
    share part of a row (9 % do); their other parameters differ. `exact_noise` is the reference.
    """
    # The length is rounded up, so that few banks are ever built.
    bank = _noise(words.device, max(_SPARE, 1 << row.bit_length()))
    # Overlapping rows of one line are a view, so a batch of rows is one copy; their negatives stand behind them.
    start = below(words, 2**NOISE_BITS) + (words & 1) * bank.shape[1]
    return bank.view(-1).unfold(0, row, 1).index_select(0, start)


def exact_noise(words: Tensor, row: int) -> Tensor:
    """(batch, row) standard normals for random words (batch,), each drawn from its own counter: slow, nothing shared."""
    return normal(bits(words, row))


def window_keys(seed: int, strategy: int, positions: int, ids: Tensor, draw: Tensor) -> Tensor:
    """(batch, positions) keys, one for each op position of a strategy.

    Args:
        strategy: 64-bit hash of what the strategy does (`Augmenter.hash`).
        positions: number of ops and choices in the strategy.
        ids: (batch,) content ids of the windows.
        draw: (batch,) draw numbers.
    """
    per_window = mix(ids ^ mix(draw * signed(GOLDEN) + signed(_M2)))
    return mix(per_window[:, None] ^ _scalars(seed, strategy, positions, ids.device))


@lru_cache(maxsize=256)
def _scalars(seed: int, strategy: int, positions: int, device: torch.device) -> Tensor:
    """(positions,) what all windows' keys share."""
    numbers = [signed(stream(seed, strategy, position)) for position in range(positions)]
    return torch.tensor(numbers, dtype=torch.int64, device=device)
