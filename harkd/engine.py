"""The engine: `fit`, the only training loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from harkd.accelerate import pick_device
from harkd.augment import Spec
from harkd.bank import DrawBank
from harkd.datasets import Windows
from harkd.history import History, Tally
from harkd.phase import At, Keeper, Moment, Phase, Round, Step, Watcher, everyone
from harkd.player import Player, Precision
from harkd.schedule import value
from harkd.stage import Stage, reduce, score
from harkd.state import collect, collect_optimiser, restore, restore_optimiser

__all__ = ["At", "Keeper", "Moment", "Phase", "Player", "Round", "Step", "Watcher", "everyone", "fit", "reduce", "score"]


@torch.random.fork_rng(devices=[])
def fit(
    phases: Sequence[Phase],
    train: Windows,
    validation: Windows | None = None,
    *,
    seed: int = 0,
    augment_seed: int = 0,
    device: str = "auto",
    precision: Precision = "float32",
    compiled: bool = False,
    bank: DrawBank | None = None,
    keeper: Keeper | None = None,
    watcher: Watcher | None = None,
) -> History:
    """Train the players of some phases, in place.

    Args:
        train, validation: windows of disjoint subjects; hooks and the history see the validation ones, nobody sees test windows.
        seed: batch order, dropout and everything else that is drawn, each player and objective from a stream of its own name.
        augment_seed: of the augmentation alone. Runs that share it see the same windows, and may share a `bank`.
        device: `auto`, `cpu`, `cuda` or any torch device.
        compiled: run trained nets through torch.compile; pays on long runs only.
        keeper: saves and restores the state; a run that goes on gives the same numbers as one that was never stopped.

    Returns:
        One record per epoch: mean of every term, learning rate, and scores of the watched players on validation windows.

    Raises:
        TrainingError: a loss is not finite; names the term and the step.
    """
    place = pick_device(device)
    train, validation = train.to(place), None if validation is None else validation.to(place)
    spec = Spec.of(train)
    bank = bank or DrawBank()
    saved = keeper.load() if keeper else None
    lasting = _lasting(phases)
    history: History = []
    if saved:
        restore(lasting, saved[0], "lasting")
        history = saved[1]["history"]
    used: dict[int, int] = {}
    for number, phase in enumerate(phases):
        offset = used.get(id(phase.curriculum), 0)
        used[id(phase.curriculum)] = offset + phase.epochs
        if saved and number < saved[1]["phase"]:
            continue
        stage = Stage(phase, train, spec, bank, place, precision, compiled, (seed, augment_seed), offset, validation)
        if watcher:
            for remark in stage.remarks():
                watcher.say(remark)
        epoch, tally, stopped = 0, Tally(), False
        if saved and number == saved[1]["phase"]:
            restore(stage.stateful(), saved[0], "stage")
            restore_optimiser(stage.optimiser, saved[0])
            epoch, stage.done, stopped = saved[1]["epoch"], saved[1]["step"], saved[1]["stopped"]
            tally.sums = dict(saved[1]["sums"])
        while epoch < phase.epochs:
            stage.start(epoch)
            while stage.done < stage.ends[epoch]:
                tally.add(stage.done, stage.step(epoch))
                stage.done += 1
                if watcher:
                    watcher.step(phase, stage.progress(epoch))
                stopped |= stage.call_hooks(epoch, validation, every_step=True).stopped
                if keeper and keeper.due():
                    tally.flush()
                    meta = {"phase": number, "epoch": epoch, "step": stage.done, "stopped": stopped, "sums": tally.sums}
                    state = collect(lasting, "lasting") | collect(stage.stateful(), "stage")
                    keeper.save(state | collect_optimiser(stage.optimiser), {**meta, "history": history})
                    keeper.checked()
            moment = stage.call_hooks(epoch, validation)
            stage.feedback.end_epoch(moment)
            record = {
                "phase": phase.name,
                "epoch": epoch,
                "step": stage.done,
                "rate": value(phase.optimiser.rate, stage.progress(epoch, -1)),
                "terms": tally.means(),
                "scores": moment.scores,
            } | stage.told()
            history.append(record)
            if watcher:
                watcher.epoch(phase, record)
            epoch = phase.epochs if stopped or moment.stopped else epoch + 1
        stage.finish(validation)
        saved = None
    return history


def _lasting(phases: Sequence[Phase]) -> dict[str, nn.Module]:
    """All nets that some phase trains and all hooks with a state, each once: what outlasts its phase."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for number, phase in enumerate(phases):
        for name, player in phase.players.items():
            if player.mode != "frozen":
                found.setdefault(id(player.net), (f"{number} {name}", player.net))
        for place, at in enumerate(phase.at):
            if isinstance(at.do, nn.Module):
                found.setdefault(id(at.do), (f"{number} hook {place}", at.do))
    return dict(found.values())
