"""What follows from a study: statistics, the page, the model card and the size of what would be deployed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from harkd.compare.options import Study
from harkd.compare.results import Results, table
from harkd.compare.store import STUDY, Store
from harkd.errors import HarkdError
from harkd.export.formats import missing
from harkd.export.manifest import NAME, Manifest
from harkd.export.package import Wanted
from harkd.exporting import export_run
from harkd.files import write_atomically
from harkd.options import Data, Distill, Train, identity
from harkd.report.compared import Compared, Deployed, comparison_json
from harkd.report.comparison import write_comparison
from harkd.report.model_card import model_card
from harkd.report.record import Trained
from harkd.runs import Run
from harkd.training import Session


def conclude(results: Results, study: Study, store: Store, session: Session, export: bool = True) -> Compared:
    """Compare, and write what follows into the study's folder.

    Args:
        export: measure what each net takes on a watch, by exporting one run of it.

    Raises:
        HarkdError: every run failed, or the control has none.
    """
    if export:
        _export(results, store, session)
    compared = _compared(results, study, store)
    write_atomically(store.folder / "results.csv", table(results).encode())
    write_atomically(store.folder / "comparison.json", json.dumps(comparison_json(compared), indent=1).encode() + b"\n")
    write_comparison(compared, store.folder / "report.html")
    winner = results.best_on_validation(study.score)
    if winner is not None:
        write_atomically(store.folder / "model-card.md", model_card(compared, winner).encode())
    return compared


def read_study(folder: Path) -> Compared:
    """The comparison of a study's folder, from its run directories; no recordings are needed.

    Raises:
        UsageError: it holds no study.
        HarkdError: a file of it is damaged, or nothing can be compared.
    """
    store = Store(folder)
    design, dropped = store.design()
    return _compared(store.results(design, dropped=dropped), store.asked(), store)


def _compared(results: Results, study: Study, store: Store) -> Compared:
    if results.design.control not in results.levels or len(results.levels) < 2:
        reasons = "; ".join(dict.fromkeys(failed.reason for failed in results.failed)) or "they have not been trained"
        raise HarkdError(f"nothing can be compared: the control or all others have no finished run ({reasons})")
    command = f"harkd compare --recipe {store.folder.name}/{STUDY} --out {store.folder.name}"  # seen from the folder above
    return Compared.of(results, study, _sizes(results, store), command, _teachers(results, store))


def _teachers(results: Results, store: Store) -> Sequence[Trained]:
    """The teachers and assistants that the study trained."""
    wanted = {name for run in results.finished for name in run.result.teacher_identity.split()}
    places = [path for kind in ("teacher", "assistant") for path in sorted(store.runs.glob(f"{kind}-*"))]
    found = [Run(path) for path in places if path.name.rpartition("-")[2] in wanted]
    return [Trained.read(run) for run in found if run.finished]


def _export(results: Results, store: Store, session: Session) -> None:
    """Export one run of every net, if the exporter is installed and can: its size is that of all runs of the net."""
    if missing("tflite") is not None:
        return
    for level in results.levels:
        run = results.of(level)[0]
        place = _place(store, run.cell.options)
        if not (place / NAME).is_file():
            with suppress(HarkdError):  # patch transformers, for one, may not be exported; the page says what the size is
                export_run(store.run(run.cell.name), place, Wanted(("tflite",), "mcu-s"), session)


def _sizes(results: Results, store: Store) -> dict[str, Deployed]:
    """What each level's net takes on a device, by level: its int8 file if it was exported, else a byte for each parameter."""
    found = {}
    for level in results.levels:
        run = results.of(level)[0]
        place = _place(store, run.cell.options)
        found[level] = Deployed(run.result.parameters, measured=False)
        if (place / NAME).is_file():
            found[level] = Deployed(Manifest.read(place).file("int8", "tflite").bytes, measured=True)
    return found


def _place(store: Store, options: Distill) -> Path:
    """Where a net is exported to, whatever it was trained with."""
    data = {f.name: getattr(options, f.name) for f in fields(Data)} | {"split": "official"}
    net = Train(**data, net=options.student, sees=options.student_sees)
    return store.folder / "deployed" / f"{options.student}-{identity(net)}"
