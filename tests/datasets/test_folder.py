"""Own recordings in the forms that people have them, each without a line of Python: known files become known windows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harkd.errors import DataError, UsageError

XYZ = 'reader = "text"\ncolumns = { acc = ["x", "y", "z"] }\n'
BY_NAME = XYZ + "pattern = '(?P<subject>\\w+)_(?P<label>\\w+)\\.csv'\n"


def counting(samples: int, first: float = 0) -> list[list[float]]:
    """Rows x, y, z: the number of the sample, its negative, and 1."""
    return [[first + t, -first - t, 1] for t in range(samples)]


# Long tables


def test_a_long_table_of_two_devices(own: Any, seen: Any) -> None:
    """Rows of both sensors in turn; devices that the card does not know are left out."""
    rows = [[d, 100 * n + t, 0, 0] for t in range(8) for n, d in enumerate(("A", "B", "C"))]
    own.table("p1_walk.csv", "device x y z", rows)
    files = r"""reader = "text"
pattern = '(?P<subject>\w+)_(?P<label>\w+)\.csv'
device = ["device"]
devices = { A = ["acc"], B = ["gyro"] }
columns = { acc = ["x", "y", "z"], gyro = ["x", "y", "z"] }"""
    windows = own.windows(files, "acc acc g 10", "gyro gyro dps 10")
    assert seen(windows, "acc").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert seen(windows, "gyro").tolist() == [[100, 101, 102, 103], [104, 105, 106, 107]]
    assert windows.labels.tolist() == [1, 1]


def test_a_long_table_of_place_and_kind(own: Any, seen: Any) -> None:
    """Two columns name the sensor, numbers and words; one device may be two sensors at once."""
    rows = [[7, kind, t, 10 * t, 0, 50 + t, 0, 0] for t in range(4) for kind in ("motion", "light")]
    own.table("p1_walk.csv", "id kind a b c d e f", rows)
    files = r"""reader = "text"
