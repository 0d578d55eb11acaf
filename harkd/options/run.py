"""The options of runs, and of the machine that carries them out."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from harkd.errors import UsageError, unknown
from harkd.options.checks import at_least, positive, shares
from harkd.options.methods import KD, METHOD_OPTIONS, MethodOptions
from harkd.schema import STRICT_KEYS, validate


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which windows, and how they are split."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    data: str = "seglearn_watch"
    """Data set: a name from `harkd list datasets`, or the path of a card (a TOML file)."""
    data_folder: str = ""
    """Where its recordings are, if harkd does not bring them along."""
    window: int = 0
    """Samples of a window; 0 takes the card's."""
    step: int = 0
    """Samples from one window to the next; 0 takes the card's."""
    prepare: str = ""
    """Signal preparation after the card's own, like "bandpass(4, 40)+euclidean(session)"."""
    split: str = "official"
    """official (where the card has none: kfold:5/0), loso:SUBJECT, kfold:K/I or session:NAME."""

    def __post_init__(self) -> None:
        at_least(self, window=0, step=0)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a net is trained."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    epochs: int = 60
    """Passes over the training windows."""
    batch: int = 64
    """Windows per step."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """Optimiser."""
    rate: float = 3e-3
    """Peak learning rate."""
    schedule: Literal["onecycle", "cosine", "stairs", "constant"] = "onecycle"
    """Learning rate over the run."""
    weight_decay: float = 0.01
    """Weight decay on weight matrices."""
    clip: float = 5.0
    """Largest gradient norm; 0 does not clip."""
    patience: int = 0
    """Stop after so many epochs without a better score on validation subjects; 0 trains all epochs."""
    metric: Literal["accuracy", "nll"] = "nll"
    """Score on validation subjects that says which epoch was best."""
    select: Literal["last", "best"] = "last"
    """Which weights are the result: of the last epoch, or of the best one on validation subjects."""
    keep_epochs: tuple[int, ...] = ()
    """Epochs (from 1) whose weights are kept beside the last and the best ones."""
    augment: str = "none"
    """Augmentation strategy, like "jeon_mix1" or "rotate(15)+jitter(0.05)|mixup(0.2)"."""
    force_augment: bool = False
    """Allow augmentations that assume what the data set's card denies."""
    consistency: float = 0.0
    """Weight of the Jensen-Shannon divergence of the answers for a window, clean and in two draws (AugMix: 12)."""
    draws: int = 0
    """Different augmentations of a window before the first comes back; 0: a new one at every visit."""
    seed: int = 0
    """Seed of initial weights and batch order."""
    augment_seed: int = 0
    """Seed of the augmentation; runs that share it see the same windows."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the nets."""

    def __post_init__(self) -> None:
        at_least(self, epochs=1, batch=2, weight_decay=0, clip=0, patience=0, draws=0, consistency=0)
        positive(rate=self.rate)
        late = [epoch for epoch in self.keep_epochs if not 1 <= epoch <= self.epochs]
        if late:
            raise UsageError(f"keep_epochs lie between 1 and epochs ({self.epochs}), got {late[0]}")


@dataclass(frozen=True, kw_only=True)
class Train(Training, Data):
    """Train a net on labels alone."""

    net: str = "wrn1d-16-1"
    """Net: a name from `harkd list nets`."""
    sees: str = "all"
    """What it sees: sensors, channels and rate, like "wrist_acc,wrist_gyro@20Hz"."""
    smoothing: float = 0.0
    """Label smoothing."""

    def __post_init__(self) -> None:
        Data.__post_init__(self)
        Training.__post_init__(self)
        shares(smoothing=self.smoothing)


Curricula = Literal["shuffle", "by-class", "iskd", "ces", "self-paced", "teacher-confidence"]
"""The curricula that go with any method."""


@dataclass(frozen=True, kw_only=True)
class Pair(Training, Data):
    """Who learns from whom."""

    student: str = "dscnn-s"
    """Student net: a name from `harkd list nets`."""
    student_sees: str = "all"
    """What the student sees: sensors, channels and rate, like "wrist_acc,wrist_gyro@20Hz"."""
    teacher: str = "wrn1d-16-1"
    """A net, trained first and shared by all runs that ask for the same, or the folder of a finished run, with FOLDER@epoch-10
    for weights that it kept. Several: give the option several times, or join them with &."""
    teacher_sees: str = "all"
    """What the teacher sees; for several teachers all the same, or one for each, joined with &."""
    teacher_augment: str = "same"
    """same: the student's augmented window; clean: the recorded one; or a strategy of its own."""
    teacher_epochs: int = 60
    """Most epochs of the teacher's training."""
    teacher_patience: int = 15
    """The teacher stops after so many epochs without a better score on validation subjects; 0 trains all epochs."""
    teacher_strategy: str = "none"
    """Augmentation of the teacher's own training."""
    teacher_seed: int = 0
    """Seed of the teacher: runs with several seeds share one teacher."""
    assistants: str = ""
    """Nets between teacher and student, the largest first, with commas between; trained once and shared like the teacher."""
    assistants_see: str = ""
    """What assistants see: all the same, or one for each, joined with &; by default what the student sees."""
    peers: int = 0
    """How many other nets learn together with the student; 0: as many as the method needs."""
    peer: str = ""
    """The net of the peers; by default the student's."""
    peer_sees: str = ""
    """What peers see; by default what the student sees."""
    domains: str = ""
    """What the student learns from beside its own windows, unpaired: other sensors, or DATA:SENSORS of another data set; several
    joined with &."""
    curriculum: Curricula = "shuffle"
    """Which windows come when: all in random order; in groups of four of a class (by-class); or by difficulty (the others)."""
    method: str = "kd"
    """Method: see `harkd list methods`."""

    def __post_init__(self) -> None:
        Data.__post_init__(self)
        Training.__post_init__(self)
        at_least(self, teacher_epochs=1, teacher_patience=0, peers=0)

    @property
    def teachers(self) -> tuple[tuple[str, str], ...]:
        """Each teacher, and what it sees."""
        return _paired("teacher", split_list(self.teacher, "&"), split_list(self.teacher_sees, "&"))

    @property
    def assistants_in_turn(self) -> tuple[tuple[str, str], ...]:
        """Each assistant from the largest on, and what it sees."""
        return _paired("assistant", split_list(self.assistants, ","), split_list(self.assistants_see or self.student_sees, "&"))


