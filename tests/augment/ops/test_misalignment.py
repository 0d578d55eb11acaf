"""Sensors that sit askew."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from harkd.augment import Spec
from harkd.augment.mounting import Misalignment
from harkd.errors import UsageError


def test_sensors_of_one_segment_turn_apart_by_uniform_small_rotations(bench):
    drawn = bench.draw(Misalignment(15.0), Spec.of(bench.windows()), 4000)
    turns = {name: Rotation.from_matrix(turn.double().numpy()).as_rotvec() for name, turn in drawn.items()}
    cap = math.radians(15)
    for vectors in turns.values():
        angle = np.linalg.norm(vectors, axis=1)
        # Uniform on SO(3) but for the cap: the distribution function is (a - sin a) / (cap - sin cap).
        assert kstest((angle - np.sin(angle)) / (cap - math.sin(cap)), "uniform").pvalue > 0.001
        assert kstest(vectors[:, 2] / angle, "uniform", (-1, 2)).pvalue > 0.001
    together = np.corrcoef(np.hstack([turns["wrist_acc"], turns["wrist_gyro"]]).T)
    assert np.abs(together - np.eye(6)).max() < 4 / 4000**0.5


def test_triples_turn_and_keep_their_length(bench):
    windows = bench.windows((bench.acc, bench.eeg(3)))
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    drawn = bench.draw(Misalignment(), spec, len(windows))
    moved = Misalignment().apply(x, drawn, spec)
    torch.testing.assert_close(moved["wrist_acc"], drawn["wrist_acc"] @ x["wrist_acc"], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved["wrist_acc"].norm(dim=1), x["wrist_acc"].norm(dim=1), rtol=1e-5, atol=0)
    assert moved["cap"] is x["cap"]


def test_no_class_is_defined_by_it_so_it_stays_small():
    assert Misalignment(15.0).assumes == frozenset()
    with pytest.raises(UsageError, match="Misalignment: max_angle is a finite number from 0 to 15; got 16"):
        Misalignment(16.0)
