"""UMAFall: five devices in one long table, each with its own clock, and a header that says where it sits."""

import re
from typing import Any

import numpy as np
import pytest
import torch

FILES = {
    "applauding": 18, "bending": 13, "hands up": 19, "hopping": 12, "jogging": 12, "lying down": 14, "making a call": 18,
    "opening a door": 18, "sitting and getting up": 18, "walking": 19, "fall backward": 21, "fall forward": 24,
    "fall sideways": 21,
}  # fmt: skip


@pytest.fixture(scope="module")
def uma(real: Any) -> Any:
    return real("umafall", "umafall")


@pytest.fixture(scope="module")
def place(uma: Any) -> Any:
    from harkd.datasets.store import unpacked

    return unpacked(uma.folder / "UMAFall_Dataset.tar.xz")


def rows(place: Any, name: str) -> list[list[str]]:
    """The rows of a file, by splitting its lines."""
    (path,) = place.rglob(name)
    return [line.split(";") for line in path.read_text().splitlines() if line.strip() and not line.startswith("%")]


def test_files_of_every_movement(uma: Any) -> None:
    classes = uma.card.target.classes
    found = [classes[r.segments[0].targets["movement"]] for r in uma.recordings.values()]
    assert {name: found.count(name) for name in classes if name in found} == FILES
    assert (len(found), sum(FILES[name] for name in FILES if name.startswith("fall"))) == (227, 66)
    assert {r.subject for r in uma.recordings.values()} == {f"{n:02d}" for n in range(1, 7)}


def test_the_same_trial_number_again_is_another_recording(uma: Any) -> None:
    doors = [name for name in uma.recordings if "Subject_01_ADL_OpeningDoor_1_" in name]
    assert len(doors) == 3


def test_a_device_that_gave_nothing_is_missing(uma: Any) -> None:
    """One header declares an ankle that has no row."""
    lacking = [name for name, r in uma.recordings.items() if "ankle_acc" not in r.signals]
    assert len(lacking) == 1
    assert {"ankle_acc", "ankle_gyro", "ankle_mag"} <= set(uma.windows.present)
    lost = ~uma.windows.present["ankle_acc"].numpy()
    assert set(uma.windows.recordings[lost].tolist()) == set(lacking)
    whole = uma.windows.having(["ankle_acc"])
    assert not set(whole.recordings.tolist()) & set(lacking)


@pytest.mark.parametrize("number", [0, 100, 226])
def test_rows_go_to_the_device_that_the_header_names(uma: Any, place: Any, number: int) -> None:
    name = list(uma.recordings)[number]
    (path,) = place.rglob(name)
    header = [line for line in path.read_text().splitlines() if line.startswith("%")]
    ids = {m[2].lower(): m[1] for line in header if (m := re.match(r"%\S{17}; (\d); (\w+);", line.replace(" ;", ";")))}
    assert set(ids) == {"rightpocket", "chest", "waist", "wrist", "ankle"}
    table, recording = rows(place, name), uma.recordings[name]
    origin = min(float(row[0]) for row in table)
    for sensor, kind in (("wrist_acc", "0"), ("chest_gyro", "1"), ("waist_mag", "2"), ("right_pocket_acc", "0")):
        device = ids[sensor.rsplit("_", 1)[0].replace("_", "")]
        mine = np.array(
            [[float(cell) for cell in row[:5]] for row in table if (row[6].strip(), row[5].strip()) == (device, kind)]
        )
        np.testing.assert_allclose(recording.signals[sensor], mine[:, 2:5].T, rtol=1e-6)
        np.testing.assert_allclose(recording.times[sensor], (mine[:, 0] - origin) / 1000, atol=1e-6)


def test_windows_follow_each_devices_clock(uma: Any) -> None:
    """A window of wrist acceleration, against np.interp over the stamps of its rows."""
    name = next(n for n in uma.recordings if "ADL_Walking" in n)
    recording = uma.recordings[name]
    at, x = recording.times["wrist_acc"], recording.signals["wrist_acc"]
    # Windows begin where every device has begun, on the grid of 20 Hz, and follow each other by 1.5 s: this is the third.
    begin = max(np.ceil(stamps[0] * 20 - 1e-6) / 20 for stamps in recording.times.values()) + 3.0
    place = int(np.flatnonzero(uma.windows.recordings == name)[2])
    found = uma.windows.gather(torch.tensor([place]))["wrist_acc"][0].numpy()
    order = np.argsort(at)

    def error(shift: float) -> float:
        grid = begin + shift + np.arange(60) / 20
        return float(np.abs(np.stack([np.interp(grid, at[order], row[order]) for row in x]) - found).mean())

    assert error(0.0) < 0.03
    assert min(error(-0.2), error(0.2)) > 3 * error(0.0)


def test_rates_and_ranges(uma: Any) -> None:
    rate = {}
    for sensor in ("right_pocket_acc", "wrist_acc", "waist_gyro"):
        rate[sensor] = np.median([(len(r.times[sensor]) - 1) / np.ptp(r.times[sensor])
                                  for r in uma.recordings.values() if sensor in r.signals])  # fmt: skip
    assert rate["right_pocket_acc"] == pytest.approx(200, rel=0.05)
    assert rate["wrist_acc"] == pytest.approx(20, rel=0.05)
    assert rate["waist_gyro"] == pytest.approx(20, rel=0.05)
    most = max(float(np.abs(r.signals[s]).max()) for r in uma.recordings.values() for s in r.signals if s.endswith("gyro"))
    assert 250 < most <= 257
    assert uma.windows.sensors["right_pocket_acc"].rate == 100
