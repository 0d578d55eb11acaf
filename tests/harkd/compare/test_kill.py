"""A study whose processes are killed again and again ends with the table of one that was left in peace.

Every study here is the command as a user starts it, with workers of its own. SIGKILL hits the one or the other.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for workers in /proc"),
]

COMMAND = """
# Workers import this file too: they save a run ten times a second, so that a kill loses some of it and not all.
import sys
from harkd import runs
runs.SAVE_EVERY = 0.1
if __name__ == "__main__":
    from harkd.__main__ import main
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def study(world: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two levels, two folds, two seeds and a teacher for each fold: ten runs."""
    script = tmp_path_factory.mktemp("command") / "study.py"
    script.write_text(COMMAND)
    return [
        *(sys.executable, str(script), "compare", *world.data, "--student", "dscnn-xs", "--teacher", "dscnn-s"),
        *("--augment", "none,rotate(20)", "--vary", "kd.weight=0.5", "--folds", "2", "--seeds", "2", "--no-export"),
        *("--epochs", "25", "--teacher-epochs", "10", "--teacher-patience", "0", "--batch", "4", "--rate", "0.02"),
        *("--device", "cpu", "--workers", "2"),
    ]


@contextmanager
def started(words: list[str], out: Path, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command at work; whatever happens, it does not outlive the test."""
    command = [*words, "--out", str(out)]
    with log.open("a") as file, subprocess.Popen(command, stdout=file, stderr=file, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(words: list[str], out: Path, log: Path) -> int:
    """The exit code of the command, left alone until it ends."""
    with started(words, out, log) as process:
        return process.wait(600)


def workers(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that train for a command."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def files(out: Path) -> set[tuple[str, int]]:
    """What is there of a study's runs, and when it was written."""
    found = set()
    for path in out.glob("runs/*/*"):
        with suppress(FileNotFoundError):
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def progress(process: "subprocess.Popen[str]", out: Path) -> None:
    """Wait until a worker has written something, or the command has ended."""
    before, limit = files(out), time.monotonic() + 300
    while process.poll() is None and not files(out) - before:
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture(scope="module")
def peaceful(study: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of the study if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("peaceful")
    assert finish(study, folder / "study", folder / "log") == 0, (folder / "log").read_text()
    return (folder / "study" / "results.csv").read_bytes()


def test_the_study_is_worth_it(peaceful: bytes) -> None:
    """Levels, folds and seeds differ, so that a wrong run would show."""
    _, *rows = peaceful.decode().splitlines()
    assert len(rows) == 2 * 2 * (5 + 2)
    scores: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        level, fold, seed, _, _, _, accuracy, macro_f1 = row.split(",")
        scores.setdefault((level, fold, seed), []).extend((accuracy, macro_f1))
    assert len(scores) == len({tuple(found) for found in scores.values()}) == 8


def test_a_study_that_is_killed_again_and_again_ends_with_the_same_table(
    study: list[str], peaceful: bytes, tmp_path: Path
) -> None:
    """The command is killed four times and a worker six times, in any order: while they begin, or in the middle of a run."""
    chance = random.Random(0)
    out, log = tmp_path / "study", tmp_path / "log"
    victims = chance.sample(["command"] * 4 + ["worker"] * 6, 10)
    while victims:
        with started(study, out, log) as process:
            while victims and process.poll() is None:
                if victims[0] == "command" and chance.random() < 0.5:
                    time.sleep(chance.uniform(0, 6))  # perhaps before anything is trained
                else:
                    progress(process, out)
                    time.sleep(chance.uniform(0, 0.2))
                if victims[0] == "command":
                    victims.pop(0)
                    process.kill()
                    process.wait()
                elif there := workers(process):
                    victims.pop(0)
                    os.kill(chance.choice(there), signal.SIGKILL)
            assert process.poll() != 0, f"it ended with {len(victims)} kills to come: {log.read_text()}"
    assert finish(study, out, log) == 0, log.read_text()
    assert (out / "results.csv").read_bytes() == peaceful
    assert "Traceback" not in log.read_text()
    assert not list(out.glob("failed/*"))
    assert not [path for path in out.rglob("*") if path.name.endswith("-being-written")]
    assert not (out / "bank").exists()


def test_of_two_commands_at_once_one_is_refused_and_ctrl_c_keeps_the_other(
    study: list[str], peaceful: bytes, tmp_path: Path
) -> None:
    out, logs = tmp_path / "study", [tmp_path / "log-0", tmp_path / "log-1"]
    with started(study, out, logs[0]) as first, started(study, out, logs[1]) as second:
        while first.poll() is None and second.poll() is None:
            time.sleep(0.05)
        winner, loser = (first, second) if first.poll() is None else (second, first)
        told = logs[0 if loser is first else 1].read_text()
        message = rf"harkd: another process \(process {winner.pid}\) is at work on {out}: let it finish, or choose another folder"
        assert re.fullmatch(message, told.splitlines()[-1])
        assert loser.returncode == 2
        progress(winner, out)
        winner.send_signal(signal.SIGINT)
        assert winner.wait(120) == 130
    told = logs[0 if winner is first else 1].read_text()
    assert told.splitlines()[-1] == f"harkd: stopped; what is done is kept in {out}: repeat the command to go on"
    assert "Traceback" not in told
    assert not (out / "results.csv").exists()
    assert finish(study, out, logs[0]) == 0, logs[0].read_text()
    assert (out / "results.csv").read_bytes() == peaceful


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk whose size can be set."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def sized(size: str) -> Path:
        how = ["-o", f"remount,size={size}"] if os.path.ismount(disk) else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        if subprocess.run(["mount", *how, str(disk)], capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        return disk

    yield sized
    if os.path.ismount(disk):
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_stops_the_study_and_with_room_it_goes_on(
    study: list[str], peaceful: bytes, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    log = tmp_path / "log"
    out = small_disk("560k") / "study"  # both teachers while they train, and a few runs
    assert finish(study, out, log) == 1, log.read_text()
    last = log.read_text().splitlines()[-1]
    assert "No space left on device; nothing that was finished is lost: make room and repeat the command" in last
    assert last.startswith("harkd: cannot write ")
    assert "Traceback" not in log.read_text()
    finished = sorted(path.parent.name for path in out.glob("runs/*/result.json"))
    assert 1 <= len(finished) < 10
    written = {name: (out / "runs" / name / "result.json").stat().st_mtime_ns for name in finished}
    small_disk("50m")
    assert finish(study, out, log) == 0, log.read_text()
    assert (out / "results.csv").read_bytes() == peaceful
    assert {name: (out / "runs" / name / "result.json").stat().st_mtime_ns for name in finished} == written


def test_a_broken_run_leaves_the_rest_whole(study: list[str], tmp_path: Path) -> None:
    """A learning rate with which no loss stays finite."""
    out, log = tmp_path / "study", tmp_path / "log"
    asked = [*study, "--method", "ce", "--seeds", "1", "--vary", "rate=0.02,1e30"]
    assert finish(asked, out, log) == 1, log.read_text()
    failed = sorted(path.stem for path in out.glob("failed/*.json"))
    assert len(failed) == 2 * 2
    for name in failed:
        assert re.search(rf"^failed: {name} \((none|rotate\(20\))/1e30\): ce became ", log.read_text(), re.MULTILINE), name
    rows = (out / "results.csv").read_text()
    assert sorted({row.split(",")[0] for row in rows.splitlines()[1:]}) == ["none/0.02", "rotate(20)/0.02"]
    assert len(rows.splitlines()) == 1 + 2 * (5 + 2)
    results = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")}
    retried = tmp_path / "retried"
    assert finish([*asked, "--retry"], out, retried) == 1
    assert sorted(set(re.findall(r"^failed: (\S+) ", retried.read_text(), re.MULTILINE))) == failed
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")} == results
    assert (out / "results.csv").read_text() == rows
