"""Runs from options: data in, a run directory out. What the commands `train` and `distill` do, without their printing."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import tomli_w
import torch

from harkd.augment import Compose, Transform, check_invariances, parse, to_text
from harkd.bank import DrawBank
from harkd.cast import Helper, check, helpers, is_net, nets_beside, peers_of
from harkd.consistency import consistent
from harkd.curricula import curriculum
from harkd.curriculum import Curriculum
from harkd.datasets import Sees, Windows
from harkd.domains import domain, domains_of
from harkd.engine import fit
from harkd.errors import Interrupted, UsageError
from harkd.evaluation import evaluate
from harkd.files import write_atomically
from harkd.history import History
from harkd.hooks import BestOnValidation, Snapshots
from harkd.methods import Plan, method
from harkd.nets import Inputs, build
from harkd.nets.reused import head_name
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


def distill(options: Distill, session: Session, folder: Path | None = None, role: str = "") -> Run:
    """Train a student with the help of others, or find that this was done. Teachers given by net and assistants are trained
    first, once.

    Args:
        role: `teacher` for an assistant.
    """
    check(options)
    name = f"{options.student}-{options.method}-{_word(options.data)}-s{options.seed}-{identity(options)}"
    run = Run(folder or RUNS / name)
    if _done(run, options, session):
        return run
    parts, player = student_of(options, session)
    validates = len(parts.val) > 0
    shown = _shown_to_teachers(options, parts)  # a mistake in it is told before anybody is trained
    sources = {helper: helper_run(helper, options, session, run.folder.parent) for helper in helpers(options, validates)}
    others = {helper.name: _player(helper, source, options, parts) for helper, source in sources.items()}
    for other in others.values():
        other.augment = shown
    others |= _peers(options, parts)
    net = options.student
    if method(options.method).reuses_heads:
        net = "~".join([net, *(head_name(other.net.head) for name, other in others.items() if name.startswith("teacher"))])
        player = Player.create(net, options.student_sees, parts.train, seed=options.seed, augment=player.augment)
    domains = {}
    for name, (data, sees) in domains_of(options).items():
        others[name], domains[name] = domain(name, player, parts.train, session.parts(data), sees, seed=options.seed)
    about = _about(options, sources, role) | {"net": net}
    return _fit(run, options, session, parts, {"student": player} | others, options.method_options, about, domains)


def _about(options: Distill, sources: Mapping[Helper, Run | None], role: str) -> dict[str, str]:
    """What a result says of the student and its teachers."""
    told = {helper.name: source.result() for helper, source in sources.items() if source}
    alone = options.method == "ce"
    label = f"{options.student} alone" if alone else f"{options.student} distilled ({options.method})"
    nets = [
        f"{told[each.name]['net'] if each.name in told else each.source}{each.weights and f'@{each.weights}'}"
        for each in sources
        if each.name.startswith("teacher")
    ]
    return {
        "role": role or ("alone" if alone else "distilled"),
        "label": f"{label} from {', '.join(nets)}" if nets else label,
        "method": options.method,
        "teacher": ", ".join(each["label"] for name, each in told.items() if name.startswith("teacher")),
        "teacher_identity": " ".join(each["identity"] for each in told.values()),
    }


def _peers(options: Distill, parts: Parts) -> dict[str, Player]:
    names = [f"peer-{place}" for place in range(1, peers_of(options) + 1)]
    net, sees = options.peer or options.student, options.peer_sees or options.student_sees
    return {name: Player.create(net, sees, parts.train, seed=options.seed, name=name) for name in names}


def teachers_of(options: Distill, session: Session, beside: Path) -> list[Run]:
    """The finished runs of teachers and assistants: those of folders, and all others trained now."""
    found = helpers(options, len(session.parts(options).val) > 0)
    return [run for helper in found if (run := helper_run(helper, options, session, beside))]


def helper_run(helper: Helper, options: Distill, session: Session, beside: Path) -> Run | None:
    """The finished run that a helper comes from: a folder as given, or trained now under a name that is the hash of its options.
    None: it begins with the student.

    Raises:
        UsageError: there is no finished run in the folder.
        LeakError: the teacher of a folder has learnt from people on whom the student is tested.
    """
    if isinstance(helper.training, Train):
        return train(helper.training, session, beside / helper.folder, role="teacher")
    if helper.training is not None:
        return distill(helper.training, session, beside / helper.folder, role="teacher")
    if is_net(helper.source):
        return None
    source = Run.open(helper.source)
    refuse_known(source, session.parts(options), "test", data_only(options))
    return source


def _player(helper: Helper, source: Run | None, options: Distill, parts: Parts) -> Player:
    """A teacher or assistant at the start of the student's training."""
    if source is None:
        return Player.create(helper.source, helper.sees, parts.train, seed=options.seed, name=helper.name)
    if isinstance(helper.training, Distill):
        return source.load_player(parts.train, helper.training.select)
    return source.load_player(parts.train, helper.weights or method(options.method).teacher_weights)


