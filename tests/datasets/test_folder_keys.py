"""Who, when and what: subjects, sessions and labels from paths, columns, side tables, arrays and annotations."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io

from harkd.datasets import split
from harkd.datasets.card import same
from harkd.errors import DataError, UsageError

XYZ = 'reader = "text"\ncolumns = { acc = ["x", "y", "z"] }\n'
BY_NAME = XYZ + "pattern = '(?P<subject>\\w+)_(?P<label>\\w+)\\.csv'\n"


def counting(samples: int, first: float = 0) -> list[list[float]]:
    """Rows x, y, z: the number of the sample, its negative, and 1."""
    return [[first + t, -first - t, 1] for t in range(samples)]


@pytest.mark.parametrize(
    ("word", "key"),
    [
        *(("01", "1"), ("1", "1"), ("1.0", "1"), (" 7 ", "7"), ("-03", "-3"), ("000", "0"), ("-1.00", "-1")),
        # These are names, and not numbers that Python would read in them.
        *(("1_02", "1_02"), ("10_2", "10_2"), ("1e2", "1e2"), ("nan", "nan"), ("inf", "inf"), ("s01", "s01"), ("1.5", "1.5")),
        ("20240131123045678901", "20240131123045678901"),  # a float64 would round it
        ("9" * 5000, "9" * 5000),
    ],
)
def test_keys_are_compared_as_numbers_only_where_they_are_numbers(word: str, key: str) -> None:
    assert same(word) == key


# Keys of rows


def test_one_table_of_all_people_and_recordings(own: Any, seen: Any) -> None:
    """Recordings are numbered anew for each subject; rows of one recording need not stand together."""
    rows = [[who, take, day, what, 100 * who + 10 * take + t, 0, 0]
            for t in range(4) for who in (1, 2) for take, day, what in ((1, "mo", "rest"), (2, "tu", "walk"))]  # fmt: skip
    own.table("all.csv", "who take day what x y z", rows)
    files = XYZ + 'pattern = "all.csv"\nkeys = { subject = "who", recording = "take", session = "day", label = "what" }'
    windows = own.windows(files)
    assert list(zip(windows.subjects, windows.sessions, windows.labels.tolist(), strict=True)) == [
        *(("1", "mo", 0), ("1", "tu", 1), ("2", "mo", 0), ("2", "tu", 1)),
    ]
    assert windows.recordings.tolist() == ["1/mo/1", "1/tu/2", "2/mo/1", "2/tu/2"]
    assert seen(windows, "acc")[:, 0].tolist() == [110, 120, 210, 220]


def test_recordings_numbered_anew_in_the_folders_of_subjects(own: Any) -> None:
    for who in ("a", "b"):
        for take in ("01", "02"):
            own.table(f"{who}/{take}.csv", "x y z", counting(4))
    files = XYZ + "pattern = '(?P<subject>\\w)/(?P<recording>\\d+)\\.csv'"
    assert own.windows(files).recordings.tolist() == ["a/01", "a/02", "b/01", "b/02"]
    assert sorted(own.recordings(files.replace("recording", "session"))) == ["a/01.csv", "a/02.csv", "b/01.csv", "b/02.csv"]


def test_subjects_and_labels_from_side_tables(own: Any) -> None:
    """One table says who wore the sensor in which file, another which group a person is in; 007 is 7."""
    for take in ("007", "8", "12"):
        own.table(f"take{take}.csv", "x y z", counting(8))
    own.table("takes.txt", "number;wearer;what", [])
    own.write("takes.txt", "number;wearer;what\n7;Ann;walk\n08;Bob;rest\n12;Ann;rest\n")
    own.write("people.txt", "who,visit\nAnn,1\nBob,2\n")
    files = (
        XYZ + "pattern = 'take(?P<recording>\\d+)\\.csv'\n"
        '[[files.tables]]\nfile = "takes.txt"\nkey = "recording"\n'
        'columns = { recording = "number", subject = "wearer", label = "what" }\n'
        '[[files.tables]]\nfile = "people.txt"\nkey = "subject"\ncolumns = { subject = "who", session = "visit" }\n'
    )
    windows = own.windows(files)
    assert windows.recordings.tolist() == ["007", "007", "12", "12", "8", "8"]
    assert windows.subjects.tolist() == ["Ann"] * 4 + ["Bob"] * 2
    assert windows.sessions.tolist() == ["1"] * 4 + ["2"] * 2
    assert windows.labels.tolist() == [1, 1, 0, 0, 0, 0]
    own.write("people.txt", "who,visit\nAnn,1\n")
    with pytest.raises(DataError, match=r"people\.txt: no row for the subject 'Bob', which take8\.csv holds"):
        own.windows(files)


def test_a_file_pattern_pads_numbers_and_a_split_does_not_mind(own: Any) -> None:
    for who in ("01", "02", "03"):
        own.table(f"{who}_walk.csv", "x y z", counting(4))
    windows = own.windows(BY_NAME, more='[splits.official]\ntrain = ["01"]\nval = ["02"]\ntest = ["03"]\n')
    assert [part.subjects.tolist() for part in split(windows)] == [["01"], ["02"], ["03"]]


# Numbers


def test_integer_counts_get_units(own: Any, seen: Any) -> None:
    own.table("p1_walk.csv", "x y z", [[0, 32, 63], [63, 0, 0], [21, 0, 0], [42, 0, 0]])
    windows = own.windows(BY_NAME + "scale = { acc = 0.047619047619047616 }\noffset = { acc = -1.5 }")
    np.testing.assert_allclose(seen(windows, "acc"), [[-1.5, 1.5, -0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(seen(windows, "acc", 1)[0, 0], 32 / 21 - 1.5, atol=1e-6)


def test_decimal_commas_and_separators_at_the_end(own: Any, seen: Any) -> None:
    own.write("p1_walk.csv", "x;y;z;\n" + "".join(f"{t},25;-1,5;1e-1;\n" for t in range(4)))
    windows = own.windows(BY_NAME + 'decimal = ","')
    assert seen(windows, "acc").tolist() == [[0.25, 1.25, 2.25, 3.25]]
    assert seen(windows, "acc", 1).tolist() == [[-1.5] * 4]


def test_a_separator_of_two_characters_is_refused(own: Any) -> None:
    with pytest.raises(UsageError, match=r"the separator of columns is one character, .* got '::'"):
        own.card(BY_NAME + 'separator = "::"')
    with pytest.raises(UsageError, match="comments begin with one character, got '//'"):
        own.card(BY_NAME + 'comment = "//"')


def test_sensors_of_several_rates_in_one_recording(own: Any, seen: Any) -> None:
    """Without time stamps both begin together: 4 samples at 10 Hz are 10 at 25 Hz and 2 at 5 Hz."""
    for name, rate in (("acc", 10), ("gyro", 25), ("hr", 5)):
        own.table(f"p1_walk_{name}.csv", "x y z", [[t / rate, 0, 0] for t in range(4 * rate)])
    files = XYZ.replace("}", ', gyro = ["x", "y", "z"], hr = ["x"] }')
    files += "pattern = '(?P<recording>(?P<subject>\\w+)_(?P<label>\\w+))_(?P<device>\\w+)\\.csv'"
    windows = own.windows(files, "acc acc g 10", "gyro gyro dps 25", "hr heart bpm 5 rate", cut=(4, 2))
    assert dict(windows.lengths) == {"acc": 4, "gyro": 10, "hr": 2}
    np.testing.assert_allclose(seen(windows, "gyro")[:, 0], seen(windows, "acc")[:, 0], atol=1e-6)
    np.testing.assert_allclose(seen(windows, "hr")[:, 0], seen(windows, "acc")[:, 0], atol=1e-6)
    assert len(windows) == 19


def test_a_sensor_that_is_missing_in_some_recordings(own: Any, seen: Any) -> None:
    own.table("p1_walk_acc.csv", "x y z", counting(4, 1))
    own.table("p2_walk_acc.csv", "x y z", counting(4, 1))
    own.table("p2_walk_gyro.csv", "x y z", counting(4, 7))
    files = XYZ.replace("}", ', gyro = ["x", "y", "z"] }')
    files += "pattern = '(?P<recording>(?P<subject>\\w+)_(?P<label>\\w+))_(?P<device>\\w+)\\.csv'"
    with pytest.raises(DataError, match=r"recording 'p1_walk': sensor 'gyro' is missing; .* its card says optional = true"):
        own.windows(files, "acc acc g 10", "gyro gyro dps 10")
    windows = own.windows(files, "acc acc g 10", "gyro gyro dps 10 optional")
    assert windows.present["gyro"].tolist() == [False, True]
    assert seen(windows, "gyro").tolist() == [[0, 0, 0, 0], [7, 8, 9, 10]]
    assert windows.having(["gyro"]).subjects.tolist() == ["p2"]


# Arrays

AXES = {("time", "channel"): (0, 1), ("channel", "time"): (1, 0)}


@pytest.mark.parametrize("kind", ["mat", "npz", "npy"])
@pytest.mark.parametrize("axes", list(AXES))
def test_one_array_per_file(own: Any, seen: Any, kind: str, axes: tuple[str, str]) -> None:
    x = np.array(counting(8)).transpose(AXES[axes])
    path = own.folder / f"p1_walk.{kind}"
    if kind == "mat":
        scipy.io.savemat(path, {"d_iner": x})
    elif kind == "npz":
        np.savez(path, d_iner=x)
    else:
        np.save(path, x)
    name = "p1_walk" if kind == "npy" else "d_iner"
    files = (
        f'reader = "{"mat" if kind == "mat" else "npz"}"\n'
        + rf"pattern = '(?P<subject>\w+)_(?P<label>\w+)\.{kind}'"
        + f'\nvariables = {{ acc = "{name}" }}\naxes = {{ acc = ["{axes[0]}", "{axes[1]}"] }}'
    )
    assert seen(own.windows(files), "acc").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_windows_that_somebody_cut_with_a_variable_for_each_key(own: Any, seen: Any) -> None:
    """(window, time, channel) with labels and subjects as row, column and text; every window is a recording."""
    x = np.arange(6)[:, None, None] * 100 + np.arange(4)[None, :, None] + np.zeros((1, 1, 3))
    what = np.array([[1, 2, 1, 2, 1, 2]])
    np.savez(own.folder / "cut.npz", X=x, y=what, who=np.array(["p1", "p1", "p1", "p2", "p2", "p2"]))
    files = """reader = "npz"
