"""Every augmentation and every policy: windows per second, against a memory copy and against the packages that people use.

    OMP_NUM_THREADS=1 python benchmarks/augment.py        # half an hour of CPU; prints the tables, writes benchmarks/augment.md
    OMP_NUM_THREADS=1 python benchmarks/augment.py --quick --only jitter time_warp --out some.md

One process, one thread, CPU seconds of the process: others on the machine do not count. What is compared is timed in turns.
Packages for comparison are taken if they are there: pip install audiomentations torch-audiomentations braindecode.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import math
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import augment_peers as peers
import numpy as np
import scipy
import torch
from augment_report import COMPARED, Found, Rival, Speed, number, report, size
from augment_windows import NAMES, RATE, SHAPES, Given, fitting, strategy
from usual_augment import OF_SEVERAL
from usual_kd import Array

from harkd.augment import NODES, OPS, Augmenter, Draws, Mixing, keys
from harkd.datasets import Signals

BATCHES = (64, 256, 4096)
FEW = 2
"""Windows that the slowest peers are timed with."""
SLOW = 2000
"""Windows per second."""
KEPT = {False: "as by default", True: "kept"}
Job = Callable[[], object]


class Turns:
    """Times jobs in turns.

    Args:
        seconds: CPU seconds that the turns of one comparison may take, after one that warms up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def medians(self, *jobs: Job, least: int = 3, most: int = 99) -> list[float]:
        """Median CPU seconds of each job."""
        times: list[list[float]] = [[] for _ in jobs]
        begin = time.process_time()
        for turn in range(most + 1):
            for job, found in zip(jobs, times, strict=True):
                started = time.process_time()
                job()
                found.append(time.process_time() - started)
            spent = time.process_time() - begin
            # What is very slow is not done twice.
            if spent > self.seconds and (turn >= least or spent > 10 * self.seconds):
                break
        return [statistics.median(found[1:] or found) for found in times]


def copied(x: Signals) -> Signals:
    return {name: signal.clone() for name, signal in x.items()}


class Work:
    """What is timed of an op or a policy on one form of windows."""

    def __init__(self, name: str, shape: tuple[int, int], device: str = "cpu") -> None:
        self.strategy = strategy(name)
        self.given = fitting(self.strategy, shape).on(device)
        self.augmenter = Augmenter(self.strategy, self.given.windows, self.given.spec)
        # Visits of a window: what grows has grown by then, and no two batches have the same parameters.
        self.visit = itertools.count(10)

    def index(self, batch: int) -> torch.Tensor:
        """Windows from all over the set."""
        index = np.random.default_rng(1).permutation(len(self.given.windows))[:batch]
        return torch.from_numpy(index).to(self.given.windows.device)

    def through(self, batch: int) -> Job:
        """A batch from the Augmenter: gathered, keyed, drawn, augmented."""
        index = self.index(batch)
        return lambda: self.augmenter(index, torch.full_like(index, next(self.visit)))

    def alone(self, batch: int) -> Job:
        """The parameters of a batch from given words, and what the op makes of given windows with them."""
        op, spec, index = self.strategy.ops[0], self.given.spec, self.index(batch)
        x = self.given.windows.gather(index)
        words = keys.bits(keys.mix(index), op.slots(spec))
        if not isinstance(op, Mixing):
            return lambda: op.apply(x, op.sample(Draws(words), spec), spec)
        assert spec.pool
        partners = spec.pool.partners(keys.bits(keys.mix(index + 1), len(op.partners)), index, op.partners)
        others = [self.given.windows.gather(partner) for partner in partners.unbind(1)]
        return lambda: op.mix(x, others, op.sample(Draws(words), spec), spec)

    def copy(self, batch: int) -> Job:
        """A copy of the windows of a batch, into memory that is asked for each time."""
        x = self.given.windows.gather(self.index(batch))
        return lambda: copied(x)


