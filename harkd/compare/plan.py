"""The plan of a design: its jobs, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harkd.compare.design import Design
from harkd.compare.jobs import Job
from harkd.options import Train


@dataclass(frozen=True)
class Plan:
    """The jobs of a design.

    Attributes:
        jobs: teachers before the first of their students.
        students: the job of every cell, by the cell's name.
    """

    design: Design
    jobs: tuple[Job, ...]
    students: Mapping[str, Job]

    @property
    def teachers(self) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs if isinstance(job.options, Train))

    def levels_of(self, name: str) -> tuple[str, ...]:
        """The levels that a job is needed for."""
        cells = [cell for cell in self.design.cells if name in (cell.name, *self.students[cell.name].needs)]
        return tuple(dict.fromkeys(cell.level for cell in cells))
