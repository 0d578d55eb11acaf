"""Accuracy on validation subjects within subjects 1 to 7: what the demo's recipe was chosen by.

    python benchmarks/demo_recipe.py            # all rows, about an hour on one core
    python benchmarks/demo_recipe.py 0 6        # some rows of the table in demo_recipe.md

Prints one line per cell; nothing of subjects 8 to 10 is looked at.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import torch

from harkd.augment import parse
from harkd.curriculum import Shuffle
from harkd.datasets import Windows, load
from harkd.datasets.splits import by_subject
from harkd.engine import fit, score
from harkd.hooks import BestOnValidation
from harkd.methods import METHODS, Plan
from harkd.options import KD
from harkd.player import Player

FOLDS = (("6", "7"), ("1", "2"), ("3", "4"))
R = "rotate(15)+scaling(0.1)"


@dataclass(frozen=True)
class Teacher:
    """A teacher of the table: its net, strategy, epochs, and the score that says which epoch is kept."""

    net: str
    strategy: str
    epochs: int
    metric: Literal["accuracy", "nll"]


WRN = Teacher("wrn1d-16-1", f"{R}+jitter(0.05)", 25, "nll")
XL = f"jeon_mix1+{R}+jitter(0.05)"

# Strategy and draws of the student, and for distilled ones the teacher, its weight and the temperature.
ROWS: list[tuple[str, int, Teacher | None, float, float]] = [
    ("none", 0, None, 0, 0),
    ("jeon_mix1", 4, None, 0, 0),
    ("jeon_mix1+rotate(30)", 4, None, 0, 0),
    ("jeon_mix1+rotate(45)+scaling(0.2, share=sensor)", 4, None, 0, 0),
    ("jeon_mix1+rotate(30)|mixup(0.2)", 4, None, 0, 0),
    ("jeon_mix1+time_warp(0.2)", 4, None, 0, 0),
    (f"jeon_mix1+{R}", 4, None, 0, 0),
    ("jeon_mix1", 4, WRN, 0.7, 2),
    ("jeon_mix1", 4, WRN, 0.9, 4),
    (f"jeon_mix1+{R}", 4, Teacher("wrn1d-16-1", XL, 30, "accuracy"), 0.9, 4),
    (f"jeon_mix1+{R}", 4, Teacher("dscnn-xl", XL, 30, "accuracy"), 0.7, 2),
    (f"jeon_mix1+{R}", 4, Teacher("dscnn-xl", XL, 60, "nll"), 0.7, 2),
    (f"jeon_mix1+{R}", 4, Teacher("dscnn-xl", XL, 60, "nll"), 0.5, 4),
]


def taught(teacher: Teacher, train: Windows, val: Windows) -> Player:
    """The teacher with the weights of its best validation epoch."""
    player = Player.create(teacher.net, "all", train, name="teacher", augment=parse(teacher.strategy))
    best = BestOnValidation("student", player.net, teacher.metric)
    fit(METHODS["ce"]({"student": player}, plan=Plan(teacher.epochs, at=[best.at()])), train, val)
    player.net.load_state_dict(best.weights())
    player.augment = "same"
    return player


def main() -> None:
    torch.set_num_threads(1)
    windows = load("seglearn_watch")
    wanted = [int(word) for word in sys.argv[1:]] or range(len(ROWS))
    teachers: dict[tuple[Teacher, tuple[str, str]], Player] = {}
    for number in wanted:
        strategy, draws, teacher, weight, temperature = ROWS[number]
        for fold in FOLDS:
            others = [str(subject) for subject in range(1, 8) if str(subject) not in fold]
            train, val, _ = by_subject(windows, others, fold, ()).of(windows)
            student = Player.create("dscnn-s", "all", train, augment=parse(strategy))
            players, key, options = {"student": student}, "ce", None
            if teacher:
                if (teacher, fold) not in teachers:
                    teachers[teacher, fold] = taught(teacher, train, val)
                players["teacher"], key, options = teachers[teacher, fold], "kd", KD(weight=weight, temperature=temperature)
            fit(METHODS[key](players, options, Plan(40, Shuffle(64, draws))), train)
            print(number, ROWS[number], fold, f"{score(student, val)['accuracy']:.1%}", flush=True)


if __name__ == "__main__":
    main()
