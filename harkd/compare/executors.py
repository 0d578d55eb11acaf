"""Where jobs are done: a small protocol, and the processes of this machine."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from harkd.compare.jobs import Ended, Job

GIB = 1024**3
FIRST_GUESS = GIB
"""Memory of a worker before any has told what it took."""
SHARE = 0.8
"""Of the free memory that workers may take together."""


class Executor(Protocol):
    """Does jobs, several at a time. Their results are in the study's folder when they have ended."""

    @property
    def room(self) -> int:
        """How many jobs there may be at a time now."""

    def submit(self, job: Job) -> bool:
        """Begin a job; False if there is no room for another one now."""

    def poll(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits so long if there is none."""

    def cancel(self) -> None:
        """Stop: jobs save themselves if they can, and nobody works any more when this returns."""


Work = Callable[[Job], None]
"""Does a job in a worker; raises what goes wrong."""
Begin = Callable[[Callable[[], bool]], Work]
"""Called once in a new worker, with what tells whether to stop."""


class Local:
    """Processes of this machine, started anew (spawn), one thread each, as many as memory allows.

    A worker ends with the process that started it, even if that is killed.

    Args:
        begin: a function of a module (it travels to the workers by name), or a `partial` of one.
        workers: at most so many.
        memory: bytes that they may take together.
    """

    def __init__(self, begin: Begin, workers: int, memory: float) -> None:
        self.workers, self.memory = workers, memory
        self._context = multiprocessing.get_context("spawn")
        # Not an Event: that has a lock, which a killed worker may take with it.
        self._stop = self._context.RawValue("b", 0)
        self._start = partial(_begin, begin, self._stop)
        self._pool: ProcessPoolExecutor | None = None
        self._jobs: dict[Future[Ended], Job] = {}
        self._processes: set[BaseProcess] = set()
        self._needs = 0

    @property
    def room(self) -> int:
        """How many workers there may be: what one takes is what the largest has taken so far."""
        return max(1, min(self.workers, int(self.memory // (self._needs or FIRST_GUESS))))

    def submit(self, job: Job) -> bool:
        if len(self._jobs) >= self.room:
            return False
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=self._context, initializer=self._start)
        # Processes that begin inherit the mask: Ctrl-C reaches the whole group, and the one who submits says when to stop.
        before, others = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}), set(multiprocessing.active_children())
        try:
            self._jobs[self._pool.submit(_do, job)] = job
        except BrokenProcessPool:  # found out just now
            if not self._jobs:
                self._close()
            return False  # what was in flight, poll tells
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._processes |= set(multiprocessing.active_children()) - others
        return True

    def poll(self, seconds: float) -> list[Ended]:
        if self._pool is not None and any(process.exitcode is not None for process in self._processes):
            # The pool does not watch a process from its first moment on, but from the next submission (CPython 3.11).
            with suppress(BrokenProcessPool):
                self._pool.submit(_nothing)
        done, _ = wait(self._jobs, timeout=seconds, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            done, _ = wait(self._jobs)  # one worker died, and the pool ended all others
        ended = [_ended(self._jobs.pop(future).name, future) for future in done]
        self._needs = max([self._needs, *(each.memory for each in ended)])
        if any(each.died for each in ended):
            self._close()
        return ended

    def cancel(self) -> None:
        self._stop.value = 1
        try:
            self._close()
        except KeyboardInterrupt:  # the user will not wait for them to save themselves
            for process in multiprocessing.active_children():
                process.kill()
            raise
        self._jobs.clear()
        self._stop.value = 0

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
        self._processes.clear()


def _nothing() -> None:
    pass


def _ended(name: str, future: Future[Ended]) -> Ended:
    if isinstance(future.exception(), BrokenProcessPool):
        return Ended(name, "its process died: it was killed, or there was no memory left", died=True)
    return future.result()


_work: Work | None = None


def _begin(begin: Begin, stop: Any) -> None:
    """The first thing that a worker does."""
    global _work  # a process pool gives its workers no other place
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        _work = begin(lambda: bool(stop.value))
    except Exception as problem:
        _work = partial(_refuse, problem)


def _refuse(problem: Exception, job: Job) -> None:
    """Work of a process that could not begin: every job tells why."""
    raise problem


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)  # nobody is left to tell, and the run's own checkpoint is good


def _do(job: Job) -> Ended:
    assert _work is not None
    return attempt(_work, job)


def attempt(work: Work, job: Job) -> Ended:
    """Do a job, and tell what became of it. Here, in the worker: an exception loses its causes on the way to another process."""
    try:
        work(job)
    except Exception as problem:
        return replace(Ended.of(job.name, problem), memory=peak_memory())
    return Ended(job.name, memory=peak_memory())


def peak_memory() -> int:
    """Most bytes that this process has held at once."""
    with suppress(OSError, StopIteration):  # what getrusage tells on Linux begins with what the parent had
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def free_memory() -> int:
    """Bytes that processes may still take: of the machine, or of the container that this one runs in."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))))
    group = Path("/sys/fs/cgroup")
    for most, taken in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            found.append(int((group / most).read_text()) - int((group / taken).read_text()))
    return max(0, min(found))
