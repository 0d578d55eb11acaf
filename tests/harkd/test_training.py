"""Runs from options: who is trained, on what, how often, and what is refused before time is spent."""

import json
import shlex
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harkd import training
from harkd.__main__ import main
from harkd.errors import HarkdError, Interrupted, LeakError, UsageError
from harkd.options import Data, Machine, Train, identity
from harkd.parts import data_of, prepare
from harkd.progress import Display
from harkd.runs import Checkpoint, Run
from harkd.training import Session


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def sidecar(folder: Path, name: str = "last") -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def weights(folder: Path, name: str = "last") -> bytes:
    return (folder / f"{name}.safetensors").read_bytes()


def history(folder: Path) -> Any:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs of every training that takes place."""
    found: list[int] = []

    def counted(phases: Any, *args: Any, **more: Any) -> Any:
        found.append(phases[0].epochs)
        return real(phases, *args, **more)

    real = training.fit
    monkeypatch.setattr(training, "fit", counted)
    return found


# What a run is


def test_the_same_options_give_the_same_bits_and_another_seed_others(harkd: Any, world: Any, tmp_path: Path) -> None:
    for folder, words in (("one", []), ("two", []), ("seed", ["--seed", "1"]), ("augment", ["--augment", "rotate(15)"])):
        assert harkd(*world.train, *words, "--out", folder).code == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert len({weights(tmp_path / name) for name in ("one", "seed", "augment")}) == 3
    assert history(tmp_path / "one") == history(tmp_path / "two")


def test_a_net_learns(harkd: Any, world: Any) -> None:
    told = harkd(*world.train, "--net", "dscnn-s", "--epochs", "30", "--json").json
    assert told["test"]["accuracy"] > 0.6  # a third by chance
    assert told["folder"].startswith("runs/dscnn-s-swings-s0-")


def test_a_run_is_named_after_its_options(harkd: Any, world: Any, tmp_path: Path) -> None:
    for words in (["--seed", "3"], ["--seed", "3", "--device", "cpu", "--threads", "1"]):
        folder = Path(harkd(*world.train, *words, "--json").json["folder"])
        assert folder == Path("runs") / f"dscnn-xs-swings-s3-{result(tmp_path / folder)['identity']}"
    assert len(list((tmp_path / "runs").iterdir())) == 1  # the machine does not count
    told = harkd(*world.distill, "--method", "eskd", "--stop", "0.5", "--json").json
    assert told["folder"] == f"runs/dscnn-xs-eskd-swings-s0-{told['identity']}"


def test_the_command_in_the_result_repeats_the_run(
    world: Any, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = result(distilled)
    program, *words = shlex.split(told["command"])
    assert (program, main([*words, "--out", "again/student"])) == ("harkd", 0)
    again = result(tmp_path / "again" / "student")
    assert {**again, "seconds": 0} == {**told, "seconds": 0}
    assert weights(tmp_path / "again" / "student") == weights(distilled)


def test_a_finished_run_is_left_alone(harkd: Any, world: Any, tmp_path: Path, fits: list[int]) -> None:
    first = harkd(*world.train, "--out", "run")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run").iterdir()}
    again = harkd(*world.train, "--out", "run")
    assert (again.code, again.err) == (0, "run is finished already; delete it to train again\n")
    assert again.out == first.out
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run").iterdir()} == before
    assert fits == [8]


def test_kept_epochs_are_what_a_shorter_run_ends_with(harkd: Any, world: Any, tmp_path: Path) -> None:
    words = [*world.train, "--schedule", "constant", "--augment", "jitter(0.05)"]
    assert harkd(*words, "--epochs", "5", "--keep-epochs", "2", "4", "--out", "long").code == 0
    for epoch in (2, 4):
        assert harkd(*words, "--epochs", str(epoch), "--out", f"short-{epoch}").code == 0
        assert weights(tmp_path / "long", f"epoch-{epoch}") == weights(tmp_path / f"short-{epoch}")
        assert sidecar(tmp_path / "long", f"epoch-{epoch}")["epoch"] == epoch
    assert history(tmp_path / "long")[:4] == history(tmp_path / "short-4")
    assert not (tmp_path / "long" / "epoch-3.safetensors").exists()


def test_patience_stops_and_the_best_epoch_is_the_best(harkd: Any, world: Any, tmp_path: Path) -> None:
    words = ["--epochs", "40", "--patience", "2", "--metric", "nll", "--select", "best", "--schedule", "constant", "--out", "run"]
    told = harkd(*world.train, *words, "--json").json
    scores = [record["scores"]["student"]["nll"] for record in history(tmp_path / "run")]
    assert told["epochs"] == len(scores) < 40
    assert told["best_epoch"] == scores.index(min(scores)) + 1 == told["epochs"] - 2
    assert told["validation"]["nll"] == pytest.approx(min(scores), rel=1e-5)
    assert told["updates"] == 3 * told["epochs"]


def test_threads_are_set_for_the_run_alone(harkd: Any, world: Any) -> None:
    before = torch.get_num_threads()
    told = harkd(*world.train, "--epochs", "1", "--threads", "2", "--json").json
    assert told["environment"]["threads"] == "2"
    assert torch.get_num_threads() == before


def test_a_training_that_diverges_is_told_and_has_no_result(harkd: Any, world: Any, tmp_path: Path) -> None:
    told = harkd(*world.train, "--rate", "1e30", "--clip", "0", "--out", "run")
    assert (told.code, told.out) == (1, "")
    assert "became nan at step" in told.err
    assert "lower the learning rate" in told.err
    assert not (tmp_path / "run" / "result.json").exists()


# Windows and splits


def test_window_and_step_are_those_asked_for(world: Any) -> None:
    data = Data(data=str(world.card), data_folder=str(world.folder))
    counts = {}
    for window, step in ((0, 0), (16, 0), (0, 16), (16, 8)):
        parts = prepare(replace(data, window=window, step=step))
        counts[window, step] = (len(parts.train), parts.train.lengths["acc"])
    # Recordings of 128 samples: 9 of them train.
    assert counts == {(0, 0): (36, 32), (16, 0): (36, 16), (0, 16): (63, 32), (16, 8): (135, 16)}


def test_a_window_that_is_too_long_is_told(harkd: Any, world: Any, tmp_path: Path) -> None:
    told = harkd(*world.train, "--window", "129")
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert "no window of 129 samples fits; the longest labelled stretch has 128 samples" in told.err
    assert list(tmp_path.iterdir()) == []


def test_every_person_tests_once_over_the_folds(world: Any) -> None:
    data = Data(data=str(world.card), data_folder=str(world.folder))
    folds = [prepare(replace(data, split=f"kfold:5/{fold}")) for fold in range(5)]
    tested = [parts.codes[name] for parts in folds for name in set(parts.test.subjects.tolist())]
    assert sorted(tested) == [f"person-{number}" for number in range(1, 6)]
    assert all(parts.codes == folds[0].codes for parts in folds)
    one = prepare(replace(data, split="loso:person-3"))
    assert set(one.test.subjects.tolist()) == {"Kunigunde"}


def test_a_split_without_validation_subjects(harkd: Any, world: Any, tmp_path: Path) -> None:
    told = harkd(*world.train, "--split", "blind", "--out", "run", "--json").json
    assert (told["validation"], told["best_epoch"], told["selected"]) == (None, None, "last")
    assert [score["subject"] for score in told["test"]["subjects"]] == ["person-2", "person-4"]
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert all(record["scores"] == {} for record in history(tmp_path / "run"))
    told = harkd("evaluate", "run", "--weights", "best")
    assert (told.code, told.err) == (2, "harkd: run did not keep the weights 'best'; it has last\n")
    for words in (["--patience", "3"], ["--select", "best"]):
        for command in (world.train, world.distill):
            told = harkd(*command, "--split", "blind", *words, "--out", "none")
            assert told.code == 2
            assert told.err == "harkd: split 'blind' has no validation subjects: patience and select = 'best' need some\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_teacher_without_validation_subjects_trains_to_the_end(harkd: Any, world: Any, tmp_path: Path) -> None:
    assert harkd(*world.distill, "--split", "blind", "--out", "student").code == 0
    (teacher,) = tmp_path.glob("teacher-*")
    told = result(teacher)
    assert (told["epochs"], told["selected"], told["options"]["patience"]) == (8, "last", 0)
    told = harkd(*world.distill, "--split", "blind", "--method", "eskd", "--out", "other")
    assert told.code == 2
    assert told.err == "harkd: method 'eskd' stops its teacher on validation subjects, and split 'blind' has none\n"
    assert not (tmp_path / "other").exists()


def test_a_split_without_test_subjects(harkd: Any, world: Any, tmp_path: Path) -> None:
    card = world.other_card(tmp_path, ('test = ["Hrothgar", "Wolfdietrich"]', ""), ("[splits.blind]", "[splits.alone]"))
    words = [*world.train, "--data", card, "--split", "alone", "--epochs", "1", "--out", "run"]
    told = harkd(*words)
    assert told.code == 0
    assert "no test subjects" in told.out
    assert harkd(*words, "--json").json["test"] is None
    assert harkd("evaluate", "run").code == 2
    told = harkd("report", "run")
    assert (told.code, told.err.count("\n")) == (2, 1)


# Teachers


def test_one_teacher_teaches_all_seeds(harkd: Any, world: Any, tmp_path: Path, fits: list[int]) -> None:
    words = [*world.distill, "--teacher-epochs", "3", "--epochs", "2"]
    for seed in ("0", "1"):
        told = harkd(*words, "--seed", seed)
        assert told.code == 0
    (teacher,) = (tmp_path / "runs").glob("teacher-*")
    assert told.err.splitlines()[0] == f"runs/{teacher.name} is finished already; delete it to train again"
    assert fits == [3, 2, 2]
    assert harkd(*words, "--seed", "2", "--teacher-seed", "1").code == 0
    assert fits == [3, 2, 2, 3, 2]
    assert harkd(*words, "--seed", "3", "--method", "ce").code == 0  # needs no teacher
    assert fits == [3, 2, 2, 3, 2, 2]


@pytest.mark.parametrize(("method", "taught_by"), [("kd", "last"), ("eskd", "best")])
def test_a_teacher_may_be_the_folder_of_a_run(
    harkd: Any, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, taught_by: str
) -> None:
    """By name or by folder: the same student to the bit, from the last or the best weights as the method says."""
    asked: list[str] = []
    real = Run.load_player

    def spied(self: Run, windows: Any, name: str = "") -> Any:
        if "teacher" in self.folder.name:
            asked.append(name)
        return real(self, windows, name)

    assert harkd(*world.distill, "--method", method, "--out", "named").code == 0
    (teacher,) = tmp_path.glob("teacher-*")
    monkeypatch.setattr(Run, "load_player", spied)
    told = harkd(*world.taught_by(teacher), "--method", method, "--out", "given", "--json").json
    assert asked == [taught_by]
    assert weights(tmp_path / "named") == weights(tmp_path / "given")
    assert history(tmp_path / "named") == history(tmp_path / "given")
    assert told["teacher"] == "dscnn-s (teacher)"
    assert told["label"] == f"dscnn-xs distilled ({method}) from dscnn-s"


def test_any_finished_run_can_teach(harkd: Any, world: Any, trained: Path) -> None:
    told = harkd(*world.taught_by(trained), "--json").json
    assert (told["teacher"], told["role"]) == ("dscnn-xs alone", "distilled")
    assert told["teacher_identity"] == result(trained)["identity"]


def test_any_weights_that_a_run_kept_can_teach(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    """FOLDER@epoch-2 is the same as a folder of which epoch 2 is all there is, and another teacher than its last weights."""
    early = tmp_path / "early@2"  # a folder may have such a name
    shutil.copytree(trained, early)
    for suffix in ("json", "safetensors"):
        shutil.copy(early / f"epoch-2.{suffix}", early / f"last.{suffix}")
    told = harkd(*world.taught_by(f"{trained}@epoch-2"), "--out", "kept", "--json").json
    assert told["label"] == "dscnn-xs distilled (kd) from dscnn-xs@epoch-2"
    assert harkd(*world.taught_by(early), "--out", "alone").code == 0
    assert harkd(*world.taught_by(trained), "--out", "last").code == 0
    assert weights(tmp_path / "kept") == weights(tmp_path / "alone") != weights(tmp_path / "last")
    missing = harkd(*world.taught_by(f"{trained}@epoch-3"), "--out", "missing")
    assert missing.code == 2
    assert missing.err.endswith("did not keep the weights 'epoch-3'; it has best, epoch-2, last\n")


def test_a_folder_that_is_called_like_a_net_does_not_hide_the_net(
    harkd: Any, world: Any, tmp_path: Path, fits: list[int]
) -> None:
    (tmp_path / "dscnn-s").mkdir()
    assert harkd(*world.distill, "--out", "run").code == 0
    assert len(fits) == 2
    told = harkd(*world.taught_by("./dscnn-s"), "--out", "other")
    assert (told.code, told.err) == (2, "harkd: dscnn-s holds no run of harkd\n")


def test_teacher_and_student_see_different_things_at_different_rates(harkd: Any, world: Any, tmp_path: Path) -> None:
    words = ["--student-sees", "acc[x,z]@20Hz", "--teacher-sees", "all@25Hz", "--out", "student"]
    assert harkd(*world.distill, *words).code == 0
    (teacher,) = tmp_path.glob("teacher-*")
    seen = {path.name.split("-")[0]: sidecar(path) for path in (tmp_path / "student", teacher)}
    assert (seen["student"]["sees"], seen["student"]["channels"]) == ("acc[x,z]@20Hz", 2)
    assert (seen["student"]["rate"], seen["student"]["length"]) == (20, 13)  # 32 samples at 50 Hz
    assert (seen["teacher"]["sees"], seen["teacher"]["channels"]) == ("acc,gyro@25Hz", 6)
    assert (seen["teacher"]["rate"], seen["teacher"]["length"]) == (25, 16)
    assert [sensor["name"] for sensor in seen["student"]["sensors"]] == ["acc"]
    scored = harkd("evaluate", "student", "--json").json
    assert scored == result(tmp_path / "student")["test"]


@pytest.mark.parametrize("said", ["same", "clean", "rotate(30)"])
def test_what_the_teacher_is_shown(harkd: Any, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    shown: list[Any] = []
    real = training._fit

    def spied(run: Any, options: Any, session: Any, parts: Any, players: Any, *more: Any) -> Any:
        shown.extend([players["teacher"].augment] if "teacher" in players else [])
        return real(run, options, session, parts, players, *more)

    monkeypatch.setattr(training, "_fit", spied)
    assert harkd(*world.distill, "--augment", "jitter(0.1)", "--teacher-augment", said, "--out", "run").code == 0
    assert [augment if isinstance(augment, str) else training.to_text(augment) for augment in shown] == [said]


def test_the_teacher_answers_differently_to_what_it_is_shown(harkd: Any, world: Any, tmp_path: Path) -> None:
    for said in ("same", "clean", "rotate(30)"):
        assert harkd(*world.distill, "--augment", "jitter(0.5)", "--teacher-augment", said, "--out", said).code == 0
    assert len({weights(tmp_path / said) for said in ("same", "clean", "rotate(30)")}) == 3


def test_students_of_ce_and_alone_are_the_same(harkd: Any, world: Any, tmp_path: Path, fits: list[int]) -> None:
    assert harkd(*world.train, "--out", "alone").code == 0
    assert harkd(*world.distill, "--method", "ce", "--out", "ce").code == 0
    assert weights(tmp_path / "alone") == weights(tmp_path / "ce")
    assert (len(fits), result(tmp_path / "ce")["label"]) == (2, "dscnn-xs alone")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dml", "--teacher", "dscnn-m"], "dml has no teacher: --teacher dscnn-m does nothing"),
        (["selfkd", "--generations", "2", "--teacher", "dscnn-m"], "selfkd is its own teacher: --teacher dscnn-m does nothing"),
        (["kd", "--teacher", "dscnn-m"], ""),
        (["dml"], ""),
    ],
)
def test_a_teacher_whom_nobody_asks_is_told_once(harkd: Any, world: Any, words: list[str], said: str) -> None:
    short = ["--student", "dscnn-xs", "--epochs", "1", "--teacher-epochs", "1", "--batch", "12", "--out", "taught/student"]
    told = harkd("distill", *world.data, *short, "--method", *words)
    assert told.code == 0
    assert [line for line in told.err.splitlines() if "does nothing" in line] == [said] * bool(said)


def test_a_teacher_that_knows_the_test_people_is_refused(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    told = harkd(*world.taught_by(trained), "--split", "loso:person-5", "--out", "run")
    assert (told.code, told.out) == (1, "")
    assert told.err == (
        f"harkd: {trained} has learnt from 1 of the people in the test part of split 'loso:person-5' (person-5); "
        "its own split is 'official'\n"
    )
    assert not (tmp_path / "run").exists()
    assert harkd(*world.taught_by(trained), "--split", "loso:person-4", "--out", "run").code == 0


def test_people_are_compared_by_session_if_both_splits_are_by_session(harkd: Any, world: Any, tmp_path: Path) -> None:
    assert harkd(*world.train, "--split", "session:pm", "--out", "pm").code == 0
    assert harkd("evaluate", "pm", "--json").code == 0
    assert harkd("evaluate", "pm", "--split", "session:am").code == 1  # it was trained on these
    assert harkd("evaluate", "pm", "--split", "loso:person-1").code == 1
    parts = prepare(replace(data_of(Run.open("pm")), split="session:am"))
    with pytest.raises(LeakError, match=r"5 of the people .*person-1, person-2, person-3, person-4, person-5"):
        training.refuse_known(Run.open("pm"), parts, "test", replace(data_of(Run.open("pm")), split="session:am"))


def test_a_teacher_of_other_classes_is_refused(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    card = world.other_card(tmp_path, ('["slow", "medium", "fast"]', '["fast", "medium", "slow"]'))
    told = harkd(*world.taught_by(trained), "--data", card)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "was trained on the classes ['slow', 'medium', 'fast']" in told.err


# Refused before time is spent


@pytest.mark.parametrize(
    "words",
    [
        ["--teacher-augment", "rotat(15)"],
        ["--augment", "rotat(15)"],
        ["--augment", "time_warp(0.2)"],  # the card does not say that pace is harmless
        ["--teacher-augment", "time_warp(0.2)"],
        ["--student-sees", "ecg"],
        ["--student", "dscnn-q"],
        ["--split", "blind", "--patience", "3"],
        ["--out", "file"],
        ["--out", "foreign"],
        ["--out", "other"],
        ["--device", "abacus"],
    ],
)
def test_mistakes_are_found_before_the_teacher_is_trained(
    harkd: Any, world: Any, trained: Path, tmp_path: Path, fits: list[int], words: list[str]
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.toml").write_text('[tool]\nprecious = "yes"\n')
    (tmp_path / "other").symlink_to(trained)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    told = harkd(*world.distill, *words)
    assert told.code == 2
    assert told.err.count("\n") == 1
    assert fits == []
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "precious"
    assert "precious" in (tmp_path / "foreign" / "config.toml").read_text()


def test_folders_of_others_are_told_apart(harkd: Any, world: Any, trained: Path, tmp_path: Path) -> None:
    told = harkd(*world.train, "--out", trained)
    assert told.err == f"harkd: {trained} holds a run with other options; choose another folder with --out\n"
    (tmp_path / "file").touch()
    assert harkd(*world.train, "--out", "file").err == "harkd: file is a file; give a folder with --out\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text("[mine]\n")
    assert (
        harkd(*world.train, "--out", "mine").err == "harkd: mine/config.toml is not harkd's; choose another folder with --out\n"
    )
    assert harkd(*world.train, "--out", "file/inner").code == 1


def test_an_invariance_is_forced_for_student_and_teacher(harkd: Any, world: Any) -> None:
    words = ["--augment", "time_warp(0.2)", "--teacher-augment", "time_warp(0.1)", "--epochs", "1", "--teacher-epochs", "1"]
    assert harkd(*world.distill, *words).code == 2
    assert harkd(*world.distill, *words, "--force-augment").code == 0


# Unfinished runs and other processes


def session(stop_after: int = 0) -> tuple[Session, list[int]]:
    """A session that is interrupted after so many steps (0: never)."""
    steps: list[int] = []

    def interrupted() -> bool:
        steps.append(len(steps))
        return bool(stop_after) and len(steps) > stop_after

    return Session(Machine(device="cpu"), Display(), interrupted), steps


@pytest.fixture
def options(world: Any) -> Train:
    return Train(data=str(world.card), data_folder=str(world.folder), net="dscnn-xs", epochs=4, batch=12, rate=0.03)


def test_an_unfinished_run_is_not_overwritten_by_another(
    options: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Interrupted, match=r"stopped; the run is saved in .*run: repeat the command to go on"):
        training.train(options, session(5)[0], tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.json").is_file()
    with pytest.raises(UsageError, match="run holds an unfinished run with other options; choose another folder with --out"):
        training.train(replace(options, seed=1), session()[0], tmp_path / "run")
    training.train(options, session()[0], tmp_path / "run")
    training.train(options, session()[0], tmp_path / "straight")
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")
    assert history(tmp_path / "run") == history(tmp_path / "straight")
    assert f"{tmp_path / 'run'} goes on in epoch 2\n" in capsys.readouterr().err


def test_a_run_that_was_given_up_at_once_may_be_replaced(options: Train, tmp_path: Path) -> None:
    """Configuration and no checkpoint: there is nothing to lose."""
    training.write_atomically(tmp_path / "run" / "config.toml", training._config(replace(options, seed=1)))
    training.train(options, session()[0], tmp_path / "run")
    assert result(tmp_path / "run")["identity"] == identity(options)


def test_a_run_whose_data_changed_starts_anew(
    options: Train, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command, but two labels change places in the card between the halves of the run."""
    card = world.other_card(tmp_path)
    options = replace(options, data=str(card))
    with pytest.raises(Interrupted):
        training.train(options, session(5)[0], tmp_path / "run")
    text = card.read_text()
    swapped = 'classes = ["slow", "medium", "fast"]\nlabels = ["fast", "medium", "slow"]'
    card.write_text(text.replace('classes = ["slow", "medium", "fast"]', swapped))
    training.train(options, session()[0], tmp_path / "run")
    assert "holds the beginning of a run with other options or data; it starts anew" in capsys.readouterr().err
    training.train(options, session()[0], tmp_path / "straight")
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")


