"""A distillation step of harkd against the one that people write, with the share of each part.

    OMP_NUM_THREADS=1 python benchmarks/kd_step.py     # five minutes of CPU; prints the tables, writes benchmarks/kd_step.md

The usual form is in `usual_kd.py`. Ours is `harkd.fit` with the method `kd`, the teacher asked live or answering from the bank.
Both see the same number of windows, take the same steps from the same weights with the same loss, and augment with the same
operations. One process, one thread; the forms are timed in turns, so that a busy machine moves all alike.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy
import torch
import usual_kd as usual
from tables import table
from torch import Tensor
from usual_kd import PARTS, Augment, Clock, Reading, Run

from harkd import engine
from harkd.augment import Augmenter, parse
from harkd.bank import DrawBank
from harkd.curriculum import Shuffle
from harkd.datasets import Card, Cut, Recording, Segment, Sensor, Windows
from harkd.datasets.card import ClassTarget, Counts, Licence
from harkd.datasets.layout import Files
from harkd.methods import METHODS, Plan
from harkd.optimiser import Optimiser
from harkd.options import KD
from harkd.phase import Phase
from harkd.player import Player
from harkd.schedule import Progress
from harkd.stage import Stage

WINDOWS, CHANNELS, TIME, CLASSES = 512, 6, 128, 27  # the size and shape of UTD-MHAD's inertial half
TEACHER, STUDENTS, BATCHES = "wrn1d-16-3", ("wrn1d-16-1", "dscnn-s"), (64, 256)
DRAWS, EPOCHS = 4, 60  # of the whole run; the epochs are the default of a plan
ROUNDS = 3
LIVE, BANK, WHOLE = "harkd, live teacher", "harkd, bank filled", "harkd, whole run"
RATIOS = ("live: times faster", "bank: times faster", "whole run: times faster")


@dataclass(frozen=True)
class Strategy:
    """One strategy in our grammar, and the usual forms of it by name."""

    title: str
    text: str
    usual: dict[str, Augment]


STRATEGIES = (
    Strategy(
        "Um et al.",
        "jitter(0.05)+scaling(0.1)+rotate(15)+time_warp(0.2)",
        {
            "a spline per channel": usual.chain(usual.jitter, usual.scaling, usual.rotation, usual.time_warp),
            "a spline per window": usual.chain(usual.jitter, usual.scaling, usual.rotation, usual.time_warp_once),
        },
    ),
    Strategy("Mix1", "jeon_mix1", {"NumPy": usual.chain(usual.removal, usual.shifting)}),
)


def players(train: Windows, net: str, text: str) -> dict[str, Player]:
    """A fresh student and a teacher with random weights; the same in every call."""
    student = Player.create(net, "all", train, augment=parse(text) if text else "same")
    return {"student": student, "teacher": Player.create(TEACHER, "all", train, name="teacher")}


def theirs(train: Windows, net: str, batch: int, augment: Augment, epochs: int = 1) -> Run:
    """Train in the usual form."""
    cast = players(train, net, "")
    x = torch.cat(list(train.gather(torch.arange(len(train))).values()), 1)
    samples = usual.Samples(x.numpy(), train.labels.numpy(), augment)
    return usual.train_usual(usual.plain(cast["student"].net), usual.plain(cast["teacher"].net), samples, batch, epochs)


class Epochs:
    """Reads a clock at the end of every epoch."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.readings = clock, list[Reading]()

    def step(self, phase: Phase, progress: Progress) -> None:
        pass

    def epoch(self, phase: Phase, record: dict[str, Any]) -> None:
        self.readings.append(self.clock.read())


def ours(train: Windows, net: str, batch: int, text: str, draws: int, epochs: int, bank: DrawBank | None = None) -> Run:
    """Train with harkd; the first reading holds what happens once before the first step."""
    cast, clock = players(train, net, text), Clock()
    options = KD(weight=usual.WEIGHT, temperature=usual.TEMPERATURE)
    plan = Plan(epochs, Shuffle(batch, draws), Optimiser(rate=usual.RATE, weight_decay=usual.DECAY, clip=usual.CLIP))
    phases, watcher = METHODS["kd"](cast, options, plan), Epochs(clock)
    with ExitStack() as stack:
        for owner, name, part in (
            (Augmenter, "__call__", "data"),
            (DrawBank, "look_up", "teacher"),
            (cast["teacher"].net, "forward", "teacher"),
            (cast["student"].net, "forward", "student"),
            (phases[0].objective, "forward", "loss"),
            (Tensor, "backward", "backward"),
            (Stage, "_move", "optimiser"),
        ):
            stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        clock.restart()
        history = engine.fit(phases, train, device="cpu", bank=bank, watcher=watcher)
    terms = [record["terms"] for record in history]
    return Run(watcher.readings, [(1 - usual.WEIGHT) * term["ce"] + usual.WEIGHT * term["kl"] for term in terms])


