"""UCI HAPT, 12 classes, all 30 users: a student for the watch, its recipe chosen on validation subjects, three seeds.

    python benchmarks/hapt_watch.py FOLDER                       # FOLDER keeps the runs; writes benchmarks/hapt_watch.md
    python benchmarks/hapt_watch.py FOLDER --data-folder HAPT    # with recordings that are there already

Each run goes on where it was stopped, and is not repeated. `CHOSEN` is the recipe of `RECIPES` with the best pooled
macro-F1 on validation subjects; test subjects are reported for it only.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harkd.datasets import Windows
from harkd.evaluation import Evaluation, evaluate_probabilities, pseudonyms
from harkd.export.manifest import Manifest
from harkd.export.package import Wanted
from harkd.export.runners import open_runner
from harkd.export.verification import Verification
from harkd.export.verify import loss
from harkd.exporting import export_run
from harkd.files import write_atomically
from harkd.options import Machine, Train
from harkd.player import predict
from harkd.progress import Display
from harkd.runs import Run
from harkd.schema import validate
from harkd.training import Session, train

FOLDS, SEEDS = 3, (0, 1, 2)
LIGHT = "cropping(0.1)+time_warp(0.1)+rotate(10)+scaling(0.05, share=sensor)+jitter(0.02)"
STRONG = "cropping(0.2)+time_warp(0.2)+rotate(15)+scaling(0.1, share=sensor)+jitter(0.05)"
PLAIN = Train(data="uci_hapt", net="dscnn-m", epochs=32, batch=128, rate=4e-3, augment=LIGHT, smoothing=0.1)
RECIPES: dict[str, tuple[str, Train]] = {
    "light": ("light augmentation", PLAIN),
    "dense": ("light augmentation, a window every 16 samples, 8 epochs", replace(PLAIN, step=16, epochs=8)),
    "strong": ("strong augmentation", replace(PLAIN, augment=STRONG)),
    "mixup": ("light augmentation and mixup", replace(PLAIN, augment=f"{LIGHT}|mixup(0.2, p=0.5)")),
}
"""Each differs from the first in one thing; all take about as many updates."""
CHOSEN = "mixup"


class Study:
    """The runs, and the windows that they are scored on: the card's, also for nets that were trained on others."""

    def __init__(self, folder: Path, recordings: str, session: Session) -> None:
        self.folder, self.recordings, self.session = folder, recordings, session
        self.folds = [session.parts(self._in_fold(PLAIN, fold)) for fold in range(FOLDS)]

    def runs(self, recipe: str, seed: int) -> list[Run]:
        """The run of each fold."""
        asked = replace(RECIPES[recipe][1], seed=seed, augment_seed=seed)
        return [
            train(self._in_fold(asked, fold), self.session, self.folder / f"{recipe}-f{fold}-s{seed}") for fold in range(FOLDS)
        ]

    @property
    def parameters(self) -> int:
        """Of the chosen student."""
        count: int = self.runs(CHOSEN, SEEDS[0])[0].result()["parameters"]
        return count

    def _in_fold(self, asked: Train, fold: int) -> Train:
        return replace(asked, data_folder=self.recordings, split=f"kfold:{FOLDS}/{fold}")


def answers(run: Run, windows: Windows) -> Tensor:
    """(n, class) logits of the float student."""
    return predict(run.load_player(windows), windows)


def exported(run: Run, session: Session) -> tuple[Path, Verification]:
    """The run's export folder, written now or before, and what was found of it."""
    folder = run.folder / "export"
    if not (folder / "manifest.json").is_file():
        return folder, export_run(run, folder, Wanted(("tflite",), "mcu-s"), session)[1]
    return folder, validate(Verification, json.loads((folder / "verification.json").read_bytes()), str(folder))


def device_answers(folder: Path, run: Run, windows: Windows) -> Tensor:
    """(n, class) logits of the int8 file, in LiteRT with its reference kernels."""
    manifest, player = Manifest.read(folder), run.load_player(windows)
    runner = open_runner(folder, manifest.file("int8", "tflite"))
    return torch.from_numpy(runner(player.sees(windows.gather(torch.arange(len(windows)))).numpy()))


