"""EEGMMIDB: official EDF+ and repacked runs give the same trials; marks mean fists only in the runs that say so."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harkd.datasets import Sees, split
from harkd.datasets.prepare import parse, run
from harkd.datasets.windows import Cut, Windows

BCI22 = [33, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 49, 50, 51, 57]
SUBJECTS = ["001", "002", "007", "010", "019", "022"]


@pytest.fixture(scope="module")
def eeg(real: Any) -> Any:
    return real("eegmmidb", "eegmmidb")


def raw_edf(path: Path) -> tuple[np.ndarray, list[str]]:
    """(channel, time) digital values of all but the last signal, and the labels, by struct alone."""
    data = path.read_bytes()
    records, signals = int(data[236:244]), int(data[252:256])
    labels = [data[256 + 16 * i : 272 + 16 * i].decode().strip() for i in range(signals)]
    counts = [int(data[256 + 216 * signals + 8 * i : 264 + 216 * signals + 8 * i]) for i in range(signals)]
    width, at = sum(counts), 256 * (signals + 1)
    values = np.array(struct.unpack(f"<{records * width}h", data[at : at + 2 * records * width])).reshape(records, width)
    eeg = values[:, : 160 * (signals - 1)].reshape(records, signals - 1, 160)
    return eeg.transpose(1, 0, 2).reshape(signals - 1, -1), labels


def test_trials_of_every_subject(eeg: Any) -> None:
    """90 left and right trials each: three runs of execution and three of imagery, 7 or 8 of a class in each."""
    windows = eeg.windows
    assert (len(eeg.recordings), len(windows)) == (36, 540)
    assert sorted(set(windows.subjects.tolist())) == SUBJECTS
    for subject in SUBJECTS:
        assert (windows.subjects == subject).sum() == 90
    for name in eeg.recordings:
        labels = windows.labels[windows.recordings == name]
        assert len(labels) == 15
        assert int(labels.sum()) in (7, 8)
    assert windows.classes == ("left fist", "right fist")


def test_runs_of_fists_and_feet_are_left_out(eeg: Any) -> None:
    """In 6, 10 and 14 T1 means both fists: only the six runs of left and right are here, from both kinds of file."""
    runs = {name: sorted(n[4:] for n in eeg.recordings if n.startswith(f"S{name}")) for name in SUBJECTS}
    assert all(found == ["R03", "R04", "R07", "R08", "R11", "R12"] for found in runs.values())
    assert {r.session for r in eeg.recordings.values()} == {"03", "04", "07", "08", "11", "12"}
    assert sorted(path.stem for path in (eeg.folder / "files" / "S001").glob("*.edf"))[1] == "S001R06"


def test_channels_and_montages(eeg: Any) -> None:
    _, labels = raw_edf(eeg.folder / "files" / "S001" / "S001R04.edf")
    names = [label.strip(".") for label in labels[:64]]
    sensor = eeg.windows.sensors["eeg"]
    assert [name.lower() for name in names] == [name.lower() for name in sensor.channels]
    for montage, expected in (("headphone", range(7, 14)), ("headband", [33, 7, 13, 57]), ("bci22", BCI22)):
        sees = Sees.parse(f"eeg[{montage}]", eeg.windows.sensors, eeg.windows.lengths)
        assert list(sees.channels[0]) == list(expected)


def test_values_of_an_official_file(eeg: Any) -> None:
    """One count is one microvolt; a trial is the 640 samples from its cue on."""
    digital, _ = raw_edf(eeg.folder / "files" / "S001" / "S001R04.edf")
    recording = eeg.recordings["S001R04"]
    x = recording.signals["eeg"]
    np.testing.assert_allclose(x, digital[:, : x.shape[1]], atol=1e-4)
    first = recording.segments[0]
    assert (first.start, first.stop) == pytest.approx((4.2, 8.2))  # after a rest of 4.2 s
    np.testing.assert_allclose(eeg.first("S001R04", "eeg"), digital[:, 672:1312], atol=1e-4)


@pytest.mark.parametrize("subject", ["002", "022"])
def test_values_of_a_repacked_run(eeg: Any, subject: str) -> None:
    with np.load(eeg.folder / "npz" / f"S{subject}.npz") as content:
        onset, label = content["R07_onset"], content["R07_label"].tolist()
        trials = [(float(at), word) for at, word in zip(onset, label, strict=True) if word != "T0"]
        samples = content["R07"]
    windows = eeg.windows
    at = np.flatnonzero(windows.recordings == f"S{subject}R07")
    assert windows.labels[at].tolist() == [("T1", "T2").index(word) for _, word in trials]
    for place, (begins, _) in zip(at, trials, strict=True):
        low = round(begins * 160)
        np.testing.assert_array_equal(windows.gather(torch.tensor([int(place)]))["eeg"][0], samples[:, low : low + 640])


def test_padding_is_cut(eeg: Any) -> None:
    """Recordings of 20,000 samples end with 80 zeros, those of 19,680 with their last trial."""
    with np.load(eeg.folder / "npz" / "S007.npz") as content:
        assert content["R04"].shape == (64, 20_000)
        assert (content["R04"][:, -80:] == 0).all()
        assert (content["R04"][:, -81] != 0).any()
    for name, recording in eeg.recordings.items():
        x = recording.signals["eeg"]
        assert (x[:, -80:] != 0).any(0).all(), name
        assert x.shape[1] <= (19_680 if name[1:4] in ("002", "010", "019") else 19_920)


def test_a_window_longer_than_the_trial_drops_the_last_one(eeg: Any) -> None:
    """0 to 4.5 s: in runs of 123.0 s the last trial ends with the file. 14 of 15 are left there, and all 15 elsewhere."""
    from dataclasses import replace

    files = eeg.card.files
    card = replace(eeg.card, files=replace(files, events=(replace(files.events[0], stop=4.5),)), counts=type(eeg.card.counts)())
    longer = [replace(r, segments=tuple(replace(s, stop=s.start + 4.5) for s in r.segments)) for r in eeg.recordings.values()]
    windows = Windows.cut(longer, card, Cut(720, 720))
    kept = {name: int((windows.recordings == name).sum()) for name in eeg.recordings}
    short = {name for name, r in eeg.recordings.items() if r.segments[-1].start + 4.5 > r.signals["eeg"].shape[1] / 160}
    assert {name[1:4] for name in short} >= {"002", "010", "019"}
    assert kept == {name: 14 if name in short else 15 for name in eeg.recordings}


def test_whole_runs_stand_on_one_side_of_a_split(eeg: Any) -> None:
    train, val, test = split(eeg.windows, "session:12")
    assert (len(test), set(test.sessions.tolist())) == (90, {"12"})
    assert len(train) + len(val) == 450
    assert not set(train.recordings.tolist()) & {*val.recordings.tolist(), *test.recordings.tolist()}


def test_subjects_meet_on_equal_terms_after_alignment(eeg: Any) -> None:
    """Amplitudes differ several-fold; after euclidean(session) the mean covariance of every session is the identity."""
    some = [r for r in eeg.recordings.values() if r.subject in ("002", "010") and r.session in ("03", "04")]
    spread = {r.name: float(r.signals["eeg"].std()) for r in some}
    done, _ = run(parse("bandpass(4, 40)+euclidean(session)"), some, eeg.sensors, eeg.card.sensors)
    assert max(spread.values()) > 1.5 * min(spread.values())
    for recording in done:
        x = recording.signals["eeg"].astype(np.float64)
        trials = [x[:, round(160 * s.start) : round(160 * s.stop)] for s in recording.segments]
        np.testing.assert_allclose(np.mean([t @ t.T / t.shape[1] for t in trials], 0), np.eye(64), atol=1e-3)
