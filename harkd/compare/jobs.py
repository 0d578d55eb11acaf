"""A job: one run that a worker trains, and what became of it."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from typing import Self

from harkd.errors import HarkdError
from harkd.options import Distill, Train

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: its folder among the runs of the study.
        options: Train for a teacher, Distill for a student.
        needs: names of the jobs that have to be finished first (those of teachers and assistants).
        role: `teacher` for an assistant.
        group: jobs of one group ask a teacher about the same windows and share what it answers; empty: nothing to share.
    """

    name: str
    options: Train | Distill
    needs: tuple[str, ...] = ()
    group: str = ""
    role: str = ""


@dataclass(frozen=True)
class Ended:
    """What became of a job.

    Attributes:
        error: why it failed, in one line; empty if it is finished.
        detail: the traceback of an error that is not harkd's own.
        died: its process was killed, or the machine is gone: nothing is known against the job itself.
        full: there is no room on the disk: no other job would fare better.
        memory: most bytes that its process has taken so far.
    """

    name: str
    error: str = ""
    detail: str = ""
    died: bool = False
    full: bool = False
    memory: int = 0

    @classmethod
    def of(cls, name: str, problem: BaseException) -> Self:
        """A job that raised."""
        chain = [problem]
        while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
            chain.append(before)
        full = any(isinstance(each, OSError) and each.errno in _NO_ROOM for each in chain)
        if isinstance(problem, HarkdError):
            return cls(name, str(problem), full=full)
        text = "".join(traceback.format_exception(problem))
        return cls(name, f"{type(problem).__name__}: {problem}".splitlines()[0], text, full=full)
