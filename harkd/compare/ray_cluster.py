"""Where jobs are done: the processors of a Ray cluster (extra [ray]).

A worker is an actor, a process that stays for many jobs. Through the cluster's object store, each once, it gets the windows and
the finished runs of teachers; a job's result comes back as the files of its run directory. So the machines share no file system,
and a worker removes what it wrote. Recordings stay in memory, unless the object store is full and Ray spills it.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from harkd.cast import helpers, is_net
from harkd.compare.executors import Work, attempt
from harkd.compare.jobs import Ended, Job
from harkd.compare.shipping import Files, pack, unpack
from harkd.datasets import Windows
from harkd.errors import HarkdError, UsageError
from harkd.options import Data, Distill
from harkd.parts import data_only
from harkd.runs import environment

CONNECT = 5.0
"""Seconds in which a cluster answers. Ray itself would wait for minutes."""
GRACE = 10.0
"""Seconds in which the job at work may end before its folder is removed. On a busy node even that takes time: a worker is killed
after three times as long, or by a second Ctrl-C."""
VERSIONS = ("harkd", "torch", "numpy")
"""What the machines of one study have in common: the last bits of a result depend on it."""
_CONTROL = "control"

Load = Callable[[Data], Windows]
"""The windows that options ask for, whatever the split."""
Begin = Callable[[Path, Path, Callable[[], bool], Load], Work]
"""Called once in a new worker, with a folder for runs, one for draw banks, what tells whether to stop, and where windows are."""


class RayCluster:
    """One worker for each processor of a cluster, also as nodes come and go. Ray repeats nothing: who asks decides.

    Args:
        begin: a function of a module (it travels to the workers by name), or a `partial` of one.
        runs: takes the directories of finished runs, and has those of the teachers.
        windows: reads them here; the workers need no files.
        address: host:port of the cluster's head, or auto for the one that this machine belongs to.
        workers: at most so many; 0: one for each processor.

    Raises:
        HarkdError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, begin: Begin, runs: Path, windows: Load, address: str = "auto", workers: int = 0) -> None:
        self.runs, self.windows, self.workers = runs, windows, workers
        self._ray = _connect(address)
        # The second group answers while a job is at work.
        actor = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, concurrency_groups={_CONTROL: 1})(Worker)
        self._new: Callable[[], Any] = lambda: actor.remote(begin, versions())
        self._idle: list[_Seat] = []
        self._busy: dict[Any, tuple[_Seat, Job]] = {}
        self._data: dict[Data, Any] = {}
        self._teachers: dict[str, Any] = {}

    @property
    def room(self) -> int:
        """How many workers there may be now."""
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        return min(self.workers or processors, processors)

    def submit(self, job: Job) -> bool:
        """Begin a job; False if there is no room for another one now.

        Raises:
            UsageError: its teacher is a folder of this machine.
        """
        options = job.options
        if isinstance(options, Distill) and any(
            each.training is None and not is_net(each.source) for each in helpers(options, True)
        ):
            raise UsageError(
                f"teacher {options.teacher!r} is a folder of this machine, which the cluster does not have: "
                "name the teacher's net, and it is trained there, or take --executor local"
            )
        if len(self._busy) >= self.room:
            return False
        cargo, seat = self._cargo(job), self._seat(job.group)
        seat.group = job.group or seat.group
        self._busy[seat.actor.do.remote(job, cargo)] = seat, job
        return True

    def poll(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call, their runs in place; waits so long if there is none.

        Raises:
            HarkdError: a node cannot work: harkd is not installed there, or in another version.
        """
        if not self._busy:
            time.sleep(seconds)
            return []
        self._ray.wait(list(self._busy), timeout=seconds)
        done, _ = self._ray.wait(list(self._busy), num_returns=len(self._busy), timeout=0)
        return [self._ended(answer) for answer in done]

    def cancel(self) -> None:
        """Stop and leave the cluster. What was in flight is lost: the checkpoints of the workers go with them."""
        seats = [*self._idle, *(seat for seat, _ in self._busy.values())]
        self._idle.clear()
        self._busy.clear()
        try:
            if left := [seat.actor.leave.options(concurrency_group=_CONTROL).remote() for seat in seats]:
                self._ray.wait(left, num_returns=len(left), timeout=3 * GRACE)
        finally:
            for seat in seats:
                self._ray.kill(seat.actor)
            self._ray.shutdown()

    def _seat(self, group: str) -> _Seat:
        """An idle worker, rather one that has the draws of the group; or a new one."""
        if not self._idle:
            return _Seat(self._new())
        seat = next((seat for seat in self._idle if seat.group == group), self._idle[0])
        self._idle.remove(seat)
        return seat

    def _cargo(self, job: Job) -> Cargo:
        """What a job needs, put into the object store the first time that it is needed."""
        data = replace(data_only(job.options), split="official")
        if data not in self._data:
            self._data[data] = self._ray.put(self.windows(data))
        for name in job.needs:
            if name not in self._teachers:
                self._teachers[name] = self._ray.put(pack(self.runs / name))
        return Cargo(self._data[data], {name: self._teachers[name] for name in job.needs})

    def _ended(self, answer: Any) -> Ended:
        seat, job = self._busy.pop(answer)
        failure = self._ray.exceptions
        try:
            ended, files = self._ray.get(answer)
        except failure.RayError as problem:
            self._ray.kill(seat.actor)
            if isinstance(problem, failure.RayActorError) and problem.actor_init_failed:
                raise HarkdError(f"a node of the cluster cannot work: {_reason(problem)}") from None
            what = f"its process on the cluster died ({type(problem).__name__})"
            return Ended(job.name, f"{what}: it was killed, its node is gone, or there was no memory left", died=True)
        self._idle.append(seat)
        if not ended.error:
            try:
                unpack(files, self.runs / job.name)
            except HarkdError as problem:
                return Ended.of(job.name, problem)
        return ended


@dataclass(eq=False)
class _Seat:
    """A worker, and the group of its last job: it has that one's draws."""

    actor: Any
    group: str = ""


@dataclass(frozen=True)
class Cargo:
    """References to what a job needs. Ray brings only bare arguments by itself, not those inside of others: a worker fetches what
    it does not have."""

    windows: Any
    teachers: Mapping[str, Any]


class Worker:
    """A process of the cluster: does jobs, one after another, in a folder that goes with it.

    Args:
        expected: the versions that the study is done with.

    Raises:
        HarkdError: this machine has others.
    """

    def __init__(self, begin: Begin, expected: Mapping[str, str]) -> None:
        if other := [
            f"{name} {version}, not {expected[name]}" for name, version in versions().items() if version != expected[name]
        ]:
            raise HarkdError(
                f"it has {', '.join(other)}; install the same versions on all machines, or scores cannot be compared"
            )
        self._begin = begin
        self._scratch = TemporaryDirectory(prefix="harkd-", ignore_cleanup_errors=True)
        self._runs, self._bank = Path(self._scratch.name, "runs"), Path(self._scratch.name, "bank")
        self._stopping, self._at_work = False, Lock()
        self._work: Work | None = None
        self._windows: dict[Any, Windows] = {}
        self._asked: Any = None  # which of them the job at work is about

    def do(self, job: Job, cargo: Cargo) -> tuple[Ended, Files]:
        """Do a job: what became of it, and the files of its run."""
        import ray

        # Outside of the attempt: that an object is lost is nothing against the job.
        if cargo.windows not in self._windows:
            self._windows[cargo.windows] = ray.get(cargo.windows)
        teachers = {name: ray.get(files) for name, files in cargo.teachers.items() if not (self._runs / name).is_dir()}
        files: Files = {}

        def work(job: Job) -> None:
            for name, content in teachers.items():
                unpack(content, self._runs / name)
            self._sweep(job)
            if self._work is None:  # not when the actor begins: that is another thread, and torch counts threads for each
                self._work = self._begin(self._runs, self._bank, lambda: self._stopping, lambda data: self._windows[self._asked])
            self._work(job)
            files.update(pack(self._runs / job.name))

        with self._at_work:
            self._asked = cargo.windows
            ended = attempt(work, job)
            shutil.rmtree(self._runs / job.name, ignore_errors=True)
        if ended.full:
            ended = replace(ended, error=f"{ended.error} (on the node {socket.gethostname()})")
        return ended, files

    def leave(self) -> None:
        """Let the job at work end soon, and no other begin; remove everything that was written here."""
        self._stopping = True
        self._at_work.acquire(timeout=GRACE)
        self._scratch.cleanup()

    def _sweep(self, job: Job) -> None:
        """Keep the draws of one group only: jobs of a group come one after another."""
        if job.group and self._bank.is_dir():
            for folder in self._bank.iterdir():
                if folder.name != job.group:
                    shutil.rmtree(folder, ignore_errors=True)


def versions() -> dict[str, str]:
    """The versions here of what all machines of a study have in common."""
    here = environment()
    return {name: here[name] for name in VERSIONS}


def _connect(address: str) -> Any:
    """Ray, connected to a cluster.

    Raises:
        UsageError: this is no address.
        HarkdError: Ray is not installed, or there is no such cluster.
    """
    # Ray prints news of its nodes on standard output, where --json has the result. It reads this when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise HarkdError("--executor ray needs Ray: pip install 'harkd[ray]'") from None
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and "/" not in host and port.isdecimal()):
        raise UsageError(
            f"--address is the host:port of the cluster's head, or auto for the one of this machine; got {address!r}"
        )
    try:
        if address != "auto":
            socket.create_connection((host, int(port)), CONNECT).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError) as problem:
        raise HarkdError(
            f"no Ray cluster at {address!r} ({str(problem).splitlines()[0]}): start one with `ray start --head`, "
            "join other machines with `ray start --address HOST:PORT`, and repeat the command on one of them"
        ) from None
    return ray


def _reason(problem: Exception) -> str:
    """The last line of a traceback, without the name of harkd's own error."""
    return str(problem).strip().splitlines()[-1].removeprefix("harkd.errors.HarkdError: ")
