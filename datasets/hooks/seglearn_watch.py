"""The smartwatch recordings inside the PyPI package seglearn: 140 recordings, 10 subjects, 7 exercises, 50 Hz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from harkd.datasets.card import Card
from harkd.datasets.pickles import load_numpy_pickle
from harkd.datasets.recording import Recording, Segment
from harkd.errors import DataError

SIDES = {0: "left", 1: "right"}


def locate() -> Path:
    """The data file of the installed package. The package itself is not imported."""
    spec = find_spec("seglearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the package seglearn, which holds these recordings, is not installed: pip install seglearn==1.2.5")
    path = Path(spec.submodule_search_locations[0]) / "data" / "watch_dataset.npy"
    if not path.is_file():
        raise DataError(
            f"{path.name} is missing from the installed package seglearn: pip install --force-reinstall seglearn==1.2.5"
        )
    return path


def read(card: Card, folder: Path | None, problems: list[str] | None = None) -> Sequence[Recording]:
    """Recordings named `subject-exercise-side`; `folder` may hold a copy of watch_dataset.npy."""
    path = folder / "watch_dataset.npy" if folder else locate()
    content = load_numpy_pickle(path)
    fields = ("X", "y", "subject", "side")
    if not isinstance(content, dict) or any(field not in content for field in fields):
        raise DataError(f"{path.name}: expected a dictionary with the keys {', '.join(fields)}")
    try:
        return list(_recordings(card, *(content[field] for field in fields)))
    except (ValueError, IndexError, KeyError, TypeError) as problem:
        raise DataError(f"{path.name}: not the recordings that seglearn 1.2.5 ships ({problem})") from None


def _recordings(card: Card, *columns: Sequence[Any]) -> Iterator[Recording]:
    for signal, label, subject, side in zip(*columns, strict=True):
        code, label = int(subject), int(label)
        xyz = np.ascontiguousarray(np.asarray(signal, dtype=np.float32).T)
        seconds = xyz.shape[1] / card.sensors[0].rate
        yield Recording(
            name=f"{code}-{card.target.classes[label].replace(' ', '_')}-{SIDES[int(side)]}",
            subject=str(code),
            session=SIDES[int(side)],
            signals={"wrist_acc": xyz[:3], "wrist_gyro": xyz[3:]},
            segments=(Segment(0.0, seconds, {card.target.name: label}),),
        )
