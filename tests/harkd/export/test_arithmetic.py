"""The integer arithmetic of devices, against worked values and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from harkd.export.arithmetic import multiplier, rescaled


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (1.0, (1 << 30, 1)),
        (0.5, (1 << 30, 0)),
        (0.75, (3 << 29, 0)),
        (3.0, (3 << 29, 2)),
        (2.0**-10, (1 << 30, -9)),
        (1 - 2.0**-40, (1 << 30, 1)),
    ],
)
def test_multipliers(scale: float, expected: tuple[int, int]) -> None:
    """The last one would round up to 2**31, which has no place in 32 bits."""
    assert multiplier(scale) == expected


def test_multipliers_are_near_what_they_stand_for() -> None:
    for scale in np.random.default_rng(0).lognormal(-5, 3, 200).tolist():
        m, shift = multiplier(scale)
        assert 1 << 30 <= m < 1 << 31
        assert abs(Fraction(m, 1 << 31) * Fraction(2) ** shift / Fraction(scale) - 1) <= Fraction(1, 1 << 31)


def away(value: Fraction) -> int:
    """Rounded to the nearest whole number, halves away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def test_sums_are_rounded_twice() -> None:
    """First the product with m / 2**31, halves upwards (gemmlowp); then the shift, halves away from zero."""
    rng = np.random.default_rng(1)
    for _ in range(500):
        total, m, shift = int(rng.integers(-(1 << 24), 1 << 24)), int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(-12, 2))
        first = Fraction(total * 2 ** max(shift, 0) * m, 1 << 31)
        inner = int((first + Fraction(1, 2)).__floor__())
        expected = away(Fraction(inner, 2 ** max(-shift, 0)))
        found = rescaled(torch.tensor([total]), torch.tensor([m]), torch.tensor([shift]))
        assert found.tolist() == [expected], (total, m, shift)


def test_rounding_twice_differs_from_rounding_once() -> None:
    """0.4999 of 1: the product 1 * 0.9998 rounds to 1, and half of that to 1; rounded once it is 0. And 0.2 of 7: the product
    7 * 0.8 rounds to 6, and a quarter of that to 2; rounded once it is 1."""
    m, shift = multiplier(0.4999)
    assert shift == -1
    assert rescaled(torch.tensor([1]), torch.tensor([m]), torch.tensor([shift])).tolist() == [1]
    m, shift = multiplier(0.2)
    assert rescaled(torch.tensor([5, -5, 7, -7]), torch.tensor([m]), torch.tensor([shift])).tolist() == [1, -1, 2, -2]
