"""The order of jobs: what can be done next, and what becomes of jobs that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from harkd.compare.executors import Executor
from harkd.compare.jobs import Ended, Job
from harkd.compare.plan import Plan
from harkd.errors import HarkdError, Interrupted

POLL = 0.2
DEATHS = 5
"""A job whose process dies so often while it has the machine for itself has failed."""


class Follower(Protocol):
    """Is told how a study goes."""

    def planned(self, plan: Plan, finished: Collection[str]) -> None:
        """What is going to be done, and the names of the jobs of it that are done already."""

    def began(self, job: Job) -> None: ...

    def ended(self, job: Job, end: Ended) -> None: ...

    def tick(self) -> None:
        """Called several times a second."""


def coordinate(
    jobs: Sequence[Job],
    executor: Executor,
    follower: Follower,
    *,
    finished: Collection[str] = (),
    failed: Mapping[str, str] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Do some jobs, in their order as far as what they need and share allows.

    Args:
        finished: names of jobs that are done already.
        failed: names of jobs that failed before and are not tried again, with the reason.

    Raises:
        Interrupted: the user wants to stop; what was in flight is saved.
        HarkdError: the disk is full.
    """
    order = _Order(jobs, finished, failed or {})
    try:
        while order.left:
            order.skip(follower)
            while not interrupted() and (job := order.next()) is not None and executor.submit(job):
                order.begin(job)
                follower.began(job)
            if order.waiting and not order.running and order.next() is None:
                raise ValueError(f"job {next(iter(order.waiting))} needs one that is not in the plan")
            for end in executor.poll(POLL):
                _take(end, order, follower)
            follower.tick()
            if interrupted():
                raise Interrupted("stopped")
    except BaseException:
        executor.cancel()
        raise


def _take(end: Ended, order: _Order, follower: Follower) -> None:
    job = order.running.pop(end.name)
    if end.died and order.died(job):
        return  # it is tried again
    if end.full:
        raise HarkdError(f"{end.error}; nothing that was finished is lost: make room and repeat the command")
    if end.error:
        order.fail(job, end.error)
    else:
        order.finished.add(job.name)
    follower.ended(job, end)


class _Order:
    """Which jobs are waiting, running, finished and failed."""

    def __init__(self, jobs: Iterable[Job], finished: Collection[str], failed: Mapping[str, str]) -> None:
        self.waiting = {job.name: job for job in jobs if job.name not in finished and job.name not in failed}
        self.running: dict[str, Job] = {}
        self.finished, self.failed = set(finished), dict(failed)
        self.deaths: Counter[str] = Counter()

    @property
    def left(self) -> bool:
        return bool(self.waiting or self.running)

    def next(self) -> Job | None:
        """The first job that can begin now. One that shares its draws with a running job waits for it if there are others: both
        would ask the teacher the same."""
        if any(self.deaths[name] for name in self.running):
            return None
        ready = [job for job in self.waiting.values() if self.finished.issuperset(job.needs)]
        doubtful = [job for job in ready if self.deaths[job.name]]
        if len(doubtful) == len(ready):
            return doubtful[0] if doubtful and not self.running else None  # alone, so that no other dies with it
        busy = {job.group for job in self.running.values() if job.group}
        sound = [job for job in ready if not self.deaths[job.name]]
        return next((job for job in sound if job.group not in busy), sound[0])

    def begin(self, job: Job) -> None:
        self.running[job.name] = self.waiting.pop(job.name)

    def died(self, job: Job) -> bool:
        """Whether a job whose process died is tried again."""
        self.deaths[job.name] += 1
        if self.deaths[job.name] > DEATHS:
            return False
        self.waiting[job.name] = job
        return True

    def fail(self, job: Job, reason: str) -> None:
        self.failed[job.name] = reason

    def skip(self, follower: Follower) -> None:
        """Let go of jobs that need one that failed."""
        for job in list(self.waiting.values()):
            if lacking := [name for name in job.needs if name in self.failed]:
                del self.waiting[job.name]
                reason = f"its teacher {lacking[0]} failed: {self.failed[lacking[0]]}"
                self.failed[job.name] = reason
                follower.ended(job, Ended(job.name, reason))