def test_a_second_process_waits_and_finds_the_run_finished(
    options: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], fits: list[int]
) -> None:
    """Two students ask for one teacher at the same time: flock tells two openings of one folder apart, as it does processes."""
    run, done = Run(tmp_path / "run"), threading.Event()

    def first() -> None:
        with run.held(lambda: None):
            done.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    sleep = time.sleep

    def slept(seconds: float) -> None:
        if not (run.folder / "result.json").exists():
            training.train(options, session()[0], tmp_path / "elsewhere")
            for path in (tmp_path / "elsewhere").iterdir():
                path.rename(run.folder / path.name)
            done.set()
        sleep(seconds)

    while not run.folder.exists():
        sleep(0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.time, "sleep", slept)
        training.train(options, session()[0], run.folder)
    thread.join()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"another process trains {run.folder}: waiting for it"
    assert told[-1] == f"{run.folder} is finished already; delete it to train again"
    assert fits == [4]


def test_waiting_can_be_interrupted(options: Train, tmp_path: Path) -> None:
    with Run(tmp_path).held(lambda: None), pytest.raises(Interrupted, match="stopped while waiting for"):
        training.train(options, Session(Machine(device="cpu"), Display(), lambda: True), tmp_path)


def test_a_folder_of_others_is_seen_after_waiting_too(options: Train, tmp_path: Path) -> None:
    """What another process made in the meantime is judged again."""
    real = Run.held

    def held(self: Run, wait: Any) -> Any:
        training.write_atomically(self.folder / "config.toml", b"[mine]\n")
        return real(self, wait)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "held", held)
        with pytest.raises(UsageError, match=r"config\.toml is not harkd's"):
            training.train(options, session()[0], tmp_path / "run")


