"""`harkd track`: finished runs for TensorBoard and MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json
from harkd.errors import UsageError

if TYPE_CHECKING:
    from harkd.runs import Run


@dataclass(frozen=True, kw_only=True)
class Track:
    """Write finished runs to TensorBoard or MLflow. What is there already is left alone."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN ...")]
    """Folders of runs, or folders that hold some."""
    to: str = "tensorboard"
    """Trackers, with commas between: tensorboard, mlflow."""
    where: str = "tracked"
    """Folder to write to; for mlflow also the address of a server or database."""
    json: bool = False
    """Print which runs were written where, as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Track, "harkd track", argv)
    from harkd.report.words import many
    from harkd.runs import runs_below
    from harkd.tracking import named, track

    to = named(options.to)
    runs = runs_below(options.runs)
    seen: dict[str, Run] = {}
    for run in runs:
        other = seen.setdefault(run.folder.resolve().name, run)
        if other is not run:
            raise UsageError(f"{other.folder} and {run.folder} have one name: give each a --where of its own")
    for run in runs:
        track(run, to, options.where)
    if options.json:
        print_json({"where": options.where, "to": to, "runs": [str(run.folder) for run in runs]})
    else:
        print(f"{many(len(runs), 'run')}: {options.where} ({', '.join(to)})")
    return 0