def synthetic() -> Windows:
    """Smoothed noise of a wrist's accelerometer and gyroscope, one labelled segment per window."""
    noise = np.random.default_rng(0).standard_normal((CHANNELS, WINDOWS * TIME + 8))
    signal = np.lib.stride_tricks.sliding_window_view(noise, 9, axis=1).mean(2, dtype=np.float32) * 3
    rate = 50.0
    segments = (Segment(k * TIME / rate, (k + 1) * TIME / rate, {"activity": k % CLASSES}) for k in range(WINDOWS))
    card = Card(
        name="kd_step",
        title="Smoothed noise",
        citation="none",
        licence=Licence("CC0-1.0", commercial=True, redistribute=True),
        files=Files(hook="kd_step"),
        sensors=tuple(
            Sensor(kind, kind, unit, rate, placement="right_wrist", segment="right_forearm")
            for kind, unit in (("acc", "g"), ("gyro", "rad/s"))
        ),
        target=ClassTarget("activity", tuple(f"class {k}" for k in range(CLASSES))),
        windows=Cut(TIME, TIME),
        subjects_are_codes=True,
        counts=Counts(recordings=1, subjects=1, windows=WINDOWS),
    )
    return Windows.cut([Recording("only", "1", {"acc": signal[:3], "gyro": signal[3:]}, segments=tuple(segments))], card)


def check(train: Windows, net: str) -> None:
    """Both forms do the same work: equal logits, and equal losses while they train on the windows as they are."""
    few = train.subset(torch.arange(64))
    x = torch.cat(list(few.gather(torch.arange(64)).values()), 1)
    for player in players(few, net, "").values():
        net_of_1d = usual.plain(player.net).eval()
        torch.testing.assert_close(net_of_1d(x).logits, player.net.eval()(x).logits, rtol=0, atol=1e-4)
    as_it_is = theirs(few, net, 64, lambda window: window, epochs=5)
    np.testing.assert_allclose(as_it_is.losses, ours(few, net, 64, "", draws=0, epochs=5).losses, rtol=1e-3)


def mean(readings: Sequence[Reading]) -> Reading:
    """Microseconds per window of each part."""
    return {part: 1e6 * statistics.fmean(r[part] for r in readings) / WINDOWS for part in readings[0]}


Measured = dict[tuple[str, str], list[Reading]]
"""Readings in microseconds per window by strategy and form, one per round."""


def measure(train: Windows, net: str, batch: int) -> Measured:
    """All forms in turns, after one turn that warms up and fills the bank; then a whole run of the first strategy."""
    forms: dict[tuple[str, str], Callable[[], Run]] = {}
    bank = DrawBank()
    for strategy in STRATEGIES:
        for name, augment in strategy.usual.items():
            forms[strategy.title, name] = partial(theirs, train, net, batch, augment)
        forms[strategy.title, LIVE] = partial(ours, train, net, batch, strategy.text, draws=0, epochs=2)
        forms[strategy.title, BANK] = partial(ours, train, net, batch, strategy.text, draws=DRAWS, epochs=DRAWS, bank=bank)
    found: Measured = {form: [] for form in forms}
    for turn in range(ROUNDS + 1):
        for form, run in forms.items():
            readings = run().readings
            if turn:
                found[form].append(mean(readings[1:] or readings))
    text = STRATEGIES[0].text
    found[STRATEGIES[0].title, WHOLE] = [mean(ours(train, net, batch, text, draws=DRAWS, epochs=EPOCHS).readings)]
    return found


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and the range in brackets."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def speed_rows(net: str, batch: int, found: Measured) -> list[list[str]]:
    rows = []
    for strategy in STRATEGIES:
        mine = {form: [r["all"] for r in found.get((strategy.title, form), [])] for form in (LIVE, BANK, WHOLE)}
        for name in strategy.usual:
            base = [r["all"] for r in found[strategy.title, name]]
            rates = [f"{1e6 / statistics.median(times):,.0f}" if times else "" for times in (base, *mine.values())]
            gains = [spread([a / b for a, b in zip(base, mine[form], strict=True)]) for form in (LIVE, BANK)]
            gains += [f"{statistics.median(base) / whole:.1f}" for whole in mine[WHOLE]] or [""]
            rows.append([net, str(batch), f"{strategy.title}, {name}", *rates, *gains])
    return rows


