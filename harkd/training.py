"""Runs from options: data in, a run directory out. What the commands `train` and `distill` do, without their printing."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import tomli_w

from harkd.augment import Compose, Transform, check_invariances, parse, to_text
from harkd.bank import DrawBank
from harkd.consistency import consistent
from harkd.curriculum import Shuffle
from harkd.datasets import Windows
from harkd.engine import fit
from harkd.errors import Interrupted, UsageError
from harkd.evaluation import evaluate
from harkd.files import write_atomically
from harkd.history import History
from harkd.hooks import BestOnValidation, Snapshots
from harkd.methods import Plan, method
from harkd.nets import NETS, family
from harkd.optimiser import Optimiser
from harkd.options import CE, Data, Distill, Machine, Train, Training, command_line, identity
from harkd.parts import Parts, data_only, prepare, refuse_known, windows_of
from harkd.player import Player
from harkd.progress import Display
from harkd.runs import Checkpoint, Run, environment, terms
from harkd.schedule import Cosine, OneCycle, Schedule, Stairs

RUNS = Path("runs")


@dataclass
class Session:
    """What several runs of one process share: prepared data, the draw bank, the display, and the wish to stop.

    Attributes:
        load: gives the windows that options ask for; a worker on another machine has them from elsewhere than files.
    """

    machine: Machine
    display: Display
    interrupted: Callable[[], bool] = lambda: False
    load: Callable[[Data], Windows] = windows_of
    bank: DrawBank = field(default_factory=DrawBank)

    def __post_init__(self) -> None:
        self.waiting: set[Path] = set()
        self.finished: set[Path] = set()
        self._windows: dict[Data, Windows] = {}
        self._parts: dict[Data, Parts] = {}

    def parts(self, options: Data) -> Parts:
        """The windows by part; those of several splits share their signals."""
        data = data_only(options)
        if data not in self._parts:
            self._parts[data] = prepare(data, self.windows(data))
        return self._parts[data]

    def windows(self, options: Data) -> Windows:
        """All windows, whatever the split."""
        whole = replace(data_only(options), split="official")
        if whole not in self._windows:
            self._windows[whole] = self.load(whole)
        return self._windows[whole]

    def take_parts(self, options: Data, parts: Parts) -> None:
        """Take these parts for those that the options ask for."""
        self._parts[data_only(options)] = parts


def train(options: Train, session: Session, folder: Path | None = None, role: str = "alone") -> Run:
    """Train a net on labels alone, or find that this was done."""
    run = Run(folder or RUNS / f"{options.net}-{_word(options.data)}-s{options.seed}-{identity(options)}")
    if _done(run, options, session):
        return run
    parts = session.parts(options).seen_by(options.sees)
    _check_validation(options, parts)
    player = Player.create(
        options.net, options.sees, parts.train, seed=options.seed, augment=_strategy(options, options.augment, parts)
    )
    label = f"{options.net} {role}" if role == "alone" else f"{options.net} ({role})"
    about = {"role": role, "label": label, "net": options.net, "method": "ce", "teacher": ""}
    return _fit(run, options, session, parts, {"student": player}, CE(smoothing=options.smoothing), about)


def distill(options: Distill, session: Session, folder: Path | None = None) -> Run:
    """Train a student with the help of a teacher, or find that this was done. A teacher given by net is trained first, once."""
    recipe = method(options.method)
    name = f"{options.student}-{options.method}-{_word(options.data)}-s{options.seed}-{identity(options)}"
    run = Run(folder or RUNS / name)
    if _done(run, options, session):
        return run
    parts, player = student_of(options, session)
    about = {
        "role": "alone",
        "label": f"{options.student} alone",
        "net": options.student,
        "method": options.method,
        "teacher": "",
    }
    players = {"student": player}
    if recipe.teachers[1]:
        sees: Transform | Literal["same", "clean"] = "same"
        if options.teacher_augment == "clean":
            sees = "clean"
        elif options.teacher_augment != "same":
            sees = _strategy(options, options.teacher_augment, parts)
        source = teacher_run(options, session, run.folder.parent)
        told = source.result()
        players["teacher"] = source.load_player(parts.train, recipe.teacher_weights)
        players["teacher"].augment = sees
        label = f"{options.student} distilled ({options.method}) from {told['net']}"
        about |= {"role": "distilled", "label": label, "teacher": told["label"], "teacher_identity": told["identity"]}
    return _fit(run, options, session, parts, players, options.method_options, about)


def student_of(options: Distill, session: Session) -> tuple[Parts, Player]:
    """The windows of a student, and itself before its training.

    Raises:
        UsageError: there is no such net; the strategy assumes what the card denies; validation subjects are lacking.
    """
    parts = session.parts(options).seen_by(options.student_sees)
    _check_validation(options, parts)
    strategy = _strategy(options, options.augment, parts)
    return parts, Player.create(options.student, options.student_sees, parts.train, seed=options.seed, augment=strategy)


def teacher_run(options: Distill, session: Session, beside: Path) -> Run:
    """The finished run of the teacher: a folder as given, or trained now under a name that is the hash of its options.

    Raises:
        UsageError: the teacher is neither a net nor the folder of a finished run, or the method needs validation subjects.
        LeakError: the teacher of a folder has learnt from people on whom the student is tested.
    """
    parts = session.parts(options)
    training = teacher_training(options, len(parts.val) > 0)
    if training is None:
        source = Run.open(options.teacher)
        refuse_known(source, parts, "test", data_only(options))
        return source
    return train(training, session, beside / teacher_folder(training), role="teacher")


def teacher_training(options: Distill, validates: bool) -> Train | None:
    """The options that the teacher is trained with; None if it is the folder of a finished run.

    Args:
        validates: whether the split has validation subjects.

    Raises:
        UsageError: the teacher is neither a net nor a folder, or the method needs validation subjects.
    """
    if not any(re.fullmatch(kind.pattern, options.teacher) for kind in NETS.values()):
        if os.sep not in options.teacher and not Path(options.teacher).exists():
            family(options.teacher)  # says which nets there are
        return None
    training = options.teacher_training
    if not validates:
        if method(options.method).teacher_weights == "best":
            raise UsageError(
                f"method {options.method!r} stops its teacher on validation subjects, and split {options.split!r} has none"
            )
        training = replace(training, patience=0, select="last")
    return training


def teacher_folder(training: Train) -> str:
    """The name of a teacher's folder beside those of its students."""
    return f"teacher-{training.net}-{identity(training)}"


