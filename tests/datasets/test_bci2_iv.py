"""BCI Competition II, data set IV: 316 labelled epochs in the order of recording."""

from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from harkd.datasets import Sees, split
from harkd.datasets.quality import inspect

ORDER = [
    "F3", "F1", "Fz", "F2", "F4", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "C5", "C3",
    "C1", "Cz", "C2", "C4", "C6", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "O1", "O2",
]  # fmt: skip


@pytest.fixture(scope="module")
def bci(real: Any) -> Any:
    return real("bci2_iv", "bci2-iv")


@pytest.fixture(scope="module")
def mat(bci: Any) -> Any:
    return scipy.io.loadmat(bci.folder / "sp1s_aa.mat")


def test_epochs_are_those_of_the_file(bci: Any, mat: Any) -> None:
    assert torch.bincount(bci.windows.labels).tolist() == [159, 157]
    assert bci.windows.labels.tolist() == mat["y_train"].ravel().tolist()
    x = bci.windows.gather(torch.arange(316))["eeg"].numpy()
    np.testing.assert_array_equal(x, mat["x_train"].transpose(2, 1, 0).astype(np.float32))


def test_channels_are_those_of_the_file(bci: Any, mat: Any) -> None:
    assert [str(name[0]).lower() for name in mat["clab"].ravel()] == [name.lower() for name in ORDER]
    sensors, lengths = bci.windows.sensors, bci.windows.lengths
    assert list(sensors["eeg"].channels) == ORDER
    assert list(Sees.parse("eeg[headphone]", sensors, lengths).channels[0]) == list(range(12, 19))
    headband = Sees.parse("eeg[headband]", sensors, lengths).channels[0]
    assert [ORDER[at] for at in headband] == ["Fz", "C5", "C6", "O1", "O2"]


def test_blocks_are_neighbours_in_time(bci: Any) -> None:
    """Ten blocks of 31 or 32 epochs, in order: none is on both sides of a split."""
    blocks = bci.windows.sessions.tolist()
    assert blocks == sorted(blocks)
    assert sorted({blocks.count(block) for block in blocks}) == [31, 32]
    assert len(set(blocks)) == 10
    train, val, test = split(bci.windows, "session:block-03")
    assert set(test.sessions.tolist()) == {"block-03"}
    assert len(train) + len(val) + len(test) == 316
    assert not set(train.sessions.tolist()) & {"block-03", *val.sessions.tolist()}


def test_what_the_check_tells(bci: Any) -> None:
    found = inspect(bci.card, bci.folder)
    assert found.good
    assert [f.what for f in found.findings] == ["one subject"]
