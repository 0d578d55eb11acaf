"""The run directory: configuration, history, weights, results and, while it lasts, the state to go on from.

    config.toml             the options; `harkd train --recipe config.toml` repeats the run
    history.jsonl           one record per epoch
    last.safetensors        weights after the last epoch; best: of the best validation epoch; epoch-N: of epoch N
    last.json               beside each weights file: which net they fill, what it sees, the data's terms
    result.json             the evaluation on test subjects, parameters, versions and the data's terms
    checkpoint.json, checkpoint-*.safetensors   while the run is unfinished: everything needed to go on

Nothing is ever unpickled. Every file is written beside its place and renamed into it. Weights and checkpoint are stored with a
checksum, so that damage is noticed.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from harkd.datasets import Scaler, Sees, Windows
from harkd.datasets.card import Card
from harkd.errors import HarkdError, Interrupted, UsageError
from harkd.files import held, write_atomically
from harkd.history import History
from harkd.nets import Inputs, build
from harkd.player import Player

SAVE_EVERY = 30.0
"""Seconds between two checkpoints."""
_RESULT = ("identity", "label", "net", "options", "parameters", "seed", "selected", "split", "test")
_SIDECAR = ("net", "sees", "rate", "classes", "sensors", "sha256")


class Run:
    """A run directory, made when the first file is written. A finished run has a result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing, finished run.

        Raises:
            UsageError: the folder holds no finished run.
        """
        path = Path(folder)
        if not (path / "result.json").is_file():
            if path.is_dir():
                begun = any((path / name).is_file() for name in ("checkpoint.json", "config.toml"))
                raise UsageError(
                    f"{path} holds {'an unfinished run: repeat its command to finish it' if begun else 'no run of harkd'}"
                )
            found = "is a file" if path.exists() else "no such folder"
            raise UsageError(f"{path}: {found}; give the folder of a finished run")
        return cls(path)

    @property
    def finished(self) -> bool:
        return (self.folder / "result.json").is_file()

    def read_json(self, name: str, *keys: str) -> Any:
        """A JSON file of the run, an object with at least these keys.

        Raises:
            HarkdError: it is missing or damaged.
        """
        path = self.folder / name
        try:
            found = json.loads(_read(path))
        except (ValueError, RecursionError) as problem:
            raise HarkdError(f"{path} is damaged ({problem}): repeat the run") from None
        if not isinstance(found, dict):
            raise HarkdError(f"{path} is damaged (it holds no JSON object): repeat the run")
        for key in keys:
            if key not in found:
                raise HarkdError(f"{path} is damaged ({key!r} is missing): repeat the run")
        return found

    def result(self) -> dict[str, Any]:
        """What `result.json` says."""
        found: dict[str, Any] = self.read_json("result.json", *_RESULT)
        return found

    def write_json(self, name: str, values: Any) -> None:
        write_atomically(self.folder / name, _json(values, self.folder / name, indent=1))

    def history(self) -> History:
        """One record per epoch."""
        path = self.folder / "history.jsonl"
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in _read(path).splitlines()]
        except (ValueError, RecursionError) as problem:
            raise HarkdError(f"{path} is damaged ({problem}): repeat the run") from None

    def write_history(self, history: History) -> None:
        path = self.folder / "history.jsonl"
        write_atomically(path, b"".join(_json(record, path) for record in history))

    def save_player(
        self, name: str, weights: Mapping[str, Tensor], player: Player, net: str, train: Windows, **more: Any
    ) -> None:
        """Weights as safetensors, and a sidecar that says what net they fill and what it sees."""
        content = tensor_bytes(weights)
        write_atomically(self.folder / f"{name}.safetensors", content)
        card = train.card
        sidecar = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "net": net,
            "sees": player.sees.text,
            "channels": player.sees.width,
            "rate": player.sees.rate,
            "length": player.sees.length,
            "classes": list(train.classes),
            "target": card.target.name,
            "parameters": player.net.parameter_count,
            "sensors": [asdict(train.sensors[name]) for name in player.sees.sensors],
            "data": {"name": card.name, "citation": card.citation, "licence": asdict(card.licence)},
            "harkd": version("harkd"),
            **more,
        }
        self.write_json(f"{name}.json", sidecar)

    def load_player(self, windows: Windows, name: str = "") -> Player:
        """The trained player with the weights `last`, `best` or `epoch-N` (by default those the run selected), frozen.

        Raises:
            UsageError: the run did not keep those weights, or the windows are not of the kind that it was trained on.
            HarkdError: a file is missing or damaged.
        """
        name = name or self.result()["selected"]
        kept = sorted(path.stem for path in self.folder.glob("*.safetensors") if not path.stem.startswith("checkpoint"))
        if name not in kept:
            raise UsageError(f"{self.folder} did not keep the weights {name!r}; it has {', '.join(kept) or 'none'}")
        sidecar = self.read_json(f"{name}.json", *_SIDECAR)
        path = self.folder / f"{name}.safetensors"
        content = _read(path)
        weights = tensors_of(content, path)
        if hashlib.sha256(content).hexdigest() != sidecar["sha256"]:
            raise HarkdError(f"{path} is damaged (it is not the file that was written with {name}.json): repeat the run")
        sees = self._sees(sidecar, windows)
        net = build(sidecar["net"], Inputs.of(sees), len(sidecar["classes"]))
        net.scaler = Scaler(torch.zeros(sees.width), torch.ones(sees.width))
        try:
            net.load_state_dict(weights)
        except RuntimeError as problem:
            raise HarkdError(
                f"{path} does not fit the net {sidecar['net']!r} ({str(problem).splitlines()[-1].strip()})"
            ) from None
        player = Player(net, sees, mode="frozen")
        player.prepare(torch.device("cpu"))
        return player

    def _sees(self, sidecar: Mapping[str, Any], windows: Windows) -> Sees:
        """What the stored net sees of some windows, if they are of the kind that it was trained on."""
        if list(windows.classes) != sidecar["classes"]:
            raise UsageError(
                f"{self.folder} was trained on the classes {sidecar['classes']}, these windows have {list(windows.classes)}"
            )
        sees = Sees.parse(sidecar["sees"], windows.sensors, windows.lengths)
        saw = [was["name"] for was in sidecar["sensors"]]
        if list(sees.sensors) != saw:
            raise UsageError(f"{self.folder} sees {', '.join(saw)}; these windows have {', '.join(windows.sensors)}")
        for was in sidecar["sensors"]:
            sensor = windows.sensors[was["name"]]
            for what, here in (("units", sensor.units), ("channels", list(sensor.channels))):
                if here != was[what]:
                    raise UsageError(
                        f"{self.folder} was trained on {sensor.name} with the {what} {was[what]}, these windows have {here}"
                    )
        if sees.rate != sidecar["rate"]:
            raise UsageError(
                f"{self.folder} was trained at {sidecar['rate']:g} Hz, it would see these windows at {sees.rate:g} Hz"
            )
        return sees

    def held(self, wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Make the folder, and keep other processes of harkd out of it: two students may ask for one teacher at the same time.

        Args:
            wait: called every now and then while another process has the folder.
        """
        return held(self.folder, wait)