def _fit(
    run: Run,
    options: Train | Distill,
    session: Session,
    parts: Parts,
    players: dict[str, Player],
    method_options: Any,
    about: dict[str, str],
) -> Run:
    with run.held(lambda: wait(run, session)):
        if not _done(run, options, session):  # another process may have been faster
            _fit_alone(run, options, session, parts, players, method_options, about)
    return run


def _fit_alone(
    run: Run,
    options: Train | Distill,
    session: Session,
    parts: Parts,
    players: dict[str, Player],
    method_options: Any,
    about: dict[str, str],
) -> None:
    machine, student = session.machine, players["student"]
    write_atomically(run.folder / "config.toml", _config(options))
    best = BestOnValidation("student", student.net, options.metric, options.patience)
    kept = Snapshots("student", student.net, options.keep_epochs)
    validates = len(parts.val) > 0
    plan = Plan(
        epochs=options.epochs,
        curriculum=Shuffle(options.batch, options.draws),
        optimiser=Optimiser(options.optimiser, _rate(options), options.weight_decay, clip=options.clip),
        at=[*([best.at()] if validates else []), kept.at()],
    )
    phases = consistent(method(about["method"])(players, method_options, plan), options.consistency)
    session.display.task(f"{about['label']}, seed {options.seed}")
    whole = f"{identity(options)} {about.get('teacher_identity', '')} {_fingerprint(parts)}"
    checkpoint = Checkpoint(run, whole, session.interrupted, session.display.say)
    history = fit(
        phases,
        parts.train,
        parts.val if validates else None,
        seed=options.seed,
        augment_seed=options.augment_seed,
        device=machine.device,
        precision=options.precision,
        compiled=machine.compiled,
        bank=session.bank,
        keeper=checkpoint,
        watcher=session.display,
    )
    session.display.done()
    run.write_history(history)
    net = about["net"]
    run.save_player("last", student.net.state_dict(), student, net, parts.train)
    if validates:
        run.save_player("best", best.weights(), student, net, parts.train, epoch=best.epoch + 1)
    for epoch, snapshot in kept.kept.items():
        run.save_player(f"epoch-{epoch}", snapshot.state_dict(), student, net, parts.train, epoch=int(epoch))
    chosen = run.load_player(parts.train, options.select)
    run.write_json(
        "result.json",
        {
            **about,
            "seed": options.seed,
            "parameters": student.net.parameter_count,
            "weights_bytes": (run.folder / f"{options.select}.safetensors").stat().st_size,
            "updates": _updates(history),
            "epochs": len(history),
            "best_epoch": best.epoch + 1 if validates else None,
            "selected": options.select,
            "augment": to_text(parse(options.augment)),
            "sees": student.sees.text,
            "split": {"name": parts.split, **{name: _size(getattr(parts, name)) for name in ("train", "val", "test")}},
            "seconds": round(checkpoint.seconds, 1),
            "fingerprint": _fingerprint(parts),
            "validation": evaluate(chosen, parts.val, codes=parts.codes).to_dict() if validates else None,
            "test": evaluate(chosen, parts.test, codes=parts.codes).to_dict() if len(parts.test) else None,
            "options": asdict(options),
            "identity": identity(options),
            "command": command_line(options),
            "environment": environment(),
            "terms": terms(parts.train.card),
        },
    )
    checkpoint.clear()
    session.finished.add(run.folder)


