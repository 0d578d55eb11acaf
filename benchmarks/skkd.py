"""SK-KD on EEGMMIDB: teachers with 64 electrodes, students with 4 and 7, CSP+LDA beside them: writes benchmarks/skkd.md.

    python benchmarks/skkd.py FOLDER RECORDINGS                # FOLDER keeps the runs; RECORDINGS is the folder of EEGMMIDB
    python benchmarks/skkd.py FOLDER RECORDINGS --minutes 90   # stops after that long; the same command goes on
    python benchmarks/skkd.py FOLDER RECORDINGS --report       # the page of what is finished; trains nothing

Left against right fist, executed (runs 3, 7, 11) and imagined (4, 8, 12), all subjects together. In each of three folds two whole
runs test, one validates, three train. Every seed has teachers of its own, and a whole seed is trained before the next one; a
seed takes about 50 minutes of a processor, and `--seeds 5` goes on from three. Nothing was tuned: methods, nets and training
have harkd's defaults. Needs mne (extra `dev`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mne.decoding import CSP  # type: ignore[import-untyped]
from numpy.typing import NDArray
from skkd_report import ALONE, TAUGHT, TEACHER, Montage, Row, Setting, page
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from harkd.cast import helpers
from harkd.commands.session import session
from harkd.compare.board import Board
from harkd.compare.coordinate import coordinate
from harkd.compare.design import Design, Level
from harkd.compare.executors import SHARE, Local, free_memory
from harkd.compare.results import Finished, Results
from harkd.compare.scores import Scores
from harkd.compare.store import Store
from harkd.comparing import begin, plan, share_data
from harkd.datasets import Sees, Windows
from harkd.errors import Interrupted
from harkd.evaluation import evaluate
from harkd.files import write_atomically
from harkd.methods import METHODS
from harkd.options import METHOD_OPTIONS, Data, Distill, Machine
from harkd.report.record import Trained
from harkd.training import Session

NETS = ("eegnet-8-2", "sccnet")
"""Teacher and student are of one family, as in the paper."""
LEARNING = (ALONE, *TAUGHT)
STUDENTS = ("eeg[headband]", "eeg[headphone]")
FOLDS = ("session:03,04", "session:07,08", "session:11,12")
"""Pairs of runs, one of execution and one of imagery, that test."""
RATE, SECONDS = 100, 4
"""Signals end at 40 Hz; nets for 100 Hz cost two fifths of those for the recorded 160 Hz."""
NET_BAND, CSP_BAND = (4, 40), (8, 30)
CSP_SECONDS, CSP_FILTERS = (0.5, 3.5), 6


def data(recordings: Path, band: tuple[int, int]) -> Data:
    """Whole trials, in a band. No step mixes electrodes: the few of a student would carry what the others recorded."""
    samples = RATE * SECONDS
    prepare = f"bandpass({band[0]}, {band[1]})+resample({RATE})"
    return Data(data="eegmmidb", data_folder=str(recordings), window=samples, step=samples, prepare=prepare)


def level(net: str, sees: str, method: str) -> str:
    return f"{net}/{sees}/{method}"


def design(recordings: Path, seed: int, epochs: int) -> Design:
    """All students of one seed, in all folds."""
    asked = data(recordings, NET_BAND)
    levels = tuple(
        Level(
            level(net, sees, method),
            Distill(
                **vars(asked),
                student=net,
                student_sees=sees,
                teacher=net,
                teacher_sees="all",
                teacher_seed=seed,
                teacher_epochs=epochs,
                teacher_patience=0,
                epochs=epochs,
                method=method,
                method_options=METHOD_OPTIONS[method](),
            ),
        )
        for net in NETS
        for sees in STUDENTS
        for method in LEARNING
    )
    return Design(levels, levels[0].name, FOLDS, (seed,))


def run(designs: list[Design], store: Store, live: Session, workers: int, minutes: float) -> None:
    """Train what is not there yet.

    Raises:
        Interrupted: the time is over; what was in flight goes on where it was stopped.
    """
    until = time.monotonic() + 60 * minutes
    executor = Local(partial(begin, live.machine, store.runs, store.bank), workers, SHARE * free_memory())
    board = Board(live.display, store, "accuracy", executor)
    for each in designs:
        planned = plan(each, live)
        finished = {job.name for job in planned.jobs if store.run(job.name).finished}
        board.planned(planned, finished)
        coordinate(
            planned.jobs,
            executor,
            board,
            finished=finished,
            interrupted=lambda: live.interrupted() or time.monotonic() > until,
        )
    executor.cancel()
    store.drop_bank()


def trained(design: Design, store: Store, live: Session, recordings: Path) -> Iterator[Finished]:
    """The students of a seed, and its teachers, each once for every fold, with the weights that taught: levels NET/all/ce."""
    found = store.results(design)
    yield from found.finished
    teachers = set()
    for student in found.finished:
        for helper in helpers(student.cell.options, validates=True):  # in every fold a run validates
            if helper.folder not in teachers:
                teachers.add(helper.folder)
                cell, run = replace(student.cell, level=level(helper.source, "all", ALONE)), store.run(helper.folder)
                parts = live.parts(replace(data(recordings, NET_BAND), split=cell.fold))
                teacher = run.load_player(parts.train, METHODS[cell.options.method].teacher_weights)
                yield Finished(cell, replace(Trained.read(run), test=evaluate(teacher, parts.test, codes=parts.codes)))


def csp(live: Session, recordings: Path, sees: str, own: bool) -> dict[str, float]:
    """The accuracy of every subject with CSP and LDA, trained on the windows that the nets train on.

    Args:
        own: whether each subject has a classifier of its own; else one for all.
    """
    right: dict[str, list[NDArray[np.bool_]]] = {}
    for fold in FOLDS:
        parts = live.parts(replace(data(recordings, CSP_BAND), split=fold))
        for names in [[name] for name in parts.codes] if own else [list(parts.codes)]:
            x, y, _ = trials(parts.train, sees, names)
            shown, truth, who = trials(parts.test, sees, names)
            filters = CSP(n_components=min(CSP_FILTERS, x.shape[1]))
            answers = make_pipeline(filters, LinearDiscriminantAnalysis()).fit(x, y).predict(shown)
            for name in names:
                right.setdefault(parts.codes[name], []).append((answers == truth)[who == name])
    return {code: float(np.concatenate(each).mean()) for code, each in right.items()}


def trials(windows: Windows, sees: str, subjects: list[str]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Signals (trial, electrode, time) of some subjects in CSP's part of the trial, classes and subjects (trial,)."""
    some = windows.subset(np.flatnonzero(np.isin(windows.subjects, subjects)))
    seen = Sees.parse(sees, some.sensors, some.lengths)(some.gather(torch.arange(len(some))))
    first, last = (round(seconds * RATE) for seconds in CSP_SECONDS)
    return seen[:, :, first:last].numpy().astype(np.float64), some.labels.numpy(), some.subjects


