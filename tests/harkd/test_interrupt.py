"""A run that is stopped, killed or finds its state damaged ends with the same bits as one that was left in peace.

Every run here is a process of its own. Most are forked from a server that has imported torch once.
"""

import json
import multiprocessing
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from harkd.methods import METHODS

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["harkd.commands.session", "harkd.commands.train", "harkd.commands.distill", "torch._dynamo"])

# What makes a run remember: best weights, snapshots, an augmentation that is drawn anew, a bank of draws.
FULL = ["--select", "best", "--keep-epochs", "3", "--augment", "rotate(20)+jitter(0.05)"]

RUN = """
import os, signal, sys
sys.stdout, sys.stderr = open(os.devnull, "w"), open({log!r}, "a", buffering=1)
from harkd import progress, runs
from harkd.__main__ import main
runs.SAVE_EVERY = {every}
{before}
status = main({words!r})
sys.stderr.flush()
os._exit(status)
"""

AT_STEP = """
steps, step = [], progress.Display.step
def stepped(self, phase, at):
    steps.append(self._name)
    if len([name for name in steps if {role!r} in name]) == {number}:
        os.kill(os.getpid(), signal.{signal})
    step(self, phase, at)
progress.Display.step = stepped
"""

AT_WRITE = """
writes, replace = [], os.replace
def replaced(one, other):
    writes.append(other)
    if len(writes) == {number} and {before_it}:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(one, other)
    if len(writes) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replaced
"""


def begin(words: list[str], log: Path, before: str = "", every: float = -1.0) -> ForkServerProcess:
    """Start a command that saves itself `every` so many seconds; negative: in every step."""
    process = SERVER.Process(target=exec, args=(RUN.format(log=str(log), words=words, before=before, every=every), {}))
    process.start()
    return process


def call(words: list[str], log: Path, before: str = "", every: float = -1.0) -> int:
    """The exit code of a command; minus the signal that killed it."""
    process = begin(words, log, before, every)
    process.join(60)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode


def bits(folder: Path) -> dict[str, Any]:
    """All files of a finished run, the seconds that it took aside."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {"result.json": {**json.loads(found["result.json"]), "seconds": 0}}


@pytest.fixture(scope="module")
def train(world: Any) -> list[str]:
    return [*world.train, *FULL, "--epochs", "5", "--out"]


@pytest.fixture(scope="module")
def distill(world: Any) -> list[str]:
    return [*world.distill, *FULL, "--draws", "2", "--epochs", "4", "--teacher-epochs", "3", "--method", "eskd", "--out"]


@pytest.fixture(scope="module")
def peaceful(
    train: list[str], distill: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a training, and a student, end with if nobody disturbs them."""
    folder = tmp_path_factory.mktemp("peaceful")
    for words in ([*train, str(folder / "run")], [*distill, str(folder / "student")]):
        assert call(words, folder / "log") == 0, (folder / "log").read_text()
    return bits(folder / "run"), bits(folder / "student")


