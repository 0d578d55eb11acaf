"""What `harkd data check` finds: folders with one thing wrong each, and one with nothing wrong."""

from typing import Any

import numpy as np
import pytest

from harkd.datasets.quality import Finding, Quality, inspect
from harkd.errors import DataError

FILES = r"""reader = "text"
pattern = '(?P<recording>(?P<subject>\w)_(?P<label>\w+)_\w)\.csv'
columns = { acc = ["x", "y", "z"] }
"""
TIMED = FILES + 'time = "t"\n'
SENSOR = "acc acc g 10"
PEOPLE = ("a", "b", "c", "d")


def signal(number: int, samples: int = 40) -> np.ndarray:
    """(sample, axis) in g: gravity and a little movement, another one for every number."""
    x = np.random.default_rng(number).normal(0, 0.05, (samples, 3))
    x[:, 2] += 1
    return x


@pytest.fixture
def clean(own: Any) -> Any:
    """Four people, two activities, one recording each: file k holds `signal(k)`, with time stamps at 10 Hz."""
    for number, (who, label) in enumerate((who, label) for who in PEOPLE for label in ("rest", "walk")):
        write(own, f"{who}_{label}_1.csv", signal(number))
    return own


def write(own: Any, name: str, x: np.ndarray, times: np.ndarray | None = None) -> None:
    times = np.arange(len(x)) / 10 if times is None else times
    own.table(name, "t x y z", [[f"{t:.4f}", *(f"{v:.6f}" for v in row)] for t, row in zip(times, x, strict=True)])


def look(own: Any, files: str = FILES, **more: Any) -> Quality:
    return inspect(own.card(files, (SENSOR,), **more), own.folder)


def the(found: Quality, words: str) -> Finding:
    """The only finding about something, which must also be the only finding at all."""
    (finding,) = found.findings
    assert words in finding.what, finding
    return finding


def test_nothing_wrong(clean: Any) -> None:
    for files, prepare in ((FILES, ""), (TIMED, "resample()")):
        found = look(clean, files, prepare=prepare, more="[counts]\nrecordings = 8\nsubjects = 4\n")
        assert found.findings == ()
        assert found.good
        assert found.counts == {"recordings": (8, 8), "subjects": (4, 4), "windows": (80, None)}
        assert [(p.subject, p.recordings, p.windows) for p in found.people] == [(who, 2, (10, 10)) for who in PEOPLE]
        assert found.people[0].minutes == pytest.approx(8 / 60, rel=0.03)


def test_missing_samples(clean: Any) -> None:
    x = signal(0)
    x[7:9, 1] = np.nan
    write(clean, "a_rest_1.csv", x)
    found = look(clean, prepare="fill(1)")
    assert the(found, "acc: 2 samples are missing (NaN) or infinite") == Finding("warning", found.findings[0].what, "a_rest_1")
    unmended = look(clean)
    assert not unmended.good
    assert unmended.findings[0].what == "no windows can be cut"
    assert "fill(0.2)" in unmended.findings[0].where


def test_samples_beyond_the_range_and_clipped_ones(clean: Any) -> None:
    x = signal(0)
    x[10:15, 0] = 2.0
    x[20, 1] = 60.7
    write(clean, "a_rest_1.csv", x)
    text = (clean.card(FILES, (SENSOR,)), (clean.folder.parent / "own.toml").read_text())[1]
    (clean.folder.parent / "own.toml").write_text(text.replace("rate = 10.0", "rate = 10.0\nrange = 2.0"))
    from harkd.datasets import read_card

    found = inspect(read_card(str(clean.folder.parent / "own.toml")), clean.folder)
    assert [(f.level, f.what, f.where) for f in found.findings] == [
        ("warning", "acc: 1 samples beyond its range of 2 g", "see the step limit()"),
        ("warning", "acc: 1.56% of the samples are clipped at 2 g", "a_rest_1"),
    ]


