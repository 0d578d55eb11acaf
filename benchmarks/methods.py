"""Every distillation method on HAPT and UTD-MHAD, run by `harkd compare`: writes benchmarks/methods.md.

    python benchmarks/methods.py FOLDER RECORDINGS                 # FOLDER keeps the studies; rung 1, then rung 2
    python benchmarks/methods.py FOLDER RECORDINGS --minutes 90    # stops after that long; the same command goes on
    python benchmarks/methods.py FOLDER RECORDINGS --report        # the page of what is finished; trains nothing

RECORDINGS holds the folders uci-hapt and utd-mhad. Rung 1: all methods with their default options, 1,500 updates of the student
with 64 windows. Rung 2: `ce`, `kd` and six methods, tuned in every fold on the validation subjects of that fold, 6,000 updates.
The six of a data set are those that did best on validation subjects of the *other* data set: within one, a subject on whom a
fold is validated is tested in another fold, and nobody who is tested has a part in a choice.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from methods_cost import forwards, step_seconds
from methods_report import Compared, page
from scipy.stats import rankdata

from harkd.commands.compare import parse_study
from harkd.compare.design import Design
from harkd.compare.results import Results
from harkd.compare.store import Store
from harkd.files import write_atomically
from harkd.methods import METHODS
from harkd.options import METHOD_OPTIONS

ALWAYS, BEST, TRIALS, LONGER = ("ce", "kd"), 6, 4, 4
STRATEGY = (
    "cropping(0.2)+time_warp(0.15)+rotate_vertical(20)+stretch(0.1)+joint_offset(0.02)+joint_jitter(0.008)"
    "+rotate(15)+scaling(0.1, share=sensor)+jitter(0.03)"
)
"""Of benchmarks/utd_mhad.py, without its mixup."""
UTD = {
    "data": "utd_mhad",
    "student-sees": "inertial",
    "domains": "skeleton",
    "augment": STRATEGY,
    "teacher-strategy": STRATEGY,
    "draws": "4",
    "teacher-epochs": "150",
}
FUSED = ("fusion-skeleton-s+resnet1d-s", "skeleton,inertial@50Hz")
SKELETON, INERTIAL = ("skeleton-s", "skeleton"), ("resnet1d-s", "inertial")


@dataclass(frozen=True)
class Study:
    """Whom and what methods are compared on.

    Attributes:
        recordings: their folder within the folder of all recordings.
        options: of `harkd compare`.
        teachers: nets and what they see; methods of one teacher take the first.
        epochs: so many that the student moves 1,500 times.
        chosen_on: studies whose validation subjects say which six methods are in rung 2.
    """

    title: str
    recordings: str
    options: Mapping[str, str]
    teachers: tuple[tuple[str, str], ...]
    folds: tuple[str, ...]
    epochs: int
    chosen_on: tuple[str, ...]


STUDIES = {
    "hapt": Study(
        "HAPT: accelerometer, taught by accelerometer and gyroscope",
        "uci-hapt",
        {"data": "uci_hapt", "student-sees": "waist_acc", "domains": "waist_gyro", "teacher-epochs": "20"},
        (("wrn1d-16-1", "all"), ("resnet1d-s", "all")),
        ("kfold:3/0", "kfold:3/1", "kfold:3/2"),
        17,
        ("utd-fused", "utd-skeleton"),
    ),
    "utd-fused": Study(
        "UTD-MHAD: inertial sensor, taught by skeleton and inertial sensor together",
        "utd-mhad",
        UTD,
        (FUSED, SKELETON),
        ("official", "reversed"),
        250,
        ("hapt",),
    ),
    "utd-skeleton": Study(
        "UTD-MHAD: inertial sensor, taught by the skeleton",
        "utd-mhad",
        UTD,
        (SKELETON, INERTIAL),
        ("official", "reversed"),
        250,
        ("hapt",),
    ),
}


class Benchmark:
    """The studies in a folder, and how long there is to work on them."""

    def __init__(self, folder: Path, recordings: Path, workers: int, minutes: float) -> None:
        self.folder, self.recordings, self.workers = folder, recordings, workers
        self.until = time.monotonic() + 60 * minutes

    def run(self, seeds: int) -> None:
        """Both rungs: of each a whole seed in all studies before the next one.

        Raises:
            SystemExit: the time is over; what is finished stays.
        """
        for seed in range(seeds):
            for key in STUDIES:
                self._compare(key, self.first_rung(key, seed + 1))
        for key in STUDIES:
            for fold in STUDIES[key].folds:
                for method in self.chosen(key):
                    self._tune(key, fold, method)
        for seed in range(seeds):
            for key in STUDIES:
                for fold in STUDIES[key].folds:
                    self._compare(key, self.second_rung(key, fold, seed + 1))

    def first_rung(self, key: str, seeds: int) -> list[str]:
        """The command line that compares all methods."""
        folds = STUDIES[key].folds
        spoken = str(len(folds)) if folds[0].startswith("kfold") else ",".join(folds)
        return [*self._shared(key), "--method", ",".join(METHODS), "--folds", spoken, "--seeds", str(seeds)]

    def second_rung(self, key: str, fold: str, seeds: int) -> list[str]:
        """The command line that compares the chosen methods, tuned, in one fold."""
        methods = self.chosen(key)
        told = [f"{option}={value}" for method in methods for option, value in self.tuned(key, fold, method).items()]
        longer = ["--epochs", str(LONGER * STUDIES[key].epochs), "--vary", *told]
        return [*self._shared(key), *longer, "--method", ",".join(methods), *alone(fold), "--seeds", str(seeds)]

    def _shared(self, key: str) -> list[str]:
        study = STUDIES[key]
        options = {
            **study.options,
            "data-folder": str(self.recordings / study.recordings),
            "student": "dscnn-s",
            "assistants": "dscnn-l",
            "epochs": str(study.epochs),
            "teacher-patience": "0",
        }
        flags = [word for option, value in options.items() for word in (f"--{option}", value)]
        views = dict.fromkeys(sees for _, sees in study.teachers)  # one is that of all
        flags += [word for net, _ in study.teachers for word in ("--teacher", net)]
        return flags + [word for sees in views for word in ("--teacher-sees", sees)]

    def _compare(self, key: str, words: Sequence[str]) -> None:
        """Run a command to its end, or to the end of the time."""
        out = ["--no-export", "--workers", str(self.workers), "--out", str(self.folder / key)]
        command = subprocess.Popen([sys.executable, "-m", "harkd", "compare", *words, *out])
        try:
            code = command.wait(timeout=max(0.0, self.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            command.send_signal(signal.SIGINT)
            command.wait()
            sys.exit("the time is over: the same command goes on")
        if code:
            sys.exit(code)

    def finished(self, key: str, rung: int, seeds: int) -> Results | None:
        """The results of as many seeds as are finished in all folds; None if there is not one."""
        if rung == 2 and not self._tuned_all(key):
            return None
        for number in range(seeds, 0, -1):
            found = [self.first_results(key, number)] if rung == 1 else self.second_results(key, number)
            if all(part.complete for part in found):
                design = replace(found[0].design, folds=STUDIES[key].folds)
                return Results(design, tuple(run for part in found for run in part.finished))
        return None

    def seconds(self, key: str) -> dict[str, float]:
        """How long a step of each method takes; measured when it is first asked for."""
        return step_seconds(self.folder / f"seconds-{key}.json", self.first_results(key, 1).design)

    def first_results(self, key: str, seeds: int) -> Results:
        """What rung 1 has finished."""
        return self._results(key, self.first_rung(key, seeds), STUDIES[key].folds)

    def second_results(self, key: str, seeds: int) -> list[Results]:
        """What rung 2 has finished, fold by fold: each has options of its own."""
        return [self._results(key, self.second_rung(key, fold, seeds), (fold,)) for fold in STUDIES[key].folds]

    def _results(self, key: str, words: Sequence[str], folds: tuple[str, ...]) -> Results:
        asked = parse_study(words)
        return Store(self.folder / key).results(Design.of(asked.run, asked.study, folds))

    def chosen(self, key: str) -> tuple[str, ...]:
        """The methods of rung 2: `ce`, `kd`, and those with the best mean rank on validation subjects elsewhere."""
        others = [method for method in METHODS if method not in ALWAYS]
        scores = [self._validation(other, others) for other in STUDIES[key].chosen_on]
        ranks = [rankdata([-found[method] for method in others]) for found in scores]
        mean = {method: fmean(rank[place] for rank in ranks) for place, method in enumerate(others)}
        return (*ALWAYS, *sorted(others, key=mean.__getitem__)[:BEST])

    def _validation(self, key: str, methods: Sequence[str], folds: Sequence[str] = ()) -> dict[str, float]:
        """Mean accuracy on the validation subjects of the first seed of rung 1."""
        words = self.first_rung(key, 1)
        results = self._results(key, words, tuple(folds) or STUDIES[key].folds)
        return {method: fmean(results.by_subject(method, "accuracy", "validation").values()) for method in methods}

    def _tuned_file(self, key: str, fold: str, method: str) -> Path:
        return self.folder / "tuned" / f"{key}-{fold.replace(':', '-').replace('/', 'of')}-{method}.json"

    def _tune(self, key: str, fold: str, method: str) -> None:
        """Search a method's options on a fold's validation subjects; the defaults are among what is tried."""
        path, space = self._tuned_file(key, fold, method), searched(method)
        if path.is_file():
            return
        best: dict[str, str] = {}
        if space:
            study = [*alone(fold), "--seeds", "1", "--trials", str(TRIALS), "--search", *space]
            self._compare(key, [*self._shared(key), "--method", method, *study])
            with (self.folder / key / "trials.csv").open(newline="") as file:
                tried = list(csv.DictReader(file))
            top = max(tried, key=lambda row: float(row["validation"]))
            if float(top["validation"]) > self._validation(key, [method], [fold])[method]:
                best = {option: top[option] for option in top if option not in ("trial", "validation")}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(best).encode())

    def _tuned_all(self, key: str) -> bool:
        """Whether rung 2 of a study is ready to begin."""
        ready = all(self.first_results(other, 1).complete for other in STUDIES)
        return ready and all(
            self._tuned_file(key, fold, method).is_file() for fold in STUDIES[key].folds for method in self.chosen(key)
        )

    def tuned_in(self, key: str, rung: int) -> dict[str, dict[str, dict[str, str]]]:
        """Fold -> method -> what it was tuned to; nothing for rung 1."""
        folds = STUDIES[key].folds if rung == 2 else ()
        return {fold: {method: self.tuned(key, fold, method) for method in self.chosen(key)} for fold in folds}

    def tuned(self, key: str, fold: str, method: str) -> dict[str, str]:
        """The options that did best on a fold's validation subjects; none: the defaults did."""
        found: dict[str, str] = json.loads(self._tuned_file(key, fold, method).read_bytes())
        return found


