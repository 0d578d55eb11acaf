"""What commands that train share: the machine they run on, Ctrl-C, and the table of results."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from harkd.accelerate import pick_device
from harkd.commands.table import print_json, print_table
from harkd.errors import HarkdError, UsageError
from harkd.options import Machine
from harkd.progress import Display
from harkd.report.words import SYNTHETIC
from harkd.runs import Run
from harkd.training import Session


@contextmanager
def session(machine: Machine) -> Iterator[Session]:
    """A session in which the first Ctrl-C asks a run to save itself and stop; the second one stops at once.

    Raises:
        UsageError: the device cannot be used here.
    """
    pick_device(machine.device)
    asked: list[bool] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(True)

    before = signal.signal(signal.SIGINT, ask)
    try:
        with threads(machine.threads), Display() as display:
            yield Session(machine, display, lambda: bool(asked))
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch have so many threads (0: as many as it likes) in here. The last bits of a result depend on it."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def folder_of(machine: Machine) -> Path | None:
    """The folder that was asked for, if any."""
    return Path(machine.out) if machine.out else None


def copy(run: Run, live: Session) -> None:
    """Give the trackers that were asked for their copy of a finished run. One that fails costs nothing but the copy."""
    if live.machine.track:
        from harkd.tracking import named, track

        try:
            track(run, named(live.machine.track), live.machine.track_to)
        except UsageError:
            raise
        except HarkdError as problem:
            live.display.say(f"{run.folder} was not copied: {problem}")


def results(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The results of finished runs, with their folders."""
    return [{"folder": str(run.folder), **run.result()} for run in runs]


def tell(run: Run, machine: Machine) -> None:
    """One finished run on standard output."""
    (found,) = results([run])
    if machine.json:
        print_json(found)
    else:
        print_results([found])
        print(f"\nrun: {run.folder}")


def print_results(found: Sequence[dict[str, Any]]) -> None:
    """A table of runs on standard output."""
    print_table([_row(result) for result in found])
    if any(result.get("terms", {}).get("synthetic") for result in found):
        print(f"\n{SYNTHETIC}")


def _row(result: dict[str, Any]) -> dict[str, str]:
    row = {"run": result["label"], "seed": str(result["seed"]), "parameters": f"{result['parameters']:,}"}
    scores = result["test"]
    if scores is None:
        return row | dict.fromkeys(("accuracy", "macro F1", "NLL", "ECE"), "-") | {"worst subject": "no test subjects"}
    worst = min(scores["subjects"], key=lambda subject: subject["accuracy"])
    return row | {
        "accuracy": f"{scores['accuracy']:.1%}",
        "macro F1": f"{scores['macro_f1']:.1%}",
        "NLL": f"{scores['nll']:.3f}",
        "ECE": f"{scores['ece']:.3f}",
        "worst subject": f"{worst['subject']}: {worst['accuracy']:.1%}",
    }