pattern = 'cut\\.npz'
variables = { acc = "X" }
axes = { acc = ["window", "time", "channel"] }
keys = { label = "y", subject = "who" }"""
    windows = own.windows(files, labels=["1", "2"])
    assert seen(windows, "acc")[:, 0].tolist() == [0, 100, 200, 300, 400, 500]
    assert windows.labels.tolist() == [0, 1] * 3
    assert windows.subjects.tolist() == ["p1"] * 3 + ["p2"] * 3
    assert windows.recordings[5] == "cut-00005"
    np.savez(own.folder / "cut.npz", X=x, y=what[:, :5], who=np.array(["p1"] * 6))
    with pytest.raises(DataError, match=r"cut\.npz: variable 'y' has 5 values for 6 windows"):
        own.windows(files, labels=["1", "2"])
    with pytest.raises(DataError, match=r"cut\.npz: unknown variable 'Z' \(choose from X, who, y\)"):
        own.windows(files.replace('"X"', '"Z"'), labels=["1", "2"])


def test_joints_and_axes_become_channels_joint_by_joint(own: Any, seen: Any) -> None:
    """d[joint, axis, time] = 100 joint + 10 axis, plus the sample: channel 5 is axis 2 of joint 1."""
    x = 100 * np.arange(2)[:, None, None] + 10 * np.arange(3)[None, :, None] + np.arange(4)[None, None]
    scipy.io.savemat(own.folder / "p1_walk.mat", {"body": x.astype(float)})
    files = """reader = "mat"
