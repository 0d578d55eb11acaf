"""Trials put together from pieces of trials of the same class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment.eeg import SegmentationReconstruction, divisor
from harkd.errors import UsageError


@pytest.mark.parametrize(
    ("length", "pieces"), [(1, 1), (7, 1), (12, 3), (64, 8), (101, 1), (128, 8), (512, 16), (513, 19), (640, 20)]
)
def test_the_number_of_pieces_is_a_divisor(length, pieces):
    assert divisor(length) == pieces


def numbered(sensor, total, label):
    """Every sample says of which class it is, and when it was: no two windows of a recording are alike."""
    return np.tile(1000.0 * label + np.arange(total), (len(sensor.channels), 1))


def sources(windows, batch, sensor):
    """(window, sample): which window each sample comes from."""
    signals = windows.gather(torch.arange(len(windows)))[sensor]
    same = (batch.x[sensor][:, None] == signals).all(2)
    assert bool(same.any(1).all()), "a sample that no window has at that moment"
    return same.long().argmax(1)


def test_pieces_come_from_few_windows_of_the_class_and_keep_their_places(bench):
    windows = bench.windows((bench.eeg(3),), 64, n=60, subjects=1, fill=numbered)
    batch = bench.augment("none|segmentation_reconstruction(3)", windows)
    source = sources(windows, batch, "cap")
    assert torch.equal(windows.labels[source], windows.labels[:, None].expand_as(source))
    pieces = source.unflatten(1, (8, 8))
    assert torch.equal(pieces, pieces[:, :, :1].expand_as(pieces))
    assert max(len(row.unique()) for row in source) <= 4
    assert torch.equal(batch.targets["activity"], windows.labels)


def test_a_window_gives_as_much_to_itself_as_each_donor_does(bench):
    windows = bench.windows((bench.eeg(1),), 64, n=900, subjects=1, fill=numbered)
    source = sources(windows, bench.augment("none|segmentation_reconstruction(4)", windows), "cap")
    own = (source == torch.arange(len(windows))[:, None]).float().mean()
    assert float(own) == pytest.approx(1 / 5, abs=0.02)


def test_sensors_of_different_rates_take_a_moment_from_the_same_window(bench):
    windows = bench.windows((bench.acc, bench.ankle), 64, n=30, subjects=1, fill=numbered)
    batch = bench.augment("none|segmentation_reconstruction(4)", windows)
    assert torch.equal(sources(windows, batch, "wrist_acc")[:, ::2], sources(windows, batch, "ankle_acc"))


def test_the_only_window_of_its_class_stays(bench):
    windows = bench.windows((bench.eeg(2),), 64, n=3, subjects=1)
    assert len(windows) == 3
    batch = bench.augment("none|segmentation_reconstruction(4)", windows)
    assert torch.equal(batch.x["cap"], windows.gather(torch.arange(3))["cap"])


def test_the_number_of_pieces_can_be_set(bench):
    windows = bench.windows((bench.eeg(1),), 60, n=60, subjects=1, fill=numbered)
    source = sources(windows, bench.augment("none|segmentation_reconstruction(4, segments=4)", windows), "cap")
    changes = (source[:, 1:] != source[:, :-1]).any(0).nonzero()[:, 0] + 1
    assert changes.tolist() == [15, 30, 45]


@pytest.mark.parametrize(("donors", "segments"), [(0, 0), (4, -1)])
def test_counts_that_mean_nothing_are_refused(donors, segments):
    with pytest.raises(UsageError, match=f"donors is at least 1 and segments at least 0; got {donors} and {segments}"):
        SegmentationReconstruction(donors, segments=segments)
