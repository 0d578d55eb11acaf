"""UCI HMP: 839 trials without the MODEL folders, which repeat 42 of them."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harkd.datasets import Card
from harkd.datasets.folder import read_folder
from harkd.datasets.quality import inspect

TRIALS = [12, 102, 31, 42, 100, 5, 3, 101, 28, 100, 100, 102, 13, 100]


@pytest.fixture(scope="module")
def hmp(real: Any) -> Any:
    return real("uci_hmp", "uci-hmp")


def with_models(card: Card) -> Card:
    """The card of somebody who did not notice what the MODEL folders are."""
    pattern = (
        r"HMP_Dataset/(?P<label>[A-Z][a-z]+_[a-z]+|Walk)(?P<session>_MODEL)?/"
        r"(?P<recording>Accelerometer-[\d-]+-\w+-(?P<subject>[fm]\d+)(?:_\d+)?)\.txt"
    )
    return replace(card, files=replace(card.files, pattern=pattern))


def test_trials_of_every_class(hmp: Any) -> None:
    found = np.bincount([r.segments[0].targets["activity"] for r in hmp.recordings.values()], minlength=14)
    assert found.tolist() == TRIALS
    assert sum(TRIALS) == len(hmp.recordings) == 839
    people = {r.subject for r in hmp.recordings.values()}
    assert people == {f"f{n}" for n in range(1, 6)} | {f"m{n}" for n in range(1, 12)}


def test_windows(hmp: Any) -> None:
    assert len(hmp.windows) == 12_705
    assert 0.475 < (hmp.windows.subjects == "f1").mean() < 0.485


def test_values_at_known_places(hmp: Any) -> None:
    name = "Accelerometer-2011-04-11-13-28-18-brush_teeth-f1"
    rows = np.loadtxt(hmp.folder / "HMP_Dataset" / "Brush_teeth" / f"{name}.txt")
    assert rows.min() >= 0
    assert rows.max() <= 63
    np.testing.assert_allclose(hmp.recordings[name].signals["wrist_acc"], (-1.5 + rows / 63 * 3).T, atol=1e-6)
    at = np.flatnonzero(hmp.windows.recordings == name)[[3]]
    found = hmp.windows.gather(torch.from_numpy(at))["wrist_acc"][0].numpy()
    np.testing.assert_allclose(found, (-1.5 + rows[96:160] / 63 * 3).T, atol=1e-6)


def test_the_model_folders_repeat_trials(hmp: Any) -> None:
    """979 with them, 42 pairs byte by byte alike: the check says so, and windows of them would leak."""
    card = with_models(hmp.card)
    recordings = read_folder(card, hmp.folder)
    assert len(recordings) == 979
    files = sorted((hmp.folder / "HMP_Dataset").glob("*/Accelerometer*.txt"))
    lines = sum(len(path.read_bytes().split()) // 3 for path in files)
    assert sum(r.signals["wrist_acc"].shape[1] for r in recordings) == lines == 479_289
    lengths = [r.signals["wrist_acc"].shape[1] for r in recordings]
    assert (min(lengths), max(lengths), np.median(lengths)) == (125, 9_318, 372)
    contents: dict[bytes, list[str]] = {}
    for recording in recordings:
        contents.setdefault(recording.signals["wrist_acc"].tobytes(), []).append(recording.name)
    twice = [names for names in contents.values() if len(names) > 1]
    assert len(twice) == 42
    kinds = [match[1] for names in twice if (match := re.search(r"-([a-z]+_[a-z]+)-", names[0]))]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"drink_glass": 16, "standup_chair": 14, "sitdown_chair": 12}


def test_what_the_check_tells(hmp: Any) -> None:
    found = inspect(hmp.card, hmp.folder)
    assert found.good
    assert not [f.what for f in found.findings if "more than once" in f.what]
    assert [f.what for f in found.findings if f.what == "subject f1 has 48% of the windows"]