pattern = '(?P<subject>\\w+)_(?P<label>\\w+)\\.mat'
variables = { body = "body" }
axes = { body = ["joint", "axis", "time"] }"""
    windows = own.windows(files, "body skeleton m 10 a b c d e f")
    assert [seen(windows, "body", c)[0, 0] for c in range(6)] == [0, 10, 20, 100, 110, 120]
    assert seen(windows, "body", 5).tolist() == [[120, 121, 122, 123]]
    with pytest.raises(DataError, match=r"with shape \(2, 3, 4\); expected numbers over time, channel"):
        own.windows(files.replace("axes = ", "#"), "body skeleton m 10 a b c d e f")


def test_parquet(own: Any, seen: Any) -> None:
    pytest.importorskip("pyarrow")
    stamps = pd.date_range("2024-05-01", periods=12, freq="100ms")
    table = pd.DataFrame({"when": stamps, "x": range(12), "y": 0.0, "z": 0.0, "what": ["rest"] * 4 + ["walk"] * 8})
    table.to_parquet(own.folder / "p1.parquet")
    files = """reader = "parquet"
pattern = '(?P<subject>\\w+)\\.parquet'
columns = { acc = ["x", "y", "z"] }
keys = { label = "what" }"""
    assert own.windows(files).labels.tolist() == [0, 1, 1]
    timed = own.windows(files + '\ntime = "when"\ntime_unit = "iso"', prepare="resample()")
    np.testing.assert_allclose(seen(timed, "acc"), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], atol=1e-6)
    table.iloc[:0].to_parquet(own.folder / "p2.parquet")
    assert own.windows(files).subjects.tolist() == ["p1"] * 3  # nobody's rows are nobody's windows
    (own.folder / "p3.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"p3\.parquet: not a Parquet table"):
        own.windows(files)


# EDF


def edf(
    samples: list[int], tals: list[bytes], rate: int = 10, label: str = "CZ..", onsets: tuple[int, ...] | None = None
) -> bytes:
    """One signal of one-second records in microvolts, and the annotation list of each record (30 samples of it).

    With `onsets` of the records the file is discontinuous.
    """
    records = len(samples) // rate
    columns = [
        *((16, [label, "EDF Annotations"]), (80, ["", ""]), (8, ["uV", ""]), (8, ["-32768", "-1"]), (8, ["32767", "1"])),
        *((8, ["-32768"] * 2), (8, ["32767"] * 2), (80, ["", ""]), (8, [rate, 30]), (32, ["", ""])),
    ]
    kind = "EDF+D" if onsets else "EDF+C"
    head = [(8, "0"), (80, "X X X X"), (80, "Startdate X X X X"), (8, "01.01.24"), (8, "00.00.00"), (8, 768), (44, kind),
            (8, records), (8, 1), (4, 2)]  # fmt: skip
    text = "".join(f"{value:<{size}}" for size, value in head) + "".join(f"{v:<{size}}" for size, vs in columns for v in vs)
    marks = [f"+{onset}".encode() + b"\x14\x14\0" + tals[n] for n, onset in enumerate(onsets or range(records))]
    data = b"".join(
        np.array(samples[n * rate : (n + 1) * rate], "<i2").tobytes() + marks[n].ljust(60, b"\0") for n in range(records)
    )
    return text.encode() + data


def test_the_same_mark_means_another_class_in_another_run(own: Any, seen: Any) -> None:
    """T1 is a fist in run 3 and both fists in run 5; T0 is nothing. Windows run from 0.2 s to 0.6 s after the mark."""
    for run in ("03", "05"):
        tals = [b"+0\x152\x14T0\x14\0", b"", b"+2\x151\x14T1\x14\0", b"+3\x151\x14T2\x14\0"]
        own.write(f"S1/R{run}.edf", edf(list(range(40)), tals))
    files = """reader = "edf"