def test_a_plateau_at_the_largest_value_of_a_sensor_without_a_range(clean: Any) -> None:
    x = signal(0)
    x[10:16, 0] = -1.9
    write(clean, "a_rest_1.csv", x)
    assert the(look(clean), "acc: 1.88% of the samples are clipped at 1.9 g").level == "warning"


def test_another_rate(clean: Any) -> None:
    write(clean, "a_rest_1.csv", signal(0), np.arange(40) / 10.5)
    finding = the(look(clean, TIMED, prepare="resample()"), "acc: 1 of 8 recordings do not have 10 Hz")
    assert (finding.level, finding.where) == ("warning", "10.5 to 10.5 Hz: a_rest_1")
    write(clean, "a_rest_1.csv", signal(0), np.arange(40) / 10.1)
    assert look(clean, TIMED, prepare="resample()").findings == ()


def test_a_pause(clean: Any) -> None:
    write(clean, "a_rest_1.csv", signal(0), np.arange(40) / 10 + 2.5 * (np.arange(40) >= 20))
    found = look(clean, TIMED, prepare="resample()+fill(0)")
    assert the(found, "acc: gaps in 1 recordings, the longest 2.60 s").where == "in a_rest_1"


def test_time_stamps_that_go_back(clean: Any) -> None:
    times = np.arange(40) / 10
    times[[20, 21]] = times[[21, 20]]
    write(clean, "a_rest_1.csv", signal(0), times)
    found = look(clean, TIMED, prepare="resample()")
    assert the(found, "acc: time stamps that stand still or go back").where == "a_rest_1"


def test_a_recording_that_is_there_twice(clean: Any) -> None:
    write(clean, "a_walk_1.csv", signal(0))
    finding = the(look(clean), "acc: 1 recordings are there more than once")
    assert (finding.level, finding.where) == ("warning", "a_rest_1 = a_walk_1")
    write(clean, "a_walk_1.csv", signal(1))
    write(clean, "b_rest_1.csv", signal(0))
    across = look(clean)
    assert the(across, "under different subjects").where == "a_rest_1 = b_rest_1"
    assert not across.good


def test_a_copy_with_missing_samples_is_a_copy(clean: Any) -> None:
    x = signal(0)
    x[3] = np.nan
    for name in ("a_rest_1.csv", "b_rest_1.csv"):
        write(clean, name, x)
    found = look(clean, prepare="fill(1)")
    assert [f.level for f in found.findings] == ["error", "warning"]
    assert "more than once, under different subjects" in found.findings[0].what


def test_a_channel_that_never_moves(clean: Any) -> None:
    x = signal(0)
    x[:, 1] = 0.25
    write(clean, "a_rest_1.csv", x)
    assert the(look(clean), "acc: a channel that never moves in 1 recordings").where == "a_rest_1 (y)"


@pytest.mark.parametrize(
    ("factor", "units", "what", "where"),
    [
        (1000, "g", "acc: its median length is 1e+03 g, gravity 1", "check 'units' and 'scale'"),
        (1, "m/s2", "acc: its median length is 1 m/s2, gravity 9.81", "gravity was taken out"),
        (9.81, "m/s2", "", ""),
        (1, "counts", "", ""),
    ],
)
def test_units(clean: Any, factor: float, units: str, what: str, where: str) -> None:
    for number, path in enumerate(sorted(clean.folder.iterdir())):
        write(clean, path.name, factor * signal(number))
    found = inspect(clean.card(FILES, (f"acc acc {units} 10",)), clean.folder)
    if what:
        assert the(found, what).where == where
    else:
        assert found.findings == ()


def test_one_class(clean: Any) -> None:
    for path in clean.folder.glob("*_walk_*"):
        path.unlink()
    found = look(clean)
    assert [(f.level, f.what) for f in found.findings] == [
        ("error", "every window is 'rest'"),
        ("warning", "class 'walk' has no window"),
    ]


def test_one_subject(clean: Any) -> None:
    for path in clean.folder.glob("[bcd]_*"):
        path.unlink()
    finding = the(look(clean), "one subject")
    assert (finding.level, finding.where) == (
        "warning",
        "no split by subject is possible: results say nothing about anybody else",
    )


