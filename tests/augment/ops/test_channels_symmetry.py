"""Left and right of the head exchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.cap import ChannelsSymmetry, electrodes, mirrored
from harkd.datasets import Sensor
from harkd.datasets.synthetic.head import CHANNELS
from harkd.errors import UsageError


def test_facing_electrodes_are_mirror_images():
    places = electrodes(CHANNELS)
    np.testing.assert_allclose(places[mirrored(CHANNELS)], places * [-1, 1, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("Fz", "C5", "C6", "POz"), [0, 2, 1, 3]),
        (("c4", "CZ", "C3"), [2, 1, 0]),
        (("T9", "A2", "T10", "A1"), [2, 3, 0, 1]),
        (("T3", "T6", "T5", "T4"), [3, 2, 1, 0]),
    ],
)
def test_odd_numbers_face_even_ones(names, order):
    assert mirrored(names) == order


def test_channels_change_sides_and_twice_is_once_more_the_window(bench):
    windows = bench.windows((Sensor("cap", "eeg", "uV", 50.0, channels=("C3", "Cz", "C4")), bench.acc))
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    once = ChannelsSymmetry().apply(x, {}, spec)
    assert torch.equal(once["cap"], x["cap"][:, [2, 1, 0]])
    assert torch.equal(ChannelsSymmetry().apply(once, {}, spec)["cap"], x["cap"])
    assert once["wrist_acc"] is x["wrist_acc"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("C3", "C4", "e1"), r"'e1' is not an electrode of the 10-20 system"),
        (("C3", "Cz", "P4"), r"C3 has no counterpart C4 among C3, Cz, P4"),
        (("Fz", "Cz"), r"all electrodes are on the midline \(Fz, Cz\)"),
    ],
)
def test_montages_that_cannot_be_mirrored_are_refused(bench, names, problem):
    spec = Spec.of(bench.windows((Sensor("cap", "eeg", "uV", 50.0, channels=names),)))
    with pytest.raises(UsageError, match=rf"sensor 'cap': {problem}"):
        ChannelsSymmetry().check(spec)


def test_it_assumes_the_mirror():
    assert ChannelsSymmetry().assumes == {"mirror"}
