"""`harkd predict`: what an exported model says about a recording."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json, print_table
from harkd.errors import UsageError, unknown
from harkd.files import write_atomically

if TYPE_CHECKING:
    from harkd.export.decide import Decisions
    from harkd.export.manifest import Manifest, ModelFile
    from harkd.export.recording import Heard

MOST = 200
"""Rows that are printed as a table: nobody reads more, and files and JSON have them all."""


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Run an exported model on a recording as a watch would: the same resampling, units, axes and windows as in training."""

    folder: Annotated[Positional[str], arg(metavar="FOLDER")]
    """What harkd export wrote."""
    recording: Annotated[Positional[str], arg(metavar="RECORDING")]
    """A .csv (or other text), .edf, .mat, .npz or .parquet file."""
    columns: str = ""
    """Which columns are which channels, if their names do not tell: "wrist_acc=ax,ay,az wrist_gyro=gx,gy,gz". Numbers count from
    0; of an array with several channels: "wrist_acc=data[0,1,2]"."""
    units: str = ""
    """Of the recording, where they are not the model's and no header says so: "wrist_acc=m/s2 wrist_gyro=deg/s"."""
    axes: str = ""
    """For a device that is worn another way round: "wrist_acc=-y,x,z" says that the model's x is the recording's -y."""
    rate: str = ""
    """Samples per second, if the recording has no time stamps: 50, or "wrist_acc=100 wrist_gyro=50"."""
    time: str = ""
    """Column of time stamps, if its name does not tell."""
    time_unit: Literal["", "s", "ms", "us", "ns", "iso"] = ""
    """Of the time stamps, if their size does not tell."""
    model: str = ""
    """Which model file of the folder; by default the int8 one."""
    unknown: Annotated[float | None, arg(metavar="SHARE")] = None
    """Decisions less likely than this are unknown; by default the threshold that was fitted at export. 0 keeps all."""
    windows: bool = False
    """List every window (the first 200 of them), not only where the decision changes."""
    out: str = ""
    """Folder for decisions.csv, windows.csv and timeline.svg."""
    json: bool = False
    """Print everything as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Predict, "harkd predict", argv)
    from harkd.export.decide import decide
    from harkd.export.manifest import Manifest
    from harkd.export.recording import hear
    from harkd.export.runners import open_runner
    from harkd.export.sources import Told

    folder, path = Path(options.folder), Path(options.recording)
    manifest = Manifest.read(folder)
    model = chosen(manifest, options.model)
    threshold = limit(options.unknown, manifest)
    told = Told(options.columns, options.units, options.axes, options.rate, options.time, options.time_unit)
    heard = hear(path, manifest, told)
    warn(heard.warnings)
    found = decide(open_runner(folder, model)(heard.inputs), heard.spans, manifest.classes, threshold)
    if options.out:
        _write(Path(options.out), f"{path.name}, {manifest.name}", found)
    if options.json:
        print_json(_everything(manifest, model, heard, found))
        return 0
    _print(manifest, model, path, heard, found, every=options.windows)
    if options.out:
        print(f"\nwrote {Path(options.out) / 'timeline.svg'}, decisions.csv and windows.csv beside it")
    return 0


def chosen(manifest: Manifest, name: str) -> ModelFile:
    """The model file of a name; by default the int8 .tflite, or the nearest to it that there is."""
    if name:
        for each in manifest.files:
            if each.file == name:
                return each
        raise unknown("model file", name, [each.file for each in manifest.files])
    if not manifest.files:
        manifest.file()  # says that there is none
    return min(manifest.files, key=lambda each: (each.precision != "int8", each.format != "tflite"))


def limit(given: float | None, manifest: Manifest) -> float:
    """The threshold below which decisions are unknown.

    Raises:
        UsageError: it is no probability.
    """
    if given is not None and not 0 <= given <= 1:
        raise UsageError(f"--unknown is a probability from 0 to 1, got {given}")
    return manifest.unknown if given is None else given


def warn(lines: Iterable[str]) -> None:
    """Warnings on standard error, so that standard output stays what was asked for."""
    for line in lines:
        print(f"harkd: warning: {line}", file=sys.stderr, flush=True)


def _print(manifest: Manifest, model: ModelFile, path: Path, heard: Heard, found: Decisions, *, every: bool) -> None:
    from harkd.export.timeline import clock

    length = found.spans[0, 1] - found.spans[0, 0]
    print(f"{path.name}, {clock(heard.seconds)} long, {len(found.spans):,} windows of {length:.4g} s")
    print(f"{model.file}: {manifest.name}")
    for remark in heard.remarks:
        print(f"  {remark}")
    print()
    if every:
        rows: list[dict[str, Any]] = [
            {
                "from": clock(row["from"]),
                "to": clock(row["to"]),
                "decision": row["decision"],
                "likeliest": row["likeliest"],
                "probability": f"{row['probability']:.2f}",
            }
            for row in found.rows()
        ]
    else:
        rows = [
            {
                "from": clock(run.start),
                "to": clock(run.stop),
                "lasts": clock(run.stop - run.start),
                "decision": run.decision,
                "probability": f"{run.probability:.2f}",
                "windows": run.windows,
            }
            for run in found.runs()
        ]
    print_table(rows[:MOST])
    if len(rows) > MOST:
        print(f"and {len(rows) - MOST:,} rows more: --out FOLDER writes them all, --json prints them")
    spent = found.seconds()
    total = sum(spent.values())
    print()
    print_table(
        [
            {"class": name, "minutes": f"{seconds / 60:.2f}", "share": f"{seconds / total:.1%}"}
            for name, seconds in [*spent.items(), ("all", total)]
        ]
    )
    unsure, rule = int((~found.known).sum()), ""
    if found.threshold == manifest.unknown and manifest.unknown_rule:
        rule = f",\n{manifest.unknown_rule}"
    told = f"{unsure:,} of {len(found.spans):,} windows are unknown: less likely than {found.threshold:.3g}{rule}"
    print(f"\n{told if found.threshold else 'no threshold: every window is decided'}")
    left = heard.seconds - total
    if left > 0.05:
        print(f"{clock(left)} at gaps and ends lie in no whole window: nothing is said about them")


def _everything(manifest: Manifest, model: ModelFile, heard: Heard, found: Decisions) -> dict[str, Any]:
    return {
        "model": model.file,
        "name": manifest.name,
        "reads": list(heard.remarks),
        "warnings": list(heard.warnings),
        "seconds": heard.seconds,
        "unknown": {"threshold": found.threshold, "windows": int((~found.known).sum())},
        "minutes": {name: seconds / 60 for name, seconds in found.seconds().items()},
        "decisions": [asdict(run) for run in found.runs()],
        "classes": list(found.classes),
        "windows": [{**row, "probabilities": each} for row, each in zip(found.rows(), found.probabilities.tolist(), strict=True)],
    }


def _write(folder: Path, title: str, found: Decisions) -> None:
    from harkd.export.timeline import timeline

    write_atomically(folder / "decisions.csv", _csv([asdict(run) for run in found.runs()]))
    each = zip(found.rows(), found.probabilities.tolist(), strict=True)
    rows = [row | {f"p({name})": p for name, p in zip(found.classes, probabilities, strict=True)} for row, probabilities in each]
    write_atomically(folder / "windows.csv", _csv(rows))
    write_atomically(folder / "timeline.svg", timeline(title, found).encode())


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """A table with times to the millisecond and probabilities to the sixth digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    digits = {"from": 3, "to": 3, "start": 3, "stop": 3}
    for row in rows:
        writer.writerow(f"{v:.{digits.get(k, 6)}f}" if isinstance(v, float) else v for k, v in row.items())
    return text.getvalue().encode()