def alone(fold: str) -> list[str]:
    """The words that make a study of one fold. Of the official split too: by default that would be five others."""
    return ["--split", fold, "--folds", "split"]


def searched(method: str) -> list[str]:
    """The search space of a method: every weight it has, from an eighth to eight times the default, its temperature, and its
    label smoothing."""
    found = []
    for each in fields(METHOD_OPTIONS[method]):
        name, default = f"{method}.{each.name}", cast("Any", each.default)
        if each.name == "weight" and default < 1:
            found.append(f"{name}=0.3..0.98")
        elif each.name.endswith("weight"):
            found.append(f"{name}={default / 8 or 0.1}..{8 * default or 2.0}:log")
        elif each.name == "temperature":
            found.append(f"{name}=1..8:log")
        elif each.name == "smoothing":
            found.append(f"{name}=0.0..0.2")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    benchmark = Benchmark(asked.folder.resolve(), asked.recordings.resolve(), asked.workers, asked.minutes)
    if not asked.report:
        benchmark.run(asked.seeds)
    asks = forwards(asked.folder / "forwards.json", asked.recordings / "utd-mhad")
    first, second = (
        [
            Compared(study.title, found, asks, benchmark.seconds(key), benchmark.tuned_in(key, rung))
            for key, study in STUDIES.items()
            if (found := benchmark.finished(key, rung, asked.seeds))
        ]
        for rung in (1, 2)
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    Path(__file__).with_suffix(".md").write_text(page(first, second, machine), encoding="utf-8")


if __name__ == "__main__":
    main()
