"""A world to train in: three movements of different tempo, four people, one wrist. A run takes a tenth of a second."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harkd.curriculum import Shuffle
from harkd.datasets import IGNORE, Card, Cut, Recording, Scaler, Sees, Segment, Sensor, Statistics, Windows
from harkd.datasets.card import ClassTarget, Files, Licence
from harkd.domains import domain
from harkd.engine import Phase, fit
from harkd.errors import Interrupted
from harkd.history import History
from harkd.methods import METHODS, Plan
from harkd.nets import Net, PooledHead, staged
from harkd.nets.reused import head_name
from harkd.optimiser import Optimiser
from harkd.parts import Parts
from harkd.player import Player

ACC = Sensor("acc", "acc", "g", 50.0, placement="wrist", segment="wrist")
GYRO = Sensor("gyro", "gyro", "rad/s", 50.0, placement="wrist", segment="wrist")
HERTZ = (1.5, 5.0, 12.0)
LENGTH = 32


def build_windows(each: int = 7, noise: float = 0.5, subjects: Sequence[str] = ("1", "2", "3", "4")) -> Windows:
    """`each` windows of 32 samples for every person and movement: sinusoids of unknown phase in noise, around an offset."""
    card = Card(
        name="swings",
        title="Swings",
        citation="none",
        licence=Licence("none"),
        files=Files(hook="none"),
        sensors=(ACC, GYRO),
        target=ClassTarget("movement", ("slow", "medium", "fast")),
        windows=Cut(LENGTH, LENGTH),
    )
    recordings = []
    seconds = np.arange(each * LENGTH) / 50
    for subject in subjects:
        for label, hertz in enumerate(HERTZ):
            rng = np.random.default_rng([int(subject), label])
            phase, gain, offset = rng.uniform(0, 2 * np.pi, (6, 1)), rng.uniform(0.7, 1.3, (6, 1)), np.arange(6)[:, None]
            signal = offset + gain * np.sin(2 * np.pi * hertz * seconds + phase) + noise * rng.normal(size=(6, len(seconds)))
            signal = signal.astype(np.float32)
            recordings.append(
                Recording(
                    name=f"{subject} {label}",
                    subject=subject,
                    signals={"acc": signal[:3], "gyro": signal[3:]},
                    segments=(Segment(0.0, len(seconds) / 50, {"movement": label}),),
                )
            )
    return Windows.cut(recordings, card)


def build_net(
    channels: int = 6,
    *,
    width: int = 8,
    classes: int = 3,
    dropout: float = 0.0,
    deeper: int = 0,
    seed: int = 0,
    norm: bool = True,
) -> Net:
    """A net of plain 1-d layers, its weights a function of `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)

        def block(inputs: int, outputs: int, stride: int) -> nn.Module:
            conv = nn.Conv1d(inputs, outputs, 3, stride, padding=1)
            return nn.Sequential(conv, nn.BatchNorm1d(outputs) if norm else nn.Identity(), nn.ReLU())

        more = [block(2 * width, 2 * width, 1) for _ in range(deeper)]
        stages = [block(width, width, 2), block(width, 2 * width, 2), *more]
        return staged(block(channels, width, 1), stages, PooledHead(2 * width, classes, dropout))


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@dataclass(frozen=True)
class Toy:
    """What the tests of training share: 63 windows of three people to train on, 21 of a fourth to validate on."""

    train: Windows
    val: Windows
    statistics: Statistics
    windows = staticmethod(build_windows)
    net = staticmethod(build_net)
    state = staticmethod(state)
    equal = staticmethod(equal)

    def few_labels(self) -> Windows:
        """The training windows, two of three without a label."""
        ((name, target),) = self.train.targets.items()
        values = torch.where(torch.arange(len(self.train)) % 3 == 0, target.values, IGNORE)
        return replace(self.train, targets={name: replace(target, values=values)})

    def player(self, net: Net | None = None, sees: str = "all", *, seed: int = 0, **more: Any) -> Player:
        """A player with a fitted scaler; without a net it gets one whose weights are a function of `seed`."""
        view = Sees.parse(sees, self.train.sensors, self.train.lengths)
        net = build_net(view.width, seed=seed) if net is None else net
        net.scaler = Scaler.fit(self.statistics, view)
        return Player(net, view, **more)

    def teacher(self, seed: int = 100, **more: Any) -> Player:
        """A wider player, not trained: all that most tests need."""
        return self.player(build_net(width=12, seed=seed), **more)

    @staticmethod
    def plan(epochs: int = 2, batch: int = 16, draws: int = 0, rate: float = 0.01, **more: Any) -> Plan:
        """16 windows a step, 4 steps an epoch, a constant rate."""
        return Plan(epochs, Shuffle(batch, draws), more.pop("optimiser", Optimiser(rate=rate)), **more)

    def phases(
        self, method: str, students: Player, teacher: Player | None = None, *, options: Any = None, **plan: Any
    ) -> list[Phase]:
        """The phases of a method with a short plan."""
        players = {"student": students} | ({"teacher": teacher} if teacher else {})
        return METHODS[method](players, options, self.plan(**plan))

    def cast(self, method: str, student: Player | None = None, teacher: Player | None = None) -> dict[str, Player]:
        """A student, and as many others as a method needs: two where it takes several, and one where it may do without."""
        entry, made = METHODS[method], student or self.player()
        players = {"student": made}
        numbers = {
            kind: max(low, 1) if high == 1 else max(low, 2) if high is None else low for kind, (low, high) in entry.wanted.items()
        }
        if numbers["teacher"]:
            kind = Player.create("dscnn-s", "all", self.train, name="teacher") if entry.reuses_heads else self.teacher()
            players |= {"teacher": teacher or kind}
        if numbers["teacher"] > 1:
            first = players.pop("teacher")
            players |= {"teacher-1": first} | {f"teacher-{n}": self.teacher(99 + n) for n in range(2, numbers["teacher"] + 1)}
        players |= {
            f"assistant-{n}": self.player(self.net(width=12 - n, seed=50 + n)) for n in range(1, numbers["assistant"] + 1)
        }
        players |= {f"peer-{n}": self.player(seed=30 + n) for n in range(1, numbers["peer"] + 1)}
        if entry.reuses_heads:
            heads = [head_name(player.net.head) for name, player in players.items() if name.startswith("teacher")]
            net = "~".join(["dscnn-xs", *heads])
            made = players["student"] = Player.create(net, made.sees.text, self.train, augment=made.augment)
        for n in range(1, numbers["domain"] + 1):
            players[f"domain-{n}"], _ = domain(f"domain-{n}", made, self.train, Parts(self.train, self.val, self.val, {}), "gyro")
        return players

    def play(self, method: str, players: dict[str, Player], *, options: Any = None, epochs: int = 3, **plan: Any) -> list[Phase]:
        """The phases of a method with a whole cast, in a short plan."""
        domains = {name: self.train for name in players if name.startswith("domain")}
        return METHODS[method](players, options, self.plan(epochs=epochs, domains=domains, **plan))

    def fit(self, phases: Sequence[Phase], **more: Any) -> History:
        """Train on the CPU."""
        return fit(
            phases, more.pop("train", self.train), more.pop("validation", self.val), device=more.pop("device", "cpu"), **more
        )


@pytest.fixture(scope="session")
def toy() -> Toy:
    windows = build_windows()
    mine = windows.subjects == "4"
    train = windows.subset(np.flatnonzero(~mine))
    return Toy(train, windows.subset(np.flatnonzero(mine)), Statistics.of(train))


NAMES = ("Ermintrude", "Hrothgar", "Kunigunde", "Wolfdietrich", "Zwentibold")
"""People whose names stand in no program and in no number: in this order they are person-1 to person-5."""

CARD = """
name = "swings"
title = "Swings"
citation = "A. Swinger: Swings, 2020."

[licence]
name = "CC-BY-NC-4.0"
commercial = false
redistribute = true
note = "Ask before you sell."

[files]
reader = "text"
pattern = '(?P<subject>\\w+)/(?P<session>\\w+)-(?P<label>\\w+)\\.csv'
columns = {acc = ["ax", "ay", "az"], gyro = ["gx", "gy", "gz"]}

[[sensors]]
name = "acc"
kind = "acc"
units = "g"
rate = 50.0
placement = "wrist"
segment = "wrist"

[[sensors]]
name = "gyro"
kind = "gyro"
units = "rad/s"
rate = 50.0
placement = "wrist"
segment = "wrist"

[target]
name = "movement"
classes = ["slow", "medium", "fast"]

[invariances]
rotation = true

[windows]
length = 32
step = 32

[splits.official]
train = ["Ermintrude", "Kunigunde", "Zwentibold"]
val = ["Hrothgar"]
test = ["Wolfdietrich"]

[splits.blind]
train = ["Ermintrude", "Kunigunde", "Zwentibold"]
test = ["Hrothgar", "Wolfdietrich"]
"""


@dataclass(frozen=True)
class World:
    """A data set on disk, as a user has it: 60 windows of five people, three movements and two sessions, card and text files."""

    card: Path
    folder: Path
    people = NAMES

    @property
    def data(self) -> list[str]:
        """The options that name it."""
        return ["--data", str(self.card), "--data-folder", str(self.folder)]

    @property
    def train(self) -> list[str]:
        """The shortest sensible training."""
        return ["train", *self.data, "--net", "dscnn-xs", "--epochs", "8", "--batch", "12", "--rate", "0.03"]

    @property
    def distill(self) -> list[str]:
        return self.taught_by("dscnn-s")

    def taught_by(self, teacher: str | Path) -> list[str]:
        """A short distillation from a net or a folder."""
        return [
            *("distill", *self.data, "--student", "dscnn-xs", "--teacher", str(teacher), "--teacher-epochs", "8"),
            *("--epochs", "8", "--batch", "12", "--rate", "0.03"),
        ]

    def other_card(self, folder: Path, *changes: tuple[str, str]) -> Path:
        """The card with texts replaced, as a file of its own."""
        text = self.card.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = folder / "other.toml"
        path.write_text(text)
        return path


def write_recordings(folder: Path, names: Sequence[str] = NAMES) -> None:
    """Sinusoids in noise, four windows a file; each person makes some movements in the morning and some in the evening."""
    seconds = np.arange(4 * LENGTH) / 50
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for label, (word, hertz) in enumerate(zip(("slow", "medium", "fast"), HERTZ, strict=True)):
            rng = np.random.default_rng([number, label])
            shape = (len(seconds), 6)
            signal = np.sin(2 * np.pi * (hertz * seconds[:, None] + rng.uniform(size=6))) + 0.5 * rng.normal(size=shape)
            path = folder / name / f"{('am', 'pm')[(number + label) % 2]}-{word}.csv"
            np.savetxt(path, signal, "%.4f", ",", header="ax,ay,az,gx,gy,gz", comments="")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("world")
    (home / "swings.toml").write_text(CARD)
    write_recordings(home / "recordings")
    return World(home / "swings.toml", home / "recordings")


@dataclass(frozen=True)
class Said:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


@pytest.fixture
def harkd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Said]:
    """The command line, in this process, in an empty folder; no terminal."""
    from harkd.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return call


class Keeper:
    """Stops a run after some steps, and hands over what it had when it is given to the next one."""

    def __init__(self, step: int) -> None:
        self.step, self.steps = step, 0
        self.saved: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return self.saved

    def due(self) -> bool:
        self.steps += 1
        return self.steps == self.step

    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.saved = {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(meta))

    def checked(self) -> None:
        raise Interrupted("stopped")


@pytest.fixture
def keeper() -> type[Keeper]:
    """Makes a keeper that stops at a step."""
    return Keeper


@pytest.fixture
def goes_on() -> Callable[[Callable[[Any], Any], int], tuple[Any, Any]]:
    """What `run(keeper)` gives when it is never stopped, and when it goes on after a stop at some step."""

    def both(run: Callable[[Any], Any], step: int) -> tuple[Any, Any]:
        keeper = Keeper(step)
        with pytest.raises(Interrupted):
            run(keeper)
        return run(None), run(keeper)

    return both


def _quietly(words: Sequence[str]) -> None:
    from harkd.__main__ import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        assert main(words) == 0, told.getvalue()


@pytest.fixture(scope="session")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with the weights of epoch 2 too and the best ones selected. Copy it to change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    _quietly([*world.train, "--select", "best", "--keep-epochs", "2", "--out", str(folder)])
    return folder


@pytest.fixture(scope="session")
def distilled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished student; its teacher's run lies beside it."""
    folder = tmp_path_factory.mktemp("distilled") / "student"
    _quietly([*world.distill, "--out", str(folder)])
    return folder
