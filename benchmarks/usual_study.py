"""A study of augmentation strategies as most people script it: what `compare.py` measures harkd against.

    OMP_NUM_THREADS=1 python benchmarks/usual_study.py TEACHER FOUND --strategies none "jitter(0.05)" --seeds 5 --epochs 20

TEACHER is the folder of a finished run; FOUND is the JSON file with the accuracy of every run. One process trains one student
after another: windows standardised once, a DataLoader that augments them one by one with NumPy, Conv1d nets, a teacher who is
asked in every step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import usual_kd as usual
from torch import Tensor, nn
from usual_augment import ONE, rotation
from usual_kd import Augment, Samples, time_warp_once

from harkd.files import write_atomically
from harkd.nets import Net
from harkd.options import Data
from harkd.parts import prepare
from harkd.player import Player
from harkd.runs import Run

DATA, STUDENT, BATCH = "seglearn_watch", "dscnn-s", 64
STRATEGIES: dict[str, Augment] = {
    "none": lambda window: window,
    "jitter(0.05)": ONE["jitter"],
    "scaling(0.1)": ONE["scaling"],
    "rotate(15)": rotation,
    "permutation(4)": ONE["permutation"],
    "magnitude_warp(0.2)": ONE["magnitude_warp"],
    "time_warp(0.2)": time_warp_once,  # as ours, one map for all channels; published codes fit a spline for each
    "window_slice(0.9)": ONE["window_slice"],
    "removal(0.5)": ONE["removal"],
    "shifting(0.5)": ONE["shifting"],
    "jeon_mix1": usual.chain(usual.removal, usual.shifting),
    "jitter(0.05)+scaling(0.1)+rotate(15)+time_warp(0.2)": usual.chain(
        usual.jitter, usual.scaling, usual.rotation, time_warp_once
    ),
}
"""The usual form of each strategy, by its text in harkd's grammar."""


@dataclass(frozen=True)
class Trained:
    """What is kept of a run: mean loss of each epoch, updates of the student, share of test windows that it got right."""

    losses: list[float]
    updates: int
    accuracy: float


class Study:
    """Windows (n, channel, time), standardised once, and the teacher's net."""

    def __init__(self, teacher: Path) -> None:
        parts = prepare(Data(data=DATA))
        self.train = parts.train
        taught = Run.open(teacher).load_player(parts.train, "last")  # as the method kd, of harkd

        (self.x, self.y), (self.test_x, self.test_y) = (
            (taught.net.scaler(taught.sees(windows.gather(torch.arange(len(windows))))), windows.labels)
            for windows in (parts.train, parts.test)
        )
        self.teacher = _on_standardised(taught.net)

    def run(self, augment: Augment, seed: int, epochs: int, batch: int = BATCH) -> Trained:
        """Train and test one student, from the weights that harkd's student of this seed begins with."""
        torch.manual_seed(seed)
        student = _on_standardised(Player.create(STUDENT, "all", self.train, seed=seed).net)
        samples = Samples(self.x.numpy(), self.y.numpy(), augment)
        trained = usual.train_usual(student, self.teacher, samples, batch, epochs)
        updates = epochs * -(-len(samples) // batch)
        return Trained(trained.losses, updates, accuracy(student, self.test_x, self.test_y))


def _on_standardised(net: Net) -> Net:
    """A net in the usual form, for windows that are standardised already."""
    made = usual.plain(net)
    made.scaler = nn.Identity()
    return made


@torch.no_grad()
def accuracy(net: Net, x: Tensor, y: Tensor) -> float:
    """Share of windows (n, channel, time) whose class is found."""
    return float((net.eval()(x).logits.argmax(1) == y).double().mean())


def study(teacher: Path, strategies: Sequence[str], seeds: int, epochs: int) -> dict[str, list[Trained]]:
    """Every strategy with every seed, one after another."""
    whole, found = Study(teacher), dict[str, list[Trained]]()
    for text in strategies:
        found[text] = [whole.run(STRATEGIES[text], seed, epochs) for seed in range(seeds)]
        print(text, " ".join(f"{run.accuracy:.1%}" for run in found[text]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path, help="folder of the teacher's run")
    parser.add_argument("found", type=Path, help="where the accuracies go")
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES], choices=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = study(asked.teacher, asked.strategies, asked.seeds, asked.epochs)
    told = {text: [{"accuracy": run.accuracy, "updates": run.updates} for run in runs] for text, runs in found.items()}
    write_atomically(asked.found, json.dumps(told, indent=1).encode())


if __name__ == "__main__":
    main()
