"""A magnitude that follows a window's visits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Augmenter, Spec, parse
from harkd.errors import UsageError


def augmenter(windows, text: str, visits: int | None) -> Augmenter:
    return Augmenter(parse(text), windows, replace(Spec.of(windows), visits=visits))


@pytest.mark.parametrize(
    ("pace", "wanted"),
    [("linear", [0, 0.25, 0.5, 0.75, 1, 1]), ("root", [0, 0.5, 0.5**0.5, 0.75**0.5, 1, 1]), ("step", [0, 0, 1 / 3, 2 / 3, 1, 1])],
)
def test_magnitudes_by_visit(pace, wanted):
    grow = parse(f"grow(jitter(0.3), over=0.5, pace={pace})").ops[0]
    told = grow.magnitude(torch.tensor([0, 1, 2, 3, 4, 7]), 8)[:, 0]
    torch.testing.assert_close(told, torch.tensor(wanted, dtype=torch.float32))


def test_a_strategy_inside_is_weaker_by_the_magnitude(bench):
    windows = bench.windows()
    index = torch.arange(len(windows))
    growing = augmenter(windows, "grow(scaling(0.3)+shifting(0.5), over=1)", 10)
    assert all(torch.equal(x, windows.gather(index)[n]) for n, x in growing(index, index * 0).x.items())
    # At the end of the growth the ops are themselves, under the same keys.
    late, later = growing(index, index * 0 + 10), growing(index, index * 0 + 11)
    assert all(not torch.equal(late.x[n], later.x[n]) for n in late.x)


def test_the_noise_grows_as_it_says(bench):
    windows = bench.windows((bench.acc,), 128, n=200)
    index = torch.arange(len(windows))
    growing, spec = augmenter(windows, "grow(jitter(0.3, exact=true), over=1)", 10), Spec.of(windows)
    for visit in (2, 5, 10):
        noise = (growing(index, index * 0 + visit).x["wrist_acc"] - windows.gather(index)["wrist_acc"]) / spec.std(
            "wrist_acc", index.float()
        )
        assert float(noise.std()) == pytest.approx(0.03 * visit, rel=0.02)


def test_without_a_number_of_visits_it_is_refused(bench):
    with pytest.raises(UsageError, match=r"Spec.visits.*draws that come back \(--draws\) have no end"):
        augmenter(bench.windows(), "grow(jitter(0.3))", None)


@pytest.mark.parametrize("over", [0, -0.5, 1.5, float("nan")])
def test_over_is_a_share(over):
    with pytest.raises(UsageError, match="over is a share of the training"):
        replace(parse("grow(jitter(0.3))").ops[0], over=over)