def runs_below(given: Sequence[str | Path]) -> list[Run]:
    """The finished runs in some folders, each once.

    Raises:
        UsageError: a folder holds none.
    """
    folders: dict[Path, Path] = {}
    for folder in given:
        found = sorted(path.parent for path in Path(folder).rglob("result.json"))
        if not found:
            if not Path(folder).is_dir():
                Run.open(folder)  # says why not
            raise UsageError(f"{folder} holds no finished run")
        for each in found:
            folders.setdefault(each.resolve(), each)
    return [Run.open(folder) for folder in folders.values()]


class Checkpoint:
    """Keeps the state of an unfinished run in its directory (the engine's `Keeper`).

    Args:
        identity: hash of options and data; a checkpoint of others is not gone on from.
        interrupted: asked at every step whether the user wants to stop.
        say: told when a run goes on, or has to start anew because its checkpoint is damaged.
    """

    def __init__(
        self,
        run: Run,
        identity: str,
        interrupted: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.run, self.identity, self.interrupted, self.say = run, identity, interrupted, say
        self._began = self._last = time.monotonic()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, also before it was interrupted."""
        return self._before + time.monotonic() - self._began

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        folder = self.run.folder
        if not (folder / "checkpoint.json").is_file():
            return None
        try:
            meta = self.run.read_json("checkpoint.json", "identity", "tensors", "digest", "seconds")
            path = folder / Path(str(meta["tensors"])).name
            content = _read(path)
            if meta["digest"] != _digest(content, meta):
                raise HarkdError(f"{path} or checkpoint.json is damaged")
            tensors = tensors_of(content, path)
        except HarkdError as problem:
            # Nothing is lost but time: the same options give the same numbers again.
            self.say(f"{str(problem).removesuffix(': repeat the run')}; {folder} starts anew")
            return None
        if meta["identity"] != self.identity:
            self.say(f"{folder} holds the beginning of a run with other options or data; it starts anew")
            return None
        self._before = meta["seconds"]
        self.say(f"{folder} goes on in epoch {meta['epoch'] + 1}")
        return tensors, meta

    def due(self) -> bool:
        return self.interrupted() or time.monotonic() - self._last > SAVE_EVERY

    def save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        # Two files cannot be replaced at once: the JSON names its tensor file, and is renamed into place last.
        old = sorted(self.run.folder.glob("checkpoint-*.safetensors"))
        name = f"checkpoint-{meta['phase']}-{meta['step']}.safetensors"
        content = tensor_bytes(tensors)
        meta = {**meta, "identity": self.identity, "tensors": name, "seconds": self.seconds}
        write_atomically(self.run.folder / name, content)
        self.run.write_json("checkpoint.json", {**meta, "digest": _digest(content, meta)})
        for path in old:
            if path.name != name:
                path.unlink(missing_ok=True)
        self._last = time.monotonic()

    def checked(self) -> None:
        if self.interrupted():
            raise Interrupted(f"stopped; the run is saved in {self.run.folder}: repeat the command to go on")

    def clear(self) -> None:
        """Remove the state of a finished run."""
        for path in [self.run.folder / "checkpoint.json", *self.run.folder.glob("checkpoint-*.safetensors")]:
            path.unlink(missing_ok=True)


def _json(values: Any, path: Path, indent: int | None = None) -> bytes:
    try:
        return json.dumps(values, indent=indent, allow_nan=False).encode() + b"\n"
    except ValueError:
        raise HarkdError(
            f"cannot write {path}: a score is not a finite number; lower the learning rate or the clip norm"
        ) from None


def _digest(content: bytes, meta: Mapping[str, Any]) -> str:
    """A checksum over both files of a checkpoint."""
    text = json.dumps({key: value for key, value in meta.items() if key != "digest"}, sort_keys=True)
    return hashlib.sha256(content + text.encode()).hexdigest()


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors in the safetensors format."""
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors in the content of a safetensors file.

    Raises:
        HarkdError: it is damaged, or another format.
    """
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as problem:
        raise HarkdError(f"{path} is damaged ({problem}): repeat the run") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise HarkdError(f"{path} is missing; the run directory is incomplete: repeat the run") from None
    except OSError as problem:
        raise HarkdError(f"{path} cannot be read: {problem.strerror}") from None


def environment() -> dict[str, str]:
    """Versions that numbers may depend on. No path, host or user name."""
    return {
        "harkd": version("harkd"),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def terms(card: Card) -> dict[str, Any]:
    """The training data's terms, which travel with every model."""
    return {"data": card.name, "synthetic": card.synthetic, "citation": card.citation, **asdict(card.licence)}
