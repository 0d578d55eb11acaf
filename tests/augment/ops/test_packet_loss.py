"""Bursts of lost samples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.clock import PacketLoss
from harkd.augment.keys import white_noise
from harkd.errors import UsageError

N, TIME = 600, 512


def lost(bench, op, sensors=None):
    windows = bench.windows(sensors or (bench.acc,), TIME, n=12)
    return bench.draw(op, Spec.of(windows), N)["lost"]


def bursts(rows):
    """Lengths of the runs of True that neither begin nor end with the window."""
    edges = np.diff(rows.astype(int), axis=1)
    lengths = []
    for row in edges:
        begins, ends = np.flatnonzero(row == 1), np.flatnonzero(row == -1)
        ends = ends[ends > begins[0]] if len(begins) else ends[:0]
        lengths += (ends - begins[: len(ends)]).tolist()
    return np.array(lengths)


@pytest.mark.parametrize(("share", "burst"), [(0.1, 0.1), (0.3, 0.2), (0.5, 0.04)])
def test_share_of_losses_and_length_of_bursts(bench, share, burst):
    """At 50 Hz. The share has the standard error of a chain whose memory decays by 1 - enter - leave a sample."""
    rows = lost(bench, PacketLoss(share, burst))[0, TIME].numpy()
    leave = 1 / (burst * 50)
    memory = 1 - leave - leave * share / (1 - share)
    error = math.sqrt(share * (1 - share) * (1 + memory) / (1 - memory) / rows.size)
    assert abs(rows.mean() - share) < 4 * error
    assert abs(rows[:, 0].mean() - share) < 4 * math.sqrt(share * (1 - share) / N)  # in equilibrium from the first sample on
    lengths = bursts(rows)
    assert abs(lengths.mean() - burst * 50) < 4 * lengths.std() / math.sqrt(len(lengths)) + 0.03 * burst * 50
    # Geometric, as the time that a chain stays in a state is.
    stays = np.mean(lengths > 1)
    assert abs(stays - (1 - leave)) < 4 * math.sqrt(0.25 / len(lengths))


def test_a_burst_shorter_than_chance_is_chance(bench):
    rows = lost(bench, PacketLoss(0.3, 1e-3))[0, TIME].double()
    assert abs(float(rows.mean()) - 0.3) < 4 * (0.21 / rows.numel()) ** 0.5
    followed = torch.corrcoef(torch.stack([rows[:, 1:].flatten(), rows[:, :-1].flatten()]))[0, 1]
    assert abs(float(followed)) < 4 / rows.numel() ** 0.5


def test_the_chain_step_by_step(bench):
    """The associative form against the loop over time, from the same numbers."""
    op, words = PacketLoss(0.3, 0.1), torch.arange(40) * 7919**4
    z = white_noise(words, 200).double()
    u = torch.special.ndtr(z)
    share, leave = 0.3, 0.2
    enter = leave * share / (1 - share)
    state = u[:, 0] < share
    chain = [state]
    for t in range(1, 200):
        state = torch.where(state, u[:, t] < 1 - leave, u[:, t] < enter)
        chain.append(state)
    found = op._chain(words, torch.full((40, 1), 0.3), 200, 50.0)
    assert torch.equal(found, torch.stack(chain, 1))


def test_a_device_loses_the_same_instants_in_all_sensors(bench):
    slow = replace(bench.gyro, rate=25.0)
    drawn = lost(bench, PacketLoss(0.3), (bench.acc, slow, bench.ankle))
    assert set(drawn) == {(0, TIME), (0, TIME // 2), (1, TIME // 2)}
    assert torch.equal(drawn[0, TIME][:, ::2], drawn[0, TIME // 2])
    assert abs(float(torch.corrcoef(torch.stack([drawn[0, 256].flatten(), drawn[1, 256].flatten()]).double())[0, 1])) < 0.05


@pytest.mark.parametrize(
    ("gaps", "hold", "linear"),
    [
        ("..xx..", [0, 1, 1, 1, 16, 25], [0, 1, 6, 11, 16, 25]),
        ("x.x.x.", [1, 1, 1, 9, 9, 25], [1, 1, 5, 9, 17, 25]),
        ("xx....", [4, 4, 4, 9, 16, 25], [4, 4, 4, 9, 16, 25]),
        ("...xxx", [0, 1, 4, 4, 4, 4], [0, 1, 4, 4, 4, 4]),
        ("xxx.xx", [9, 9, 9, 9, 9, 9], [9, 9, 9, 9, 9, 9]),
        ("xxxxxx", [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        ("......", [0, 1, 4, 9, 16, 25], [0, 1, 4, 9, 16, 25]),
    ],
)
def test_gaps_are_filled(bench, gaps, hold, linear):
    spec = Spec.of(bench.windows((bench.acc,), 6))
    x = {"wrist_acc": torch.tensor([0.0, 1.0, 4.0, 9.0, 16.0, 25.0]).expand(2, 3, 6)}
    drawn = {"lost": {(0, 6): torch.tensor([[mark == "x" for mark in gaps]]).expand(2, 6)}}
    for fill, wanted in (("hold", hold), ("linear", linear)):
        moved = PacketLoss(fill=fill).apply(x, drawn, spec)["wrist_acc"]
        torch.testing.assert_close(moved, torch.tensor(wanted).float().expand(2, 3, 6))


@pytest.mark.parametrize("burst", [0.0, -1.0, float("inf"), float("nan")])
def test_a_burst_that_means_nothing_is_refused(burst):
    with pytest.raises(UsageError, match=f"PacketLoss: burst is a positive number of seconds; got {burst}"):
        PacketLoss(burst=burst)
