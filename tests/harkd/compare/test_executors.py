"""The processes of this machine: jobs that fail, die, take too much or are told to stop, and workers whose parent is gone."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harkd.compare import executors
from harkd.compare.executors import FIRST_GUESS, Local, free_memory, peak_memory
from harkd.compare.jobs import Ended, Job
from harkd.errors import HarkdError
from harkd.options import Distill

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")

WORKERS = '''
"""What workers do here: the first word of a job's name says what, its data where."""
import multiprocessing, os, signal, sys, time
from pathlib import Path
from harkd.errors import HarkdError, Interrupted

def begin(wants_to_stop):
    def work(job):
        folder, word = Path(job.options.data), job.name.split("-")[0]
        (folder / job.name).write_text(str(os.getpid()))
        if word == "wait":
            while not wants_to_stop():
                time.sleep(0.01)
            (folder / f"{job.name}.saved").touch()
            raise Interrupted("stopped")
        if word == "spin":
            while not wants_to_stop():
                pass
        if word == "stubborn":
            time.sleep(600)
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "large":
            bytearray(400 * 1024**2)
        if word == "wrong":
            raise ValueError("one line\\nand another")
        if word == "refused":
            raise HarkdError("no such net")
        if word == "full":
            try:
                with open("/dev/full", "wb", buffering=0) as file:
                    file.write(b"x")
            except OSError as problem:
                raise HarkdError(f"cannot write: {problem.strerror}") from None
    return work

def slow_begin(wants_to_stop):
    (Path(sys.path[0]) / f"begins-{os.getpid()}").touch()
    time.sleep(600)

def no_begin(wants_to_stop):
    raise HarkdError("there is no such device")