def test_the_world_is_worth_it(peaceful: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Last, best and kept weights differ, so that a wrong one would show."""
    for found in peaceful:
        assert len({found[f"{name}.safetensors"] for name in ("last", "best", "epoch-3")}) >= 2
        assert not [name for name in found if name.startswith((".", "checkpoint"))]


@pytest.mark.parametrize("step", [1, 3, 8, 15])
def test_a_training_that_is_stopped_goes_on_to_the_same_bits(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, step: int
) -> None:
    """Stopped in the first step, at the end of an epoch (3 steps), in the middle and in the last step of 15."""
    folder, log = tmp_path / "run", tmp_path / "log"
    words = [*train, str(folder)]
    assert call(words, log, AT_STEP.format(role="alone", number=step, signal="SIGINT")) == 130
    assert log.read_text().splitlines()[-1] == f"harkd: stopped; the run is saved in {folder}: repeat the command to go on"
    assert "Traceback" not in log.read_text()
    assert sorted(path.name for path in folder.iterdir()) == [
        f"checkpoint-0-{step}.safetensors",
        "checkpoint.json",
        "config.toml",
    ]
    assert call(words, log) == 0, log.read_text()
    assert f"\n{folder} goes on in epoch {(step - 1) // 3 + 1}\n" in log.read_text()
    assert bits(folder) == peaceful[0]


def test_a_training_that_is_stopped_again_and_again(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    for _ in range(3):
        assert call([*train, str(folder)], log, AT_STEP.format(role="alone", number=4, signal="SIGINT")) == 130
    assert (folder / "checkpoint-0-12.safetensors").is_file()
    assert call([*train, str(folder)], log) == 0
    assert bits(folder) == peaceful[0]


@pytest.mark.parametrize(("role", "step"), [("(teacher)", 4), ("distilled", 1), ("distilled", 7)])
def test_a_student_that_is_stopped_goes_on_to_the_same_bits(
    distill: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, role: str, step: int
) -> None:
    folder, log = tmp_path / "student", tmp_path / "log"
    words = [*distill, str(folder)]
    assert call(words, log, AT_STEP.format(role=role, number=step, signal="SIGINT")) == 130
    (teacher,) = tmp_path.glob("teacher-*")
    unfinished, finished = (teacher, None) if role == "(teacher)" else (folder, teacher)
    assert log.read_text().endswith(f"the run is saved in {unfinished}: repeat the command to go on\n")
    assert (unfinished / "checkpoint.json").is_file()
    assert finished is None or (finished / "result.json").is_file()
    assert folder.exists() == (unfinished == folder)  # no trace of a student that has not begun
    assert call(words, log) == 0, log.read_text()
    assert bits(folder) == peaceful[1]


def test_a_second_signal_stops_at_once(train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    """Between the two the run would have saved itself; the state of the step before is there."""
    folder, log = tmp_path / "run", tmp_path / "log"
    twice = (
        AT_STEP.format(role="alone", number=5, signal="SIGINT")
        + "\nkill = os.kill\nos.kill = lambda *to: [kill(*to), kill(*to)]\n"
    )
    assert call([*train, str(folder)], log, twice) == 130
    assert log.read_text().splitlines()[-1] == "harkd: interrupted"
    assert call([*train, str(folder)], log) == 0
    assert bits(folder) == peaceful[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_training_that_is_killed_at_a_random_write_goes_on_to_the_same_bits(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, seed: int
) -> None:
    """Every file is renamed into place: killed just before or just after."""
    chance = random.Random(seed)
    folder, log = tmp_path / "run", tmp_path / "log"
    # Configuration, 15 checkpoints of two files each, then what the next test is about.
    where = AT_WRITE.format(number=chance.randint(2, 31), before_it=chance.choice([True, False]))
    assert call([*train, str(folder)], log, where) == -signal.SIGKILL
    assert call([*train, str(folder)], log) == 0, log.read_text()
    assert bits(folder) == peaceful[0]


@pytest.mark.parametrize(("number", "before_it"), [(32, True), (33, False), (39, True)])
def test_a_training_that_is_killed_while_it_writes_its_result(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, number: int, before_it: bool
) -> None:
    """History, three weights of two files each, result: 39 in all."""
    folder, log = tmp_path / "run", tmp_path / "log"
    assert call([*train, str(folder)], log, AT_WRITE.format(number=number, before_it=before_it)) == -signal.SIGKILL
    assert not (folder / "result.json").exists()
    assert call([*train, str(folder)], log) == 0, log.read_text()
    assert bits(folder) == peaceful[0]


def test_a_training_that_is_killed_at_its_very_end(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    """The result is there, and so is the checkpoint: it is finished, says so and is swept."""
    folder, log = tmp_path / "run", tmp_path / "log"
    assert call([*train, str(folder)], log, AT_WRITE.format(number=39, before_it=False)) == -signal.SIGKILL
    assert {"result.json", "checkpoint.json"} <= {path.name for path in folder.iterdir()}
    assert call([*train, str(folder)], log) == 0
    assert log.read_text().endswith(f"{folder} is finished already; delete it to train again\n")
    assert bits(folder) == peaceful[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_student_that_is_killed_at_a_random_moment_goes_on_to_the_same_bits(
    distill: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, seed: int
) -> None:
    """Killed from outside, wherever it is: in a step, in a write, in an evaluation."""
    chance = random.Random(seed)
    folder, log = tmp_path / "student", tmp_path / "log"
    process = begin([*distill, str(folder)], log)
    while process.is_alive() and not any(tmp_path.glob("*/config.toml")):
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.5))
    process.kill()
    process.join()
    assert call([*distill, str(folder)], log) == 0, log.read_text()
    assert bits(folder) == peaceful[1]
    (teacher,) = tmp_path.glob("teacher-*")
    assert not [path for path in teacher.iterdir() if path.name.startswith((".", "checkpoint"))]


def cast_of(method: str) -> list[str]:
    """Flags for whom a method needs beside one teacher, and for an assistant where it takes any."""
    entry, words = METHODS[method], list[str]()
    if entry.teachers[0] > 1:
        words += ["--teacher", "wrn1d-10-1"]
    if entry.assistants[1] != 0 and not entry.own_teacher:
        words += ["--assistants", "wrn1d-10-1"]
    if entry.domains[0]:
        words += ["--student-sees", "acc", "--domains", "gyro"]
    return words


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"eskd"}))
def test_every_method_goes_on_from_any_phase(world: Any, tmp_path: Path, method: str) -> None:
    """Killed in its first, a middle and its last step, one after the other: a method of several phases is killed in each."""
    words = [*world.distill, *cast_of(method), "--method", method, "--select", "best", "--epochs", "4", "--teacher-epochs", "2"]
    words.append("--out")
    straight, folder, log = tmp_path / "a" / "straight", tmp_path / "b" / "killed", tmp_path / "log"
    assert call([*words, str(straight)], log) == 0, log.read_text()
    role = "dscnn-xs"
    for step in (1, 5, 5):  # of 12; every kill is so many steps after the last one
        found = call([*words, str(folder)], log, AT_STEP.format(role=role, number=step, signal="SIGKILL"))
        assert found == -signal.SIGKILL, log.read_text()
    assert call([*words, str(folder)], log) == 0, log.read_text()
    assert bits(folder) == bits(straight)


# Damage between the halves


def newest(folder: Path) -> Path:
    (found,) = folder.glob("checkpoint-*.safetensors")
    return found


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


def alter(folder: Path, **changes: Any) -> None:
    meta = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(meta | changes))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "tensors cut": lambda folder: cut(newest(folder), 0.7),
    "tensors gone": lambda folder: newest(folder).unlink(),
    "one bit of the tensors": lambda folder: flip(newest(folder)),
    "JSON cut": lambda folder: cut(folder / "checkpoint.json", 0.7),
    "another step": lambda folder: alter(folder, step=3),
}


@pytest.fixture(scope="module")
def stopped(train: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a training that was stopped at step 8."""
    folder = tmp_path_factory.mktemp("stopped")
    assert call([*train, str(folder / "run")], folder / "log", AT_STEP.format(role="alone", number=8, signal="SIGINT")) == 130
    return {path.name: path.read_bytes() for path in (folder / "run").iterdir()}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_starts_the_run_anew_and_says_so(
    train: list[str],
    peaceful: tuple[dict[str, Any], dict[str, Any]],
    stopped: dict[str, bytes],
    tmp_path: Path,
    damage: Callable[[Path], Any],
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    for name, content in stopped.items():
        (folder / name).write_bytes(content)
    damage(folder)
    assert call([*train, str(folder)], log) == 0, log.read_text()
    first = log.read_text().splitlines()[0]
    assert re.search(r"checkpoint.* (is|are) (damaged|missing)", first)
    assert first.endswith(f"; {folder} starts anew")
    assert bits(folder) == peaceful[0]


def test_an_undamaged_checkpoint_does_not_start_anew(
    train: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], stopped: dict[str, bytes], tmp_path: Path
) -> None:
    """The checkpoint may even be carried elsewhere."""
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    for name, content in stopped.items():
        (folder / name).write_bytes(content)
    assert call([*train, str(folder)], log) == 0, log.read_text()
    assert log.read_text().splitlines()[0] == f"{folder} goes on in epoch 3"
    assert bits(folder) == peaceful[0]


# The whole way


def test_ctrl_c_in_a_shell(world: Any, tmp_path: Path) -> None:
    """A whole process as a user starts it, stopped by a signal from outside."""
    words = [*world.train, *FULL, "--epochs", "100", "--out"]
    command = [sys.executable, "-m", "harkd", *words, "stopped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "epoch 20/100" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read().splitlines()
        assert (process.wait(60), process.stdout.read()) == (130, "")
    assert told[-1] == "harkd: stopped; the run is saved in stopped: repeat the command to go on"
    assert len(list((tmp_path / "stopped").glob("checkpoint*"))) == 2
    assert not (tmp_path / "stopped" / "result.json").exists()
    log = tmp_path / "log"
    assert call([*words, str(tmp_path / "stopped")], log, every=30.0) == 0
    assert re.search(r"stopped goes on in epoch (2[1-9]|[3-9]\d)\n", log.read_text())
    assert call([*words, str(tmp_path / "straight")], log, every=30.0) == 0
    assert bits(tmp_path / "stopped") == bits(tmp_path / "straight")


def test_two_processes_share_one_teacher(
    distill: list[str], peaceful: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    """Started at the same time, one trains the teacher, the other waits for it."""
    logs = [tmp_path / "log-0", tmp_path / "log-1"]
    students = [begin([*distill, str(tmp_path / f"student-{n}"), "--seed", str(n)], logs[n]) for n in (0, 1)]
    for student in students:
        student.join(60)
        assert student.exitcode == 0
    assert bits(tmp_path / "student-0") == peaceful[1]
    told = [log.read_text() for log in logs]
    assert sum("(teacher), seed 0: epoch 3/3" in text for text in told) == 1
    assert sum(f"{next(tmp_path.glob('teacher-*'))} is finished already" in text for text in told) == 1