def keep_memory() -> bool:
    """Let glibc keep what is freed instead of giving it back to the system; False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    return bool(mallopt(mmap_threshold, 2**30) and mallopt(trim_threshold, 2**31 - 1))


def measure_speeds(found: Found, names: Sequence[str], kept: bool, turns: Turns) -> None:
    """Every op and policy at every size; slow ones once only, since memory is not what they wait for."""
    for shape, name in itertools.product(SHAPES, names):
        if kept and found.speeds[False, name, shape, COMPARED].through < SLOW:
            continue
        work = Work(name, shape)
        found.forms[name, shape] = work.given.form
        for batch in BATCHES:
            ours = [] if name in NODES else [work.alone(batch)]
            copy, through, *alone = (batch / s for s in turns.medians(work.copy(batch), work.through(batch), *ours))
            found.speeds[kept, name, shape, batch] = Speed(alone[0] if alone else None, through, copy)


def measure_rivals(found: Found, names: Sequence[str], turns: Turns) -> None:
    packages = peers.load()
    found.missing = {package: loaded for package, loaded in packages.items() if isinstance(loaded, str)}
    for shape, name in itertools.product(SHAPES, names):
        work = Work(name, shape)
        bench = rivals_bench(work.given, work.index(FEW if name in OF_SEVERAL else COMPARED))
        rivals = list(peers.jobs(name, bench, packages))
        if not rivals:
            continue
        jobs = [job for _, _, job in rivals]
        through, alone, *theirs = turns.medians(work.through(COMPARED), work.alone(COMPARED), *jobs)
        found.rivals[name, shape] = [
            Rival(title, draws, len(bench.x) / once, COMPARED / through, COMPARED / alone)
            for (title, draws, _), once in zip(rivals, theirs, strict=True)
        ]


def rivals_bench(given: Given, index: torch.Tensor) -> peers.Bench:
    """The windows at `index` as peers want them, all sensors in one array; others to choose from are the first 512."""

    def together(index: torch.Tensor) -> Array:
        return torch.cat(list(given.windows.gather(index).values()), 1).numpy()

    pool, labels = torch.arange(512), given.windows.labels.numpy()
    names = tuple(channel for sensor in given.windows.sensors.values() for channel in sensor.channels)
    return peers.Bench(together(index), labels[index], together(pool), labels[pool], names, int(RATE))


def measure_noise(found: Found, turns: Turns) -> None:
    """White noise from the bank against torch.randn."""
    for shape, batch in itertools.product(SHAPES, BATCHES):
        words, row = keys.mix(torch.arange(batch)), math.prod(shape)
        ours, theirs = turns.medians(partial(keys.white_noise, words, row), partial(torch.randn, batch, row))
        rates = number(batch / ours), number(batch / theirs)
        found.rows.setdefault("noise", []).append((size(shape), str(batch), *rates, f"{theirs / ours:.1f}"))


def measure_memory(found: Found, kept: bool, turns: Turns) -> None:
    """What a copy costs that asks for memory, against one that does not."""
    for shape, batch in itertools.product(SHAPES, BATCHES):
        x = torch.randn(batch, *shape)
        in_place, clone = turns.medians(partial(torch.empty_like(x).copy_, x), x.clone)
        before, times = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, 10
        for _ in range(times):
            x.clone()
        faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times
        micro = number(1e6 * in_place), number(1e6 * clone)
        found.rows.setdefault("memory", []).append((size(shape), str(batch), KEPT[kept], *micro, f"{faults:,.0f}"))


def measure_cuda(found: Found, names: Sequence[str]) -> None:
    """Milliseconds of the device per batch of 256 of 6x500."""
    for name in names:
        work = Work(name, (6, 500), "cuda")
        job, times = work.through(COMPARED), []
        for turn in range(13):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            job()
            stop.record()
            torch.cuda.synchronize()
            if turn > 2:
                times.append(start.elapsed_time(stop))
        limit = 3 if name in NODES else 60 if name in OF_SEVERAL else 1
        found.rows.setdefault("cuda", []).append((name, f"{statistics.median(times):.2f}", str(limit)))


def about(begin: float) -> str:
    libraries = f"torch {torch.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    minutes = (time.process_time() - begin) / 60
    return (
        f"Made in {minutes:.0f} minutes of CPU by `OMP_NUM_THREADS=1 python benchmarks/augment.py`, one process, one thread, "
        f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, {libraries}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES, default=NAMES, help="these ops and policies")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"), help="where the tables go")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    begin, found, turns = time.process_time(), Found(), Turns(0.05 if args.quick else 0.25)
    ops = [name for name in args.only if name in OPS]
    for kept in (False, True):
        if kept and not keep_memory():
            break
        measure_memory(found, kept, turns)
        measure_speeds(found, args.only, kept, turns)
        if not kept:
            measure_rivals(found, ops, turns)
            measure_noise(found, turns)
    if torch.cuda.is_available():
        measure_cuda(found, args.only)
    text = report(found, about(begin))
    print(text)
    args.out.write_text(text)


if __name__ == "__main__":
    main()
