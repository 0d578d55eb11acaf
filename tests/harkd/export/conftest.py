"""Two students that know their data, exported once: everything that is measured here is measured on their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harkd.datasets import Cut, Windows
from harkd.export.formats import missing
from harkd.export.manifest import Manifest, ModelFile
from harkd.export.package import Parts, Wanted, export
from harkd.export.runners import Runner, litert, onnx
from harkd.export.verification import Verification
from harkd.nets import Net
from harkd.options import Data, Machine, Train
from harkd.player import Player
from harkd.progress import Display
from harkd.runs import Run
from harkd.training import Session, train

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Made:
    """An export of a trained student, and all that it was made from."""

    run: Run
    folder: Path
    player: Player
    parts: Parts
    manifest: Manifest
    verification: Verification

    def x(self, part: Literal["train", "val", "test"] = "test") -> Floats:
        """(window, channel, time) of a part, in the units of training."""
        windows: Windows = getattr(self.parts, part)
        found: Floats = self.player.sees(windows.gather(torch.arange(len(windows)))).numpy()
        return found

    @torch.no_grad()
    def logits(self, x: Floats, net: Net | None = None) -> Floats:
        """What PyTorch makes of windows."""
        found: Floats = (net or self.player.net)(torch.from_numpy(x)).logits.numpy()
        return found

    def file(self, name: str, **changed: Any) -> ModelFile:
        """What the manifest says of a file, changed for what a wrong program would take it for."""
        return replace(next(each for each in self.manifest.files if each.file == name), **changed)

    def runner(self, name: str, **changed: Any) -> Runner:
        return (litert if name.endswith(".tflite") else onnx)(self.folder / name, self.file(name, **changed))


def parts_of(data: Data, session: Session, sees: str) -> Parts:
    """The windows of some options."""
    seen = session.parts(data).seen_by(sees)
    return Parts(seen.train, seen.val, seen.test, seen.codes, Cut(seen.train.card.windows.length, seen.train.card.windows.step))


@contextmanager
def quiet_session() -> Iterator[Session]:
    """A session on one thread of the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield Session(Machine(device="cpu"), Display())
    finally:
        torch.set_num_threads(before)


def make(folder: Path, options: Train, most: int = 0) -> Made:
    """Train a student and export it, as the commands do.

    Args:
        most: test windows to score, evenly spaced; 0: all.
    """
    if lacking := missing("tflite", "onnx"):
        pytest.skip(str(lacking))
    with quiet_session() as session:
        run = train(options, session, folder / "run")
        parts = parts_of(options, session, options.sees)
        if most:
            some = np.linspace(0, len(parts.test) - 1, most).round().astype(np.int64)
            parts = replace(parts, test=parts.test.subset(some))
        player = run.load_player(parts.train)
        label = f"{options.net} on {parts.train.card.name}"
        made = export(player, parts, run.folder / "export", Wanted(), label, options.net)
    return Made(run, run.folder / "export", player, parts, *made)


@pytest.fixture(scope="session")
def watch_made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A student of the seglearn recordings, exported."""
    options = Train(net="dscnn-s", epochs=12, augment="none")
    return make(tmp_path_factory.mktemp("watch"), options)


@pytest.fixture(scope="session")
def hapt_made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A student of HAPT, exported; scored on 1,000 test windows."""
    folder = Path(os.environ.get("HARKD_TEST_DATA", "nowhere")) / "uci-hapt"
    if not folder.is_dir():
        pytest.skip("HARKD_TEST_DATA holds no folder uci-hapt")
    options = Train(data="uci_hapt", data_folder=str(folder), net="dscnn-xs", epochs=4)
    return make(tmp_path_factory.mktemp("hapt"), options, 1000)


@pytest.fixture(params=["watch", pytest.param("hapt", marks=pytest.mark.slow)])
def made(request: pytest.FixtureRequest) -> Made:
    """Both of them, one after the other."""
    found: Made = request.getfixturevalue(f"{request.param}_made")
    return found
