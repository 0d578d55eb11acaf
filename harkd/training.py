"""Runs from options: data in, a run directory out. What the commands `train` and `distill` do, without their printing."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from harkd.augment import Compose, Transform, check_invariances, parse, to_text
from harkd.bank import DrawBank
from harkd.consistency import consistent
from harkd.curriculum import Shuffle
from harkd.datasets import Cut, Sees, Windows, load, read_card, split
from harkd.datasets.splits import usual
from harkd.engine import fit
from harkd.errors import DataError, HarkdError, Interrupted, LeakError, UsageError, unknown
from harkd.evaluation import evaluate, pseudonyms
from harkd.files import write_atomically
from harkd.hooks import BestOnValidation, Snapshots
from harkd.methods import Plan, method
from harkd.nets import NETS, family
from harkd.optimiser import Optimiser
from harkd.options import CE, Data, Distill, Machine, Train, Training, command_line, identity
from harkd.player import Player
from harkd.progress import Display
from harkd.runs import Checkpoint, Run, environment, terms
from harkd.schedule import Cosine, OneCycle, Schedule, Stairs
from harkd.schema import validate

RUNS = Path("runs")


@dataclass
class Parts:
    """The windows of a run by part, what stands for each subject in its results, and which split it is."""

    train: Windows
    val: Windows
    test: Windows
    codes: dict[str, str]
    split: str = ""

    def seen_by(self, sees: str) -> Parts:
        """The windows that have every sensor that a player sees.

        Raises:
            DataError: a part that has windows has none of those.
        """
        view = Sees.parse(sees, self.train.sensors, self.train.lengths)
        parts = {name: getattr(self, name) for name in ("train", "val", "test")}
        kept = {name: windows.having(view.sensors) for name, windows in parts.items()}
        for name, windows in parts.items():
            if len(windows) and not len(kept[name]):
                raise DataError(f"no {name} window of {windows.card.name} has every sensor of {view.text!r}")
        return replace(self, **kept)


def prepare(data: Data) -> Parts:
    """Load and split the data that options ask for.

    Raises:
        UsageError: the split is not understood, or it names a person: names stay out of run directories.
        DataError: the training people have one class only, or the files are not what the card says.
    """
    cut = None
    if data.window or data.step:
        card = read_card(data.data).windows
        cut = Cut(data.window or card.length, data.step or card.step)
    windows = load(data.data, data.data_folder or None, cut, data.prepare)
    codes, text = pseudonyms(windows), usual(windows) if data.split == "official" else data.split
    name = text
    kind, _, who = text.partition(":")
    if kind == "loso" and not windows.card.subjects_are_codes:
        names = {code: name for name, code in codes.items()}
        if who in codes:
            raise UsageError(f"split {text!r}: names of people stay out of run directories; write loso:{codes[who]}")
        if who not in names:
            raise unknown("person", who, names)
        text = f"loso:{names[who]}"
    parts = Parts(*split(windows, text), codes, name)
    there = parts.train.labels.unique().tolist()
    if len(there) < 2:
        raise DataError(
            f"every training window of split {name!r} is {windows.classes[there[0]]!r}: at least two classes are needed; "
            f"harkd data check tells who has what"
        )
    return parts


def data_of(run: Run) -> Data:
    """The data that a finished run was trained on, as its options say."""
    stored = run.result()["options"]
    path = run.folder / "result.json"
    try:
        return validate(Data, {f.name: stored[f.name] for f in fields(Data)}, str(path))
    except (KeyError, TypeError):
        raise HarkdError(f"{path} is damaged (its options are incomplete): repeat the run") from None


def refuse_known(run: Run, parts: Parts, part: Literal["val", "test"], data: Data) -> None:
    """Refuse to score people whom a run has learnt from.

    Args:
        data: what the parts were prepared from. Of another data set than the run's nothing can be said.

    Raises:
        LeakError: `part` holds somebody from the training windows of the run or, for `test`, from its validation windows.
    """
    stored = data_of(run)
    if stored == data or run.result().get("terms", {}).get("data") != parts.train.card.name:
        return
    own = prepare(replace(stored, data=data.data, data_folder=data.data_folder))
    by_session = stored.split.startswith("session:") and data.split.startswith("session:")

    def who(windows: Windows) -> set[tuple[str, str]]:
        sessions = windows.sessions.tolist()
        return {(name, session if by_session else "") for name, session in zip(windows.subjects.tolist(), sessions, strict=True)}

    known = who(own.train) | (who(own.val) if part == "test" else set())
    shared = sorted({parts.codes[name] for name, _ in who(getattr(parts, part)) & known})
    if shared:
        raise LeakError(
            f"{run.folder} has learnt from {len(shared)} of the people in the {part} part of split {data.split!r} "
            f"({', '.join(shared)}); its own split is {stored.split!r}"
        )


@dataclass
class Session:
    """What several runs of one process share: prepared data, the draw bank, the display, and the wish to stop."""

    machine: Machine
    display: Display
    interrupted: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.bank = DrawBank()
        self.waiting: set[Path] = set()
        self.finished: set[Path] = set()
        self._parts: dict[Data, Parts] = {}

    def parts(self, options: Data) -> Parts:
        data = _data(options)
        if data not in self._parts:
            self._parts[data] = prepare(data)
        return self._parts[data]


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
    parts = session.parts(options).seen_by(options.student_sees)
    _check_validation(options, parts)
    students = _strategy(options, options.augment, parts)
    player = Player.create(options.student, options.student_sees, parts.train, seed=options.seed, augment=students)
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


def teacher_run(options: Distill, session: Session, beside: Path) -> Run:
    """The finished run of the teacher: a folder as given, or trained now under a name that is the hash of its options.

    Raises:
        UsageError: the teacher is neither a net nor the folder of a finished run, or the method needs validation subjects.
        LeakError: the teacher of a folder has learnt from people on whom the student is tested.
    """
    parts = session.parts(options)
    if not any(re.fullmatch(kind.pattern, options.teacher) for kind in NETS.values()):
        if os.sep not in options.teacher and not Path(options.teacher).exists():
            family(options.teacher)  # says which nets there are
        source = Run.open(options.teacher)
        refuse_known(source, parts, "test", _data(options))
        return source
    training = options.teacher_training
    if not len(parts.val):
        if method(options.method).teacher_weights == "best":
            raise UsageError(
                f"method {options.method!r} stops its teacher on validation subjects, and split {options.split!r} has none"
            )
        training = replace(training, patience=0, select="last")
    return train(training, session, beside / f"teacher-{options.teacher}-{identity(training)}", role="teacher")


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
    began = time.monotonic()
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
    seconds = time.monotonic() - began
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
            "updates": history[-1]["step"],
            "epochs": len(history),
            "best_epoch": best.epoch + 1 if validates else None,
            "selected": options.select,
            "augment": to_text(parse(options.augment)),
            "sees": student.sees.text,
            "split": {"name": parts.split, **{name: _size(getattr(parts, name)) for name in ("train", "val", "test")}},
            "seconds": round(seconds, 1),
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


def _data(options: Data) -> Data:
    return Data(**{f.name: getattr(options, f.name) for f in fields(Data)})


def _fingerprint(parts: Parts) -> str:
    """A hash of which windows there are, and their labels: a card may change between two halves of a run."""
    digest = hashlib.blake2b(digest_size=8)
    for windows in (parts.train, parts.val):
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


def _size(windows: Windows) -> dict[str, int]:
    return {"windows": len(windows), "subjects": len(set(windows.subjects.tolist()))}


def _word(text: str) -> str:
    """A data set's name, or that of a card's file, as part of a folder name."""
    return re.sub(r"[^\w.]+", "_", Path(text).stem)
