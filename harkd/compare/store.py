"""The folder of a study.

    study.toml         the options of the last command; `harkd compare --recipe STUDY/study.toml` asks for the same
    design.json        what they came to: levels with all their options, folds, seeds, and what was left out
    runs/              one run directory for each student and teacher, named by a hash of its options
    failed/            one file for each run that failed, with the reason
    bank/              while it lasts: what teachers answered, for runs that ask the same
    results.csv        every score of every run; comparison.json: what follows from them
    report.html, report.md, model-card.md

Run directories are the truth: everything else can be made of them again. Another design in the same folder finds the runs that
it shares with the first.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w

from harkd.compare.design import Design, Level
from harkd.compare.options import Study
from harkd.compare.results import Failed, Finished, Results
from harkd.errors import HarkdError, UsageError
from harkd.files import UNFINISHED, held, write_atomically
from harkd.options import distill_of
from harkd.report.record import Trained
from harkd.runs import Run
from harkd.schema import read_toml, validate

STUDY, DESIGN = "study.toml", "design.json"
OWNER = "owner"
INTRODUCTION = 2.0
"""Seconds within which a process that has got a folder says there who it is."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed: in one line, and the traceback of what is not an error of harkd's own."""

    name: str
    reason: str
    detail: str = ""


class Store:
    """A study's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs, self.bank = folder / "runs", folder / "bank"
        self._failed = folder / "failed"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other studies out of it.

        Raises:
            UsageError: another process is at work on it, or the folder holds other things.
        """
        if self.folder.is_dir() and not (self.folder / STUDY).is_file() and any(map(_strange, self.folder.iterdir())):
            raise UsageError(f"{self.folder} holds other things than a study; choose another folder with --out")

        until = time.monotonic() + INTRODUCTION

        def refuse() -> None:
            owner = self._owner()
            if owner or time.monotonic() > until:
                raise UsageError(
                    f"another process ({owner or 'unknown'}) is at work on {self.folder}: let it finish, or choose another folder"
                )
            time.sleep(0.02)

        with held(self.folder, refuse):
            write_atomically(self.folder / OWNER, f"process {os.getpid()}".encode())
            try:
                yield
            finally:
                (self.folder / OWNER).unlink(missing_ok=True)

    def _owner(self) -> str:
        try:
            return (self.folder / OWNER).read_text()
        except OSError:
            return ""

    def run(self, name: str) -> Run:
        return Run(self.runs / name)

    def write_options(self, values: Mapping[str, Any]) -> None:
        """Keep the options that a command asked for."""
        write_atomically(self.folder / STUDY, tomli_w.dumps(values).encode())

    def asked(self) -> Study:
        """What the last command asked to compare.

        Raises:
            UsageError: no command ever did, or the file was changed.
        """
        path = self.folder / STUDY
        values, text = read_toml(path)
        names = {f.name for f in fields(Study)}
        return validate(Study, {name: value for name, value in values.items() if name in names}, str(path), text)

    def fail(self, failure: Failure) -> None:
        """Remember why a run failed."""
        content = json.dumps({"reason": failure.reason, "detail": failure.detail}, indent=1).encode() + b"\n"
        write_atomically(self._failed / f"{failure.name}.json", content)

    def failures(self) -> dict[str, Failure]:
        """The runs that failed and were not finished since, by name.

        Raises:
            HarkdError: a file is damaged.
        """
        found = {}
        for path in sorted(self._failed.glob("*.json")):
            try:
                told = json.loads(path.read_bytes())
                failure = Failure(path.stem, str(told["reason"]), str(told["detail"]))
            except (ValueError, KeyError, TypeError, OSError) as problem:
                raise HarkdError(f"{path} is damaged ({problem}): delete it, and the run is tried again") from None
            if not self.run(path.stem).finished:
                found[path.stem] = failure
        return found

    def forget_failure(self, name: str) -> None:
        """A run is tried again, or was finished."""
        (self._failed / f"{name}.json").unlink(missing_ok=True)

    def drop_bank(self, group: str = "") -> None:
        """Remove what teachers answered: for one group, or all of it."""
        shutil.rmtree(self.bank / group if group else self.bank, ignore_errors=True)

    def write_trials(self, told: Sequence[tuple[Mapping[str, str], float | None]]) -> None:
        """Keep what a search tried, and the mean score on validation subjects."""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(["trial", *told[0][0], "validation"])
        for number, (chosen, value) in enumerate(told, 1):
            writer.writerow([number, *chosen.values(), "failed" if value is None else value])
        write_atomically(self.folder / "trials.csv", file.getvalue().encode())

    def write_design(self, design: Design, dropped: Mapping[str, str]) -> None:
        """Keep a design, and what was left out of it, so that a report needs no recordings."""
        levels = [{"name": level.name, "options": asdict(level.options)} for level in design.levels]
        about = {"control": design.control, "folds": design.folds, "seeds": design.seeds, "notes": design.notes}
        values = {**about, "dropped": dict(dropped), "levels": levels}
        write_atomically(self.folder / DESIGN, json.dumps(values, indent=1).encode() + b"\n")

    def design(self) -> tuple[Design, dict[str, str]]:
        """The last design, and the levels that were left out with the reasons.

        Raises:
            UsageError: there is none.
            HarkdError: it is damaged.
        """
        path = self.folder / DESIGN
        if not path.is_file():
            raise UsageError(f"{self.folder} holds no finished study: run harkd compare with --out {self.folder}")
        try:
            told = json.loads(path.read_bytes())
            levels = tuple(Level(str(each["name"]), distill_of(each["options"], str(path))) for each in told["levels"])
            lists = (tuple(map(str, told["folds"])), tuple(map(int, told["seeds"])), tuple(map(str, told["notes"])))
            return Design(levels, str(told["control"]), *lists), dict(told["dropped"])
        except (ValueError, KeyError, TypeError, OSError) as problem:
            raise HarkdError(f"{path} is damaged ({problem}): repeat the command of the study") from None

    def results(
        self, design: Design, known: dict[str, Trained] | None = None, dropped: Mapping[str, str] | None = None
    ) -> Results:
        """What is finished by now.

        Args:
            known: runs that were read before, by name; new ones are added.
            dropped: levels that are left out of all scores, and why.
        """
        known = {} if known is None else known
        failures = self.failures()
        finished, failed = [], []
        for cell in design.cells:
            if cell.name not in known and self.run(cell.name).finished:
                known[cell.name] = Trained.read(self.run(cell.name))
            if cell.name in known:
                finished.append(Finished(cell, known[cell.name]))
            elif cell.name in failures:
                failed.append(Failed(cell.name, (cell.level,), failures[cell.name].reason))
        return Results(design, tuple(finished), tuple(failed), dict(dropped or {}))


def _strange(path: Path) -> bool:
    """Whether a file is none that a study has before it keeps its options."""
    return path.name != OWNER and not path.name.endswith(UNFINISHED)
