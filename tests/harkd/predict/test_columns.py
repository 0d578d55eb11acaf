"""Which column is which channel."""

from __future__ import annotations

import pytest

from harkd.datasets import Sensor
from harkd.errors import DataError, UsageError
from harkd.export.columns import find, per_sensor, to_array, to_columns, to_turn

ACC = Sensor("wrist_acc", "acc", "g", 50.0, placement="wrist")
GYRO = Sensor("wrist_gyro", "gyro", "rad/s", 50.0, placement="wrist")
ANKLE = Sensor("ankle_acc", "acc", "g", 50.0, placement="ankle")
EEG = Sensor("eeg", "eeg", "uV", 160.0, channels=("C3", "Cz", "FC5"))


@pytest.mark.parametrize(
    "header",
    [
        "wrist_acc_x wrist_acc_y wrist_acc_z wrist_gyro_x wrist_gyro_y wrist_gyro_z",
        "wrist_acc.x wrist_acc.y wrist_acc.z wrist_gyro.x wrist_gyro.y wrist_gyro.z",
        "Wrist-Acc-X Wrist-Acc-Y Wrist-Acc-Z WristGyroX WristGyroY WristGyroZ",
        "acc_x acc_y acc_z gyro_x gyro_y gyro_z",
        "accX accY accZ gyrX gyrY gyrZ",
        "ax ay az gx gy gz",
        "ax ay az wx wy wz",
        "Accelerometer.x Accelerometer.y Accelerometer.z Gyroscope.x Gyroscope.y Gyroscope.z",
        "left_wrist_accel_x left_wrist_accel_y left_wrist_accel_z gyroscope_x gyroscope_y gyroscope_z",
    ],
)
def test_common_headers_are_understood_whatever_their_order(header: str) -> None:
    names = header.split()
    found = find(["time", *reversed(names), "label"], [ACC, GYRO])
    assert found["wrist_acc"].columns == tuple(names[:3])
    assert found["wrist_gyro"].columns == tuple(names[3:])


def test_units_of_a_header_are_known() -> None:
    names = [f"Accelerometer {axis} (mg)" for axis in "XYZ"] + [f"gyro {axis} [deg/s]" for axis in "xyz"]
    found = find(names, [ACC, GYRO])
    assert (found["wrist_acc"].units, found["wrist_acc"].factor) == ("g", 0.001)
    assert (found["wrist_gyro"].units, found["wrist_gyro"].factor) == ("deg/s", 1.0)


def test_electrodes_are_known_by_name() -> None:
    found = find(["EEG FC5-REF", "EEG C4-REF", "EEG C3-REF", "EEG Cz-REF"], [EEG])
    assert found["eeg"].columns == ("EEG C3-REF", "EEG Cz-REF", "EEG FC5-REF")
    assert find(["cz", "c3", "fc5"], [EEG])["eeg"].columns == ("c3", "cz", "fc5")


def test_places_tell_two_accelerometers_apart() -> None:
    names = [f"{place}_acc_{axis}" for place in ("ankle", "wrist") for axis in "xyz"]
    found = find(names, [ACC, ANKLE])
    assert found["wrist_acc"].columns == tuple(names[3:])
    assert found["ankle_acc"].columns == tuple(names[:3])


def test_a_lone_triple_of_axes_is_what_a_lone_sensor_wants() -> None:
    assert find(["t", "x", "y", "z"], [ACC])["wrist_acc"].columns == ("x", "y", "z")
    with pytest.raises(DataError, match="no columns for sensor 'wrist_acc'"):
        find(["t", "x", "y", "z"], [ACC, GYRO])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("ankle_acc_x ankle_acc_y ankle_acc_z", "no columns for sensor 'wrist_acc'"),  # another place
        ("acc_x acc_y", "no columns for sensor 'wrist_acc'"),  # an axis lacks
        ("userAcceleration.x userAcceleration.y userAcceleration.z", "no columns for sensor 'wrist_acc'"),  # without gravity
        ("ax ay az accX accY accZ", "may be the columns ax,ay,az or accX,accY,accZ"),
        ("gx gy gz", "no columns for sensor 'wrist_acc'"),
        ("one two three", "no columns for sensor 'wrist_acc'"),
    ],
)
def test_what_is_in_doubt_is_refused_with_the_flag_that_settles_it(names: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        find(names.split(), [ACC])
    message = str(caught.value)
    assert told in message
    assert f"the recording has {', '.join(names.split())}" in message
    assert '--columns "wrist_acc=x,y,z"' in message


def test_a_column_belongs_to_one_sensor() -> None:
    other = Sensor("acc", "acc", "g", 50.0, placement="wrist")
    with pytest.raises(DataError, match=r"no columns for sensor 'acc'|may be of"):
        find(["wrist_acc_x", "wrist_acc_y", "wrist_acc_z"], [ACC, other])


def test_the_users_words_are_split_as_a_shell_would() -> None:
    said = per_sensor("--columns", "wrist_acc='Acc X','Acc Y','Acc Z' wrist_gyro=3,4,5", [ACC, GYRO])
    assert to_columns(ACC, said["wrist_acc"], ["Acc X", "Acc Y", "Acc Z"]).columns == ("Acc X", "Acc Y", "Acc Z")
    assert to_columns(GYRO, said["wrist_gyro"], []).columns == (3, 4, 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wrist_acc", "'wrist_acc' is not like wrist_acc=...; the sensors are wrist_acc, wrist_gyro"),
        ("wrist_ac=a,b,c", "unknown sensor in --columns: 'wrist_ac': did you mean 'wrist_acc'?"),
        ("wrist_acc=a,b,c wrist_acc=d,e,f", "'wrist_acc' is given twice"),
        ("wrist_acc='a,b,c", "no closing quotation"),
    ],
)
def test_words_that_are_not_understood_are_quoted(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        per_sensor("--columns", text, [ACC, GYRO])
    assert told in str(caught.value)


def test_columns_and_arrays_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="2 columns for the channels x, y, z"):
        to_columns(ACC, "a,b", ["a", "b"])
    with pytest.raises(UsageError, match="unknown column in --columns: 'ay': did you mean 'az'"):
        to_columns(ACC, "ax,ay,az", ["ax", "az"])
    with pytest.raises(UsageError, match="no header, so columns are numbers from 0; got 'ax'"):
        to_columns(ACC, "ax,ay,az", [])
    with pytest.raises(UsageError, match="unknown array in --columns: 'dat': did you mean 'data'"):
        to_array(ACC, "dat[0,1,2]", ["data"])
    with pytest.raises(UsageError, match="name an array, or some columns"):
        to_array(ACC, "data[0:3]", ["data"])
    assert to_array(ACC, "data[3,4,5]", ["data"]).columns == (3, 4, 5)
    assert to_array(ACC, "data", ["data"]).columns == ()


@pytest.mark.parametrize("text", ["x,y", "x,y,y", "x,y,--z", "x,y,w", "1,2,3"])
def test_axes_are_a_signed_permutation(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected x, y, z, each once"):
        to_turn(ACC, text)