def _shown_to_teachers(options: Distill, parts: Parts) -> Transform | Literal["same", "clean"]:
    if options.teacher_augment == "same":
        return "same"
    return "clean" if options.teacher_augment == "clean" else _strategy(options, options.teacher_augment, parts)


def student_of(options: Distill, session: Session) -> tuple[Parts, Player]:
    """The windows of a student, and itself before its training.

    Raises:
        UsageError: there is no such net or sensor, be it of a helper; the strategy assumes what the card denies; validation
            subjects are lacking.
    """
    everything = session.parts(options)
    parts = everything.seen_by(options.student_sees)
    _check_validation(options, parts)
    strategy = _strategy(options, options.augment, parts)
    for net, sees in nets_beside(options, len(parts.val) > 0):  # a mistake in one is told before any other is trained
        view = Sees.parse(sees, everything.train.sensors, everything.train.lengths)
        with torch.random.fork_rng(devices=[]):
            build(net, Inputs.of(view), len(everything.train.classes))
    return parts, Player.create(options.student, options.student_sees, parts.train, seed=options.seed, augment=strategy)


def _fit(
    run: Run,
    options: Train | Distill,
    session: Session,
    parts: Parts,
    players: dict[str, Player],
    method_options: Any,
    about: dict[str, str],
    domains: Mapping[str, Windows] = MappingProxyType({}),
) -> Run:
    with run.held(lambda: wait(run, session)):
        if not _done(run, options, session):  # another process may have been faster
            _fit_alone(run, options, session, parts, players, method_options, about, domains)
    return run


def _fit_alone(
    run: Run,
    options: Train | Distill,
    session: Session,
    parts: Parts,
    players: dict[str, Player],
    method_options: Any,
    about: dict[str, str],
    domains: Mapping[str, Windows],
) -> None:
    machine, student = session.machine, players["student"]
    write_atomically(run.folder / "config.toml", _config(options))
    best = BestOnValidation("student", student.net, options.metric, options.patience)
    kept = Snapshots("student", student.net, options.keep_epochs)
    validates = len(parts.val) > 0
    plan = Plan(
        epochs=options.epochs,
        curriculum=_curriculum(options),
        domains=domains,
        optimiser=Optimiser(options.optimiser, _rate(options), options.weight_decay, clip=options.clip),
        at=[*([best.at()] if validates else []), kept.at()],
        validation=parts.val if validates else None,
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


def _curriculum(options: Train | Distill) -> Curriculum:
    name = options.curriculum if isinstance(options, Distill) else "shuffle"
    return curriculum(name, options.batch, options.draws, options.epochs)


def _updates(history: History) -> int:
    """Steps of all phases; each counts its own from the start."""
    ends = [record for record, after in zip_longest(history, history[1:]) if after is None or after["phase"] != record["phase"]]
    return sum(record["step"] for record in ends)


def _size(windows: Windows) -> dict[str, int]:
    return {"windows": len(windows), "subjects": len(set(windows.subjects.tolist()))}


def _word(text: str) -> str:
    """A data set's name, or that of a card's file, as part of a folder name."""
    return re.sub(r"[^\w.]+", "_", Path(text).stem)
