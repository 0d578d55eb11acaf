"""A study of augmentation strategies by `harkd compare`, against a script of the usual form and against our runs one by one.

    OMP_NUM_THREADS=1 python benchmarks/compare.py FOLDER       # an hour on two cores; writes benchmarks/compare.md
    python benchmarks/compare.py FOLDER --forms usual compare fresh   # some of the forms; fresh: a new draw at every visit
    python benchmarks/compare.py FOLDER --strategies 2 --seeds 2 --epochs 2 --out some.md

FOLDER keeps the runs, and one JSON file for each form that was measured: a form is measured whole or not at all, and again only
if the study is another one. The usual form is in `usual_study.py`. Every form is a process of its own with one thread, or with
one for each worker; the teacher is trained before, once for all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import usual_study as usual
from compare_report import TITLES, Cost, Result, Study, costs, page
from usual_kd import CLIP, DECAY, RATE, TEMPERATURE, WEIGHT

from harkd.augment import parse, to_text
from harkd.files import write_atomically
from harkd.options import KD, Data, Distill, Machine, Train, command_line
from harkd.parts import prepare
from harkd.progress import Display
from harkd.runs import Run
from harkd.training import Session, distill, train

HERE = Path(__file__)


def teacher_folder(study: Study, folder: Path) -> Path:
    return folder / f"teacher-{study.teacher}"


def options(study: Study, folder: Path, strategy: str = "none", seed: int = 0) -> Distill:
    """Of one run, with the numbers of the usual form."""
    return Distill(
        data=usual.DATA,
        student=usual.STUDENT,
        teacher=str(teacher_folder(study, folder)),
        augment=strategy,
        draws=study.draws,
        epochs=study.epochs,
        batch=usual.BATCH,
        rate=RATE,
        schedule="constant",
        weight_decay=DECAY,
        clip=CLIP,
        seed=seed,
        method_options=KD(weight=WEIGHT, temperature=TEMPERATURE),
    )


def one_by_one(study: Study, folder: Path, form: str) -> None:
    """All runs in this process, as `harkd distill` does them; "session" shares data and draw bank between them."""
    machine = Machine(device="cpu", threads=1)
    with Display() as display:
        session = Session(machine, display)
        for place, strategy in enumerate(study.strategies):
            for seed in range(study.seeds):
                mine = session if form == "session" else Session(machine, display)
                distill(options(study, folder, strategy, seed), mine, folder / form / f"{place}-s{seed}")


def _usual(study: Study, folder: Path) -> list[str]:
    script, found = HERE.with_name("usual_study.py"), folder / "usual" / "found.json"
    numbers = ["--seeds", str(study.seeds), "--epochs", str(study.epochs)]
    return [str(script), str(teacher_folder(study, folder)), str(found), *numbers, "--strategies", *study.strategies]


def _inside(form: str) -> Callable[[Study, Path], list[str]]:
    """This script again, as a process that does nothing but the runs."""

    def arguments(study: Study, folder: Path) -> list[str]:
        numbers = {"strategies": len(study.strategies), "seeds": study.seeds, "epochs": study.epochs, "draws": study.draws}
        words = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
        return [str(HERE), str(folder), "--teacher", study.teacher, *words, "--inside", form]

    return arguments


def _compare(study: Study, folder: Path, form: str = "compare") -> list[str]:
    every_run = shlex.split(command_line(options(study, folder)))[2:]
    levels = ["--augment", ",".join(study.strategies), "--control", study.strategies[0], "--folds", "split"]
    how = ["--seeds", str(study.seeds), "--workers", str(study.workers), "--device", "cpu", "--no-export"]
    return ["-m", "harkd", "compare", *every_run, *levels, *how, "--out", str(folder / form)]


ARGUMENTS: dict[str, Callable[[Study, Path], list[str]]] = {
    "usual": _usual,
    "alone": _inside("alone"),
    "session": _inside("session"),
    "compare": _compare,
    "fresh": lambda study, folder: _compare(replace(study, draws=0), folder, "fresh"),
}
"""What Python is called with, by form."""


def tree(process: int) -> list[int]:
    """A process and all that it started."""
    found = [process]
    with suppress(OSError):  # it has just ended
        for file in Path(f"/proc/{process}/task").glob("*/children"):
            found += [below for child in file.read_text().split() for below in tree(int(child))]
    return found


def look(processes: Sequence[int], seconds: float) -> Cost:
    """What some processes and their ended children took so far, from /proc.

    Memory: what each has to itself is added up; mapped files (the libraries) and shared memory, which most of them have in
    common, count once, as in the process that has most of them.
    """
    ticks, memory = 0, [[0, 0, 0]]
    for process in processes:
        with suppress(OSError, KeyError):  # it has ended, or is about to
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]))
            lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
            memory.append([1024 * int(lines[name].split()[0]) for name in ("RssAnon", "RssFile", "RssShmem")])
    own, files, shared = zip(*memory, strict=True)
    return Cost(seconds, ticks / os.sysconf("SC_CLK_TCK"), sum(own) + max(files) + max(shared))


def watched(arguments: Sequence[str], log: Path) -> list[Cost]:
    """Run Python with some arguments to its end; its cost until then, ten times a second."""
    began, seen = time.time(), list[Cost]()
    with log.open("wb") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            seen.append(look(tree(process.pid), time.time() - began))
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"{shlex.join(arguments)} ended with {process.returncode}; {log} says why")
    return seen


def until(seen: Sequence[Cost], seconds: float = math.inf) -> Cost:
    """The cost up to some moment: CPU seconds never fall, memory at its highest."""
    part = [cost for cost in seen if cost.seconds <= seconds]
    return Cost(min(seconds, part[-1].seconds), max(c.cpu_seconds for c in part), max(c.peak_bytes for c in part))


def outcomes(study: Study, form: str, out: Path, steps: int) -> tuple[dict[str, list[float]], float | None]:
    """Accuracies by strategy, and the seconds of training where they are known.

    Args:
        steps: that every student must have taken; else the forms did not do the same work.
    """
    if form == "usual":
        told = json.loads((out / "found.json").read_bytes())
        assert all(run["updates"] == steps for runs in told.values() for run in runs), f"not all took {steps} steps"
        return {text: [run["accuracy"] for run in runs] for text, runs in told.items()}, None
    results = [Run.open(path.parent).result() for path in out.rglob("result.json")]
    assert len(results) == study.runs, f"{len(results)} runs instead of {study.runs}"
    assert {result["updates"] for result in results} == {steps}, f"not all took {steps} steps"
    by_seed = {(result["augment"], result["seed"]): result["test"]["accuracy"] for result in results}
    texts = {text: to_text(parse(text)) for text in study.strategies}
    accuracy = {text: [by_seed[name, seed] for seed in range(study.seeds)] for text, name in texts.items()}
    return accuracy, sum(result["seconds"] for result in results)


def measured(study: Study, form: str, folder: Path, steps: int) -> Result:
    """A form's result, from the folder if it is there."""
    kept, asked = folder / f"{form}.json", {**asdict(study), "strategies": list(study.strategies)}
    if kept.is_file():
        told = json.loads(kept.read_bytes())
        if told["study"] == asked:
            runs, whole = Cost(**told["runs"]), Cost(**told["whole"])
            return Result(runs, whole, told["training"], told["accuracy"], told["load"])
    out = folder / form
    shutil.rmtree(out, ignore_errors=True)  # the runs of a measurement that was interrupted would not be trained again
    began, load = time.time(), os.getloadavg()[0]
    seen = watched(ARGUMENTS[form](study, folder), folder / f"{form}.log")
    accuracy, training = outcomes(study, form, out, steps)
    last = max(path.stat().st_mtime for pattern in ("result.json", "found.json") for path in out.rglob(pattern))
    result = Result(until(seen, last - began), until(seen), training, accuracy, load)
    write_atomically(kept, json.dumps({"study": asked, **asdict(result)}, indent=1).encode())
    return result


