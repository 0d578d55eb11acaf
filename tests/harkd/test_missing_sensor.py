"""Teachers that see a sensor which some windows lack: those windows are learnt from labels alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harkd.augment import Augmenter, parse
from harkd.bank import DrawBank
from harkd.datasets import Card, Recording, Segment, Windows
from harkd.errors import DataError
from harkd.objectives import Context, CrossEntropy, Distillation
from harkd.options import Distill
from harkd.parts import Parts
from harkd.schedule import Progress

LACKING = ("2", "4")


@pytest.fixture(scope="module")
def lacking(toy: Any) -> Windows:
    """The toy windows, but the people 2 and 4 wore no gyroscope."""
    whole: Windows = toy.windows()
    acc, gyro = whole.card.sensors
    card: Card = replace(whole.card, sensors=(acc, replace(gyro, optional=True)))
    recordings = []
    for name in dict.fromkeys(whole.recordings.tolist()):
        at = np.flatnonzero(whole.recordings == name)
        x = whole.gather(torch.from_numpy(at))
        signals = {n: v.permute(1, 0, 2).flatten(1).numpy() for n, v in x.items()}
        subject = str(whole.subjects[at[0]])
        if subject in LACKING:
            del signals["gyro"]
        segments = (Segment(0.0, signals["acc"].shape[1] / 50, {"movement": int(whole.labels[at[0]])}),)
        recordings.append(Recording(name, subject, signals, segments=segments))
    return Windows.cut(recordings, card)


def test_what_is_missing_is_zero_and_what_is_there_is_as_ever(lacking: Windows, toy: Any) -> None:
    whole = toy.windows()
    everywhere = torch.arange(len(whole))
    assert torch.equal(lacking.ids, whole.ids)
    assert lacking.present["gyro"].tolist() == [subject not in LACKING for subject in whole.subjects.tolist()]
    there, x, y = lacking.present["gyro"], lacking.gather(everywhere), whole.gather(everywhere)
    assert torch.equal(x["acc"], y["acc"])
    assert torch.equal(x["gyro"][there], y["gyro"][there])
    assert not x["gyro"][~there].any()
    assert len(lacking.having(["acc"])) == len(whole)
    kept = lacking.having(["acc", "gyro"])
    assert sorted(set(kept.subjects.tolist())) == ["1", "3"]
    assert kept.present == {}


def test_losses_leave_out_who_has_no_answer(toy: Any, lacking: Windows) -> None:
    index = torch.arange(0, len(lacking), 7)
    batch = Augmenter(parse("none"), lacking)(index, torch.zeros_like(index))
    mask = batch.present["gyro"]
    assert 0 < mask.sum() < len(mask)
    outputs = {
        "student": toy.player(sees="acc").answer(batch.x),
        "teacher": toy.player(sees="acc", seed=5).answer(batch.x),
    }

    def terms(masks: dict[str, Tensor]) -> dict[str, Tensor]:
        context = Context(batch, outputs, {}, Progress(0, 1, 0, 1), "movement", masks=masks)
        return CrossEntropy()(context) | Distillation()(context)

    free, masked = terms({}), terms({"teacher": mask})
    assert torch.equal(masked["ce"], free["ce"])
    assert torch.equal(masked["kl"][mask], free["kl"][mask])
    assert not masked["kl"][~mask].any()
    assert not terms({"student": mask})["ce"][~mask].any()


def test_a_mixed_window_has_a_sensor_only_if_both_have_it(lacking: Windows) -> None:
    index = torch.arange(len(lacking))
    augmenter = Augmenter(parse("none|mixup(0.5)"), lacking)
    batch = augmenter(index, torch.zeros_like(index))
    there = lacking.present["gyro"]
    assert not batch.present["gyro"][~there].any()
    some_lost = batch.present["gyro"][there]
    assert 0 < some_lost.sum() < len(some_lost)


@pytest.mark.parametrize("draws", [0, 1])
def test_a_teacher_that_is_never_there_teaches_nothing(toy: Any, lacking: Windows, draws: int) -> None:
    """Trained on people without gyroscope, kd with weight w is cross-entropy times 1 - w, bit for bit; from a bank as well."""
    blind = lacking.subset(np.flatnonzero(np.isin(lacking.subjects, LACKING)))
    options = Distill(method="kd").method_options

    def trained(teacher_seed: int) -> dict[str, Tensor]:
        student = toy.player(sees="acc", seed=1)
        phases = toy.phases("kd", student, toy.teacher(sees="all", seed=teacher_seed), options=options, draws=draws)
        toy.fit(phases, train=blind, validation=None, bank=DrawBank())
        return toy.state(student.net)  # type: ignore[no-any-return]

    assert toy.equal(trained(100), trained(200))


def test_some_missing_windows_do_not_disturb_the_others(toy: Any, lacking: Windows) -> None:
    """Another answer for windows without gyroscope changes nothing; for those with it, everything."""

    def trained(seed: int, windows: Windows) -> dict[str, Tensor]:
        student = toy.player(sees="acc", seed=1)
        options = Distill(method="kd").method_options
        toy.fit(toy.phases("kd", student, toy.teacher(sees="all", seed=seed), options=options), train=windows, validation=None)
        return toy.state(student.net)  # type: ignore[no-any-return]

    gyro = lacking.signals["gyro"].clone()
    first = int(lacking.starts["gyro"][~lacking.present["gyro"]][0])
    shifted = replace(lacking, starts={**lacking.starts, "gyro": lacking.starts["gyro"].clone()})
    shifted.starts["gyro"][~lacking.present["gyro"]] = first + 5
    assert toy.equal(trained(100, lacking), trained(100, shifted))
    assert torch.equal(gyro, lacking.signals["gyro"])
    assert not toy.equal(trained(100, lacking), trained(200, lacking))


def test_a_part_without_the_sensor_is_told(lacking: Windows) -> None:
    by_subject = {name: lacking.subset(np.flatnonzero(np.isin(lacking.subjects, who))) for name, who in PARTS.items()}
    parts = Parts(**by_subject, codes={})
    assert len(parts.seen_by("acc").test) == len(parts.test)
    with pytest.raises(DataError, match="no test window of swings has every sensor of 'acc,gyro'"):
        parts.seen_by("all")


PARTS = {"train": ("1", "2"), "val": ("3",), "test": ("4",)}


def test_distill_with_windows_whose_teacher_sensor_is_missing(harkd: Any, world: Any, tmp_path: Path) -> None:
    """On the command line: two of three training people have no gyroscope files for some movements."""
    folder = tmp_path / "apart"
    for path in sorted(world.folder.rglob("*.csv")):
        table = np.loadtxt(path, delimiter=",", skiprows=1)
        target = folder / path.relative_to(world.folder)
        for name, columns in (("acc", table[:, :3]), ("gyro", table[:, 3:])):
            if name == "gyro" and "slow" in path.name and path.parent.name in ("Ermintrude", "Kunigunde"):
                continue
            place = target.parent / name / target.name
            place.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(place, columns, "%.4f", ",", header="x,y,z", comments="")
    card = world.other_card(
        tmp_path,
        (r"(?P<subject>\w+)/(?P<session>\w+)-", r"(?P<subject>\w+)/(?P<device>acc|gyro)/(?P<recording>(?P<session>\w+)-"),
        (r"(?P<label>\w+)\.csv", r"(?P<label>\w+))\.csv"),
        (
            'columns = {acc = ["ax", "ay", "az"], gyro = ["gx", "gy", "gz"]}',
            'columns = {acc = ["x", "y", "z"], gyro = ["x", "y", "z"]}',
        ),
        ('name = "gyro"\n', 'name = "gyro"\noptional = true\n'),
    )
    words = ["--data", str(card), "--data-folder", str(folder)]
    info = harkd("data", "info", str(card), "--data-folder", str(folder), "--json").json
    assert info["found"]["without_sensor"] == {"gyro": 8}
    fit = ["--teacher", "dscnn-xs", "--student", "dscnn-xs", "--epochs", "2", "--teacher-epochs", "2", "--batch", "12"]
    told = harkd("distill", *words, *fit, "--teacher-sees", "acc,gyro", "--student-sees", "acc", "--json").json
    teacher = next(path for path in tmp_path.rglob("teacher-*") if path.is_dir())
    assert told["split"]["train"]["windows"] == 36
    assert harkd("evaluate", teacher, "--json").code == 0
    assert '"windows": 28' in (teacher / "result.json").read_text()
