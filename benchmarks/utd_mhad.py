"""UTD-MHAD, cross-subject: teachers on skeleton, inertial sensor, and both, three seeds; inertial students, five seeds.

    python benchmarks/utd_mhad.py FOLDER          # the folder of the recordings; writes benchmarks/utd_mhad.md
    python benchmarks/utd_mhad.py FOLDER --check  # trains on 1, 3, 5 and prints the accuracy on 7: for trying a recipe

Nothing was chosen on the test subjects 2, 4, 6, 8: nets and recipe were fixed beforehand, and the last epoch is the result.
Each run goes on where it was stopped, and is not repeated (runs/utd_mhad).
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import fields
from pathlib import Path

import torch

from harkd.options import KD, Data, Distill, Machine, Train, Training
from harkd.progress import Display
from harkd.runs import Run
from harkd.training import Session, distill, train

RUNS = Path("runs") / "utd_mhad"
SEEDS = (0, 1, 2)
TIME = "cropping(0.2)+time_warp(0.15)"
BODY = "rotate_vertical(20)+stretch(0.1)+joint_offset(0.02)+joint_jitter(0.008)"
STRAP = "rotate(15)+scaling(0.1, share=sensor)+jitter(0.03)"
MIX = "mixup(0.2, p=0.5)"
STUDENT, STUDENT_EPOCHS, STUDENT_SEEDS = "dscnn-m", 120, (0, 1, 2, 3, 4)
TEACHERS = {
    "skeleton": ("skeleton-m", "skeleton", f"{TIME}+{BODY}|{MIX}", 95.0),
    "inertial": ("resnet1d-m", "inertial", f"{TIME}+{STRAP}|{MIX}", 91.0),
    "fused": ("fusion-skeleton-m+resnet1d-m", "skeleton,inertial@50Hz", f"{TIME}+{BODY}+{STRAP}|{MIX}", 97.0),
}
"""Net, what it sees, augmentation, and the accuracy (%) to reach."""


def options(folder: Path, name: str, seed: int, split: str) -> Train:
    net, sees, augment, _ = TEACHERS[name]
    return Train(
        data="utd_mhad",
        data_folder=str(folder),
        split=split,
        net=net,
        sees=sees,
        augment=augment,
        epochs=80,
        batch=32,
        rate=3e-3,
        weight_decay=0.02,
        smoothing=0.1,
        seed=seed,
        augment_seed=seed,
    )


def run(asked: Train, name: str, session: Session) -> Run:
    word = asked.split.replace(":", "-").replace("/", "-")
    return train(asked, session, RUNS / f"{name}-{word}-s{asked.seed}")


def accuracy(found: dict[str, object]) -> float:
    return 100 * float(found["test"]["accuracy"])  # type: ignore[index]


def students(folder: Path, session: Session) -> list[str]:
    """Labels alone against the answers of the fused teacher (its seed 0): the same epochs, augmentation and seeds."""
    shared = {
        f.name: getattr(options(folder, "inertial", 0, "cross_subject"), f.name) for f in (*fields(Data), *fields(Training))
    }
    shared["epochs"] = STUDENT_EPOCHS
    found: dict[str, list[dict[str, object]]] = {"alone": [], "from fused": []}
    for seed in STUDENT_SEEDS:
        mine = {**shared, "seed": seed, "augment_seed": seed}
        alone = Train(**mine, net=STUDENT, sees="inertial", smoothing=0.1)
        found["alone"].append(train(alone, session, RUNS / f"student-alone-s{seed}").result())
        kd = Distill(
            **mine,
            student=STUDENT,
            student_sees="inertial",
            teacher=str(RUNS / "fused-cross_subject-s0"),
            method_options=KD(weight=0.8, temperature=4.0),
        )
        found["from fused"].append(distill(kd, session, RUNS / f"student-kd-s{seed}").result())
    rows = [
        f"| {name} | {runs[0]['parameters']:,} | {' '.join(f'{accuracy(r):.1f}' for r in runs)} | "
        f"**{statistics.mean(map(accuracy, runs)):.1f}** ± {statistics.stdev(map(accuracy, runs)):.1f} |"
        for name, runs in found.items()
    ]
    gains = [accuracy(kd) - accuracy(alone) for alone, kd in zip(found["alone"], found["from fused"], strict=True)]
    return [
        "",
        f"Inertial student `{STUDENT}`, {STUDENT_EPOCHS} epochs, alone (label smoothing 0.1) and distilled (`kd`, weight 0.8, "
        "temperature 4) from the fused",
        "teacher of seed 0, which sees the student's augmented sequence. ± is the sample standard deviation over seeds.",
        "",
        "| student | parameters | seeds 0 to 4 | mean |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        f"Gain, paired by seed: {' '.join(f'{gain:+.1f}' for gain in gains)}, mean {statistics.mean(gains):+.1f}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=TEACHERS, nargs="*", default=list(TEACHERS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with Display() as display:
        session = Session(Machine(), display)
        if asked.check:
            for name in asked.only:
                found = run(options(asked.folder, name, 0, "official"), name, session).result()
                print(f"{name}: {100 * found['validation']['accuracy']:.1f} on subject 7")
            return
        lines = [
            "# UTD-MHAD, cross-subject: teachers",
            "",
            "`python benchmarks/utd_mhad.py FOLDER`. Subjects 1, 3, 5, 7 train (431 sequences), 2, 4, 6, 8 test (430), 27",
            "classes; one sequence is one window. Accuracy in %, last epoch of 80, all fixed beforehand.",
            "",
            "| teacher | net | parameters | seed 0 | seed 1 | seed 2 | mean | target | each subject (mean over seeds) | min |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name in asked.only:
            runs = [run(options(asked.folder, name, seed, "cross_subject"), name, session).result() for seed in SEEDS]
            scores = [accuracy(found) for found in runs]
            by_subject = zip(*(found["test"]["subjects"] for found in runs), strict=True)
            subjects = {scores[0]["subject"]: statistics.mean(100 * s["accuracy"] for s in scores) for scores in by_subject}
            each = ", ".join(f"{subject}: {score:.1f}" for subject, score in subjects.items())
            minutes = statistics.mean(found["seconds"] for found in runs) / 60
            lines.append(
                f"| {name} | {TEACHERS[name][0]} | {runs[0]['parameters']:,} | {' | '.join(f'{s:.1f}' for s in scores)} | "
                f"**{statistics.mean(scores):.1f}** | {TEACHERS[name][3]:.0f} | {each} | {minutes:.1f} |"
            )
        lines += students(asked.folder, session)
        lines += ["", "Augmentation:", ""]
        lines += [f"- {name}: `{TEACHERS[name][2]}`" for name in asked.only]
        print("\n".join(lines))
        Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
