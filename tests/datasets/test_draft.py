"""Folders as people have them: the drafted card must load with no edit, or with the one that was asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harkd.datasets import Windows, load, read_card
from harkd.datasets.draft import Draft, draft
from harkd.errors import HarkdError, UsageError

LABELS = ("walking", "sitting", "running")


def acc(number: int, samples: int = 300, gravity: float = 1.0) -> NDArray[np.float64]:
    """(time, 3): gravity on z, and some movement that tells recordings apart."""
    t = np.arange(samples)[:, None]
    return gravity * (np.array([0.0, 0.1, 1.0]) + 0.05 * np.sin(0.3 * t + [0, 1, 2] + number))


def gyro(number: int, samples: int = 300, size: float = 1.0) -> NDArray[np.float64]:
    return size * np.array([1.0, 0.2, 0.1]) * np.sin(0.2 * np.arange(samples)[:, None] + [0, 2, 4] + number)


def write(
    path: Path, x: Sequence[Sequence[object]] | NDArray[np.float64], header: str = "", separator: str = ",", decimal: str = "."
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        [f"{c:.6g}".replace(".", decimal) if isinstance(c, float) else str(c) for c in row]
        for row in (x.tolist() if isinstance(x, np.ndarray) else x)
    ]
    path.write_text("\n".join([*([header] if header else []), *(separator.join(row) for row in cells)]) + "\n")


def trials() -> list[tuple[str, str, int]]:
    return [(subject, label, trial) for subject in ("01", "02", "03") for label in LABELS for trial in (1, 2)]


def loads(folder: Path, rate: float = 0.0) -> tuple[Draft, Windows]:
    """The draft of a folder, and the windows that its card gives by the ordinary way."""
    found = draft(folder, rate=rate)
    assert found.problem == "", (found.problem, found.text)
    path = folder.parent / f"{found.name}.toml"
    path.write_text(found.text)
    return found, load(str(path), folder)


def asked(found: Draft) -> str:
    return "\n".join(f"{key}: {text}" for key, text in found.notes.asked)


def signal(windows: Windows, sensor: str, position: int = 0) -> NDArray[np.float32]:
    import torch

    return windows.gather(torch.tensor([position]))[sensor][0].numpy()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_flat_csv_per_trial(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        clock = np.arange(300) / 50
        write(folder / f"s{subject}_{label}_t{trial}.csv", np.column_stack([clock, acc(n), gyro(n)]), "time,ax,ay,az,gx,gy,gz")
    (folder / "README.txt").write_text("Recorded in 2024, at 50 Hz.\nNot a table, really.\n")
    found, windows = loads(folder)
    assert asked(found) == ""
    assert windows.classes == ("running", "sitting", "walking")
    assert sorted(set(windows.subjects.tolist())) == ["01", "02", "03"]
    assert [(s.name, s.units, s.rate) for s in windows.sensors.values()] == [("acc", "g", 50.0), ("gyro", "rad/s", 50.0)]
    assert windows.lengths == {"acc": 128, "gyro": 128}
    assert len(windows) == 18 * 3  # 300 samples: windows at 0, 64, 128
    card = windows.card
    assert (card.counts.recordings, card.counts.subjects, card.counts.windows, card.counts.per_class) == (18, 3, 54, (18, 18, 18))
    assert card.subjects_are_codes
    np.testing.assert_allclose(signal(windows, "acc"), acc(4)[:128].T, atol=1e-4)  # s01_running_t1 is the fifth trial
    assert "# guessed: " in found.text
    assert "TODO" in found.text


def test_one_folder_per_person(folder: Path) -> None:
    for n, subject in enumerate(("alice", "bob", "carla")):
        for label in LABELS:
            write(folder / subject / f"{label}.txt", acc(n, gravity=9.81), "acc_x\tacc_y\tacc_z", "\t")
    found, windows = loads(folder, rate=100)
    assert sorted(set(windows.subjects.tolist())) == ["alice", "bob", "carla"]
    assert not windows.card.subjects_are_codes
    assert windows.sensors["acc"].units == "m/s2"
    assert windows.lengths == {"acc": 256}
    assert windows.classes == ("running", "sitting", "walking")
    assert "--rate 100" in found.text


def test_without_a_clock_the_rate_is_asked_for(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        write(folder / f"user{subject}" / f"{label}{trial}.csv", acc(n), "x,y,z")
    found = draft(folder)
    assert found.windows is None
    assert "a rate of 0.0 Hz: a positive rate is expected" in found.problem
    assert "samples per second of acc" in asked(found)
    path = folder.parent / "mine.toml"
    path.write_text(found.text)
    with pytest.raises(UsageError, match=r"mine\.toml:\d+: sensors\.0: sensor 'acc' has a rate of 0"):
        read_card(str(path))
    path.write_text(found.text.replace("\nrate = 0\n", "\nrate = 50\n"))  # exactly what was asked for
    windows = load(str(path), folder)
    assert (len(windows), windows.classes) == (54, ("running", "sitting", "walking"))


def test_one_long_table(folder: Path) -> None:
    rows: list[list[object]] = []
    for subject in range(1, 5):
        for k in range(1200):
            x = acc(subject, 1200)[k]
            rows.append([20 * k, subject, LABELS[k // 400], *map(float, x), *map(float, gyro(subject, 1200, 90.0)[k])])
    write(folder / "data.csv", rows, "timestamp,subject_id,activity,accX,accY,accZ,gyroX,gyroY,gyroZ")
    found, windows = loads(folder)
    assert asked(found) == ""
    assert sorted(set(windows.subjects.tolist())) == ["1", "2", "3", "4"]
    assert windows.sensors["acc"].rate == 50
    assert windows.sensors["gyro"].units == "deg/s"
    assert windows.card.files.time_unit == "ms"
    assert windows.labels.bincount().tolist() == [20, 20, 20]  # 400 samples: 5 windows of each run, 4 people


def test_acc_and_gyro_apart_at_rates_of_their_own(folder: Path) -> None:
    for n, (subject, label, _) in enumerate(trials()[::2]):
        for word, rate, x in (("accelerometer", 100, acc(n, 600)), ("gyroscope", 50, gyro(n, 310))):
            at = (
                1_700_000_000_000_000_000 + np.arange(len(x), dtype=np.int64) * (1_000_000_000 // rate) + 3_000_000 * (rate == 50)
            )
            rows = [[int(t), *map(float, row)] for t, row in zip(at, x, strict=True)]
            write(folder / f"p{subject}" / label / f"{word}.csv", rows, "time,x,y,z")
    found, windows = loads(folder)
    assert asked(found) == ""
    assert [(s.name, s.rate) for s in windows.sensors.values()] == [("acc", 100.0), ("gyro", 50.0)]
    assert windows.card.files.time_unit == "ns"
    assert windows.lengths == {"acc": 256, "gyro": 128}
    assert set(windows.recordings.tolist()) == {f"p{s}/{label}" for s in ("01", "02", "03") for label in LABELS}
    assert sorted(set(windows.subjects.tolist())) == ["01", "02", "03"]


def test_semicolons_and_decimal_commas(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        clock = np.arange(300) / 25
        write(
            folder / f"Proband{subject}_{label}_{trial}.csv", np.column_stack([clock, acc(n)]), "Zeit;Acc X;Acc Y;Acc Z", ";", ","
        )
    found, windows = loads(folder, rate=25)
    assert windows.card.files.decimal == ","
    assert windows.card.files.columns == {"acc": ("Acc X", "Acc Y", "Acc Z")}
    assert (windows.sensors["acc"].rate, windows.lengths["acc"]) == (25, 64)
    np.testing.assert_allclose(signal(windows, "acc"), acc(4)[:64].T, atol=1e-4)
    assert found.counts.subjects == 3


def test_whole_numbers_are_counts(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        write(folder / f"s{subject}_{label}_t{trial}.csv", [list(map(int, row)) for row in acc(n) * 4096], "ax,ay,az")
    found, windows = loads(folder, rate=50)
    assert windows.card.files.scale == {"acc": 1 / 4096}
    assert "data sheet" in asked(found)
    np.testing.assert_allclose(signal(windows, "acc"), acc(4)[:128].T, atol=1e-3)


def test_unsigned_counts_stay_counts(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        write(folder / f"s{subject}_{label}_t{trial}.txt", [list(map(int, row)) for row in 21 * acc(n) + 31], "", " ")
    found, windows = loads(folder, rate=32)
    assert windows.sensors["acc"].units == "counts"
    assert "they need an offset" in asked(found)
    assert "# scale = { acc = 1.0 }" in found.text
    assert windows.card.files.columns == {"acc": (0, 1, 2)}


def test_iso_time_stamps(folder: Path) -> None:
    for n, (subject, label, _) in enumerate(trials()[::2]):
        at = np.datetime64("2024-03-01T10:00:00.000") + np.arange(300) * np.timedelta64(20, "ms")
        rows = [[str(t).replace("T", " "), *map(float, x)] for t, x in zip(at, acc(n), strict=True)]
        write(folder / f"subject_{subject}_{label}.csv", rows, "timestamp,acc_x (m/s^2),acc_y (m/s^2),acc_z (m/s^2)")
    found, windows = loads(folder)
    assert (windows.card.files.time, windows.card.files.time_unit) == ("timestamp", "iso")
    assert windows.sensors["acc"].units == "m/s2"  # the header says so, whatever the numbers are
    assert windows.sensors["acc"].rate == 50
    assert asked(found) == ""


def test_phone_and_watch_in_one_column(folder: Path) -> None:
    for n, (subject, label, _) in enumerate(trials()[::2]):
        rows: list[list[object]] = []
        for device, extra in (("phone", 0), ("watch", 50)):
            rows += [[float(k / 50), device, *map(float, acc(n + extra)[k])] for k in range(300)]
        write(folder / f"s{subject}_{label}.csv", rows, "time,device,x,y,z")
    found, windows = loads(folder)
    assert list(windows.sensors) == ["phone_acc", "watch_acc"]
    assert windows.card.files.devices == {"phone": ("phone_acc",), "watch": ("watch_acc",)}
    assert windows.sensors["watch_acc"].placement == "watch"
    np.testing.assert_allclose(signal(windows, "watch_acc"), acc(52)[:128].T, atol=1e-4)  # s01_running is the third
    assert asked(found) == ""


def test_a_side_table_tells_who_and_what(folder: Path) -> None:
    rows: list[list[object]] = []
    for n in range(8):
        write(folder / f"rec{n:03d}.csv", np.column_stack([np.arange(300) / 50, acc(n)]), "t,ax,ay,az")
        rows.append([f"rec{n:03d}", f"P{n // 2}", ("rest", "walk")[n % 2], 30 + n])
    write(folder / "meta.csv", rows, "file,participant,activity,age")
    found, windows = loads(folder)
    assert windows.card.files.tables[0].key == "recording"
    assert sorted(set(windows.subjects.tolist())) == ["P0", "P1", "P2", "P3"]
    assert windows.classes == ("rest", "walk")
    assert windows.labels.bincount().tolist() == [12, 12]
    assert asked(found) == ""


def test_a_table_of_segments(folder: Path) -> None:
    rows: list[list[object]] = []
    for n in range(1, 5):
        write(folder / "raw" / f"exp{n:02d}_user{(n + 1) // 2:02d}.txt", acc(n, 1000), "", " ")
        rows += [[n, (n + 1) // 2, 1, 100, 399], [n, (n + 1) // 2, 2, 400, 699]]
    write(folder / "labels.txt", rows, "", " ")
    write(folder / "names.txt", [["1", "WALKING"], ["2", "LYING"]], "", " ")
    found, windows = loads(folder, rate=50)
    segments = windows.card.files.segments
    assert segments is not None
    assert segments.inclusive
    assert segments.columns == {"recording": 0, "subject": 1, "label": 2, "start": 3, "stop": 4}
    assert windows.classes == ("walking", "lying")
    assert windows.labels.bincount().tolist() == [12, 12]  # 300 samples: 3 windows, in 4 recordings
    assert found.counts.subjects == 2


def test_segments_in_seconds_with_a_header(folder: Path) -> None:
    rows: list[list[object]] = []
    for n in range(4):
        write(folder / f"P{n}.csv", np.column_stack([np.arange(1000) / 50, acc(n, 1000)]), "time_s,ax,ay,az")
        rows += [[f"P{n}.csv", 1.5, 7.5, "walk"], [f"P{n}.csv", 9.5, 15.5, "rest"]]
    write(folder / "annotations.csv", rows, "file,start,end,activity")
    _, windows = loads(folder)
    segments = windows.card.files.segments
    assert segments is not None
    assert (segments.unit, segments.inclusive) == ("s", False)
    assert windows.labels.bincount().tolist() == [12, 12]


def test_headerless_and_separated_by_spaces(folder: Path) -> None:
    for n, (subject, label, trial) in enumerate(trials()):
        x = np.column_stack([acc(n), gyro(n, size=100)])
        write(folder / label / f"S{subject}" / f"{trial}.dat", x, "", "  ")
    found, windows = loads(folder, rate=50)
    assert not windows.card.files.header
    assert windows.card.files.columns == {"acc": (0, 1, 2), "gyro": (3, 4, 5)}
    assert "what do columns 3, 4, 5 measure?" in asked(found)
    assert (windows.classes, found.counts.subjects) == (("running", "sitting", "walking"), 3)


def test_arrays_of_windows(folder: Path) -> None:
    x = np.stack([np.column_stack([acc(n, 128), gyro(n, 128)]) for n in range(12)])
    np.savez(folder / "data.npz", X=x, y=np.arange(12) % 3, subject=np.arange(12) // 4)
    found, windows = loads(folder, rate=50)
    assert windows.card.files.axes == {"acc": ("window", "time", "channel"), "gyro": ("window", "time", "channel")}
    assert (len(windows), sorted(set(windows.subjects.tolist()))) == (12, ["0", "1", "2"])
    assert windows.labels.tolist() == [0, 1, 2] * 4
    assert windows.lengths == {"acc": 128, "gyro": 128}
    np.testing.assert_allclose(signal(windows, "gyro", 5), x[5, :, 3:].T, rtol=1e-5)
    assert "give the classes names" in asked(found)


def edf(channels: dict[str, NDArray[np.int64]], marks: Sequence[tuple[int, int, str]]) -> bytes:
    """An EDF+ file of records of one second; channels are (second, sample) in tenths of a microvolt."""
    seconds, rate = next(iter(channels.values())).shape
    tals = [f"+{n}\x14\x14\0".encode() for n in range(seconds)]
    tals[0] += b"".join(f"+{start}\x15{length}\x14{word}\x14\0".encode() for start, length, word in marks)
    size = -(-max(map(len, tals)) // 2)
    labels = [*channels, "EDF Annotations"]
    count = len(labels)

    def column(width: int, values: Sequence[object]) -> str:
        return "".join(f"{value:<{width}}" for value in values)

    eeg = len(channels)
    head = f"{'0':<8}{'X X X X':<80}{'Startdate 02-MAR-2021 X X X':<80}02.03.2110.20.30"
    head += f"{256 * (count + 1):<8}{'EDF+C':<44}{seconds:<8}{'1':<8}{count:<4}"
    head += column(16, labels) + column(80, [""] * count) + column(8, ["uV"] * eeg + [""])
    for number, other in (("-3276.8", "-1"), ("3276.7", "1"), ("-32768", "-32768"), ("32767", "32767")):
        head += column(8, [number] * eeg + [other])
    head += column(80, [""] * count) + column(8, [rate] * eeg + [size]) + column(32, [""] * count)
    body = b""
    for n in range(seconds):
        body += b"".join(x[n].astype("<i2").tobytes() for x in channels.values()) + tals[n].ljust(2 * size, b"\0")
    return head.encode() + body


def test_eeg_with_annotations(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for subject in (1, 2):
        channels = {label: rng.integers(-400, 400, (12, 100)) for label in ("C3..", "Cz..", "C4..", "O1..")}
        marks = [(0, 4, "rest"), (4, 4, "left"), (8, 4, "right")]
        (folder / f"sub{subject:02d}.edf").write_bytes(edf(channels, marks))
    found, windows = loads(folder)
    sensor = windows.sensors["eeg"]
    assert (sensor.channels, sensor.rate, sensor.units) == (("C3", "Cz", "C4", "O1"), 100.0, "uV")
    assert windows.classes == ("left", "rest", "right")
    assert windows.labels.bincount().tolist() == [4, 4, 4]  # 400 samples: windows of 256 at 0 and 128
    assert sorted(set(windows.subjects.tolist())) == ["01", "02"]
    assert asked(found) == ""


def test_parts_in_an_archive(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "all.zip", "w") as pack:
        for n, (subject, label, _) in enumerate(trials()[::2]):
            write(folder.parent / "one.csv", np.column_stack([np.arange(300) / 50, acc(n)]), "t,ax,ay,az")
            pack.write(folder.parent / "one.csv", f"data/s{subject}_{label}.csv")
    _, windows = loads(folder)
    assert windows.card.files.archive == r"all\.zip"
    assert len(windows) == 27


def test_copies_and_strangers_are_told(folder: Path) -> None:
    for n, (subject, label, _) in enumerate(trials()[::2]):
        write(folder / f"s{subject}_{label}.csv", np.column_stack([np.arange(300) / 50, acc(n)]), "t,ax,ay,az")
    (folder / "s09_walking.csv").write_bytes((folder / "s01_walking.csv").read_bytes())
    write(folder / "calibration-of-the-sensor.csv", np.column_stack([np.arange(300) / 50, acc(1)]), "t,ax,ay,az")
    found = draft(folder)
    assert "s01_walking.csv = s09_walking.csv" in asked(found)
    assert "'calibration-of-the-sensor.csv'" in asked(found)


def _pictures(folder: Path) -> None:
    for n in range(3):
        (folder / f"{n}.png").write_bytes(b"\x89PNG\r\n")


def _junk(folder: Path) -> None:
    (folder / "a.csv").write_bytes(bytes(range(256)) * 10)


def _archives(folder: Path) -> None:
    for name in ("a.zip", "b.zip"):
        (folder / name).write_bytes(b"PK")


def _broken(folder: Path) -> None:
    (folder / "a.edf").write_bytes(b"0" * 300)


def _texts(folder: Path) -> None:
    (folder / "a.txt").write_text("Once upon a time\nthere was no table\nin a file.\n")


def _preamble(folder: Path) -> None:
    write(folder / "a.csv", acc(1), "Device: 12\nStarted: today\nax,ay,az")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda folder: None, "holds no recordings that a card can describe; it is empty"),
        (_pictures, "its 3 files are 3 .png"),
        (_junk, "a.csv .binary, not text"),
        (_archives, "holds 2 archives .a.zip, b.zip.: unpack them"),
        (_broken, "a.edf"),
        (_texts, "a.txt .no column of numbers"),
        (_preamble, "2 lines before the table .'Device: 12'. are no comments"),
    ],
)
def test_what_is_no_data_set_is_said(folder: Path, fill: Callable[[Path], None], message: str) -> None:
    fill(folder)
    with pytest.raises(HarkdError, match=message):
        draft(folder)


def test_a_single_file(folder: Path) -> None:
    write(folder / "log.csv", np.column_stack([np.arange(600) / 50, acc(1, 600)]), "t,ax,ay,az")
    found = draft(folder)
    assert found.problem == ""
    assert found.counts.windows == 8
    assert "nothing tells who wore the sensor" in asked(found)
    assert "nothing tells what is done" in asked(found)
