"""Strategies over plain arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from harkd.augment import ArrayAugment, Augmenter, parse
from harkd.datasets import Sensor, from_arrays
from harkd.errors import DataError, UsageError

SENSORS = [Sensor("acc", "acc", "g", 50.0, segment="wrist"), Sensor("gyro", "gyro", "rad/s", 50.0, segment="wrist")]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6, 32)).astype(np.float32)
Y = np.array(["walk", "run", "sit", "lie"] * 10)


def test_the_windows_are_those_of_the_array():
    windows = from_arrays(X, Y, sensors=SENSORS)
    x = windows.gather(torch.tensor([3, 0]))
    np.testing.assert_array_equal(x["acc"], X[[3, 0], :3])
    np.testing.assert_array_equal(x["gyro"], X[[3, 0], 3:])
    assert windows.classes == ("lie", "run", "sit", "walk")
    assert windows.labels[:4].tolist() == [3, 1, 2, 0]


def test_both_layouts_are_the_same_windows():
    index = torch.tensor([5, 17, 30])
    one, _ = ArrayAugment("jeon_mix1+rotate(15)", X, Y, sensors=SENSORS)(index, 2)
    other, _ = ArrayAugment("jeon_mix1+rotate(15)", X.swapaxes(1, 2), Y, sensors=SENSORS, layout="btc")(index, 2)
    assert torch.equal(one, other.transpose(1, 2))
    assert one.shape == (3, 6, 32)


def test_it_is_the_augmenter_of_those_windows():
    augment = ArrayAugment("rotate(15)|mixup(0.4)", torch.from_numpy(X), Y, sensors=SENSORS, seed=7)
    x, y = augment(np.array([1, 2]), draw=5)
    windows = from_arrays(X, Y, sensors=SENSORS)
    batch = Augmenter(parse("rotate(15)|mixup(0.4)"), windows, seed=7)(torch.tensor([1, 2]), torch.tensor([5, 5]))
    assert torch.equal(x, torch.cat([batch.x["acc"], batch.x["gyro"]], 1))
    assert torch.equal(y, batch.targets["label"])


def test_draws_differ_by_window_or_for_all():
    augment = ArrayAugment("jitter(0.1)", X, sensors=SENSORS)
    index = torch.tensor([4, 4, 4])
    (each, none), (all_, _) = augment(index, torch.tensor([0, 1, 0])), augment(index, 0)
    assert none is None
    assert torch.equal(each[0], each[2])
    assert not torch.equal(each[0], each[1])
    assert torch.equal(all_[1], each[0])


def test_one_rotation_for_both_sensors_of_the_wrist():
    augment = ArrayAugment("rotate(180)", X, sensors=SENSORS)
    x, _ = augment(torch.arange(40))
    given = torch.from_numpy(X)
    turn = torch.linalg.lstsq(given[:, :3].transpose(1, 2), x[:, :3].transpose(1, 2)).solution
    torch.testing.assert_close(given[:, 3:].transpose(1, 2) @ turn, x[:, 3:].transpose(1, 2), rtol=1e-3, atol=1e-3)


LOADER = """
import sys
import torch
from torch.utils.data import DataLoader
from harkd.augment import ArrayAugment
from harkd.datasets import Sensor

sensors = [Sensor("acc", "acc", "g", 50.0)]
x, y = torch.randn(40, 3, 32, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
augment = ArrayAugment("jitter(0.1)|mixup(0.2)", x, y, sensors=sensors)


def two_epochs():
    torch.manual_seed(3)
    loader = DataLoader(range(len(augment)), batch_size=16, collate_fn=augment.collate, num_workers=int(sys.argv[1]))
    return [[x.clone() for x, _ in loader] for _ in range(2)]


first, again = two_epochs(), two_epochs()
assert [len(x) for x in first[0]] == [16, 16, 8]
assert all(torch.equal(a, b) for one, two in zip(first, again) for a, b in zip(one, two))
assert not torch.equal(first[0][0], first[1][0])
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_data_loader_makes_new_windows_every_epoch_and_the_same_every_run(workers):
    """In a process of its own, as the workers are forked."""
    ran = subprocess.run([sys.executable, "-c", LOADER, workers], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"layout": "tbc"}, "layout is bct .* or btc .*; got 'tbc'"),
        ({"layout": "btc"}, r"expected an array \(b, t, c\) with 6 channels, acc \(3\), gyro \(3\); got \(40, 6, 32\)"),
        ({"y": Y[:5]}, "expected a class for each of the 40 windows"),
        ({"subjects": ["a"]}, "expected a subject for each of the 40 windows, got 1"),
        (
            {"sensors": [SENSORS[0], Sensor("gyro", "gyro", "rad/s", 25.0)]},
            "one array holds sensors of one rate; got acc 50 Hz, gyro 25",
        ),
        ({"x": X[:0]}, "expected at least one window"),
    ],
)
def test_what_does_not_fit_is_said(more, says):
    given = {"x": X, "y": Y, "sensors": SENSORS, **more}
    with pytest.raises(UsageError, match=says):
        from_arrays(given.pop("x"), given.pop("y"), **given)


def test_values_that_are_not_finite_are_refused():
    x = X.copy()
    x[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="1 values of the array are not finite"):
        from_arrays(x, Y, sensors=SENSORS)


def test_a_strategy_that_learns_needs_a_training():
    with pytest.raises(UsageError, match="learns from the training that it is part of"):
        ArrayAugment("grow_with_loss(jitter(0.1))", X, Y, sensors=SENSORS)
