"""The random words: known answers, and the statistics of everything that is made of them."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtri
from torch import Tensor

from harkd.augment import keys

BATCH = 2**16
P = 0.001
"""Smallest p-value that passes: the generator is fixed, so a test that passes once always does."""


def window_words(ids: Tensor, draw: int | Tensor = 0, seed: int = 0, position: int = 0, strategy: int = 7) -> Tensor:
    draws = torch.full_like(ids, draw) if isinstance(draw, int) else draw
    return keys.bits(keys.window_keys(seed, strategy, position + 1, ids, draws)[:, position], 1)[:, 0]


def content_ids(n: int, step: int = 64) -> Tensor:
    """Ids as Windows.cut makes them: a hash and a multiple of an odd number."""
    return keys.stream("recording") // 2 + torch.arange(n) * step * keys.signed(keys.GOLDEN)


@lru_cache
def along(axis: str) -> Tensor:
    """Words that differ in one part of the key only."""
    one = torch.tensor([123456789])
    if axis == "window":
        return window_words(torch.arange(BATCH))
    if axis == "content id":
        return window_words(content_ids(BATCH))
    if axis == "draw":
        return window_words(one.expand(BATCH), torch.arange(BATCH))
    if axis == "op":
        return keys.mix(keys.window_keys(0, 7, 2**13, one, torch.zeros_like(one))[0])
    if axis == "seed":
        return torch.cat([window_words(one, seed=seed) for seed in range(2**12)])
    if axis == "strategy":
        return torch.cat([window_words(one, strategy=strategy) for strategy in range(2**12)])
    assert axis == "slot"
    return keys.bits(one, BATCH)[0]


AXES = ["window", "content id", "draw", "op", "seed", "strategy", "slot"]


def chi2_p(counts: Tensor | np.ndarray) -> float:
    return float(stats.chisquare(np.asarray(counts)).pvalue)


def pair_p(a: Tensor, b: Tensor) -> float:
    """Independence of two sequences of words, by their upper four bits."""
    cells = ((a >> 60) & 15) * 16 + ((b >> 60) & 15)
    return chi2_p(torch.bincount(cells, minlength=256))


# Known answers


def test_splitmix_known_answers():
    words = keys.bits(torch.tensor(1234567), 3)
    assert [int(word) % 2**64 for word in words] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("mix", [keys.mix, keys._mix_tensor], ids=["on the CPU", "on other devices"])
def test_mix_on_tensors_and_on_ints_agree(mix):
    rng = random.Random(0)
    numbers = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, *(rng.getrandbits(64) for _ in range(500))]
    mixed = mix(torch.tensor([keys.signed(z) for z in numbers]))
    assert mixed.tolist() == [keys.signed(keys.mix_int(z)) for z in numbers]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 1, -1), (2**64 + 3, 3), (-1, -1), (-(2**63) - 1, 2**63 - 1)],
)
def test_signed_keeps_the_64_bits(value, expected):
    assert keys.signed(value) == expected
    assert keys.signed(value) % 2**64 == value % 2**64


def test_stream_tells_parts_and_their_order_apart():
    parts = [
        (),
        (0,),
        (1,),
        (0, 0),
        (0, 1),
        (1, 0),
        ("a",),
        ("a", "b"),
        ("ab",),
        ("b", "a"),
        ("1",),
        (-1,),
        ("", "ab"),
        ("ab", ""),
    ]
    streams = {keys.stream(*part) for part in parts}
    assert len(streams) == len(parts)
    assert all(0 <= s < 2**64 for s in streams)
    assert len({keys.stream(a, b, c) for a in range(16) for b in range(16) for c in ("x", "y", "z")}) == 16 * 16 * 3


def test_text_bits_is_blake2b():
    digest = hashlib.blake2b(b"jitter(0.05)", digest_size=8).digest()
    assert keys.text_bits("jitter(0.05)") == int.from_bytes(digest, "little")


def test_uniform_is_an_exact_grid_of_24_bits():
    u = keys.uniform(keys.bits(torch.tensor(1), 2**18))
    assert u.dtype == torch.float32
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    steps = u.double() * 2**24
    assert torch.equal(steps, steps.round())
    assert int((steps % 2).sum()) > 2**16  # the last bit is used as well
    assert keys.uniform(torch.tensor([0, -1, 2**40])).tolist() == [0.0, 1 - 2.0**-24, 2.0**-24]


def test_normal_table_holds_the_quantiles():
    table = keys.normal(torch.arange(2**16) << 48)
    assert table.dtype == torch.float32
    np.testing.assert_allclose(table, stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16), atol=1e-6)
    assert torch.equal(table, -table.flip(0))
    assert float(table.double().std()) == pytest.approx(1.0, abs=5e-4)
    assert float(table.max()) == pytest.approx(4.3245, abs=1e-3)


def test_normals_are_normal():
    z = keys.normal(keys.bits(torch.tensor(3), 2**18)).double()
    assert float(z.std()) == pytest.approx(1.0, abs=0.005)
    assert float(z.mean()) == pytest.approx(0.0, abs=4 / 2**9)
    assert stats.kstest(z, "norm").pvalue > P


@pytest.mark.parametrize("n", [1, 2, 7, 12, 1000])
def test_below_is_uniform(n):
    numbers = keys.below(keys.bits(torch.tensor(5), 2**17), n)
    counts = torch.bincount(numbers, minlength=n)
    assert len(counts) == n
    assert n == 1 or chi2_p(counts) > P


def test_below_takes_a_limit_per_word():
    words = keys.bits(torch.tensor(6), 6000)
    limits = torch.arange(6000) % 9 + 1
    numbers = keys.below(words, limits)
    assert bool(((numbers >= 0) & (numbers < limits)).all())
    assert torch.equal(numbers, torch.stack([keys.below(w, int(n)) for w, n in zip(words, limits, strict=True)]))


def test_below_of_negative_words_is_not_negative():
    assert keys.below(torch.tensor([-1, -(2**63), 2**63 - 1]), 10**6).tolist() == [(2**43 - 1) % 10**6, 0, (2**43 - 1) % 10**6]


# Statistics along each part of the key


@pytest.mark.parametrize("axis", AXES)
def test_words_are_uniform_along(axis):
    words = along(axis)
    u = keys.uniform(words)
    assert chi2_p(torch.bincount((u * 256).long(), minlength=256)) > P
    assert stats.kstest(u.double(), "uniform").pvalue > P
    assert chi2_p(torch.bincount(words & 255, minlength=256)) > P  # the lowest bits too


@pytest.mark.parametrize("axis", AXES)
def test_successive_words_are_independent_along(axis):
    words = along(axis)
    assert pair_p(words[::2], words[1::2]) > P
    assert pair_p(words[:-1:2].flip(0), words[1::2]) > P


NEIGHBOURS = {
    "the next window": lambda i: (window_words(i), window_words(i + 1)),
    "the next content id": lambda i: (
        window_words(content_ids(BATCH)),
        window_words(content_ids(BATCH) + keys.signed(keys.GOLDEN)),
    ),
    "the next op": lambda i: (window_words(i, position=0), window_words(i, position=1)),
    "the next draw": lambda i: (window_words(i, 3), window_words(i, 4)),
    "the next seed": lambda i: (window_words(i, seed=3), window_words(i, seed=4)),
    "the next window, the draw before": lambda i: (window_words(i, 4), window_words(i + 1, 3)),
    "the next seed, the op before": lambda i: (window_words(i, seed=3, position=2), window_words(i, seed=4, position=1)),
    "the next strategy, the op before": lambda i: (
        window_words(i, strategy=3, position=2),
        window_words(i, strategy=4, position=1),
    ),
    "seed and strategy exchanged": lambda i: (window_words(i, seed=3, strategy=4), window_words(i, seed=4, strategy=3)),
    "op and draw exchanged": lambda i: (window_words(i, 1, position=2), window_words(i, 2, position=1)),
    "seed and draw exchanged": lambda i: (window_words(i, 1, seed=2), window_words(i, 2, seed=1)),
    "window and draw exchanged": lambda i: (window_words(i, i + 1), window_words(i + 1, i)),
}


@pytest.mark.parametrize("pair", NEIGHBOURS)
def test_neighbours_in_the_key_are_independent(pair):
    a, b = NEIGHBOURS[pair](torch.arange(BATCH))
    assert not bool((a == b).any())
    assert pair_p(a, b) > P


def test_a_flipped_bit_of_the_id_or_the_draw_flips_half_of_the_word():
    ids = content_ids(3000)
    draws = torch.arange(3000) % 50
    words = window_words(ids, draws)

    def share(changed: Tensor) -> float:
        flipped = changed ^ words
        return sum(int(((flipped >> bit) & 1).sum()) for bit in range(64)) / (64 * len(words))

    of_ids = [share(window_words(ids ^ keys.signed(1 << bit), draws)) for bit in range(64)]
    of_draws = [share(window_words(ids, draws ^ keys.signed(1 << bit))) for bit in range(64)]
    assert 0.49 < min(of_ids) <= max(of_ids) < 0.51
    assert 0.49 < min(of_draws) <= max(of_draws) < 0.51


def test_p_values_over_300_seeds_are_uniform():
    ids = torch.arange(8192)
    p_values = [chi2_p(torch.bincount((window_words(ids, seed=seed) >> 56) & 255, minlength=256)) for seed in range(1000, 1300)]
    assert stats.kstest(p_values, "uniform").pvalue > P


def test_keys_do_not_collide():
    ids = torch.arange(BATCH)
    found = torch.cat([keys.window_keys(0, 7, 4, ids, torch.full_like(ids, draw)).flatten() for draw in range(8)])
    assert len(torch.unique(found)) == 4 * 8 * BATCH


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_keys_do_not_depend_on_the_batch(size):
    ids, draws = content_ids(1000), torch.arange(1000) % 11
    whole = keys.window_keys(5, 9, 3, ids, draws)
    order = torch.argsort(keys.mix(ids))
    shuffled = torch.cat(
        [keys.window_keys(5, 9, 3, i, d) for i, d in zip(ids[order].split(size), draws[order].split(size), strict=True)]
    )
    assert torch.equal(shuffled, whole[order])


def test_more_positions_leave_the_first_ones_alone():
    ids = torch.arange(100)
    few, many = (keys.window_keys(1, 2, positions, ids, ids) for positions in (2, 5))
    assert torch.equal(few, many[:, :2])
    assert keys.window_keys(1, 2, 0, ids, ids).shape == (100, 0)


# White noise

L = 768
NOISE = {"bank": keys.white_noise, "exact": keys.exact_noise}


@pytest.fixture(scope="module", params=NOISE)
def rows(request) -> Tensor:
    """(1024, 768) noise for 1024 windows."""
    return NOISE[request.param](window_words(torch.arange(1024)), L)


def test_noise_is_standard_normal(rows):
    values = rows.double().flatten()
    assert float(values.std()) == pytest.approx(1.0, abs=0.003)
    assert float(values.mean()) == pytest.approx(0.0, abs=0.005)
    assert stats.kstest(values, "norm").pvalue > P
    assert 4.2 < float(values.abs().max()) < 6


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 128])
def test_noise_is_white(rows, lag):
    products = rows[:, lag:] * rows[:, :-lag]
    assert abs(float(products.mean())) * products.numel() ** 0.5 < 4


def test_noise_of_two_windows_is_not_correlated(rows):
    x = rows[:512].double()
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    correlation = (x @ x.T / L).fill_diagonal_(0)
    # Two of 512 windows start at the same place of the bank in 3 % of all cases: such a pair may occur, a second may not.
    z = correlation.abs().triu().flatten().topk(2).values * L**0.5
    # Of 130,816 independent correlations the largest are 4 to 5.3 standard errors.
    assert 4 < float(z[1]) < 6


def test_offsets_in_the_bank_are_uniform():
    offsets = keys.below(window_words(torch.arange(BATCH)), 2**keys.NOISE_BITS)
    assert chi2_p(torch.bincount(offsets >> 14, minlength=256)) > P
    # 2**16 windows make 2**31 pairs, of which one in 2**22 is equal.
    equal = int((torch.bincount(offsets) * (torch.bincount(offsets) - 1)).sum()) / 2
    assert abs(equal - 512) < 4 * 512**0.5


def test_bank_signs_balance():
    words = window_words(torch.arange(2**14))
    sign = 1 - 2 * (words & 1)
    assert abs(float(sign.float().mean())) < 4 / 2**7
    both = words[:2] & ~1
    assert torch.equal(keys.white_noise(both | 1, 50), -keys.white_noise(both, 50))


def test_bank_known_answer():
    """Sample k of the bank is the normal quantile of the k-th word of its own stream."""
    word = torch.tensor([12345 << 20])  # offset 12345, sign +
    row = keys.white_noise(word, 4)[0]
    seed = keys.stream("noise bank")
    mixed = [keys.mix_int(seed + (12345 + k) * keys.GOLDEN) for k in range(1, 5)]
    np.testing.assert_allclose(row, ndtri([((z >> 11) + 0.5) / 2**53 for z in mixed]), rtol=1e-6)


@pytest.mark.parametrize("longer", [11, 768, 70_000])
def test_a_longer_row_begins_like_a_short_one(longer):
    words = window_words(torch.arange(3))
    assert torch.equal(keys.white_noise(words, longer)[:, :10], keys.white_noise(words, 10))
    assert torch.equal(keys.exact_noise(words, longer)[:, :10], keys.exact_noise(words, 10))


def test_the_last_row_of_the_bank_is_whole():
    last = torch.tensor([(2**keys.NOISE_BITS - 1) << 20])
    for length in (1, 65_535, 65_536, 70_000):
        row = keys.white_noise(last, length)
        assert row.shape == (1, length)
        assert float(row.abs().max()) > 0


# Across processes

SCRIPT = """
import hashlib, runpy, sys
import torch
from harkd.augment import Augmenter, parse
windows = runpy.run_path(sys.argv[1])["build_windows"]()
index = torch.arange(len(windows))
strategy = "removal(0.5)+jitter(0.05)+one_of(rotate(90), time_warp(0.2))+magnitude_warp(0.2)+shifting(0.5, p=0.5)|mixup(0.4)"
augmenter = Augmenter(parse(strategy), windows, seed=3)
digest = hashlib.sha256(augmenter.draw_words(windows.ids, index).numpy().tobytes())
batch = augmenter(index, index)
for tensor in [*batch.x.values(), *batch.targets.values()]:
    digest.update(tensor.contiguous().numpy().tobytes())
found = digest.hexdigest()
"""


def test_two_processes_make_the_same_windows():
    conftest, here = str(Path(__file__).with_name("conftest.py")), {"__name__": "here"}
    argv, sys.argv = sys.argv, ["-c", conftest]
    try:
        exec(SCRIPT, here)
    finally:
        sys.argv = argv
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT + "print(found)", conftest],
        env=os.environ | {"PYTHONHASHSEED": "4321", "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == here["found"]