def on_the_watch(study: Study) -> list[str]:
    """The chosen recipe as int8 .tflite files: each measured, and pooled as the float nets are."""
    windows = [parts.test for parts in study.folds]
    lines, drops, sizes, arenas = [], [], [], []
    for seed in SEEDS:
        runs = study.runs(CHOSEN, seed)
        found = [exported(run, study.session) for run in runs]
        before = [answers(run, part) for run, part in zip(runs, windows, strict=True)]
        after = [device_answers(folder, run, part) for (folder, _), run, part in zip(found, runs, windows, strict=True)]
        floats, int8 = scored(before, windows), scored(after, windows)
        same = float((torch.cat(before).argmax(1) == torch.cat(after).argmax(1)).double().mean())
        lost = loss(
            torch.cat([part.labels for part in windows]).numpy(),
            np.concatenate([part.subjects for part in windows]),
            torch.cat(before).numpy(),
            torch.cat(after).numpy(),
        )
        sizes += [check.files["model_int8.tflite"].bytes for _, check in found]
        arenas += [check.ram["model_int8.tflite"] for _, check in found]
        failed = [c.name for _, check in found for c in check.checks if not c.passed]
        drops.append(floats.macro_f1 - int8.macro_f1)
        lines.append(
            f"| {seed} | {percent(floats.macro_f1)} | **{percent(int8.macro_f1)}** | {100 * lost.macro_f1:+.2f} "
            f"({100 * (lost.low or 0):+.2f} to {100 * (lost.high or 0):+.2f}) | {percent(int8.accuracy)} | {100 * same:.2f} | "
            f"{'; '.join(failed) or 'all passed'} |"
        )
    return [
        "| seed | float, macro-F1 | int8, macro-F1 | lost (95 % interval over users) | int8, accuracy | same decision | checks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
        f"Files: {min(sizes):,} to {max(sizes):,} bytes ({max(sizes) / 1024:.1f} KiB) for {study.parameters:,} parameters; arena "
        f"of TensorFlow Lite Micro: {min(arenas):,} to {max(arenas):,} bytes ({max(arenas) / 1024:.1f} KiB).",
        f"The format itself costs {(max(sizes) - study.parameters) / 1024:.1f} KiB beside one byte per parameter. Int8 loses "
        f"{100 * statistics.mean(drops):+.2f} points of macro-F1 on average.",
    ]


def scored(logits: Sequence[Tensor], windows: Sequence[Windows], without: Collection[str] = ()) -> Evaluation:
    """One evaluation over the windows of several folds, each answered by the net of its fold.

    Args:
        logits: (n, class) for each fold.
        without: subjects that are left out.
    """
    subjects = np.concatenate([part.subjects for part in windows])
    kept = ~np.isin(subjects, list(without))
    return evaluate_probabilities(
        torch.softmax(torch.cat(list(logits)).double(), 1).numpy()[kept],
        torch.cat([part.labels for part in windows]).numpy()[kept],
        subjects[kept],
        windows[0].classes,
        {name: code for part in windows for name, code in pseudonyms(part).items()},
    )


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def spread(shares: Sequence[float]) -> str:
    return f"**{percent(statistics.mean(shares))}** ± {percent(statistics.stdev(shares))}"


def choice(study: Study) -> list[str]:
    """Every recipe, seed 0, on the validation subjects."""
    windows = [parts.val for parts in study.folds]
    lines = []
    for name, (about, _) in RECIPES.items():
        runs = study.runs(name, SEEDS[0])
        logits = [answers(run, part) for run, part in zip(runs, windows, strict=True)]
        whole = scored(logits, windows)
        folds = " ".join(percent(scored([mine], [part]).macro_f1) for mine, part in zip(logits, windows, strict=True))
        transitions = statistics.mean(whole.class_f1[6:])
        found, bold = runs[0].result(), "**" if name == CHOSEN else ""
        lines.append(
            f"| {bold}{about}{bold} | {found['net']} | {found['parameters']:,} | {folds} | "
            f"{bold}{percent(whole.macro_f1)}{bold} | {percent(transitions)} | {percent(whole.accuracy)} | {whole.nll:.3f} |"
        )
    return lines


