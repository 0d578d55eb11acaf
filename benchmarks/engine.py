"""Where the engine's speed comes from, as ratios within one process and one thread.

    python benchmarks/engine.py            # prints the table and writes benchmarks/engine.md

Each pair of cells is timed in turns, and the medians are compared, so that a busy machine moves both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from harkd.augment import Augmenter, parse
from harkd.augment.keys import exact_noise, white_noise
from harkd.curriculum import Shuffle
from harkd.datasets import load, split
from harkd.engine import fit
from harkd.methods import METHODS, Plan
from harkd.nets import Flat, build
from harkd.player import Player

ROUNDS = 9
Row = tuple[str, float, float]
"""What is compared, windows per second of the first, and how many times faster it is than the second."""


def seconds(*jobs: Callable[[], object]) -> list[float]:
    """Median time of each job, run in turns after one warm-up."""
    times: list[list[float]] = [[] for _ in jobs]
    for number in range(ROUNDS + 1):
        for job, found in zip(jobs, times, strict=True):
            begin = time.perf_counter()
            job()
            if number:
                found.append(time.perf_counter() - begin)
    return [statistics.median(found) for found in times]


def contiguous(self: Flat, x: Tensor) -> Tensor:
    """What `Flat` would do without its layout."""
    inner: Tensor = self.body(x.unsqueeze(2).contiguous())
    return inner.squeeze(2)


def layout(name: str, batch: int, steps: int = 4) -> Row:
    """A training step channels-last against contiguous."""
    x, net = torch.randn(batch, 6, 128), build(name, 6, 7)
    optimiser = torch.optim.SGD(net.parameters(), 1e-3)
    flat = Flat.forward

    def run(forward: Callable[[Flat, Tensor], Tensor]) -> None:
        Flat.forward = forward  # type: ignore[method-assign]
        for _ in range(steps):
            optimiser.zero_grad()
            net(x).logits.square().mean().backward()
            optimiser.step()
        Flat.forward = flat  # type: ignore[method-assign]

    slow, fast = seconds(lambda: run(contiguous), lambda: run(flat))
    return f"channels last against contiguous, {name}, batch {batch}", batch * steps / fast, slow / fast


def noise(batch: int) -> Row:
    """White noise from the bank against torch.randn, and against a counter per sample."""
    words, row = torch.randint(2**62, (batch,)), 6 * 128
    ours, fresh, exact = seconds(
        lambda: white_noise(words, row), lambda: torch.randn(batch, row), lambda: exact_noise(words, row)
    )
    about = f"noise bank against torch.randn (against a counter per sample: {exact / ours:.0f}), 6x128, batch {batch}"
    return about, batch / ours, fresh / ours


def augmentation(batch: int) -> Row:
    """Share of a student's step that Mix1 takes."""
    train, _, _ = split(load("seglearn_watch"))
    augmenter = Augmenter(parse("jeon_mix1"), train)
    index, draw = torch.arange(batch), torch.zeros(batch, dtype=torch.int64)
    net = build("dscnn-s", 6, 7)
    batch_x = torch.cat(list(augmenter(index, draw).x.values()), 1)

    def step() -> None:
        net(batch_x).logits.square().mean().backward()

    mixing, training = seconds(lambda: augmenter(index, draw), step)
    return f"jeon_mix1 against a dscnn-s step, batch {batch}", batch / mixing, training / mixing


def bank(epochs: int = 8) -> Row:
    """A distillation with the bank of four draws against the live teacher."""
    train, _, _ = split(load("seglearn_watch"))
    teacher = Player.create("wrn1d-16-1", "all", train, name="teacher")

    def run(draws: int) -> None:
        student = Player.create("dscnn-s", "all", train, augment=parse("jeon_mix1"))
        fit(METHODS["kd"]({"student": student, "teacher": teacher}, plan=Plan(epochs, Shuffle(64, draws))), train, device="cpu")

    begin = time.perf_counter()
    run(0)
    middle = time.perf_counter()
    run(4)
    live, banked = middle - begin, time.perf_counter() - middle
    about = f"bank of 4 draws against the live teacher, {epochs} epochs, wrn1d-16-1 to dscnn-s"
    return about, epochs * len(train) / banked, live / banked


def main() -> None:
    torch.set_num_threads(1)
    rows = [layout(name, batch) for name in ("dscnn-s", "dscnn-l", "wrn1d-16-1") for batch in (64, 256)]
    rows += [noise(batch) for batch in (64, 256, 4096)] + [augmentation(64), augmentation(256), bank()]
    body = "\n".join(f"| {what} | {rate:,.0f} | {ratio:.2f} |" for what, rate, ratio in rows)
    table = f"| what | windows/s | ratio |\n| --- | ---: | ---: |\n{body}\n"
    print(table)
    Path(__file__).with_suffix(".md").write_text(
        "# Where the engine's speed comes from\n\nOne process, one CPU thread; above 1 means that the first is faster. "
        f"Made by `python benchmarks/engine.py`, torch {torch.__version__}.\n\n{table}"
    )


if __name__ == "__main__":
    main()