def montage(live: Session, recordings: Path, sees: str) -> Montage:
    """Some electrodes, and what CSP and LDA come to with them."""
    windows = live.windows(data(recordings, CSP_BAND))
    names = Sees.parse(sees, windows.sensors, windows.lengths).names[0]
    return Montage(names, csp(live, recordings, sees, own=False), csp(live, recordings, sees, own=True))


def row(results: Results, net: str, sees: str, electrodes: Montage) -> Row:
    """What a net with few electrodes came to."""
    columns = {method: results.by_subject(level(net, sees, method), "accuracy") for method in LEARNING}
    columns[TEACHER] = results.by_subject(level(net, "all", ALONE), "accuracy")
    subjects = tuple(sorted(columns[ALONE]))
    values = np.array([[column[subject] for column in columns.values()] for subject in subjects])
    parameters = results.of(level(net, sees, ALONE))[0].result.parameters
    return Row(net, electrodes, parameters, Scores("accuracy", tuple(columns), subjects, values, ALONE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    asked = parser.parse_args()
    recordings, store = asked.recordings.resolve(), Store(asked.folder)
    designs = [design(recordings, seed, asked.epochs) for seed in range(asked.seeds)]
    with session(Machine(device="cpu")) as live:
        if not asked.report:
            with store.held():
                store.write_options(asdict(data(recordings, NET_BAND)))
                share_data(data(recordings, NET_BAND), live)
                try:
                    run(designs, store, live, asked.workers, asked.minutes)
                except Interrupted:
                    sys.exit("stopped: the same command goes on")
        whole = [each for each in designs if store.results(each).complete]
        if not whole:
            sys.exit("no seed is finished yet: the page needs one")
        results = Results(whole[0], tuple(found for each in whole for found in trained(each, store, live, recordings)))
        montages = {sees: montage(live, recordings, sees) for sees in ("all", *STUDENTS)}
    rows = [row(results, net, sees, montages[sees]) for sees in STUDENTS for net in NETS]
    setting = Setting(len(whole), asked.seeds, asked.epochs, RATE, NET_BAND, CSP_BAND, CSP_SECONDS, CSP_FILTERS)
    text = page(rows, list(montages.values()), setting, results)
    print(text)
    write_atomically(asked.out, text.encode())


if __name__ == "__main__":
    main()
