"""Channels that are missing."""

from __future__ import annotations

import pytest
import torch

from harkd.augment import Spec
from harkd.augment.channel import ChannelDropout


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_what_is_dropped_is_filled_and_the_rest_stays(bench, fill):
    windows = bench.windows((bench.acc,))
    spec, x = Spec.of(windows), windows.gather(torch.arange(2))
    gone = {"wrist_acc": torch.tensor([[True, False, True], [False, False, False]])}
    moved = ChannelDropout(fill=fill).apply(x, gone, spec)["wrist_acc"]
    wanted = spec.statistics.mean["wrist_acc"] if fill == "mean" else torch.zeros(3)
    assert torch.equal(moved[0, [0, 2]], wanted[[0, 2], None].expand(2, 64))
    assert torch.equal(moved[0, 1], x["wrist_acc"][0, 1])
    assert torch.equal(moved[1], x["wrist_acc"][1])


def test_each_channel_goes_with_probability_share_and_on_its_own(bench):
    spec = Spec.of(bench.windows((bench.acc, bench.eeg(5))))
    drawn = bench.draw(ChannelDropout(0.3), spec, 6000)
    gone = torch.cat([drawn["wrist_acc"], drawn["cap"]], 1).double()
    assert (gone.mean(0) - 0.3).abs().max() < 4 * (0.3 * 0.7 / 6000) ** 0.5
    assert torch.corrcoef(gone.T).fill_diagonal_(0).abs().max() < 4 / 6000**0.5


def test_all_channels_go_at_share_1(bench):
    x = bench.augment("channel_dropout(1, fill=zero)", bench.windows()).x
    assert all(not signal.any() for signal in x.values())
