"""Channels in another order."""

from __future__ import annotations

from math import comb

import pytest
import torch
from scipy.stats import chisquare

from harkd.augment import Augmenter, Spec
from harkd.augment.channel import ChannelShuffle
from harkd.errors import UsageError


def test_channels_come_from_where_the_parameters_say(bench):
    spec = Spec.of(bench.windows((bench.eeg(4),)))
    x = {"cap": torch.arange(24.0).view(2, 4, 3)}
    source = torch.tensor([[2, 1, 0, 3], [0, 3, 1, 2]])
    moved = ChannelShuffle().apply(x, {"cap": source}, spec)["cap"]
    assert torch.equal(moved, torch.stack([x["cap"][0, source[0]], x["cap"][1, source[1]]]))


def test_channels_stay_in_their_sensor_and_none_is_lost(bench):
    windows = bench.windows((bench.acc, bench.eeg(6)))
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("channel_shuffle(1)", windows).x
    for name, signal in x.items():
        first = signal[:, :, 0].sort(1)
        again = moved[name][:, :, 0].sort(1)
        assert torch.equal(first.values, again.values)
        rows = torch.arange(len(windows))[:, None]
        assert torch.equal(signal[rows, first.indices], moved[name][rows, again.indices])


def test_all_orders_are_equally_likely_at_share_1(bench):
    spec = Spec.of(bench.windows((bench.acc,)))
    source = bench.draw(ChannelShuffle(1.0), spec, 6000)["wrist_acc"]
    orders = torch.unique(source, dim=0, return_counts=True)[1]
    assert len(orders) == 6
    assert chisquare(orders.numpy()).pvalue > 0.01


def test_how_many_channels_move_is_as_if_each_were_picked_with_probability_share(bench):
    """Of k picked channels one stays on average (k > 0): n share - (1 - (1 - share)^n) of n are expected to move."""
    spec = Spec.of(bench.windows((bench.eeg(8),)))
    source = bench.draw(ChannelShuffle(0.3), spec, 6000)["cap"]
    moved = (source != torch.arange(8)).sum(1)
    assert not (moved == 1).any()
    assert abs(float(moved.double().mean()) - (8 * 0.3 - (1 - 0.7**8))) < 4 * float(moved.double().std()) / 6000**0.5
    # Nothing moves if k channels are picked and the k! orders give the one there was.
    still = sum(comb(8, k) * 0.3**k * 0.7 ** (8 - k) / torch.tensor(k + 1.0).lgamma().exp() for k in range(9))
    assert abs(float((moved == 0).double().mean()) - float(still)) < 4 * 0.5 / 6000**0.5


def test_it_assumes_the_layout():
    assert ChannelShuffle().assumes == {"layout"}


def test_sensors_with_one_channel_are_refused(bench):
    with pytest.raises(UsageError, match="permutes channels within a sensor; each of cap has only one"):
        Augmenter(ChannelShuffle(), bench.windows((bench.eeg(1),)))
