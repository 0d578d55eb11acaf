"""A recording in a file becomes the windows that training cut from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from numpy.typing import NDArray

from harkd.datasets import Cut, Recording, Sees, Sensor, Windows, read_card
from harkd.datasets.loading import windows_of
from harkd.errors import DataError, UsageError
from harkd.export.manifest import Manifest
from harkd.export.recording import Heard, hear
from harkd.export.sources import Told

Make = Callable[..., Manifest]
ACC = Sensor("wrist_acc", "acc", "g", 50.0, placement="wrist")
EEG = Sensor("eeg", "eeg", "uV", 160.0, channels=("C3", "Cz", "C4"))
NOTHING = Told()
One = tuple[NDArray[np.float32], Windows]


def write(path: Path, x: NDArray[np.float32], rate: float = 50.0) -> Path:
    """Six channels (channel, time) as a file of its suffix."""
    time = np.arange(x.shape[1]) / rate
    if path.suffix == ".csv":
        np.savetxt(path, np.c_[time, x.T], "%.9g", ",", header="t,ax,ay,az,gx,gy,gz", comments="")
    elif path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame(np.c_[time, x.T], columns=["t", "ax", "ay", "az", "gx", "gy", "gz"]).to_parquet(path)
    else:
        arrays = {"acc": x[:3].T, "wrist_gyro": x[3:], "time": time}
        np.savez(path, **arrays) if path.suffix == ".npz" else scipy.io.savemat(path, arrays)
    return path


def of_training(windows: Windows) -> NDArray[np.float32]:
    """What a net is trained on: (window, channel, time)."""
    sees = Sees.parse("all", windows.sensors, windows.lengths)
    return sees(windows.gather(torch.arange(len(windows)))).numpy()


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".mat", ".parquet"])
@pytest.mark.parametrize("rate", ["", "50"])
def test_a_real_recording_becomes_the_windows_of_its_data_set(
    suffix: str, rate: str, one: One, watch_export: tuple[Path, Manifest], tmp_path: Path
) -> None:
    signals, windows = one
    heard = hear(write(tmp_path / f"one{suffix}", signals), watch_export[1], Told(rate=rate))
    assert heard.inputs == pytest.approx(of_training(windows), abs=1e-6)
    assert heard.spans[:3].tolist() == [[0.0, 2.56], [1.28, 3.84], [2.56, 5.12]]
    assert heard.seconds == pytest.approx(signals.shape[1] / 50)
    assert not heard.warnings


@pytest.mark.parametrize("stamps", ["ms", "us", "ns", "iso"])
def test_time_stamps_of_any_form_give_the_same_windows(
    stamps: str, one: One, watch_export: tuple[Path, Manifest], tmp_path: Path
) -> None:
    signals, windows = one
    nanoseconds = 1_700_000_000_000_000_000 + 20_000_000 * np.arange(signals.shape[1])
    per = {"ms": 10**6, "us": 10**3, "ns": 1, "iso": 1}[stamps]
    times = pd.to_datetime(nanoseconds).strftime("%Y-%m-%dT%H:%M:%S.%f") if stamps == "iso" else nanoseconds // per
    table = pd.DataFrame({"timestamp": times} | dict(zip(("ax", "ay", "az", "gx", "gy", "gz"), signals, strict=True)))
    table.to_csv(tmp_path / "one.csv", index=False)
    heard = hear(tmp_path / "one.csv", watch_export[1], Told())
    assert heard.remarks[-1] == f"time from timestamp ({stamps})"
    # Seconds since 1970 in double precision are good to a tenth of a microsecond, in which a turn may change by 1e-5 rad/s.
    assert heard.inputs == pytest.approx(of_training(windows), abs=5e-5)


def test_numbers_in_other_units_on_a_device_worn_another_way(
    one: One, watch_export: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """The recording's x is the model's y, and its y is the model's -x: --axes says "-y,x,z"."""
    signals, windows = one
    turned = signals.copy()
    turned[:2] = signals[1], -signals[0]
    turned[:3] *= 9.80665
    turned[3:] *= 180 / np.pi
    told = Told(units="wrist_acc=m/s2 wrist_gyro=deg/s", axes="wrist_acc=-y,x,z")
    heard = hear(write(tmp_path / "one.csv", turned), watch_export[1], told)
    assert heard.inputs == pytest.approx(of_training(windows), abs=1e-5)


