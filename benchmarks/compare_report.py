"""The page of `compare.py`: what each form cost, and what its students know."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass

import numpy as np
import torch
from tables import table
from usual_study import BATCH, DATA, STUDENT

FASTER, THAN_ALONE = 8.0, 1.8
"""What `harkd compare` should reach on two cores: times faster than the usual form, and than our own runs one by one."""
TITLES = {
    "usual": "the usual script",
    "alone": "harkd distill, one by one",
    "session": "the same, in one session",
    "compare": "harkd compare",
    "fresh": "harkd compare, new draws",
}
"""The forms, in the order in which they are measured and shown."""
PARALLEL = ("compare", "fresh")


@dataclass(frozen=True)
class Study:
    """What is compared; the same for all forms.

    Attributes:
        strategies: in harkd's grammar; the first is the control.
        draws: different augmentations of a window before the first comes back; the usual form makes a new one at every visit.
        workers: processes of `harkd compare`.
    """

    teacher: str
    strategies: tuple[str, ...]
    seeds: int
    epochs: int
    draws: int
    workers: int

    @property
    def runs(self) -> int:
        return len(self.strategies) * self.seeds


@dataclass(frozen=True)
class Cost:
    """Of all processes of a form together, from its start to some moment: `peak_bytes` is the most memory until then."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Result:
    """What a form took and found.

    Attributes:
        runs: until the last student was tested.
        whole: until the end; after the last student `harkd compare` concludes.
        training: seconds that the runs say they trained, added up; None where they say nothing.
        accuracy: share of test windows that each seed's student got right, by strategy.
        load: of the machine before.
    """

    runs: Cost
    whole: Cost
    training: float | None
    accuracy: dict[str, list[float]]
    load: float


def costs(study: Study, results: dict[str, Result]) -> str:
    """All forms: seconds, memory, and how much faster each is than the usual form and than our runs one by one."""
    rows = []
    for form, result in results.items():
        cost, places = result.runs, study.workers if form in PARALLEL else 1
        trains = "" if result.training is None else f"{result.training / places / cost.seconds:.0%}"
        ratios = [
            f"**{results[base].runs.seconds / cost.seconds:.1f}**" if base in results else "" for base in ("usual", "alone")
        ]
        times = [f"{cost.seconds:,.0f}", f"{cost.cpu_seconds:,.0f}", f"{cost.cpu_seconds / cost.seconds:.2f}", trains]
        ends = [f"{result.whole.seconds:,.0f}", _mebibytes(result.whole)]
        rows.append([TITLES[form], *times, _mebibytes(cost), *ratios, *ends, f"{result.load:.1f}"])
    head = [
        "form",
        "seconds",
        "CPU seconds",
        "cores busy",
        "in training",
        "peak MiB",
        "times faster than usual",
        "than one by one",
    ]
    return table([*head, "to the end: seconds", "to the end: peak MiB", "load before"], rows)


def _mebibytes(cost: Cost) -> str:
    return f"{cost.peak_bytes / 2**20:,.0f}"


def accuracies(study: Study, results: dict[str, Result]) -> str:
    """Test accuracy by strategy and form, in %: mean and standard deviation over seeds, and the mean of all."""
    rows = []
    for text in study.strategies:
        cells = [result.accuracy[text] for result in results.values()]
        spreads = [f" ± {100 * statistics.stdev(cell):.1f}" if len(cell) > 1 else "" for cell in cells]
        rows.append([f"`{text}`", *(f"{100 * statistics.mean(c):.1f}{s}" for c, s in zip(cells, spreads, strict=True))])
    whole = [statistics.mean(share for cell in result.accuracy.values() for share in cell) for result in results.values()]
    rows.append(["mean", *(f"{100 * mean:.1f}" for mean in whole)])
    return table(["strategy", *(TITLES[form] for form in results)], rows)


def aims(results: dict[str, Result]) -> str:
    """How far `harkd compare` came, as far as the forms were measured."""
    lines, ours = [], results.get("compare")
    for base, aim in (("usual", FASTER), ("alone", THAN_ALONE)):
        if ours and base in results:
            runs, whole = (results[base].runs.seconds / cost.seconds for cost in (ours.runs, ours.whole))
            lines.append(
                f"- `harkd compare` is {runs:.1f} times as fast as {TITLES[base]} ({whole:.1f} times with its conclusions); "
                f"the aim is {aim:g} times."
            )
    return "\n".join(lines)


PAGE = """# A study by harkd compare against the usual script

`OMP_NUM_THREADS=1 python benchmarks/compare.py FOLDER`: {strategies} augmentation strategies x {seeds} seeds = {runs} runs on
`{data}` (official split, {windows:,} training windows), `{student}` distilled from one `{teacher}` (method `kd`),
{epochs} epochs of {steps} steps with {batch} windows. {machine}, {cores} cores. Each form is a process of its
own, measured from its start, with all that it imports and writes; the teacher was trained before, once for all.

- *The usual script* (`usual_study.py`): windows standardised once, a `Dataset` that augments one NumPy window at a time, a
  `DataLoader`, `Conv1d` nets, a teacher who is asked in every step; one run after another, one thread. It tests once, at the end.
- *harkd distill, one by one*: all runs in one process with one thread, each with data and draw bank of its own. As all of ours,
  each scores the validation subjects after every epoch and writes a run directory. *In one session*: data and bank are shared.
- *harkd compare*: {workers} workers with one thread each. All of ours make {draws} different draws of a window, where the
  usual script makes a new one at every visit (so does *new draws*, if it is measured: `--forms fresh`).

Before anything is timed, the usual form and ours are shown to do the same work: without augmentation, losses equal to one in a
thousand over five steps from the same weights. Every student of every form takes {updates:,} steps.

{costs}

{aims}

The columns before *to the end* are up to the test of the last student; after it, `harkd compare` computes statistics and
writes the report. *Cores busy*: CPU seconds per second. *In training*: the share of the process's or the workers' time inside
the training loop; the rest is starting, imports, data, tests, files and waiting. *Peak MiB*: memory of all processes
together, looked at ten times a second: what each has to itself is added up, libraries and shared memory count once. *Load
before*: what else the machine was doing when a form began (its load average); a quiet machine has 0.

What limits: the student's own forward and backward, which no form can leave out and which are most of our step once the bank is
full (`kd_step.md`), and the number of cores. The larger the teacher, and the more runs show it the same windows, the more the
bank saves; where NumPy's augmentation costs next to nothing (none, removal, shifting) there is least to gain.

## Accuracy

On test subjects, in %: mean ± standard deviation over seeds. The operations are the same up to details (the usual script augments
standardised windows and draws everything from one generator), so the forms should agree as far as seeds do.

{accuracies}
"""


def page(study: Study, results: dict[str, Result], windows: int) -> str:
    """The page.

    Args:
        windows: for training.
    """
    steps = -(-windows // BATCH)
    return PAGE.format(
        strategies=len(study.strategies),
        seeds=study.seeds,
        runs=study.runs,
        data=DATA,
        windows=windows,
        student=STUDENT,
        teacher=study.teacher,
        epochs=study.epochs,
        steps=steps,
        updates=study.epochs * steps,
        batch=BATCH,
        machine=f"{platform.machine()}, torch {torch.__version__}, NumPy {np.__version__}",
        cores=os.cpu_count(),
        workers=study.workers,
        draws=study.draws,
        costs=costs(study, results),
        aims=aims(results),
        accuracies=accuracies(study, results),
    )