pattern = 'S(?P<subject>\\d)/R(?P<session>\\d+)\\.edf'
[[files.events]]
sessions = ["3"]
labels = { T1 = "left", T2 = "right" }
start = 0.2
stop = 0.6
[[files.events]]
sessions = ["5"]
labels = { T1 = "both" }
start = 0.2
stop = 0.6"""
    windows = own.windows(files, "eeg eeg uV 10 Cz", classes=["left", "right", "both"])
    assert windows.labels.tolist() == [0, 1, 2]
    np.testing.assert_allclose(seen(windows, "eeg"), [[22, 23, 24, 25], [32, 33, 34, 35], [22, 23, 24, 25]], atol=1e-3)
    with pytest.raises(DataError, match=r"wants the signals \['Pz'\]; the file has \['CZ'\]"):
        own.windows(files, "eeg eeg uV 10 Pz", classes=["left", "right", "both"])
    with pytest.raises(DataError, match="have 10 Hz; the card says 20 Hz"):
        own.windows(files, "eeg eeg uV 20 Cz", classes=["left", "right", "both"])


def test_the_parts_of_an_interrupted_file_are_recordings(own: Any, seen: Any) -> None:
    """Two seconds, a pause of three, two seconds: no window runs over the pause, and marks keep their moments."""
    tals = [b"+0.4\x150.8\x14T1\x14\0", b"", b"", b"+6.2\x150.4\x14T2\x14\0"]
    own.write("S1/R3.edf", edf(list(range(40)), tals, onsets=(0, 1, 5, 6)))
    files = """reader = "edf"