def test_unbalanced_classes_and_people(clean: Any) -> None:
    write(clean, "a_walk_1.csv", signal(1, 2000))
    for who in "bcd":
        (clean.folder / f"{who}_rest_1.csv").unlink()
    found = look(clean)
    assert [f.what for f in found.findings] == [
        "'walk' has 530 windows, 'rest' 10",
        "subject a has 94% of the windows",
    ]
    assert {f.level for f in found.findings} == {"note"}
    assert found.good


def test_recordings_too_short_for_a_window(clean: Any) -> None:
    write(clean, "a_rest_1.csv", signal(0, 3))
    assert the(look(clean), "1 of 8 recordings give no window").where == "too short, or unlabelled: a_rest_1"
    nothing = look(clean, cut=(50, 50))
    assert not nothing.good
    assert nothing.findings[0].what == "no windows can be cut"
    assert "the longest labelled stretch has 40 samples" in nothing.findings[0].where
    assert "windows" not in nothing.counts


def test_files_that_cannot_be_read_among_good_ones(clean: Any) -> None:
    clean.write("a_rest_2.csv", b"\xff\xfe\x00")
    clean.write("b_rest_2.csv", "t,x,y,z\n0,1,2,lost\n")
    clean.table("c_run_1.csv", "t x y z", [[0, 1, 2, 3]])
    found = look(clean)
    assert not found.good
    assert {f.what for f in found.findings} == {"a file that cannot be read"}
    told = "\n".join(sorted(f.where for f in found.findings))
    assert "a_rest_2.csv: not a table of numbers ('utf-8' codec" in told
    assert "b_rest_2.csv: row 1 of column 'z' holds 'lost', not a number" in told
    assert "unknown label in c_run_1.csv: 'run'" in told
    assert found.counts["recordings"] == (8, None)


def test_a_folder_without_anything_readable_is_an_error(own: Any) -> None:
    own.write("a_rest_1.csv", "")
    with pytest.raises(DataError, match=r"own: none of its files can be read; the first: .*a_rest_1\.csv"):
        look(own)


def test_counts(clean: Any) -> None:
    counts = "[counts]\nrecordings = 9\nsubjects = 4\nwindows = 79\n"
    found = look(clean, more=counts)
    assert [(f.level, f.what, f.where) for f in found.findings] == [
        ("error", "8 recordings", "the card counts 9"),
        ("error", "80 windows", "the card counts 79"),
    ]
    partial = look(clean, more=counts + "partial = true\n")
    assert [(f.level, f.what) for f in partial.findings] == [("error", "80 windows"), ("note", "8 recordings")]


def test_sensors_that_stop_early_or_are_not_there(own: Any) -> None:
    for number, who in enumerate(PEOPLE):
        for label in ("rest", "walk"):
            own.table(f"{who}_{label}_1_acc.csv", "x y z", signal(number * 2 + (label == "walk")).tolist())
            samples = 20 if who == "a" else 40
            own.table(f"{who}_{label}_1_gyro.csv", "x y z", signal(50 + number * 2 + (label == "walk"), samples).tolist())
    files = FILES.replace(r"_\w)", r"_\w)_(?P<device>\w+)").replace("] }", '], gyro = ["x", "y", "z"] }')
    card = own.card(files, (SENSOR, "gyro gyro dps 10 optional"))
    found = inspect(card, own.folder)
    assert the(found, "acc and gyro differ by over a tenth in length in 2 recordings").where.startswith("a_rest_1, a_walk_1: ")
    (own.folder / "b_rest_1_gyro.csv").unlink()
    assert [f.level for f in inspect(card, own.folder).findings] == ["warning", "note"]
    must = inspect(own.card(files, (SENSOR, "gyro gyro dps 10")), own.folder)
    assert ("error", "sensor gyro is missing in 1 of 8 recordings", "b_rest_1") in [
        (f.level, f.what, f.where) for f in must.findings
    ]