pattern = '(?P<subject>\w+)_(?P<label>\w+)\.csv'
device = ["id", "kind"]
devices = { "7/motion" = ["acc", "gyro"], "7/light" = ["light"] }
columns = { acc = ["a", "b", "c"], gyro = ["d", "e", "f"], light = ["b"] }"""
    windows = own.windows(files, "acc acc g 10", "gyro gyro dps 10", "light light lx 10 lux")
    assert seen(windows, "acc").tolist() == [[0, 1, 2, 3]]
    assert seen(windows, "gyro").tolist() == [[50, 51, 52, 53]]
    assert seen(windows, "light").tolist() == [[0, 10, 20, 30]]


def test_a_long_table_whose_devices_nobody_knows_says_so(own: Any) -> None:
    own.table("p1_walk.csv", "device x y z", [["Q", t, 0, 0] for t in range(8)])
    files = BY_NAME + 'device = ["device"]\ndevices = { A = ["acc"] }'
    with pytest.raises(DataError, match=r"p1_walk\.csv.*no sensor of the card is in p1_walk\.csv"):
        own.windows(files)


# Several files of one recording, with clocks

EPOCH = 1_700_000_000.0
FORMS: dict[str, Callable[[float], str]] = {
    "s": lambda t: f"{t:.6f}",
    "ms": lambda t: f"{t * 1e3:.3f}",
    "us": lambda t: str(round(t * 1e6)),
    "ns": lambda t: str(round(t * 1e9)),
    "iso": lambda t: str(np.datetime64(round(t * 1e6), "us")) + "Z",
}
APART = r"""reader = "text"
pattern = '(?P<recording>(?P<subject>\w+)_(?P<label>\w+))_(?P<device>acc|gyro)\.csv'
columns = { acc = ["x", "y", "z"], gyro = ["x", "y", "z"] }
time = "t"
"""
BOTH = ("acc acc g 10", "gyro gyro dps 20")


def ramp(start: float, stop: float, rate: float, form: str, seed: int) -> list[list[str]]:
    """Rows of jittered stamps whose value is the time itself, in seconds since EPOCH."""
    rng = np.random.default_rng(seed)
    at = np.arange(start, stop, 1 / rate)
    at = np.round(at + rng.uniform(-0.2, 0.2, len(at)) / rate, 6)
    return [[FORMS[form](EPOCH + t), f"{t:.6f}", "0", "0"] for t in at]


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("late", [0.0, 0.37])
def test_sensors_in_files_of_their_own_meet_on_one_clock(own: Any, seen: Any, form: str, late: float) -> None:
    """Acc at 25 Hz, gyro at 60 Hz which starts later and stops earlier: both hold the time, so every window shows when it is."""
    own.table("p1_walk_acc.csv", "t x y z", ramp(1.0, 9.0, 25, form, 0))
    own.table("p1_walk_gyro.csv", "t x y z", ramp(1.0 + late, 8.6, 60, form, 1))
    files = APART + f'time_unit = "{form}"\nrate = {{ acc = 25.0, gyro = 60.0 }}'
    windows = own.windows(files, *BOTH, cut=(10, 5), prepare="resample()")
    acc, gyro = seen(windows, "acc"), seen(windows, "gyro")
    assert (acc.shape[1], gyro.shape[1]) == (10, 20)
    assert 13 <= len(windows) <= 14  # 7.2 to 7.6 s that both have
    np.testing.assert_allclose(gyro[:, ::2], acc, atol=2e-3)
    np.testing.assert_allclose(np.diff(acc, axis=1), 0.1, atol=2e-3)
    np.testing.assert_allclose(np.diff(acc[:, 0]), 0.5, atol=2e-3)


def test_a_clock_of_whole_numbers_keeps_a_tenth_of_a_microsecond() -> None:
    import pandas as pd

    from harkd.datasets.times import seconds

    first = 1_700_000_000_123_456_789
    at = seconds(pd.Series([first, first + 20_000_100]), "ns", "here")
    assert at[1] - at[0] == pytest.approx(0.0200001, abs=3e-7)  # a float64 holds 1.7e9 s to 2.4e-7
    with pytest.raises(DataError, match="here: the time stamp of row 2 is 'noon', not a time"):
        seconds(pd.Series(["1", "noon"]), "s", "here")
    with pytest.raises(DataError, match="row 1 is"):
        seconds(pd.Series([None, "2024-01-01"]), "iso", "here")
    mixed = seconds(pd.Series(["2024-01-01T00:00:00Z", "2024-01-01 01:00:00.5+01:00"]), "iso", "here")
    assert mixed[1] - mixed[0] == pytest.approx(0.5)


def test_labels_in_every_file_count_once(own: Any) -> None:
    """Acc and gyro apart, each with the label of its rows: the last digits of their times differ, the stretches do not double."""
    for name, rate, shift in (("acc", 10, 0.0), ("gyro", 20, 0.013)):
        rows = [[f"{k / rate + shift:.4f}", k, 0, 0, ("rest", "walk")[k >= 4 * rate]] for k in range(8 * rate)]
        own.table(f"p1_day_{name}.csv", "t x y z what", rows)
    files = APART.replace("(?P<label>", "(?P<session>") + 'keys = { label = "what" }'
    windows = own.windows(files, *BOTH, cut=(10, 10), prepare="resample()")
    assert windows.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]  # gyro lacks the first 13 ms, and so the first window
    assert [len(r.segments) for r in own.recordings(files, *BOTH, prepare="resample()").values()] == [2]


def test_a_second_file_of_the_same_sensor_is_refused(own: Any) -> None:
    for name in ("p1_walk_acc.csv", "sub/p1_walk_acc.csv"):
        own.table(name, "t x y z", [[t / 10, t, 0, 0] for t in range(10)])
    files = APART.replace("pattern = '", "pattern = '(?:sub/)?")
    with pytest.raises(DataError, match=r"both p1_walk_acc\.csv and sub/p1_walk_acc\.csv hold sensor 'acc'"):
        own.windows(files, *BOTH, prepare="resample()")


def test_a_path_that_names_no_device_of_the_card(own: Any) -> None:
    own.table("p1_walk_gyr.csv", "t x y z", [[t / 10, t, 0, 0] for t in range(10)])
    files = APART.replace("acc|gyro", r"\w+")
    with pytest.raises(UsageError, match="unknown device in a file's path: 'gyr': did you mean 'gyro'"):
        own.windows(files, *BOTH, prepare="resample()")


# Labels of rows

ROWS = XYZ + "pattern = '(?P<subject>\\w+)\\.csv'\nkeys = { label = \"what\" }\n"


def labelled(words: str) -> list[list[Any]]:
    """One row per letter: w walks, r rests, n is nothing, a space has no label."""
    full = {"w": "walk", "r": "rest", "n": "null", " ": "", "x": "wlak"}
    return [[t, 0, 0, full[word]] for t, word in enumerate(words)]


def test_runs_of_equal_labels_are_stretches(own: Any, seen: Any) -> None:
    own.table("p1.csv", "x y z what", labelled("wwwwwrrrrnnnnn    wwww"))
    windows = own.windows(ROWS, unlabelled=["null"])
    assert windows.labels.tolist() == [1, 0, 1]
    assert seen(windows, "acc").tolist() == [[0, 1, 2, 3], [5, 6, 7, 8], [18, 19, 20, 21]]


def test_a_label_that_does_not_exist_names_the_nearest(own: Any) -> None:
    own.table("p1.csv", "x y z what", labelled("wwwwxxxx"))
    with pytest.raises(UsageError, match=r"unknown label in p1\.csv: 'wlak': did you mean 'walk'\?"):
        own.windows(ROWS)


def test_numbers_as_labels_are_numbers(own: Any) -> None:
    """1, 1.0 and 01 are the class whose label is 1."""
    own.table("p1.csv", "x y z what", [[t, 0, 0, "1.0" if t < 4 else "2.0"] for t in range(8)])
    own.table("p2.csv", "x y z what", [[t, 0, 0, "1" if t < 4 else "02"] for t in range(8)])
    assert own.windows(ROWS, labels=["01", "2"]).labels.tolist() == [0, 1, 0, 1]


# Segment tables


def segments(unit: str, **more: str) -> str:
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    return (
        XYZ + "pattern = '(?P<recording>\\w+)\\.csv'\n[files.segments]\nfile = \"labels.txt\"\n"
        f'columns = {{ recording = "rec", label = "what", start = "from", stop = "to" }}\nunit = "{unit}"\n{extra}'
    )


@pytest.mark.parametrize(("inclusive", "expected"), [("true", [[2, 3, 4, 5]]), ("false", [])])
def test_a_table_of_stretches_in_samples(own: Any, seen: Any, inclusive: str, expected: list[list[float]]) -> None:
    """2 to 5 are four samples if the last one counts, else three, which is no window."""
    own.table("01.csv", "x y z", counting(20))
    own.table("labels.txt", "rec what from to", [["1", "walk", 2, 5], ["1", "rest", 10, 19], ["2", "rest", 0, 3]])
    windows = own.windows(segments("samples", inclusive=inclusive))
    assert seen(windows, "acc").tolist() == [*expected, [10, 11, 12, 13], [14, 15, 16, 17]]
    assert windows.labels.tolist() == [*[1] * len(expected), 0, 0]


@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_a_table_of_stretches_in_time(own: Any, seen: Any, unit: str) -> None:
    form = FORMS[unit]
    own.table("walk_1.csv", "t x y z", [[form(EPOCH + t / 10), t, 0, 0] for t in range(40)])
    own.table("labels.txt", "rec what from to", [["walk_1", "walk", form(EPOCH + 1.0), form(EPOCH + 1.8)]])
    clock = f'time = "t"\ntime_unit = "{unit}"\n'
    windows = own.windows(clock + segments(unit), prepare="resample()")
    np.testing.assert_allclose(seen(windows, "acc"), [[10, 11, 12, 13], [14, 15, 16, 17]], atol=1e-3)


def test_stretches_in_samples_follow_time_stamps(own: Any, seen: Any) -> None:
    """The logger paused after sample 9 for 2 s: sample 20 is at 4 s, not at 2 s."""
    own.table("a.csv", "t x y z", [[t / 10 + 2 * (t > 9), t, 0, 0] for t in range(40)])
    own.table("labels.txt", "rec what from to", [["a", "walk", 20, 28]])
    windows = own.windows('time = "t"\n' + segments("samples"), prepare="resample()+fill(0)")
    np.testing.assert_allclose(seen(windows, "acc"), [[20, 21, 22, 23], [24, 25, 26, 27]], atol=1e-4)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        (["1", "walkk", 0, 4], UsageError, r"unknown label in row 1 of labels\.txt: 'walkk': did you mean 'walk'"),
        (["1", "walk", "soon", 4], DataError, r"labels\.txt: row 1 holds 'soon', not the number of a sample"),
        (["1", "walk", 0, ""], DataError, r"labels\.txt: row 1 holds '', not the number of a sample"),
        (["7", "walk", 0, 4], DataError, "no window of 4 samples fits"),
    ],
)
def test_a_wrong_row_of_the_table_is_named(own: Any, row: list[Any], error: type[Exception], message: str) -> None:
    own.table("01.csv", "x y z", counting(20))
    own.table("labels.txt", "rec what from to", [row])
    with pytest.raises(error, match=message):
        own.windows(segments("samples"))


def test_a_table_that_is_not_there(own: Any) -> None:
    own.table("01.csv", "x y z", counting(20))
    with pytest.raises(DataError, match=r"labels\.txt: cannot be read \(No such file"):
        own.windows(segments("samples"))