def test_a_checkpoint_is_written_now_and_then(options: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    real = Checkpoint.save

    def save(self: Checkpoint, tensors: Any, meta: Any) -> None:
        saved.append(meta["step"])
        real(self, tensors, meta)

    monkeypatch.setattr(Checkpoint, "save", save)
    training.train(options, session()[0], tmp_path / "quick")
    assert saved == []  # less than 30 s
    monkeypatch.setattr("harkd.runs.SAVE_EVERY", -1.0)
    training.train(options, session()[0], tmp_path / "slow")
    assert saved == list(range(1, 13))
    assert weights(tmp_path / "quick") == weights(tmp_path / "slow")
    assert sorted(path.name for path in (tmp_path / "slow").iterdir()) == sorted(
        path.name for path in (tmp_path / "quick").iterdir()
    )


def test_a_full_disk_stops_a_run_in_one_line(harkd: Any, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harkd.files.os.replace", full)
    told = harkd(*world.train, "--out", "run")
    assert (told.code, told.out) == (1, "")
    assert told.err == "harkd: cannot write run/config.toml: No space left on device\n"
    assert list((tmp_path / "run").iterdir()) == []


def test_incomplete_options_of_a_run_are_damage(trained: Path, tmp_path: Path) -> None:
    told = result(trained)
    del told["options"]["window"]
    (tmp_path / "result.json").write_text(json.dumps(told))
    with pytest.raises(HarkdError, match=r"result\.json is damaged \(its options are incomplete\): repeat the run"):
        data_of(Run.open(tmp_path))


def test_one_class_is_refused(harkd: Any, world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "still"
    for path in world.folder.rglob("*-slow.csv"):
        place = folder / path.relative_to(world.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    told = harkd("train", "--data", world.card, "--data-folder", folder, "--net", "dscnn-xs", "--out", tmp_path / "run")
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert "every training window of split 'official' is 'slow': at least two classes are needed" in told.err
    assert not (tmp_path / "run").exists()


def test_one_person_is_refused(harkd: Any, world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    shutil.copytree(world.folder / "Ermintrude", folder / "Ermintrude")
    card = world.other_card(tmp_path, ("[splits.official]", "[splits.other]"))
    told = harkd("train", "--data", card, "--data-folder", folder, "--net", "dscnn-xs")
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "swings has no official split, and its subjects (1) are too few for one by subject: take a session" in told.err