'''

SLOW_IMPORT = """
import multiprocessing, os, sys, time
from pathlib import Path
if multiprocessing.current_process().name != "MainProcess":
    (Path(sys.path[0]) / f"begins-{os.getpid()}").touch()
    time.sleep(3)
def begin(wants_to_stop):
    from made_up_workers import begin
    return begin(wants_to_stop)
"""

COORDINATOR = """
import signal, sys
from importlib import import_module
folder, module, name, *jobs = sys.argv[1:]
sys.path.insert(0, folder)
from harkd.compare.executors import GIB, Local
from harkd.compare.jobs import Job
from harkd.options import Distill
asked = []
def ask(number, frame):
    if asked:
        raise KeyboardInterrupt
    asked.append(True)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, ask)
    local = Local(getattr(import_module(module), name), len(jobs), 16 * GIB)
    for job in jobs:
        assert local.submit(Job(job, Distill(data=folder)))
    print("submitted", flush=True)
    try:
        while not asked:
            local.poll(0.05)
    finally:
        local.cancel()
    print("cancelled", flush=True)
"""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Local]]:
    """Executors whose workers do what the names of jobs say; they travel to the workers by name, like those of harkd."""
    (tmp_path / "made_up_workers.py").write_text(WORKERS)
    monkeypatch.syspath_prepend(tmp_path)
    import made_up_workers  # type: ignore[import-not-found]

    made: list[Local] = []

    def local(workers: int = 2, memory: float = 16 * FIRST_GUESS, name: str = "begin") -> Local:
        made.append(Local(getattr(made_up_workers, name), workers, memory))
        return made[-1]

    yield local
    for executor in made:
        executor.cancel()
    del sys.modules["made_up_workers"]


def all_ends(executor: Local, jobs: list[Job]) -> dict[str, Ended]:
    """Do some jobs, each once."""
    waiting, ends, limit = list(jobs), dict[str, Ended](), time.monotonic() + 120
    while len(ends) < len(jobs):
        assert time.monotonic() < limit
        while waiting and executor.submit(waiting[0]):
            waiting.pop(0)
        for end in executor.poll(0.1):
            assert end.name not in ends
            ends[end.name] = end
    return ends


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def worker(folder: Path, name: str) -> int:
    """The process that does a job, once it has begun."""
    until(lambda: (folder / name).is_file() and bool((folder / name).read_text()))
    return int((folder / name).read_text())


# Jobs


def test_jobs_are_done_in_processes_of_their_own(begin: Callable[..., Local], tmp_path: Path) -> None:
    """As many at a time as there are workers, who stay for the next."""
    executor = begin(2)
    ends = all_ends(executor, [Job(f"note-{n}", Distill(data=str(tmp_path))) for n in range(6)])
    assert {name: end.error for name, end in ends.items()} == {f"note-{n}": "" for n in range(6)}
    processes = {worker(tmp_path, name) for name in ends}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes
    assert not any(end.died or end.full or end.detail for end in ends.values())
    assert all(end.memory > 5 * 1024**2 for end in ends.values())
    executor.cancel()
    assert not any(map(alive, processes))


def test_jobs_that_raise(begin: Callable[..., Local], tmp_path: Path) -> None:
    """An error of harkd is told as it is, any other one with its traceback; neither ends the worker."""
    executor = begin(1)
    names = ["wrong", "refused", "full", "note"]
    ends = all_ends(executor, [Job(name, Distill(data=str(tmp_path))) for name in names])
    assert len({worker(tmp_path, name) for name in names}) == 1
    assert ends["wrong"].error == "ValueError: one line"
    assert ends["wrong"].detail.splitlines()[-2:] == ["ValueError: one line", "and another"]
    assert "made_up_workers.py" in ends["wrong"].detail
    assert (ends["refused"].error, ends["refused"].detail) == ("no such net", "")
    assert (ends["full"].error, ends["full"].detail) == ("cannot write: No space left on device", "")
    assert {name for name, end in ends.items() if end.full} == {"full"}
    assert not any(end.died for end in ends.values())


def test_a_full_disk_is_found_among_the_causes() -> None:
    def ended(number: int, how: str) -> Ended:
        try:
            try:
                raise OSError(number, os.strerror(number))
            except OSError as problem:
                if how == "as it is":
                    raise
                raise HarkdError("cannot write") from (problem if how == "cause" else None)
        except Exception as problem:
            return Ended.of("job", problem)

    for how in ("as it is", "cause", "context"):
        assert ended(errno.ENOSPC, how).full
        assert ended(errno.EDQUOT, how).full
        assert not ended(errno.EACCES, how).full


def test_a_worker_that_is_killed_is_told_and_the_pool_works_on(begin: Callable[..., Local], tmp_path: Path) -> None:
    executor = begin(2)
    first = [Job("wait", Distill(data=str(tmp_path))), Job("die", Distill(data=str(tmp_path)))]
    assert executor.submit(first[0])
    beside = worker(tmp_path, "wait")
    assert executor.submit(first[1])
    ends: list[Ended] = []
    until(lambda: bool(ends.extend(executor.poll(0.1)) or len(ends) == 2))
    assert {end.name for end in ends} == {"wait", "die"}
    for end in ends:
        assert (end.died, end.full) == (True, False)
        assert end.error == "its process died: it was killed, or there was no memory left"
    until(lambda: not alive(beside), 10)
    after = all_ends(executor, [Job("note", Distill(data=str(tmp_path)))])
    assert after["note"].error == ""


def test_an_idle_worker_that_is_killed_costs_no_job(begin: Callable[..., Local], tmp_path: Path) -> None:
    executor = begin(1)
    for number in range(2):
        job = Job(f"note-{number}", Distill(data=str(tmp_path)))
        ends = all_ends(executor, [job])
        while ends[job.name].died:  # it was handed over before the pool found out
            ends = all_ends(executor, [job])
        assert ends[job.name].error == ""
        process = worker(tmp_path, job.name)
        os.kill(process, signal.SIGKILL)
        until(lambda process=process: not alive(process))  # type: ignore[misc]


def test_workers_may_be_killed_while_they_look_whether_to_stop(begin: Callable[..., Local], tmp_path: Path) -> None:
    """Whatever tells them must not be left locked by one that is gone."""
    executor = begin(1)
    for number in range(4):
        assert executor.submit(Job(f"spin-{number}", Distill(data=str(tmp_path))))
        os.kill(worker(tmp_path, f"spin-{number}"), signal.SIGKILL)
        ends: list[Ended] = []
        until(lambda ends=ends: bool(ends.extend(executor.poll(0.1)) or ends))  # type: ignore[misc]
        assert ends[0].died
    assert executor.submit(Job("wait", Distill(data=str(tmp_path))))
    worker(tmp_path, "wait")
    executor.cancel()
    assert (tmp_path / "wait.saved").exists()


def test_a_worker_that_cannot_begin_says_why(begin: Callable[..., Local], tmp_path: Path) -> None:
    """The same would happen to every job and in every process: trying again is no use."""
    end = all_ends(begin(1, name="no_begin"), [Job("note", Distill(data=str(tmp_path)))])["note"]
    assert "there is no such device" in end.error


# Memory


def test_as_many_workers_as_the_memory_allows() -> None:
    def room(workers: int, memory: float) -> int:
        return Local(lambda stop: lambda job: None, workers, memory).room

    assert room(4, 8 * FIRST_GUESS) == 4
    assert room(4, 2.9 * FIRST_GUESS) == 2
    assert room(4, 0.1 * FIRST_GUESS) == 1  # one is always tried


def test_the_memory_of_workers_is_learnt_from_what_they_took(begin: Callable[..., Local], tmp_path: Path) -> None:
    held = bytearray(600 * 1024**2)  # what the coordinator holds is no worker's
    held[::4096] = bytes(1) * len(held[::4096])
    executor = begin(3, memory=FIRST_GUESS)
    jobs = [Job(f"wait-{n}", Distill(data=str(tmp_path))) for n in range(4)]
    assert executor.room == 1
    assert all_ends(executor, [Job("note", Distill(data=str(tmp_path)))])["note"].memory < FIRST_GUESS // 3
    assert executor.room == 3
    assert [executor.submit(job) for job in jobs] == [True, True, True, False]
    executor.cancel()
    end = all_ends(executor, [Job("large", Distill(data=str(tmp_path)))])["large"]
    assert 400 * 1024**2 < end.memory < FIRST_GUESS
    assert executor.room == FIRST_GUESS // end.memory < 3
    assert [executor.submit(job) for job in jobs].count(True) == executor.room


def test_memory_is_told_in_bytes() -> None:
    before = peak_memory()
    assert 10 * 1024**2 < before < 64 * FIRST_GUESS
    held = bytearray(before // 2)
    assert before <= peak_memory() <= before + len(held) + 64 * 1024**2
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 10 * 1024**2 < free_memory() < machine


def test_the_memory_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")
    monkeypatch.setattr(executors, "Path", lambda text: tmp_path if text == "/sys/fs/cgroup" else Path(text))
    assert free_memory() == 200_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 0
    (tmp_path / "memory.max").write_text("50000000\n")
    assert free_memory() == 0


# Stopping


def test_cancelled_jobs_save_themselves(begin: Callable[..., Local], tmp_path: Path) -> None:
    executor = begin(2)
    for name in ("wait-a", "wait-b"):
        assert executor.submit(Job(name, Distill(data=str(tmp_path))))
    processes = [worker(tmp_path, name) for name in ("wait-a", "wait-b")]
    executor.cancel()
    assert (tmp_path / "wait-a.saved").exists()
    assert (tmp_path / "wait-b.saved").exists()
    assert not any(map(alive, processes))
    assert executor.poll(0) == []
    executor.cancel()  # once more does no harm
    assert all_ends(executor, [Job("note", Distill(data=str(tmp_path)))])["note"].error == ""


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """A process with an executor of two workers, in a process group of its own as a shell makes it."""
    (tmp_path / "made_up_workers.py").write_text(WORKERS)
    (tmp_path / "slow_import.py").write_text(SLOW_IMPORT)
    (tmp_path / "coordinator.py").write_text(COORDINATOR)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(tmp_path / "coordinator.py"), str(tmp_path), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, start_new_session=True, **pipes))  # type: ignore[call-overload]
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "submitted\n"
        return started[-1]

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def beginning(folder: Path) -> list[int]:
    """The two workers that have not finished beginning."""
    until(lambda: len(list(folder.glob("begins-*"))) == 2)
    return [int(path.name.partition("-")[2]) for path in folder.glob("begins-*")]


@pytest.mark.parametrize("where", ["at work", "beginning"])
def test_workers_end_with_a_coordinator_that_is_killed(
    coordinator: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, where: str
) -> None:
    name = "begin" if where == "at work" else "slow_begin"
    process = coordinator("made_up_workers", name, "stubborn-a", "stubborn-b")
    workers = [worker(tmp_path, f"stubborn-{n}") for n in "ab"] if where == "at work" else beginning(tmp_path)
    assert all(map(alive, workers))
    process.kill()
    until(lambda: not any(map(alive, workers)), 5)


def test_ctrl_c_lets_jobs_save_themselves(coordinator: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    """It reaches the whole group; only the coordinator takes notice."""
    process = coordinator("made_up_workers", "begin", "wait-a", "wait-b")
    workers = [worker(tmp_path, f"wait-{n}") for n in "ab"]
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("cancelled\n", "")
    assert sorted(path.name for path in tmp_path.glob("*.saved")) == ["wait-a.saved", "wait-b.saved"]
    assert not any(map(alive, workers))


def test_ctrl_c_while_workers_begin_is_no_mess(coordinator: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    """Importing torch takes seconds, and a user who sees a mistake in the first line does not wait for it."""
    process = coordinator("slow_import", "begin", "wait-a", "wait-b")
    workers = beginning(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert not any(map(alive, workers))
    assert (out, err) == ("cancelled\n", "")


def test_a_second_ctrl_c_does_not_wait(coordinator: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    process = coordinator("made_up_workers", "begin", "stubborn-a", "stubborn-b")
    workers = [worker(tmp_path, f"stubborn-{n}") for n in "ab"]
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    assert all(map(alive, workers))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == ""
    assert "KeyboardInterrupt" in err.splitlines()
    until(lambda: not any(map(alive, workers)), 5)
