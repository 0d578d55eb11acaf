"""`harkd demo`: real smartwatch recordings, a teacher, students alone and distilled, the best one for a watch, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harkd.commands.cli import parse, read_recipe
from harkd.commands.table import print_json
from harkd.errors import HarkdError, UsageError
from harkd.options import CE, Distill, Machine


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Distil a student on real smartwatch recordings: one teacher, then students alone and distilled. The student that is best on
    validation subjects is exported for a watch; a report tells about all of them."""

    out: str = "demo"
    """Folder for the runs and the report."""
    seeds: int = 3
    """Students of each kind."""
    device: str = "auto"
    """auto, cpu, cuda ..."""
    threads: int = 1
    """Threads for torch. Small nets gain nothing from more; 0 leaves it to torch."""
    json: bool = False
    """Print the results as JSON."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"seeds is at least 1, got {self.seeds}")


def main(argv: Sequence[str]) -> int:
    options = parse(Demo, "harkd demo", argv)
    recipe = read_recipe(Distill, "demo")
    from harkd.commands.export import show
    from harkd.commands.session import print_results, results, session
    from harkd.export.formats import missing
    from harkd.export.package import Wanted
    from harkd.exporting import export_run
    from harkd.report import write_report
    from harkd.training import distill, teachers_of

    folder = Path(options.out)
    machine = Machine(device=options.device, threads=options.threads, json=options.json)
    runs = []
    lacking = missing("tflite", "onnx")
    with session(machine) as live:
        if lacking:
            live.display.say(f"the student will not be exported: {lacking}")
        live.display.say(
            f"{recipe.data}: a teacher ({recipe.teacher}), then {options.seeds} students ({recipe.student}) alone and distilled"
        )
        runs += teachers_of(recipe, live, folder)
        for seed in range(options.seeds):
            distilled = replace(recipe, seed=seed)
            alone = replace(distilled, method="ce", method_options=CE())
            runs.append(distill(alone, live, folder / f"alone-s{seed}"))
            runs.append(distill(distilled, live, folder / f"distilled-s{seed}"))
        # The choice is validation's: test subjects say what it was worth.
        best = max(runs[1:], key=lambda run: run.result()["validation"]["accuracy"])
        exported = None if lacking else export_run(best, best.folder / "export", Wanted(target="mcu-s"), live)
    page = folder / "report.html"
    write_report(runs, page)
    found = results(runs)
    if options.json:
        checked = None if exported is None else asdict(exported[1])
        print_json({"report": str(page), "runs": found, "exported": str(best.folder), "export": checked})
    else:
        print_results(found)
        print(f"\nfor the watch: {best.folder}, the best student on validation subjects")
        if exported:
            show(best.folder / "export", *exported)
        print(f"\nreport: {page}")
    if lacking:
        raise HarkdError(f"the student was not exported: {lacking}")
    return 0 if exported and exported[1].passed else 1
