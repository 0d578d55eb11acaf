"""Readers of data sets whose files a card cannot describe: `read(card, folder) -> recordings`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.hooks import seglearn_watch
from harkd.datasets.recording import Recording

HOOKS: dict[str, Callable[[Card, Path | None], Sequence[Recording]]] = {
    "seglearn_watch": seglearn_watch.read,
}