def test_a_faster_recording_is_resampled_as_in_training(one: One, watch_export: tuple[Path, Manifest], tmp_path: Path) -> None:
    """The same numbers said to come at 100 Hz are what `resample()` makes of them for a card at 50 Hz."""
    signals, windows = one
    card = replace(
        windows.card, prepare="resample()", files=replace(windows.card.files, rate={"wrist_acc": 100.0, "wrist_gyro": 100.0})
    )
    recording = Recording("one", "", {"wrist_acc": signals[:3], "wrist_gyro": signals[3:]})
    heard = hear(write(tmp_path / "one.csv", signals), watch_export[1], Told(rate="100"))
    assert heard.inputs == pytest.approx(of_training(windows_of(card, [recording])), abs=1e-6)
    assert heard.spans[-1, 1] < 0.5 * signals.shape[1] / 50


@pytest.mark.parametrize(
    "preparation", ["limit(1.6, of=acc)+fill(0.2)+resample()", "gravity(0.3)", "lowpass(10)+limit(1.5, of=acc)"]
)
def test_preparation_and_rate_of_training_are_kept(preparation: str, one: One, export: Make, tmp_path: Path) -> None:
    signals, windows = one
    manifest = export(list(windows.sensors.values()), cut=Cut(128, 64), sees="all@20Hz", preparation=preparation)
    recording = Recording("one", "", {"wrist_acc": signals[:3], "wrist_gyro": signals[3:]})
    gaps = "" if "fill" in preparation else "fill(0)"  # what limit() takes out is a gap
    prepared = windows_of(replace(windows.card, prepare=preparation), [recording], prepare=gaps)
    sees = Sees.parse("all@20Hz", prepared.sensors, prepared.lengths)
    heard = hear(write(tmp_path / "one.npz", signals), manifest, Told(rate="50"))
    assert heard.inputs == pytest.approx(sees(prepared.gather(torch.arange(len(prepared)))).numpy(), abs=1e-6)
    assert heard.inputs.shape[2] == 51


def edf(
    path: Path, signals: NDArray[np.int16], labels: list[str], units: str, rate: int, onsets: list[int] | None = None
) -> Path:
    """Records of one second; digital and physical values are the same. With `onsets` the file has gaps (EDF+D)."""
    count, records = len(labels), signals.shape[1] // rate
    lists = ["EDF Annotations"] if onsets else []
    columns = [
        (16, [*labels, *lists]), (80, [""] * (count + len(lists))), (8, [units] * count + [""] * len(lists)),
        (8, [-32768] * count + [-1] * len(lists)), (8, [32767] * count + [1] * len(lists)),
        (8, [-32768] * (count + len(lists))), (8, [32767] * (count + len(lists))), (80, [""] * (count + len(lists))),
        (8, [rate] * count + [10] * len(lists)), (32, [""] * (count + len(lists))),
    ]  # fmt: skip
    head = [(8, "0"), (80, "X X X X"), (80, "Startdate X X X X"), (8, "01.01.24"), (8, "00.00.00")]
    head += [(8, str(256 * (count + len(lists) + 1))), (44, "EDF+D" if onsets else ""), (8, str(records)), (8, "1")]
    head += [(4, str(count + len(lists)))]
    text = "".join(f"{value:<{size}}" for size, value in head) + "".join(f"{v:<{size}}" for size, vs in columns for v in vs)
    data = b""
    for n in range(records):
        data += signals[:, n * rate : (n + 1) * rate].astype("<i2").tobytes()
        data += (f"+{onsets[n]}".encode() + b"\x14\x14\0").ljust(20, b"\0") if onsets else b""
    path.write_bytes(text.encode() + data)
    return path