def result(study: Study) -> list[str]:
    """The chosen recipe on the test subjects, each seed."""
    windows = [parts.test for parts in study.folds]
    validated = {subject for parts in study.folds for subject in parts.val.subjects.tolist()}
    wholes, others, lines = [], [], []
    for seed in SEEDS:
        logits = [answers(run, part) for run, part in zip(study.runs(CHOSEN, seed), windows, strict=True)]
        folds = [scored([mine], [part]).macro_f1 for mine, part in zip(logits, windows, strict=True)]
        whole, other = scored(logits, windows), scored(logits, windows, without=validated)
        worst = whole.worst_subject
        lines.append(
            f"| {seed} | {' | '.join(map(percent, folds))} | {percent(statistics.mean(folds))} | **{percent(whole.macro_f1)}** | "
            f"{percent(whole.accuracy)} | {worst.subject}: {percent(worst.accuracy)} | {percent(other.macro_f1)} |"
        )
        wholes.append(whole)
        others.append(other)
    by_class = zip(*(whole.class_f1 for whole in wholes), strict=True)
    each = [f"{name} {percent(statistics.mean(f1))}" for name, f1 in zip(wholes[0].classes, by_class, strict=True)]
    return [
        "| seed | fold 0 | fold 1 | fold 2 | mean of folds | pooled | accuracy | worst user, accuracy | pooled, "
        f"{len(others[0].subjects)} users |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
        f"Pooled over {len(wholes[0].subjects)} users and {wholes[0].windows:,} windows: macro-F1 "
        f"{spread([whole.macro_f1 for whole in wholes])}, accuracy {spread([whole.accuracy for whole in wholes])};",
        f"over the {len(others[0].subjects)} users who validate in no fold: macro-F1 "
        f"{spread([other.macro_f1 for other in others])}. ± is the sample standard deviation over seeds.",
        "",
        "F1 of each class, mean over seeds: " + ", ".join(each) + ".",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="keeps the runs")
    parser.add_argument("--data-folder", default="", help="where the recordings are; by default they are downloaded")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with Display() as display:
        study = Study(asked.folder, asked.data_folder, Session(Machine(device="cpu"), display))
        people = len({subject for parts in study.folds for subject in parts.val.subjects.tolist()})
        lines = [
            "# UCI HAPT: a student for the watch",
            "",
            "`python benchmarks/hapt_watch.py FOLDER`. Accelerometer and gyroscope at the waist, windows of 2.56 s, a new one",
            f"every 1.28 s, 12 classes. {FOLDS} folds over the 30 users: in each, 10 test, 5 validate and 15 train. Scores in %;",
            "pooled: one confusion matrix over the users of all folds, each answered by the net of its fold. Last epoch.",
            "",
            "## The recipe",
            "",
            f"All have six raw channels, {PLAIN.epochs} epochs, batches of {PLAIN.batch}, AdamW with a one-cycle rate of at most "
            f"{PLAIN.rate:g} and",
            f"label smoothing {PLAIN.smoothing:g}, if not said otherwise. Validation subjects ({people} different users in all), "
            "one seed:",
            "",
            "| recipe | net | parameters | macro-F1, each fold | pooled | transitions | accuracy | NLL |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *choice(study),
            "",
            f"- light: `{LIGHT}`",
            f"- strong: `{STRONG}`",
            "",
            "All recipes take about as many updates. Transitions: mean F1 of the six classes that have about 1 % of the windows",
            "each, or less. One window of the rarest class moves the macro-F1 by about half a point: rows that close are level.",
            "",
            f"## The result: {RECIPES[CHOSEN][0]}, test users",
            "",
            f"The {people} users who validate in one fold are tested in another, by a net that has not seen them; but the recipe",
            "was chosen with their help: the last column is without them.",
            "",
            *result(study),
            "",
            "## On the watch: the exported int8 files, test users",
            "",
            "`harkd export RUN --to tflite --target mcu-s` of each run; scored with LiteRT's reference kernels.",
            "",
            *on_the_watch(study),
        ]
    print("\n".join(lines))
    write_atomically(Path(__file__).with_suffix(".md"), ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
