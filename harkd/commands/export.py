"""`harkd export`: a finished run as files for a watch, checked on those files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json, print_table

if TYPE_CHECKING:
    from harkd.export.manifest import Manifest
    from harkd.export.verification import Verification


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the model files of a finished run, with what a watch must know to use them, and check them."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a finished run."""
    to: str = "tflite,onnx"
    """Formats, with commas between: tflite (LiteRT and TensorFlow Lite Micro), onnx."""
    target: Literal["", "wear-os", "mcu-s", "mcu-m"] = ""
    """A budget that must be kept: wear-os, mcu-s (64 KiB flash, 16 KiB memory) or mcu-m (256 and 64)."""
    units: str = ""
    """What the watch measures in, like "wrist_acc=m/s2 wrist_gyro=deg/s"; by default as in training."""
    qat: bool = False
    """Train the int8 net further with the float net as its teacher, for when plain quantisation loses too much."""
    qat_epochs: int = 10
    """Passes over the training windows for that."""
    weights: str = ""
    """last, best or epoch-N; by default those the run selected."""
    out: str = ""
    """Folder of the export; by default RUN/export."""
    device: str = "auto"
    """Where --qat trains: auto, cpu, cuda ..."""
    json: bool = False
    """Print what was checked as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Export, "harkd export", argv)
    from harkd.commands.session import session
    from harkd.export.package import Wanted
    from harkd.exporting import export_run
    from harkd.options import QAT, Machine
    from harkd.runs import Run

    run = Run.open(options.run)
    wanted = Wanted(tuple(filter(None, options.to.replace(" ", "").split(","))), options.target, options.units)
    folder = Path(options.out) if options.out else run.folder / "export"
    qat = QAT(epochs=options.qat_epochs) if options.qat else None
    with session(Machine(device=options.device)) as live:
        manifest, verification = export_run(run, folder, wanted, live, options.weights, qat)
    if options.json:
        print_json(asdict(verification))
    else:
        show(folder, manifest, verification)
    return 0 if verification.passed else 1


def show(folder: Path, manifest: Manifest, verification: Verification) -> None:
    """What an export is, on standard output."""
    rows = []
    for file, found in verification.files.items():
        arena = verification.ram.get(file)
        rows.append({"file": file, "bytes": found.bytes, "arena": f"{arena:,}" if arena else "-"})
    print_table(rows)
    print()
    print_table([{"check": c.name, "found": c.found, "": "passed" if c.passed else "FAILED"} for c in verification.checks])
    print()
    for budget in verification.budgets:
        print(f"{budget.target}: {'fits' if budget.fits else budget.why}")
    for check in verification.checks:
        if not check.passed:
            print(f"\nFAILED: {check.name}: {check.found}; the bound is: {check.bound}. Try: {check.advice}.")
    if manifest.terms.get("commercial") is False:
        print(f"\nThe terms of {manifest.terms['data']} do not allow commercial use, nor do they of models trained on it.")
    print(f"\nexport: {folder} (REPORT.md tells how to feed it)")