def test_electrodes_of_an_edf_file(export: Make, tmp_path: Path) -> None:
    """The file has five electrodes in millivolts, of which the model takes three in another order, in microvolts."""
    signals = np.random.default_rng(0).integers(-99, 99, (5, 160 * 6)).astype(np.int16)
    path = edf(tmp_path / "one.edf", signals, ["C4..", "Fz..", "Cz..", "C3..", "Pz.."], "mV", 160)
    manifest = export([EEG], cut=Cut(320, 160))
    heard = hear(path, manifest, Told())
    expected = np.stack([signals[[3, 2, 0], start : start + 320] for start in range(0, 641, 160)])
    assert heard.inputs == pytest.approx(1000.0 * expected, rel=1e-6)


def test_parts_of_an_interrupted_edf_file_keep_their_times(export: Make, tmp_path: Path) -> None:
    """Three seconds, a gap of ten, then four: windows of 2 s every second lie in both parts and not across."""
    signals = np.tile(np.arange(160 * 7, dtype=np.int16), (3, 1))
    path = edf(tmp_path / "one.edf", signals, ["C3", "Cz", "C4"], "uV", 160, [0, 1, 2, 13, 14, 15, 16])
    heard = hear(path, export([EEG], cut=Cut(320, 160)), Told())
    assert heard.spans[:, 0].tolist() == [0.0, 1.0, 13.0, 14.0, 15.0]
    assert heard.inputs[:, 0, 0].tolist() == [0.0, 160.0, 480.0, 640.0, 800.0]
    assert heard.seconds == 17.0


def test_only_the_electrodes_that_a_model_sees_have_to_be_there(export: Make, tmp_path: Path) -> None:
    signals = np.random.default_rng(0).integers(-99, 99, (1, 640)).astype(np.int16)
    path = edf(tmp_path / "one.edf", signals, ["Cz"], "uV", 160)
    heard = hear(path, export([EEG], cut=Cut(320, 320), sees="eeg[Cz]"), Told())
    assert heard.inputs.tolist() == signals.reshape(2, 1, 320).tolist()
    with pytest.raises(DataError, match=r"no columns for sensor 'eeg'.*the recording has Cz"):
        hear(path, export([EEG], cut=Cut(320, 320), sees="eeg[Cz]", preparation="reference()"), Told())


def test_a_real_eeg_recording_becomes_the_windows_of_training(real_eeg: Path, export: Make) -> None:
    card = read_card("eegmmidb")
    manifest = export(card.sensors, cut=Cut(640, 320), sees="eeg[C3,Cz,C4]", preparation=card.prepare)
    mne = pytest.importorskip("mne")
    raw = mne.io.read_raw_edf(real_eeg, verbose="error")
    names = {name.strip(".").lower(): name for name in raw.ch_names}
    signal = 1e6 * raw.get_data([names[name] for name in ("c3", "cz", "c4")])
    expected = np.stack([signal[:, start : start + 640] for start in range(0, signal.shape[1] - 639, 320)])
    assert hear(real_eeg, manifest, Told()).inputs == pytest.approx(expected, abs=1e-3)


def rows(*cells: str) -> str:
    return "t,ax,ay,az\n" + "".join(f"{n / 50},{cell}\n" for n, cell in enumerate(cells))


def heard(folder: Path, manifest: Manifest, text: str, told: Told = NOTHING, name: str = "r.csv") -> Heard:
    (folder / name).write_text(text)
    return hear(folder / name, manifest, told)


def test_windows_go_round_a_gap(export: Make, tmp_path: Path) -> None:
    """Cells are empty from sample 120 to 129; windows of 100 start at 0 and, after the gap, at 130 and 180."""
    cells = [f"{n},0,1" if not 120 <= n < 130 else ",," for n in range(290)]
    found = heard(tmp_path, export(), rows(*cells), Told(rate="50"))
    assert found.inputs[:, 0, 0].tolist() == [0.0, 130.0, 180.0]
    assert found.spans[:, 0].tolist() == [0.0, 2.6, 3.6]