def share_rows(net: str, batch: int, found: Measured) -> list[list[str]]:
    rows = []
    for (title, form), readings in found.items():
        if form != WHOLE:
            middle = {part: statistics.median(r[part] for r in readings) for part in readings[0]}
            shares = [f"{middle[part] / middle['all']:.0%}" for part in (*PARTS, "rest")]
            total = f"{middle['all']:,.0f}"
            rows.append([net, str(batch), title, form, total, *shares])
    return rows


PAGE = """# A distillation step against the usual one

Windows per second of a knowledge distillation, `{teacher}` to two students: {students}. {windows} synthetic windows of
{channels}x{time}, {classes} classes, fixed seed; one process, one CPU thread. Others used the machine at the same time, so
seconds are CPU seconds of the process, and all forms were timed in turns, {rounds} times: medians, and in brackets the range
over the turns. Made in {minutes:.1f} minutes by `OMP_NUM_THREADS=1 python benchmarks/kd_step.py`, {machine}.

- *Usual*: `Dataset` that augments one NumPy window at a time, `DataLoader` (no workers), `Conv1d` nets, live teacher, `AdamW`.
- *Live*, *bank*: `harkd.fit` with the method `kd`; the teacher is asked in every step, or was asked before for {draws} draws of
  each window. *Whole run*: {epochs} epochs that begin with an empty bank, with all that happens once (set-up, filling);
  done once for the first strategy.

Before anything is timed, both forms are shown to do the same work: logits equal to 1e-4 and, without augmentation, equal
losses (to one in a thousand) over five steps. The strategies are `{um}` and `{mix}`. The published NumPy codes of the
time warp fit a spline for every channel; ours moves all channels by one map, so the usual form with one spline per window is
the like-for-like one.

{speed}

## Where the time goes

Microseconds per window, and the share of each part, from a clock around the parts of the same runs (the operations are
synchronous on a CPU). *data*: loading and augmentation; *student*: its forward; *optimiser*: with the clipping of gradients.

{shares}

Most of what is left in our step with the bank is the student's own forward and backward, which no engine can avoid; for the small
student at batch 64 augmentation and optimiser count as well, both mostly the fixed cost of many small operations. The gain over
the usual form is what that adds for augmentation, teacher and slower layout, relative to the student: larger for a small student,
and smaller where NumPy's augmentation is nearly free (Mix1).
"""


def main() -> None:
    torch.set_num_threads(1)
    begin, train = time.perf_counter(), synthetic()
    speed: list[list[str]] = []
    shares: list[list[str]] = []
    for net in STUDENTS:
        check(train, net)
        for batch in BATCHES:
            found = measure(train, net, batch)
            speed += speed_rows(net, batch, found)
            shares += share_rows(net, batch, found)
            print("\n".join(speed_rows(net, batch, found)), flush=True)
    counts = {net: players(train, net, "")["student"].net.parameter_count for net in STUDENTS}
    page = PAGE.format(
        teacher=TEACHER,
        students=" and ".join(f"`{net}` ({count:,} parameters)" for net, count in counts.items()),
        windows=WINDOWS,
        channels=CHANNELS,
        time=TIME,
        classes=CLASSES,
        rounds=ROUNDS,
        minutes=(time.perf_counter() - begin) / 60,
        machine=f"{platform.machine()}, torch {torch.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}",
        draws=DRAWS,
        epochs=EPOCHS,
        um=STRATEGIES[0].text,
        mix=STRATEGIES[1].text,
        speed=table(("student", "batch", "strategy, usual form", "usual", "live", "bank", "whole run", *RATIOS), speed),
        shares=table(["student", "batch", "strategy", "form", "us / window", *PARTS, "rest"], shares),
    )
    print(page)
    Path(__file__).with_suffix(".md").write_text(page)


if __name__ == "__main__":
    main()
