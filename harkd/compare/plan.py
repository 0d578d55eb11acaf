"""The plan of a design: its jobs, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harkd.compare.design import Design
from harkd.compare.jobs import Job


@dataclass(frozen=True)
class Plan:
    """The jobs of a design.

    Attributes:
        jobs: teachers and assistants before the first of their students.
        students: the job of every cell, by the cell's name.
    """

    design: Design
    jobs: tuple[Job, ...]
    students: Mapping[str, Job]

    @property
    def helpers(self) -> tuple[Job, ...]:
        """The jobs of teachers and assistants."""
        return tuple(job for job in self.jobs if job.name not in self.students)

    def levels_of(self, name: str) -> tuple[str, ...]:
        """The levels that a job is needed for."""
        cells = [cell for cell in self.design.cells if name in (cell.name, *self.students[cell.name].needs)]
        return tuple(dict.fromkeys(cell.level for cell in cells))