pattern = 'S(?P<subject>\\d)/R(?P<session>\\d+)\\.edf'
[[files.events]]
labels = { T1 = "rest", T2 = "walk" }"""
    recordings = own.recordings(files, "eeg eeg uV 10 Cz")
    assert [(name, r.signals["eeg"].shape[1], r.onsets) for name, r in recordings.items()] == [
        ("R3-part-1", 20, {}),
        ("R3-part-2", 20, {"eeg": 5.0}),
    ]
    windows = own.windows(files, "eeg eeg uV 10 Cz")
    assert windows.labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(seen(windows, "eeg"), [[4, 5, 6, 7], [8, 9, 10, 11], [32, 33, 34, 35]], atol=1e-3)


# Packed


def test_an_archive_in_the_folder_is_read_and_the_folder_left_alone(
    own: Any, seen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    own.table("p1_walk.csv", "x y z", counting(8))
    with tarfile.open(own.folder / "data.tar.gz", "w:gz") as archive:
        archive.add(own.folder / "p1_walk.csv", "p1_walk.csv")
    (own.folder / "p1_walk.csv").unlink()
    files = BY_NAME + "archive = 'data\\.tar\\.gz'"
    for _ in range(2):
        assert seen(own.windows(files), "acc").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [path.name for path in own.folder.iterdir()] == ["data.tar.gz"]


# Odd text


def test_lines_above_the_header_are_skipped(own: Any, seen: Any) -> None:
    own.write("p1_walk.csv", "Logger 3000, firmware 1,2\nstart;now\nx,y,z\n" + "".join(f"{t},0,1\n" for t in range(8)))
    assert seen(own.windows(BY_NAME + "skip = 2"), "acc").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    own.write("p1_walk.csv", "Logger 3000\n" + "".join(f"{t} 0 1\n" for t in range(8)))
    files = BY_NAME.replace('["x", "y", "z"]', "[0, 1, 2]") + "header = false\nskip = 1"
    assert seen(own.windows(files), "acc").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_other_encodings(own: Any, seen: Any) -> None:
    text = "größe,y,z\n" + "".join(f"{t},0,1\n" for t in range(4))
    files = BY_NAME.replace('"x"', '"größe"')
    for encoding in ("latin-1", "utf-16"):
        own.write("p1_walk.csv", text.encode(encoding))
        assert seen(own.windows(files + f'encoding = "{encoding}"'), "acc").tolist() == [[0, 1, 2, 3]]
        with pytest.raises(DataError, match="not a table of numbers"):
            own.windows(files)
    with pytest.raises(DataError, match="unknown encoding: klingon"):
        own.windows(files + 'encoding = "klingon"')
