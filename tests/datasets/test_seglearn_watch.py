"""The demo recordings are read as they were published, by the restricted unpickler and without importing seglearn."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harkd.datasets import Cut, Windows, load, read_card, split
from harkd.datasets.hooks import seglearn_watch
from harkd.errors import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The file as NumPy itself reads it."""
    return np.load(seglearn_watch.locate(), allow_pickle=True, encoding="latin1").item()


def saved(folder: Path, content: object) -> Path:
    np.save(folder / "watch_dataset.npy", np.array(content, dtype=object), allow_pickle=True)
    return folder


def test_signals_and_labels_are_those_that_numpy_reads(watch: Windows, published: dict[str, Any]) -> None:
    whole = np.concatenate([signal.T for signal in published["X"]], axis=1).astype(np.float32)
    torch.testing.assert_close(torch.cat(list(watch.signals.values())), torch.from_numpy(whole), rtol=0, atol=0)
    ends = np.cumsum([len(signal) for signal in published["X"]])
    recording = np.searchsorted(ends, watch.starts["wrist_acc"].numpy(), side="right")
    assert watch.labels.tolist() == np.asarray(published["y"])[recording].astype(int).tolist()
    assert watch.subjects.tolist() == [str(int(subject)) for subject in np.asarray(published["subject"])[recording]]


def test_every_subject_does_every_exercise_once_with_each_arm(watch: Windows) -> None:
    done = set(
        zip(watch.subjects.tolist(), watch.sessions.tolist(), watch.labels.tolist(), watch.recordings.tolist(), strict=True)
    )
    assert len(done) == 140
    assert len({recording for *_, recording in done}) == 140
    assert Counter(label for _, _, label, _ in done) == dict.fromkeys(range(7), 20)
    assert Counter((subject, arm) for subject, arm, _, _ in done) == {
        (str(subject), arm): 7 for subject in range(1, 11) for arm in ("left", "right")
    }


@pytest.mark.parametrize(("cut", "windows"), [(None, 3605), (Cut(128, 64), 3605), (Cut(100, 50), 4677)])
def test_the_number_of_windows_is_known(cut: Cut | None, windows: int) -> None:
    assert len(load("seglearn_watch", cut=cut)) == windows


def test_the_card_counts_what_is_read(watch: Windows) -> None:
    counts = watch.card.counts
    assert counts.recordings == len(set(watch.recordings.tolist()))
    assert counts.subjects == len(set(watch.subjects.tolist()))
    assert counts.windows == len(watch)


def test_the_official_split_is_by_subject(watch: Windows) -> None:
    parts = split(watch)
    assert [len(part) for part in parts] == [1688, 772, 1145]
    subjects = [sorted(map(int, set(part.subjects.tolist()))) for part in parts]
    assert subjects == [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10]]


def test_acceleration_is_in_g_at_50_hz(watch: Windows) -> None:
    assert [sensor.rate for sensor in watch.sensors.values()] == [50.0, 50.0]
    assert watch.signals["wrist_acc"].norm(dim=0).median().item() == pytest.approx(1.07, abs=0.01)


@pytest.mark.parametrize("sensor", ["wrist_acc", "wrist_gyro"])
def test_signals_are_finite_float32_and_move(watch: Windows, sensor: str) -> None:
    signal = watch.signals[sensor]
    assert signal.dtype == torch.float32
    assert torch.isfinite(signal).all()
    assert (signal.std(1) > 0.1).all()
    assert watch.gather(torch.tensor([0, 3604]))[sensor].shape == (2, 3, 128)


def test_reading_does_not_import_seglearn() -> None:
    code = "import sys; from harkd.datasets import load; print(len(load('seglearn_watch')), 'seglearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3605", "False"]


def test_a_copy_in_a_folder_reads_the_same(watch: Windows, tmp_path: Path) -> None:
    (tmp_path / "watch_dataset.npy").symlink_to(seglearn_watch.locate())
    copy = load("seglearn_watch", tmp_path)
    assert torch.equal(copy.ids, watch.ids)
    assert torch.equal(copy.signals["wrist_gyro"], watch.signals["wrist_gyro"])


def change(published: dict[str, Any], how: str) -> object:
    fields = {key: list(published[key]) for key in ("X", "y", "subject", "side")}
    match how:
        case "other":
            return {"a list": [1, 2]}
        case "no side":
            del fields["side"]
        case "label":
            fields["y"][3] = 7
        case "side":
            fields["side"][3] = 2
        case "uneven":
            fields["y"].pop()
        case "five channels":
            fields["X"][0] = fields["X"][0][:, :5]
        case "nan":
            fields["X"][0] = np.full_like(fields["X"][0], np.nan)
        case "fewer":
            fields = {key: values[:-1] for key, values in fields.items()}
        case "twice":
            fields = {key: [*values[:-1], values[0]] for key, values in fields.items()}
    return {key: np.array(values, dtype=object) if key == "X" else np.array(values) for key, values in fields.items()}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("other", "expected a dictionary with the keys X, y, subject, side"),
        ("no side", "expected a dictionary with the keys X, y, subject, side"),
        ("label", "not the recordings that seglearn 1.2.5 ships"),
        ("side", "not the recordings that seglearn 1.2.5 ships"),
        ("uneven", "not the recordings that seglearn 1.2.5 ships"),
        ("five channels", r"sensor 'wrist_gyro': expected \(3, time\), got \(2, "),
        ("nan", "values are not finite, the first in channel 'x' at sample 0"),
        ("fewer", "read 139 recordings, but its card counts 140"),
        ("twice", "recording names must differ"),
    ],
)
def test_changed_files_are_refused(published: dict[str, Any], tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load("seglearn_watch", saved(tmp_path, change(published, how)))


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"watch_dataset\.npy: no such file"):
        load("seglearn_watch", tmp_path)


@pytest.mark.parametrize(("found", "advice"), [(None, "pip install seglearn"), ("empty", "--force-reinstall")])
def test_a_missing_package_says_what_to_install(
    found: str | None, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(seglearn_watch, "find_spec", lambda name: Spec if found else None)
    with pytest.raises(DataError, match=advice):
        seglearn_watch.read(read_card("seglearn_watch"), None)
