"""From a finished run to an export folder: what the command `export` does, without its printing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harkd.augment import parse
from harkd.curriculum import Shuffle
from harkd.datasets import Cut, Windows
from harkd.engine import fit
from harkd.errors import HarkdError
from harkd.export.deploy import Deployed
from harkd.export.formats import missing
from harkd.export.int8 import calibration_index, gains
from harkd.export.manifest import Manifest
from harkd.export.package import Parts, Wanted, channels_of, export
from harkd.export.qat import SimulatedInt8
from harkd.export.verification import Verification
from harkd.files import write_atomically
from harkd.methods import Plan, method
from harkd.optimiser import Optimiser
from harkd.options import KD, QAT, identity
from harkd.parts import data_of
from harkd.player import Player
from harkd.runs import Checkpoint, Run, tensor_bytes, tensors_of
from harkd.schedule import OneCycle
from harkd.training import Session, wait


def export_run(
    run: Run, folder: Path, wanted: Wanted, session: Session, weights: str = "", qat: QAT | None = None
) -> tuple[Manifest, Verification]:
    """Export the net of a finished run.

    Args:
        weights: `last`, `best` or `epoch-N`; by default those the run selected.
        qat: train the int8 net further first; it is kept in the run's folder, so that another export finds it.

    Raises:
        UsageError: the run is not finished, or the folder holds other things.
        HarkdError: a tool is missing, or the run's data cannot be read again.
        Interrupted: the training was stopped; the same command goes on.
    """
    if lacking := missing(*wanted.to):
        raise lacking
    told = run.result()
    data = data_of(run)
    prepared = session.parts(data)
    player = run.load_player(prepared.train, weights)
    seen = prepared.seen_by(player.sees.text)
    usual = seen.train.card.windows
    cut = Cut(data.window or usual.length, data.step or usual.step)
    parts = Parts(seen.train, seen.val, seen.test, seen.codes, cut)
    trained = None if qat is None else trained_for_int8(run, player, parts.train, wanted, qat, session)
    name = f"{told['label']} on {parts.train.card.name}"
    return export(player, parts, folder, wanted, name, told["net"], trained, session.display.say)


def trained_for_int8(run: Run, player: Player, train: Windows, wanted: Wanted, options: QAT, session: Session) -> Deployed:
    """The net of a run after quantisation-aware training with the float net as its teacher, or as it was kept from before."""
    factors = torch.tensor([channel.factor for channel in channels_of(player.sees, train, wanted.units)])
    index = calibration_index(train.labels, len(train.classes))
    gain = gains(player.sees(train.gather(index)) / factors[:, None], [len(names) for names in player.sees.names])
    simulated = SimulatedInt8(player.net, factors * gain)
    inside = Run(run.folder / "qat")
    digest = hashlib.blake2b(digest_size=8)
    for part in (tensor_bytes(player.net.state_dict()), tensor_bytes({"scale": factors * gain}), identity(options).encode()):
        digest.update(part)
    key = digest.hexdigest()
    path = inside.folder / f"{key}.safetensors"
    with inside.held(lambda: wait(inside, session)):
        if path.is_file():
            simulated.load_state_dict(_kept(path))
        else:
            _train(simulated, player, train, run, options, session, inside, key)
            write_atomically(path, tensor_bytes(simulated.state_dict()))
            Checkpoint(inside, "").clear()
    return simulated.deployed.eval().requires_grad_(False)


def _kept(path: Path) -> dict[str, torch.Tensor]:
    try:
        return tensors_of(path.read_bytes(), path)
    except (HarkdError, OSError) as problem:
        raise HarkdError(f"{path} is damaged ({problem}): delete it and export again") from None


def _train(
    simulated: SimulatedInt8, player: Player, train: Windows, run: Run, options: QAT, session: Session, inside: Run, key: str
) -> None:
    stored: dict[str, Any] = run.result()["options"]
    student = replace(player, net=simulated, mode="train", augment=parse(stored["augment"]))
    plan = Plan(
        epochs=options.epochs,
        curriculum=Shuffle(stored["batch"], stored["draws"]),
        optimiser=Optimiser("adamw", OneCycle(options.rate), 0.0, clip=stored["clip"]),
    )
    phases = method("kd")(
        {"student": student, "teacher": player.frozen()}, KD(weight=options.weight, temperature=options.temperature), plan
    )
    session.display.task("quantisation-aware training")
    fit(
        phases,
        train,
        None,
        seed=stored["seed"],
        augment_seed=stored["augment_seed"],
        device=session.machine.device,
        bank=session.bank,
        keeper=Checkpoint(inside, key, session.interrupted, session.display.say),
        watcher=session.display,
    )
    session.display.done()
    for net in (simulated, player.net):  # both were moved to where they were trained
        net.cpu()