def check(study: Study, folder: Path) -> None:
    """Both forms do the same work: equal losses over five steps without augmentation, from the same weights.

    A batch of all windows makes their order of no importance.
    """
    theirs = usual.Study(teacher_folder(study, folder))
    epochs, batch = 5, len(theirs.y)
    asked = replace(options(study, folder), epochs=epochs, batch=batch, draws=0)
    with tempfile.TemporaryDirectory() as place:
        ours = distill(asked, Session(Machine(device="cpu"), Display()), Path(place) / "run")
        terms, test = [record["terms"] for record in ours.history()], ours.result()["test"]["accuracy"]
    trained = theirs.run(usual.STRATEGIES["none"], 0, epochs, batch)
    losses = [(1 - WEIGHT) * term["ce"] + WEIGHT * term["kl"] for term in terms]
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-3)
    assert math.isclose(trained.accuracy, test, abs_tol=0.005), f"right: {trained.accuracy:.3f} and {test:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="keeps the runs and what was measured")
    parser.add_argument("--forms", nargs="+", default=[form for form in TITLES if form != "fresh"], choices=TITLES)
    parser.add_argument("--teacher", default="wrn1d-16-3")
    parser.add_argument("--strategies", type=int, default=len(usual.STRATEGIES), help="the first so many")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.with_suffix(".md"), help="the page")
    parser.add_argument("--inside", choices=("alone", "session"), help="train the runs of this form here, and measure nothing")
    asked = parser.parse_args()
    strategies = tuple(usual.STRATEGIES)[: asked.strategies]
    study = Study(asked.teacher, strategies, asked.seeds, asked.epochs, asked.draws, asked.workers)
    torch.set_num_threads(1)
    if asked.inside:
        one_by_one(study, asked.folder, asked.inside)
        return
    windows = len(prepare(Data(data=usual.DATA)).train)
    with Display() as display:
        taught = Train(data=usual.DATA, net=study.teacher, patience=15)
        train(taught, Session(Machine(device="cpu"), display), teacher_folder(study, asked.folder))
    check(study, asked.folder)
    results = dict[str, Result]()
    for form in TITLES:
        if form in asked.forms:
            results[form] = measured(study, form, asked.folder, study.epochs * -(-windows // usual.BATCH))
            print(costs(study, results), flush=True)
    ours = [results[form].accuracy for form in ("alone", "session", "compare") if form in results]
    assert all(accuracy == ours[0] for accuracy in ours), "the same runs found other numbers in another form"
    text = page(study, results, windows)
    print(text)
    write_atomically(asked.out, text.encode())


if __name__ == "__main__":
    main()
