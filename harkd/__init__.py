"""harkd: train and distil compact recognisers of wearable recordings.

    import harkd

    train, val, test = harkd.split(harkd.load("seglearn_watch"))
    teacher = harkd.Player.create("wrn1d-16-1", "all", train, name="teacher")
    harkd.fit(harkd.METHODS["ce"]({"student": teacher}), train, val)

The names below are imported when they are first used, so that `import harkd` itself is quick.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harkd.augment import parse
    from harkd.datasets import Windows, load, split
    from harkd.engine import Phase, Step, fit
    from harkd.evaluation import evaluate
    from harkd.methods import METHODS, Plan
    from harkd.nets import build
    from harkd.player import Player

__all__ = [
    "METHODS",
    "Phase",
    "Plan",
    "Player",
    "Step",
    "Windows",
    "build",
    "evaluate",
    "fit",
    "load",
    "parse",
    "split",
]

_HOMES = {
    "METHODS": "methods",
    "Phase": "engine",
    "Plan": "methods",
    "Player": "player",
    "Step": "engine",
    "Windows": "datasets",
    "build": "nets",
    "evaluate": "evaluation",
    "fit": "engine",
    "load": "datasets",
    "parse": "augment",
    "split": "datasets",
}

if not (Path(__file__).parent / "datasets").is_dir():
    raise ImportError(
        "harkd/datasets is not a folder: this checkout did not keep the symlinks. Allow them (git config core.symlinks true), "
        "delete harkd/datasets and harkd/augment, then: git checkout -- harkd/datasets harkd/augment"
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"harkd.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'harkd' has no attribute {name!r}")
