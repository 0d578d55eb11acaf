"""Attention erasing with a judge that is known to look somewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harkd.augment import Augmenter, Spec, parse
from harkd.augment.erasing import AttentionErasing, greatest
from harkd.errors import UsageError


class Energy:
    """Attends to the energy of the first sensor, in `moments` equal parts of a window."""

    def __init__(self, moments: int) -> None:
        self.moments = moments

    def probabilities(self, x):
        raise NotImplementedError

    def attention(self, x):
        return next(iter(x.values())).square().unflatten(2, (self.moments, -1)).sum((1, 3))


@pytest.mark.parametrize("moments", [16, 64])
@pytest.mark.parametrize("share", [0.125, 0.25, 0.5])
def test_the_burst_is_blanked(bench, moments, share):
    """A burst of that length in noise: exactly it is gone, in the slow sensor too."""
    windows = bench.windows((bench.acc, bench.ankle), 64)
    spec = replace(Spec.of(windows), judge=Energy(moments))
    length = int(share * 64)
    starts = torch.arange(0, 64 - length + 1, 4)
    fast = 0.01 * torch.randn(len(starts), 3, 64, generator=torch.Generator().manual_seed(0))
    for window, start in zip(fast, starts, strict=True):
        window[:, start : start + length] = 1.0
    op = AttentionErasing(share, fill="zero")
    params = bench.draw(op, spec, len(starts))
    moved = op.apply({"wrist_acc": fast, "ankle_acc": torch.ones(len(starts), 3, 32)}, params, spec)
    time = torch.arange(64)
    burst = ((time >= starts[:, None]) & (time < starts[:, None] + length))[:, None].expand_as(fast)
    assert torch.equal(moved["wrist_acc"], torch.where(burst, 0.0, fast))
    assert torch.equal(moved["ankle_acc"], 1 - burst[:, :, ::2].float())


def test_the_greatest_stretch_equals_a_search(bench):
    attention = torch.rand(200, 17, generator=torch.Generator().manual_seed(0))
    share = torch.rand(200, 1, generator=torch.Generator().manual_seed(1))
    for row, part, centre in zip(attention, share, greatest(attention, share), strict=True):
        width = min(max(int((part * 17).round()), 1), 17)
        sums = [float(row[i : i + width].sum()) for i in range(17 - width + 1)]
        assert float(centre) * 17 == pytest.approx(sums.index(max(sums)) + width / 2, abs=1e-4)


def test_a_stretch_at_the_end_stays_inside_the_window(bench):
    spec = replace(Spec.of(bench.windows()), judge=Energy(4))
    op = AttentionErasing(0.1, fill="zero")
    x = torch.ones(1, 3, 64)
    x[:, :, -1] = 9.0
    moved = op.apply({"wrist_acc": x}, bench.draw(op, spec, 1), spec)["wrist_acc"]
    assert int((moved == 0).sum()) == 3 * 6


def test_half_of_the_windows_are_erased_by_their_key(bench):
    windows = bench.windows(n=2000)
    spec = replace(Spec.of(windows), judge=Energy(8))
    clean = windows.gather(torch.arange(len(windows)))["wrist_acc"]
    moved = bench.augment("attention_erasing(0.2)", windows, spec=spec).x["wrist_acc"]
    changed = (moved != clean).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.5, abs=0.05)
    again = bench.augment("attention_erasing(0.2)", windows, draw=1, spec=spec).x["wrist_acc"]
    both = changed & (again != clean).flatten(1).any(1)
    assert torch.equal(moved[both], again[both])  # the place is the net's, not the draw's
    assert int((changed ^ (again != clean).flatten(1).any(1)).sum()) > 500


def test_without_a_judge_it_is_refused(bench):
    with pytest.raises(UsageError, match="AttentionErasing asks a trained net where it looks, and there is none here; use it"):
        Augmenter(parse("attention_erasing(0.2)"), bench.windows())