@dataclass(frozen=True, kw_only=True)
class Distill(Pair):
    """Train a student that sees less with the help of a teacher that sees more."""

    method_options: MethodOptions = field(default_factory=KD)
    """Options of the method."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHOD_OPTIONS:
            raise unknown("method", self.method, METHOD_OPTIONS)
        wanted = METHOD_OPTIONS[self.method]
        if type(self.method_options) is not wanted:
            raise UsageError(f"method {self.method!r} takes options {wanted.__name__}, got {type(self.method_options).__name__}")

    def for_helpers(self, validates: bool) -> dict[str, Any]:
        """What is different in the training of teachers and assistants, whom runs with other seeds and strategies share.

        Args:
            validates: whether the split has validation subjects.
        """
        return {
            "epochs": self.teacher_epochs,
            "patience": self.teacher_patience if validates else 0,
            "augment": self.teacher_strategy,
            "consistency": 0.0,
            "seed": self.teacher_seed,
            "augment_seed": self.teacher_seed,
            "draws": 0,
            "select": "best" if validates else "last",
            "keep_epochs": (),
        }


def distill_of(values: Mapping[str, Any], where: str, text: str = "") -> Distill:
    """Distill from plain values, those of the method in a table `method_options`.

    Args:
        where, text: what the values come from, for messages; see `validate`.

    Raises:
        UsageError: a key or value is wrong.
    """
    chosen = values.get("method_options", {})
    if not isinstance(chosen, dict):
        raise UsageError(f"method_options is a table, [method_options]; got {chosen!r}")
    pair = validate(Pair, {key: value for key, value in values.items() if key != "method_options"}, where, text)
    if pair.method not in METHOD_OPTIONS:
        raise unknown("method", pair.method, METHOD_OPTIONS)
    options = validate(METHOD_OPTIONS[pair.method], chosen, where, text)
    return Distill(**{f.name: getattr(pair, f.name) for f in fields(Pair)}, method_options=options)


def split_list(text: str, mark: str) -> tuple[str, ...]:
    """The parts of a text.

    >>> split_list("wrn1d-16-2, wrn1d-16-1", ",")
    ('wrn1d-16-2', 'wrn1d-16-1')
    """
    return tuple(part.strip() for part in text.split(mark) if part.strip())


def _paired(what: str, names: tuple[str, ...], seen: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    seen = seen * len(names) if len(seen) == 1 else seen
    if len(seen) != len(names):
        raise UsageError(f"{len(names)} {what}s, and {len(seen)} texts of what they see: give one for all, or one for each")
    return tuple(zip(names, seen, strict=True))


@dataclass(frozen=True, kw_only=True)
class QAT:
    """Quantisation-aware training of a finished student, with its float self as the teacher."""

    epochs: int = 10
    """Passes over the training windows."""
    rate: float = 3e-4
    """Peak learning rate."""
    weight: float = 0.9
    """Weight of the float net's answers; the labels have 1 - weight."""
    temperature: float = 2.0
    """Softmax temperature."""

    def __post_init__(self) -> None:
        at_least(self, epochs=1)
        positive(rate=self.rate, temperature=self.temperature)
        shares(weight=self.weight)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how a command runs; none of it changes what is asked for."""

    recipe: str = ""
    """TOML file (or a name from harkd/recipes) with options; flags override it."""
    out: str = ""
    """Folder of the run; by default a folder under runs/ named after the options."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    compiled: bool = False
    """Compile the nets first (torch.compile): takes a minute, pays on long runs."""
    threads: int = 1
    """Threads for torch. Small nets gain nothing from more; 0 leaves it to torch."""
    track: str = ""
    """Who gets a copy of every finished run, with commas between: tensorboard, mlflow. Run directories stay the truth."""
    track_to: str = "tracked"
    """Folder of the copies; for mlflow also the address of a server."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        at_least(self, threads=0)


def identity(options: object) -> str:
    """A short hash of some options: the same options have the same, whatever order they were given in."""
    text = json.dumps([type(options).__name__, asdict(options)], sort_keys=True)  # type: ignore[call-overload]
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def command_line(options: Train | Distill) -> str:
    """The command that asks for these options."""
    words = ["harkd", "train" if isinstance(options, Train) else "distill"]
    given: list[tuple[Field[Any], object]] = [(f, options) for f in fields(options) if f.name != "method_options"]
    if isinstance(options, Distill):
        given += [(f, options.method_options) for f in fields(METHOD_OPTIONS[options.method])]
    for f, holder in given:
        value = getattr(holder, f.name)
        if value == f.default:
            continue
        flag = f"--{f.name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{f.name.replace('_', '-')}")
        elif isinstance(value, tuple):
            words += [flag, *map(str, value)]
        else:
            words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    return shlex.join(words)