def test_windows_go_round_a_gap_in_the_time_stamps(export: Make, tmp_path: Path) -> None:
    text = "t,ax,ay,az\n" + "".join(f"{n / 50 + 60 * (n >= 150)},0,0,1\n" for n in range(300))
    assert heard(tmp_path, export(), text).spans[:, 0].tolist() == [0.0, 1.0, 63.0, 64.0]


@pytest.mark.parametrize(
    ("numbers", "units", "suggested"),
    [("0,0,9.81", "g", "m/s2"), ("0,0,1", "m/s2", "g"), ("0,0,1000", "g", "mg"), ("0,0,1", "g", ""), ("0,0,9.81", "m/s2", "")],
)
def test_acceleration_of_a_size_that_contradicts_its_units_is_warned_of(
    numbers: str, units: str, suggested: str, export: Make, tmp_path: Path
) -> None:
    found = heard(tmp_path, export([replace(ACC, units=units)]), rows(*[numbers] * 200))
    assert bool(found.warnings) == bool(suggested)
    if suggested:
        assert f"say --units wrist_acc={suggested}" in found.warnings[0]
        again = hear(tmp_path / "r.csv", export([replace(ACC, units=units)]), Told(units=f"wrist_acc={suggested}"))
        assert not again.warnings


def test_units_in_the_header_are_turned_into_the_models(export: Make, tmp_path: Path) -> None:
    text = rows(*["0,0,1000"] * 200).replace("ax,ay,az", "acc x (mg),acc y (mg),acc z (mg)")
    found = heard(tmp_path, export(units="m/s2", factor=1 / 9.80665), text)
    assert found.inputs[0, :, 0] == pytest.approx([0, 0, 9.80665])
    assert not found.warnings


def test_a_slow_recording_is_warned_of_and_one_in_another_unit_of_time_refused(export: Make, tmp_path: Path) -> None:
    slow = "t,ax,ay,az\n" + "".join(f"{n / 20},0,0,1\n" for n in range(200))
    assert "was recorded at 20 Hz, and the model knows 50 Hz" in heard(tmp_path, export(), slow).warnings[0]
    with pytest.raises(DataError, match=r"by its time stamps it has 50000 samples a second.*Say --time-unit"):
        heard(tmp_path, export(), rows(*["0,0,1"] * 200), Told(time="t", time_unit="ms"))


def test_files_without_a_header_need_columns_and_a_rate(export: Make, tmp_path: Path) -> None:
    text = "".join(f"{n},7,0,0,1\n" for n in range(200))
    with pytest.raises(DataError, match=r'it has no header; say which of its 5 columns.*--columns "wrist_acc=0,1,2"'):
        heard(tmp_path, export(), text, Told(rate="50"))
    found = heard(tmp_path, export(), text, Told(columns="wrist_acc=0,3,4", rate="50"))
    assert found.inputs[0, :, :3].T.tolist() == [[0, 0, 1], [1, 0, 1], [2, 0, 1]]


def test_arrays_of_several_sensors_and_of_single_channels(export: Make, tmp_path: Path) -> None:
    x = np.arange(1200.0).reshape(200, 6)
    np.savez(tmp_path / "r.npz", data=x)
    with pytest.raises(DataError, match=r"which array is wrist_acc\? It has data \(200, 6\).*wrist_acc=NAME\[0,1,2\]"):
        hear(tmp_path / "r.npz", export(), Told(rate="50"))
    found = hear(tmp_path / "r.npz", export(), Told(columns="wrist_acc=data[5,0,1]", rate="50"))
    assert found.inputs[0, :, 0].tolist() == [5, 0, 1]
    np.savez(tmp_path / "r.npz", accX=x[:, 0], accY=x[:, 1], accZ=x[:, 2], t=np.arange(200) / 50)
    assert hear(tmp_path / "r.npz", export(), Told()).inputs[0, :, 1].tolist() == [6, 7, 8]


