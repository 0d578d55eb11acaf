"""Sensors and recordings say what does not fit, and where."""

import numpy as np
import pytest

from harkd.datasets import Recording, Sensor
from harkd.errors import DataError

SENSORS = {"acc": Sensor("acc", "acc", "g", 50.0), "ppg": Sensor("ppg", "ppg", "a.u.", 25.0, ("green", "red"))}


def recording(**changes: object) -> Recording:
    signals = {"acc": np.zeros((3, 10), np.float32), "ppg": np.zeros((2, 5), np.float32)}
    return Recording("walk-7", "7", **({"signals": signals} | changes))


def acc_with(value: float, *places: tuple[int, int]) -> dict[str, np.ndarray]:
    acc = np.zeros((3, 10), np.float32)
    for place in places:
        acc[place] = value
    return {"acc": acc, "ppg": np.zeros((2, 5), np.float32)}


def test_a_recording_that_fits_passes() -> None:
    recording(dense={"phase": np.zeros(10, np.int64)}).check(SENSORS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"signals": acc_with(np.nan, (2, 4), (1, 7))},
            "recording 'walk-7', sensor 'acc': 2 values are not finite, the first in channel 'y' at sample 7;",
        ),
        ({"signals": acc_with(-np.inf, (0, 9))}, "sensor 'acc': 1 values are not finite, the first in channel 'x' at sample 9;"),
        ({"signals": {"acc": np.zeros((3, 10), np.float32)}}, "recording 'walk-7': sensor 'ppg' is missing"),
        ({"signals": {"acc": np.zeros((10, 3), np.float32)}}, r"sensor 'acc': expected \(3, time\), got \(10, 3\)"),
        ({"signals": {"acc": np.zeros(3, np.float32)}}, r"expected \(3, time\), got \(3,\)"),
        ({"dense": {"phase": np.zeros(9, np.int64)}}, r"dense target 'phase' has the shape \(9,\); sensor 'acc' has 10 samples"),
    ],
)
def test_a_recording_that_does_not_fit_says_where(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        recording(**changes).check(SENSORS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0.0}, "rate of 0.0 Hz: a positive rate is expected"),
        ({"rate": float("nan")}, "a positive rate is expected"),
        ({"channels": ()}, "needs channels with distinct names"),
        ({"channels": ("x", "y", "x")}, "needs channels with distinct names"),
        ({"channels": ("x", "y", "z", "norm")}, "triples; got 4 channels"),
        ({"kind": "eeg", "channels": ("C3", "C4"), "montages": {"head": ("C3", "Cz")}}, r"names unknown channels \['Cz'\]"),
    ],
)
def test_a_sensor_that_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sensor(**({"name": "s", "kind": "acc", "units": "g", "rate": 50.0} | arguments))


@pytest.mark.parametrize(
    ("kind", "turns"), [("acc", True), ("gyro", True), ("mag", True), ("skeleton", False), ("eeg", False), ("ppg", False)]
)
def test_only_inertial_sensors_turn_with_the_device(kind: str, turns: bool) -> None:
    assert Sensor("s", kind, "", 50.0).turns is turns
