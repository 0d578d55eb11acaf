"""Readers of data sets whose files a card cannot describe: `read(card, folder, problems) -> recordings`.

`problems` takes what is wrong with single files, which are then left out; without it the first one is raised.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from harkd.datasets.card import Card
from harkd.datasets.hooks import bci2_iv, eegmmidb, seglearn_watch, synthetic_imagery, synthetic_motion, umafall
from harkd.datasets.recording import Recording

HOOKS: dict[str, Callable[[Card, Path | None, list[str] | None], Sequence[Recording]]] = {
    "bci2_iv": bci2_iv.read,
    "eegmmidb": eegmmidb.read,
    "seglearn_watch": seglearn_watch.read,
    "synthetic_imagery": synthetic_imagery.read,
    "synthetic_motion": synthetic_motion.read,
    "umafall": umafall.read,
}