def test_a_recording_that_is_fitted_to_one_window_keeps_its_time(export: Make, tmp_path: Path) -> None:
    """Seven seconds become the 100 samples of one window, which stands for seven seconds."""
    found = heard(tmp_path, export(preparation="fit(100)", cut=Cut(100, 100)), rows(*["0,0,1"] * 350), Told(rate="50"))
    assert found.inputs.shape == (1, 3, 100)
    assert found.spans.tolist() == [[0.0, 7.0]]


def test_sensors_of_two_rates(export: Make, tmp_path: Path) -> None:
    """Acceleration at 50 Hz sets the windows of 2 s; of the gyroscope at 25 Hz each holds 50 samples."""
    gyro = Sensor("wrist_gyro", "gyro", "rad/s", 50.0, placement="wrist")
    np.savez(tmp_path / "r.npz", acc=np.ones((200, 3)), gyro=np.ones((100, 3)))
    found = hear(tmp_path / "r.npz", export([ACC, gyro], sees="all"), Told(rate="wrist_gyro=25"))
    assert found.inputs.shape == (3, 6, 100)
    assert found.inputs == pytest.approx(1.0, abs=1e-6)


WRONG = {
    "two.xlsx": ("x", Told(), "harkd reads .csv"),
    "empty.csv": ("", Told(), "the file is empty"),
    "header.csv": ("t,ax,ay,az\n", Told(), "it has a header and no rows"),
    "prose.csv": ("once upon a time\nthere was a watch\n", Told(), "a recording is a table of numbers"),
    "text.csv": (
        rows(*["0,0,1"] * 150, "0,high,1", *["0,0,1"] * 50),
        Told(),
        "row 151 of column 'ay' holds 'high', not a number",
    ),
    "short.csv": (
        rows(*["0,0,1"] * 60),
        Told(),
        "1.2 s long, and no stretch of it without a gap holds one window of 2 s (100 samples",
    ),
    "holes.csv": (rows(*["0,0,1", "0,,1"] * 150), Told(rate="50"), "no stretch of it without a gap holds one window of 2 s"),
    "infinite.csv": (rows(*["0,0,1"] * 99, "0,inf,1"), Told(rate="50"), "channel 'y' of 'wrist_acc' is infinite at sample 100"),
    "clockless.csv": (
        "ax,ay,az\n" + "0,0,1\n" * 200,
        Told(),
        "no column of time stamps; say how fast it was recorded with --rate HZ",
    ),
    "stamp.csv": (
        rows(*["0,0,1"] * 200).replace("0.02,", "soon,"),
        Told(time="t"),
        "the time stamp of row 2 is 'soon', not a time",
    ),
    "damaged.npz": ("no zip", Told(), "damaged, or no NumPy file"),
    "damaged.mat": ("no mat" * 50, Told(), "not a MATLAB file of version 5 to 7"),
    "damaged.edf": ("no edf" * 50, Told(), "an EDF file begins with '0'"),
    "rated.edf": ("no edf", Told(rate="50"), "an EDF file says its rates itself; leave --rate out"),
    "both.csv": (rows(*["0,0,1"] * 200), Told(rate="50", time="t"), "--rate and --time: give one of them"),
    "rate.csv": (rows(*["0,0,1"] * 200), Told(rate="fast"), "--rate fast: expected samples per second"),
    "units.csv": (rows(*["0,0,1"] * 200), Told(units="wrist_acc=deg/s"), "unit (of what is measured in 'g'): 'deg/s'"),
    "time.csv": (rows(*["0,0,1"] * 200), Told(time="clock"), "wants the column 'clock', there once"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_recording_is_said(name: str, export: Make, tmp_path: Path) -> None:
    text, told, message = WRONG[name]
    with pytest.raises((DataError, UsageError)) as caught:
        heard(tmp_path, export(), text, told, name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(export: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.csv: no such file"):
        hear(tmp_path / "none.csv", export(), Told())
    with pytest.raises(UsageError, match="a folder, and one recording is wanted"):
        hear(tmp_path, export(), Told())