def _done(run: Run, options: Train | Distill, session: Session) -> bool:
    """Whether these options have a result already.

    Raises:
        UsageError: the folder is no place for them.
    """
    folder, config = run.folder, run.folder / "config.toml"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder with --out")
    if run.finished:
        if run.result()["identity"] != identity(options):
            raise UsageError(f"{folder} holds a run with other options; choose another folder with --out")
        Checkpoint(run, "").clear()  # it may have been killed between its result and the sweeping up
        if folder not in session.finished:  # several students of one session ask for one teacher
            session.display.say(f"{folder} is finished already; delete it to train again")
        session.finished.add(folder)
        return True
    if config.is_file():
        found = config.read_bytes()
        if (folder / "checkpoint.json").is_file() and found != _config(options):
            raise UsageError(f"{folder} holds an unfinished run with other options; choose another folder with --out")
        if b"augment_seed" not in found:
            raise UsageError(f"{config} is not harkd's; choose another folder with --out")
    return False


def wait(run: Run, session: Session) -> None:
    """Another process works in the folder of a run."""
    if run.folder not in session.waiting:
        session.display.say(f"another process trains {run.folder}: waiting for it")
        session.waiting.add(run.folder)
    if session.interrupted():
        raise Interrupted(f"stopped while waiting for {run.folder}")
    time.sleep(0.2)


def _check_validation(options: Train | Distill, parts: Parts) -> None:
    if not len(parts.val) and (options.patience or options.select == "best"):
        raise UsageError(f"split {options.split!r} has no validation subjects: patience and select = 'best' need some")


def _config(options: Train | Distill) -> bytes:
    return tomli_w.dumps(asdict(options)).encode()


def _fingerprint(parts: Parts) -> str:
    """A hash of which windows there are, and their labels: a card may change between two halves of a run, or two runs."""
    digest = hashlib.blake2b(digest_size=8)
    for windows in (parts.train, parts.val, parts.test):
        digest.update(windows.ids.cpu().numpy().tobytes() + windows.labels.cpu().numpy().tobytes())
    return digest.hexdigest()


def _strategy(options: Training, text: str, parts: Parts) -> Compose:
    strategy = parse(text)
    if not options.force_augment:
        check_invariances(strategy, parts.train.card)
    return strategy


def _rate(options: Training) -> Schedule:
    kinds: dict[str, Callable[[float], Schedule]] = {
        "onecycle": OneCycle,
        "cosine": Cosine,
        "stairs": Stairs,
        "constant": float,
    }
    return kinds[options.schedule](options.rate)


def _updates(history: History) -> int:
    """Steps of all phases; each counts its own from the start."""
    ends = [record for record, after in zip_longest(history, history[1:]) if after is None or after["phase"] != record["phase"]]
    return sum(record["step"] for record in ends)


def _size(windows: Windows) -> dict[str, int]:
    return {"windows": len(windows), "subjects": len(set(windows.subjects.tolist()))}


def _word(text: str) -> str:
    """A data set's name, or that of a card's file, as part of a folder name."""
    return re.sub(r"[^\w.]+", "_", Path(text).stem)
